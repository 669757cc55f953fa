"""What a file's beginning shows of its columns holds for the rest of it, or the file is refused where it does not."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pandas as pd
import pytest

from flows.batch.errors import BatchRefused
from flows.batch.layouts import SAMPLE_BYTES
from flows.batch.rows import ROW
from service.lexicon.errors import TableRefused
from service.lexicon.limits import UPLOAD, ReadOptions
from service.lexicon.reading import read_table
from service.lexicon.strictness import Reader, hold
from tests.flows.batch.files import applicants, as_csv
from tests.flows.batch.reading import FileRead, read_file
from tests.service.lexicon.tables import zipped

ROWS: Final = 3_000
PART: Final = 700  # rows: a contradiction and what it makes doubtful stand in different parts
LATE: Final = (2_300, 2_950)
"""Rows beyond the sample, in parts of their own; on lines that are greater by two."""
DAY: Final = "2026-03-04"


def _table(column: str, usual: str, first: str, *late: str) -> pd.DataFrame:
    """Applicants with the first cell of a column and those in the rows LATE; `usual` stands in its other cells."""
    frame = applicants(ROWS).assign(**{column: usual})
    frame.loc[0, column] = first
    frame.loc[list(LATE), column] = late
    return frame


def _brazilian(frame: pd.DataFrame) -> str:
    return as_csv(frame, by=";", decimal=",")


def _indexed(shifted: bool) -> str:
    """Rows that begin with their number, under a header without a name for it; one is shifted to the left at last."""
    header, *rows = as_csv(applicants(ROWS)).splitlines()
    numbered = [f"{number},{row}" for number, row in enumerate(rows)]
    if shifted:
        numbered[LATE[1]] = f"{rows[LATE[1]]},"
    return "\n".join([header, *numbered]) + "\n"


REFUSED: Final = {
    "comma after points": (
        lambda: as_csv(_table("annual_income", "30000", "2900.5", "2,900", "1.234,5")),
        r"line 2,[39]\d\d, column annual_income: .*--decimal",
    ),
    "point after commas": (
        lambda: _brazilian(_table("annual_income", "30000", "2900,5", "2.900", "1,234.5")),
        r"line 2,[39]\d\d, column annual_income: .*--decimal",
    ),
    "month first after day first": (
        lambda: as_csv(_table("as_of", DAY, "25/03/2026", "02/03/2026", "03/25/2026")),
        r"line 2,[39]\d\d, column as_of: .*--days",
    ),
    "an open day after plain ones": (
        lambda: as_csv(_table("as_of", DAY, DAY, DAY, "02/03/2026")),
        "line 2,952, column as_of: .*--days",
    ),
    "years and months after whole numbers": (
        lambda: as_csv(_table("credit_history_months", "12", "5", "7", "5.03")),
        "line 2,952, column credit_history_months: .*5 Years and 3 Months",
    ),
    "years and months after nothing": (
        lambda: as_csv(_table("credit_history_months", "", "", "5.00", "6.00")),
        "line 2,302, column credit_history_months: .*5 Years and 3 Months",
    ),
    "a byte of no text": (
        lambda: as_csv(applicants(ROWS)).replace("row-2950", "row\x002950"),
        "line 2,952: .*bytes that no text",
    ),
    "an index that ends": (lambda: _indexed(shifted=True), "line 2,952: the row does not begin with its own number"),
}
"""By what stands after the sample: what writes the file, and what is said of it."""


def _as_batch(pack: Callable[[bytes], bytes]) -> Callable[[Path, bytes], FileRead]:
    def read(folder: Path, content: bytes) -> FileRead:
        (folder / "a").write_bytes(pack(content))
        return read_file(folder / "a", PART)

    return read


def _as_training(_: Path, content: bytes) -> None:
    hold(read_table(content).understanding, Reader.TRAINING)


def _as_demo(_: Path, content: bytes) -> None:
    """What the demo asks its visitor is refused here."""
    read_table(content, ReadOptions(limits=UPLOAD)).understanding.settled()


READERS: Final = {
    "batch, cut": _as_batch(bytes),
    "batch, gzip": _as_batch(gzip.compress),
    "batch, zip": _as_batch(lambda content: zipped({"a.csv": content})),
    "training": _as_training,
    "demo": _as_demo,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", REFUSED)
def test_what_contradicts_the_beginning_refuses_the_file(tmp_path: Path, case: str, reader: str) -> None:
    """With line and column, and the option or the spelling that settles it; for every reader."""
    write, said = REFUSED[case]
    content = write()
    assert content.encode().index(content.split("\n")[LATE[0]].encode()) > SAMPLE_BYTES
    with pytest.raises((BatchRefused, TableRefused), match=said):
        READERS[reader](tmp_path, content.encode())


READ: Final = {
    "an order of days that the end decides": (
        lambda: as_csv(_table("as_of", DAY, "02/03/2026", "04/03/2026", "25/03/2026")),
        {},
    ),
    "a history that its end shows to be months": (
        lambda: as_csv(_table("credit_history_months", "12", "5.00", "265", "5.03")),
        {LATE[1]: "credit_history_months"},  # no whole number
    ),
    "an index": (lambda: _indexed(shifted=False), {}),
    "another delimiter": (
        lambda: as_csv(applicants(ROWS)).replace("row-2949\n", "row-2949\n1;2;3\n"),
        {LATE[1]: ROW},
    ),
}
"""By what stands after the sample: what writes the file, and which rows come back, by their place, for which column."""


@pytest.mark.parametrize("reader", [name for name in READERS if name.startswith("batch")])
@pytest.mark.parametrize("case", READ)
def test_what_the_rest_settles_is_read(tmp_path: Path, case: str, reader: str) -> None:
    """All of a file decides what its beginning leaves open; a row that does not fit comes back, and no other."""
    write, back = READ[case]
    content = write()
    found = READERS[reader](tmp_path, content.encode())
    assert isinstance(found, FileRead)
    assert {place: one for place, one in enumerate(found.problems) if one} == back


def test_texts_of_parquet_are_held_against_their_beginning(tmp_path: Path) -> None:
    """A history in numbers or texts, a mark, an order of days: beyond the rows that were looked at."""
    cases = {
        "credit_history_months": ([12.0] * 5_999 + [5.03], "line 6,000, column credit_history_months: .*years"),
        "annual_income": (["2900.5"] * 5_999 + ["1.234,5"], "line 6,000, column annual_income: .*--decimal"),
        "as_of": (["25/03/2026"] * 5_999 + ["03/25/2026"], "line 6,000, column as_of: .*--days"),
    }
    frame = applicants(6_000)
    for column, (cells, said) in cases.items():
        frame.assign(**{column: cells}).to_parquet(tmp_path / "a.parquet", row_group_size=1_000)
        with pytest.raises(BatchRefused, match=said):
            read_file(tmp_path / "a.parquet", 1_000)


def test_a_currency_after_many_amounts_is_found() -> None:
    """However many distinct amounts stand before it."""
    many = [f"R$ {thousands}.{rest:03d},50" for thousands in range(1, 61) for rest in range(1_000)]
    rows = "\n".join(f"C-{place};{cell};1" for place, cell in enumerate([*many, "US$ 30.000,50"]))
    with pytest.raises(TableRefused, match="line 60,002, column annual_income: amounts in R\\$ and in US\\$"):
        read_table(f"client;annual_income;num_loans\n{rows}\n".encode())
