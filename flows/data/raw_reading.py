"""The raw table out of any file that holds it: by the shared reader, with Kaggle's names and spellings.

A cell that cleaning reads as it stands stays the very same; another is put in Kaggle's own spelling. What a row held in
the file, and its line, are kept for the way back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flows.cleaning.raw_table import (
    LABEL_COLUMN,
    LOAN_TYPES,
    MASKS,
    MONTHS,
    NUMERIC,
    OCCUPATIONS,
    RAW_COLUMNS,
    spelling,
)
from flows.errors import SourceError
from service.lexicon.cells import CellKind
from service.lexicon.errors import TableRefused
from service.lexicon.headings import KAGGLE, near
from service.lexicon.limits import ReadOptions
from service.lexicon.reading import read_table
from service.lexicon.strictness import Reader, hold
from service.lexicon.understanding import TableRead, Understanding
from service.lexicon.vocabulary import word

PREFERRED_MEMBER: Final = "train.csv"  # Kaggle's download holds test.csv too
_LOAN_NAMES: Final = {kind: name for name, kind in LOAN_TYPES.items()}
_OCCUPATIONS: Final = {word(name): name for name in OCCUPATIONS}
_READ_BY_CLEANING: Final = r"_*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?_*"


@dataclass(frozen=True)
class RawTable:
    """`frame` as cleaning reads it, `file_frame` as the file has it, each row's line, and what was understood."""

    frame: pd.DataFrame
    file_frame: pd.DataFrame
    lines: NDArray[np.int64]
    understanding: Understanding

    def without(self, rows: NDArray[np.bool_]) -> RawTable:
        """The table less these rows; the others keep their lines."""
        if not rows.any():
            return self
        rest = ~rows
        frame, file_frame = (one[rest].reset_index(drop=True) for one in (self.frame, self.file_frame))
        return replace(self, frame=frame, file_frame=file_frame, lines=self.lines[rest])


def read_raw_table(
    source: Path | bytes, *, labelled: bool, name: str = "", options: ReadOptions = ReadOptions(prefer=PREFERRED_MEMBER)
) -> RawTable:
    """The raw table of a file; `SourceError` says in one line where it is none and what to do."""
    try:
        table = read_table(source, options, name=name)
        check_columns([str(column) for column in table.frame.columns], table, labelled=labelled)
        hold(table.understanding, Reader.TRAINING)
    except TableRefused as refused:
        raise SourceError(str(refused)) from None
    except FileNotFoundError as error:
        raise SourceError(f"there is no {source!s}: run `python -m flows.dataset fetch --data sample` first") from error
    cells = table.frame.rename(
        columns={column: KAGGLE[field] for field, column in table.columns.items() if field in KAGGLE}
    )
    names = [name for name in (*RAW_COLUMNS, LABEL_COLUMN) if name in cells.columns]
    frame = pd.DataFrame({name: _as_kaggle(name, cells[name], table) for name in names})
    return RawTable(frame, cells, table.lines, table.understanding)


def read_raw(path: Path, *, labelled: bool) -> pd.DataFrame:
    """The raw table's cells as cleaning reads them; `SourceError` if the file is not that table."""
    return read_raw_table(path, labelled=labelled).frame


def check_columns(header: Sequence[str], table: TableRead, *, labelled: bool) -> None:
    """`SourceError` naming every missing column, with the closest name that is there and unknown."""
    expected = [*RAW_COLUMNS, LABEL_COLUMN] if labelled else list(RAW_COLUMNS)
    there = {KAGGLE[field] for field in table.columns if field in KAGGLE}
    missing = [name for name in expected if name not in there]
    if not missing:
        return
    spare = [column for column in header if column not in table.columns.values()]
    names = [near(name, spare) for name in missing]
    raise SourceError(
        f"{table.understanding.sentence()}, but it lacks {len(missing)} of {len(expected)} columns: "
        f"{', '.join(names)}; rename or add them"
    )


def _as_kaggle(name: str, cells: pd.Series, table: TableRead) -> pd.Series:
    field = next(field for field, kaggle in KAGGLE.items() if kaggle == name)
    if name == "Occupation":
        if cells.dtype != "str":
            return cells
        return cells.map({cell: _OCCUPATIONS.get(word(cell), cell) for cell in cells.unique()}).astype("str")
    column = table.plain.get(field)
    if column is None or field == "customer_ref":
        return cells if cells.dtype == "str" else cells.astype("str")
    if pd.api.types.is_numeric_dtype(column.cells):
        return column.cells
    kind = next(one.kind for one in table.understanding.columns if one.field == field)
    texts = cells.astype("str")
    as_is = texts.isin(["", *MASKS]).to_numpy() | column.unread
    if kind is CellKind.NUMBER:
        plain = texts.str.fullmatch(_READ_BY_CLEANING).to_numpy(dtype=np.bool_)
        # Cleaning strips underscores: a mask such as __10000__ must not become a number that it believes.
        masked = np.flatnonzero(plain & column.unknown)
        numbers = pd.to_numeric(texts.iloc[masked].str.strip("_"), errors="coerce")
        as_is |= plain
        as_is[masked[numbers.between(NUMERIC[name].low, NUMERIC[name].high).to_numpy()]] = False
    spelt = _SPELT.get(field) or (_history if kind is CellKind.HISTORY else str)
    result = texts.copy()
    result[column.unknown & ~as_is] = ""
    changed = ~as_is & ~column.unknown
    if changed.any():
        result[changed] = column.cells[changed].map({one: spelt(one) for one in column.cells[changed].unique()})
    if kind is not CellKind.LOANS:
        return result
    # "A, B, and C" is Kaggle's own list too.
    return result.mask(texts.str.replace(", and ", ", ", regex=False) == result, texts)


def _history(months: str) -> str:
    number = float(months)
    return f"{int(number) // 12} Years and {int(number) % 12} Months" if number.is_integer() else months


_SPELT: Final[dict[str, Callable[[str], str]]] = {
    "payment_behaviour": spelling,
    "loan_types": lambda kinds: ", ".join(_LOAN_NAMES[kind] for kind in kinds.split("|") if kind),
    "month": lambda number: MONTHS[int(number) - 1],
}
