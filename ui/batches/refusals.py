"""The refused rows as a table to correct: the line in the file, the reason, and the cells as they stood there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pandas as pd

from ui.batches.results import ADDED
from ui.batches.sheet import Sheet

_LINE: Final = f"{ADDED}row"
_WHY: Final = f"{ADDED}problem"
_MORE: Final = f"{ADDED}more_cells"


def table(sheet: Sheet, problems: Mapping[int, str]) -> pd.DataFrame:
    """One row a refused line, in the file's order: its number, why (`problems`, by number), and its own columns.

    A row with more cells than the file has columns keeps the others behind them. Mended, the file can be sent as it
    is: columns that begin with `qf_` are no field of the contract.
    """
    aside = {} if sheet.understanding is None else {one.line: one.cells for one in sheet.understanding.faults}
    cells = dict(zip(sheet.numbers, sheet.rows, strict=True)) | aside
    width, rows = len(sheet.columns), []
    for line in sorted(problems):
        own = cells.get(line, ())
        rows.append([line, problems[line], *own[:width], *[""] * (width - len(own)), " | ".join(own[width:])])
    frame = pd.DataFrame(rows, columns=[_LINE, _WHY, *sheet.columns, _MORE])
    return frame if frame[_MORE].any() else frame.drop(columns=_MORE)
