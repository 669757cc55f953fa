"""Rows to be mended: line, reason and the original cells, whether the contract or the reader refused them."""

from __future__ import annotations

from ui.batches import refusals
from ui.batches.sheet import read_sheet

FILE = b"ref,income\na,10\nb,x\nc,1,2,3\nd,40\n"


def test_refused_rows_with_their_cells() -> None:
    """The file's own columns as they came; cells beyond them are kept behind."""
    sheet = read_sheet("a.csv", FILE)
    found = refusals.table(sheet, {4: "too many cells", 3: "no number"})
    assert list(found.columns) == ["qf_row", "qf_problem", "ref", "income", "qf_more_cells"]
    assert found.to_numpy().tolist() == [
        [3, "no number", "b", "x", ""],
        [4, "too many cells", "c", "1", "2 | 3"],
    ]


def test_no_column_that_nothing_fills() -> None:
    """Where every row has the file's own cells there is no column for others."""
    found = refusals.table(read_sheet("a.csv", FILE), {3: "no number"})
    assert list(found.columns) == ["qf_row", "qf_problem", "ref", "income"]
