"""An uploaded CSV or Excel file read as a table of text, whatever program wrote it, or refused with a reason.

Cells stay text: what they mean is decided by `ui.batches.mapping`, by the contract's field, not by a guess of pandas.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ui.errors import SheetRefused

MAX_ROWS: Final = 100_000
_MAX_COLUMNS: Final = 500
_MAX_UNZIPPED_BYTES: Final = 400 * 2**20  # a workbook is a zip: 20 MB of it may hide gigabytes
_OLD_EXCEL: Final = b"\xd0\xcf\x11\xe0"  # xls, and xlsx under a password
_BOMS: Final = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig"))
_DELIMITERS: Final = ",;\t|"


@dataclass(frozen=True)
class Sheet:
    """A table of text: the columns' names, and rows with the number they have in the file (the header is 1)."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[int, ...]


def read_sheet(name: str, content: bytes) -> Sheet:
    """The table in an uploaded file; `SheetRefused` says what is wrong with it."""
    if not content.strip(b"\x00 \r\n\t"):
        raise SheetRefused("empty")
    if content.startswith(_OLD_EXCEL):
        raise SheetRefused("old_excel")
    if content.startswith(b"PK"):
        return _table(_excel_rows(content))
    if name.lower().endswith((".xlsx", ".xlsm")):
        raise SheetRefused("broken_excel")
    return _table(_csv_rows(_decoded(content)))


def _decoded(content: bytes) -> str:
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            return _strictly(content, encoding)
    if b"\x00" in content[:4096] or content.startswith((b"%PDF", b"\x89PNG", b"\xff\xd8", b"\x1f\x8b", b"Rar!")):
        raise SheetRefused("not_a_table")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")  # what Excel on Windows writes without being asked
    if text.lstrip()[:1] in ("<", "{", "["):
        raise SheetRefused("not_a_table")
    return text


def _strictly(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise SheetRefused("not_a_table") from error


def _csv_rows(text: str) -> Iterable[Sequence[str]]:
    first = text.lstrip("\r\n").split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=first.count)
    if delimiter not in first:
        raise SheetRefused("one_column")
    try:
        yield from csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    except csv.Error as error:
        raise SheetRefused("broken_csv") from error


def _excel_rows(content: bytes) -> Iterable[Sequence[str]]:
    import openpyxl  # type: ignore[import-untyped]

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(part.file_size for part in archive.infolist()) > _MAX_UNZIPPED_BYTES:
                raise SheetRefused("too_large")
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
    except SheetRefused:
        raise
    except Exception as error:  # pylint: disable=broad-exception-caught  # openpyxl raises whatever its parsers raise
        raise SheetRefused("broken_excel") from error
    if not book.worksheets:
        raise SheetRefused("broken_excel")
    for row in book.worksheets[0].iter_rows(values_only=True):
        yield ["" if value is None else str(value) for value in row]


def _table(found: Iterable[Sequence[str]]) -> Sheet:
    columns: tuple[str, ...] | None = None
    rows: list[tuple[str, ...]] = []
    numbers: list[int] = []
    for number, raw in enumerate(found, start=1):
        cells = tuple(cell.strip() for cell in raw)
        if not any(cells):
            continue
        if columns is None:
            columns = _header(cells)
            continue
        if len(cells) > len(columns) and any(cells[len(columns) :]):
            raise SheetRefused("ragged", row=number)
        rows.append((cells + ("",) * len(columns))[: len(columns)])
        numbers.append(number)
        if len(rows) > MAX_ROWS:
            raise SheetRefused("too_many_rows", most=MAX_ROWS)
    if columns is None:
        raise SheetRefused("empty")
    if not rows:
        raise SheetRefused("no_rows")
    return Sheet(columns, tuple(rows), tuple(numbers))


def _header(cells: tuple[str, ...]) -> tuple[str, ...]:
    while cells and not cells[-1]:
        cells = cells[:-1]
    if len(cells) > _MAX_COLUMNS:
        raise SheetRefused("not_a_table")
    if len(cells) < 2:
        raise SheetRefused("one_column")
    twice = next((name for place, name in enumerate(cells) if name and name in cells[:place]), None)
    if twice is not None:
        raise SheetRefused("column_twice", column=twice)
    return cells
