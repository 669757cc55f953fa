"""Files of applicants in the forms that people send, for the tests of batch."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import pandas as pd

from tests.factories import applicant_columns


def applicants(rows: int, seed: int = 11) -> pd.DataFrame:
    """Applicants by field, with an id of the caller's own; every number as a text with a decimal point."""
    columns, _ = applicant_columns(rows, seed=seed)
    frame = pd.DataFrame({name: list(values) for name, values in columns.items()})
    return frame.assign(my_id=[f"row-{number}" for number in range(rows)])


def as_csv(frame: pd.DataFrame, *, by: str = ",", end: str = "\n", decimal: str = ".") -> str:
    """The frame as delimited text."""
    return frame.to_csv(index=False, sep=by, lineterminator=end, decimal=decimal)


def lines_of(rows: Sequence[Sequence[str]]) -> str:
    """Rows of texts as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
