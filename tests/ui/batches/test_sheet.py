"""Any table a partner may have is read; any file that is none is refused with its own reason."""

from __future__ import annotations

import io
import zipfile

import openpyxl
import pytest

from ui.batches.sheet import Sheet, read_sheet
from ui.errors import SheetRefused

ROWS = [["num_loans", "credit_mix"], ["3", "Good"], ["", ""], ["4", "Bad"]]


def workbook(rows: list[list[object]]) -> bytes:
    """An Excel file."""
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def text(separator: str) -> str:
    """A CSV file."""
    return "\r\n".join(separator.join(row) for row in ROWS)


@pytest.mark.parametrize(
    "content",
    [
        text(",").encode(),
        text(";").encode("utf-8-sig"),
        text("\t").encode("utf-16"),
        text("|").encode("cp1252"),
        (text(",") + "\r\n\r\n").encode(),
        workbook([[*row] for row in ROWS]),
        workbook([["num_loans", "credit_mix", None], [3, "Good"], [None, None], [4, "Bad"]]),
    ],
    ids=["comma", "semicolon and mark", "tab, UTF-16", "bar, Windows", "empty lines", "Excel", "Excel numbers"],
)
def test_the_same_table(content: bytes) -> None:
    """However it was written: names, text cells, and row numbers as the file's reader sees them."""
    assert read_sheet("x.csv", content) == Sheet(("num_loans", "credit_mix"), (("3", "Good"), ("4", "Bad")), (2, 4))


def _bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in range(3):
            archive.writestr(f"xl/{part}.xml", bytes(150 * 2**20))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.csv", b"", "empty"),
        ("a.csv", b"\r\n \r\n", "empty"),
        ("a.csv", b"\x00" * 50, "empty"),
        ("a.csv", b"\xef\xbb\xbf\r\n,,\r\n", "empty"),
        ("a.csv", b"a,b\r\n", "no_rows"),
        ("a.csv", b"a,b\r\n,\r\n", "no_rows"),
        ("a.csv", b"just one column\r\n1\r\n", "one_column"),
        ("a.csv", b"a,\r\n1,\r\n", "one_column"),
        ("a.csv", b"a,b,a\r\n1,2,3\r\n", "column_twice"),
        ("a.csv", b"a,b\r\n1,2,3\r\n", "ragged"),
        ("a.csv", b'a,b\r\n"1,2\r\n', "broken_csv"),
        ("a.csv", b"%PDF-1.7 a,b", "not_a_table"),
        ("a.csv", b"\x89PNG\r\n\x1a\n a,b", "not_a_table"),
        ("a.csv", b"\xff\xd8\xff a,b", "not_a_table"),
        ("a.csv", b"a,b\x00\x01\r\n1,2", "not_a_table"),
        ("a.csv", b"<html><table>a,b", "not_a_table"),
        ("a.csv", b'[{"a": 1, "b": 2}]', "not_a_table"),
        ("a.csv", b"\xff\xfea", "not_a_table"),
        ("a.csv", b",".join(b"c%d" % place for place in range(501)) + b"\r\n1\r\n", "not_a_table"),
        ("a.xlsx", b"a,b\r\n1,2\r\n", "broken_excel"),
        ("a.xlsx", b"PK\x03\x04 cut off", "broken_excel"),
        ("a.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old_excel"),
        ("a.xlsx", workbook([]), "empty"),
        ("a.csv", b"a,b\r\n" + b"1,2\r\n" * 100_001, "too_many_rows"),
    ],
    # Names of their own: what a workbook or a hundred thousand rows begin with is none.
    ids=[
        "nothing",
        "blank lines",
        "zeros",
        "a mark and commas",
        "a header alone",
        "a header and commas",
        "one column",
        "one named column",
        "a column twice",
        "a ragged row",
        "an open quote",
        "a PDF",
        "a PNG",
        "a JPEG",
        "control bytes",
        "a web page",
        "JSON",
        "half a character",
        "501 columns",
        "text named xlsx",
        "a cut zip",
        "an old workbook",
        "an empty workbook",
        "100,001 rows",
    ],
)
def test_refused(name: str, content: bytes, code: str) -> None:
    """Each kind of bad file has its reason."""
    with pytest.raises(SheetRefused) as raised:
        read_sheet(name, content)
    assert raised.value.code == code


def test_a_zip_bomb() -> None:
    """A workbook that would unpack to 450 MB is refused unread."""
    with pytest.raises(SheetRefused, match="too_large"):
        read_sheet("a.xlsx", _bomb())


def test_a_zip_that_is_no_workbook() -> None:
    """Any other zip is a broken Excel file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "a,b")
    with pytest.raises(SheetRefused, match="broken_excel"):
        read_sheet("a.xlsx", buffer.getvalue())
