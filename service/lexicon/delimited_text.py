"""Delimited text as a table of text: delimiter, header and quoting found from the content, rows read by Arrow.

Every row keeps the number of its line. A row with too few or too many cells is set aside with its line and what it
held; a quote where none may stand, or one that is never closed, makes all borders guesses, so it refuses the file.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv as arrow_csv

from service.lexicon.errors import TableRefused, Trouble
from service.lexicon.headings import field_of
from service.lexicon.limits import ReadLimits, ReadOptions, check_cells, too_many_rows
from service.lexicon.row_borders import RowBorders, row_borders

DELIMITERS: Final = (",", ";", "\t", "|")
_SAMPLE_BYTES: Final = 1 << 17
_SAMPLE_ROWS: Final = 200
_HEAD_ROWS: Final = 30  # titles and comments above the header end before this
_SEPARATOR: Final = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_ESCAPED_QUOTE: Final = b'\\"'
_BREAKS_A_ROW: Final = 8
_SIGNS_A_CELL: Final = 4


@dataclass(frozen=True)
class Dialect:
    """How the text is laid out, and from where on: `start` is the byte after the header, on line `line`."""

    delimiter: str
    columns: tuple[str, ...]
    header_line: int
    start: int
    line: int
    indexed: bool = False  # rows begin with their own number, under no name, as far as a sample was looked at


@dataclass(frozen=True)
class RaggedRow:
    """A row that has not as many cells as the header names columns."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class TextTable:
    """Cells as text, one column a name, with each row's line; and the rows that are set aside."""

    columns: pa.Table
    lines: NDArray[np.int64]
    ragged: tuple[RaggedRow, ...]


def dialect(content: bytes, options: ReadOptions) -> Dialect:
    """How UTF-8 text is laid out.

    Raises:
        TableRefused: no header, or a single column.
    """
    sample = content[:_SAMPLE_BYTES].decode("utf-8", errors="replace")
    lines = list(io.StringIO(sample, newline=""))  # ends kept as they are, and no other sign ends a line
    if len(content) > _SAMPLE_BYTES and len(lines) > 1:
        lines.pop()
    separator = _SEPARATOR.fullmatch(next((line.strip() for line in lines if line.strip()), ""))
    delimiters = (options.delimiter or (separator[1] if separator else ""),)
    heads = [head for mark in (delimiters if delimiters[0] else DELIMITERS) if (head := _head(lines, mark)) is not None]
    if not heads:
        raise TableRefused(_one_column(lines, delimiters[0]))
    best = max(heads, key=lambda head: (head.known, head.even, len(head.names)))
    above = "".join(lines[: best.last_line])
    names = tuple(name.strip() for name in best.names)
    if best.indexed:
        names = ("", *names)
    elif best.trailed:
        names = (*names, "")
    return Dialect(best.delimiter, names, best.line, len(above.encode()), best.last_line + 1, best.indexed)


@dataclass(frozen=True)
class _Head:
    """The header that a delimiter would give, and what speaks for it."""

    delimiter: str
    names: list[str]
    line: int
    last_line: int
    known: int
    even: float  # share of the rows below that have as many cells
    indexed: bool  # rows have one cell more than the header: an index without a name, as R writes it
    trailed: bool  # the same, but the cell is the last and empty: a separator at the end of rows alone


def _head(lines: list[str], delimiter: str) -> _Head | None:
    rows: list[tuple[int, int, list[str]]] = []
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        first = 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((first, reader.line_num, cells))
            first = reader.line_num + 1
            if len(rows) >= _SAMPLE_ROWS:
                break
    except csv.Error:
        return None
    candidates = [
        (place, row)
        for place, row in enumerate(rows[:_HEAD_ROWS])
        if not _is_comment(row[2]) and len(_nonempty(row[2])) > 1
    ]
    if not candidates:
        return None
    place, (line, last, names) = max(candidates, key=lambda one: (_field_count(one[1][2]), -one[0]))
    width = len(names)
    below = [cells for _, _, cells in rows[place + 1 :]]
    indexed = _is_indexed(below, width) and names[-1].strip() != ""
    trailed = not indexed and bool(below) and all(len(cells) == width + 1 and not cells[-1].strip() for cells in below)
    even = sum(len(cells) == width for cells in below) / len(below) if below else 1.0
    return _Head(
        delimiter, names, line, last, _field_count(names), 1.0 if indexed or trailed else even, indexed, trailed
    )


def _is_indexed(rows: list[list[str]], width: int) -> bool:
    """True if every row begins with its own number, under no name; any other cell too many is a fault of the row."""
    if len(rows) < 2 or any(len(cells) != width + 1 for cells in rows):
        return False
    if not any(cells[-1].strip() for cells in rows):
        return False  # or it is the last cell that is too many: nothing says which
    numbers = [cells[0].strip() for cells in rows]
    return any(numbers == [str(first + place) for place in range(len(rows))] for first in (0, 1))


def refuse_broken_index(first: pa.ChunkedArray, lines: NDArray[np.int64]) -> None:
    """Make sure that rows go on beginning with their own number as the sample's did: else their cells are shifted.

    Raises:
        TableRefused: one does not; its line is told.
    """
    texts = pc.fill_null(pc.utf8_trim_whitespace(first), "")
    whole = pc.match_substring_regex(texts, "^[0-9]{1,15}$")
    numbers = pc.cast(pc.if_else(whole, texts, "0"), pa.int64()).to_numpy()
    broken = ~whole.to_numpy()
    steps = np.diff(numbers)
    broken[1:] |= (steps < 1) | (steps > np.diff(lines))  # rows between may be none of the table's
    if broken.any():
        raise TableRefused(
            Trouble(
                "ragged",
                "the row does not begin with its own number as those before do, under one name too few",
                "a name above every column",
                "name the index in the header",
                int(lines[broken.argmax()]),
            )
        )


def _nonempty(cells: list[str]) -> list[str]:
    return [cell for cell in cells if cell.strip()]


def _is_comment(cells: list[str]) -> bool:
    return cells[0].lstrip().startswith(("#", "//")) or _SEPARATOR.fullmatch("".join(cells).strip()) is not None


def _field_count(cells: list[str]) -> int:
    return sum(field_of(cell) is not None for cell in cells)


def _one_column(lines: list[str], delimiter: str) -> Trouble:
    line = next((number for number, text in enumerate(lines, start=1) if text.strip()), 1)
    tried = f"cut at {delimiter!r}" if delimiter else "cut at comma, semicolon, tab or bar"
    return Trouble(
        "one_column",
        f"{tried}, no row names two columns or more",
        "the names of the columns in one row",
        "say what separates them (--delimiter)",
        line,
    )


def read_delimited(content: bytes, csv_dialect: Dialect, options: ReadOptions) -> TextTable:
    """The rows below the header; cells without space around.

    Raises:
        TableRefused: a stray or open quote, with its line; more rows or cells than the limits.
    """
    _check_signs(content, csv_dialect.delimiter, options.limits)
    borders, backslash = _borders(content, csv_dialect)
    if len(borders.lines) > options.limits.rows:
        raise too_many_rows(options.limits)
    check_cells(len(borders.lines) * len(csv_dialect.columns), options.limits)
    table, odd = parsed_rows(
        memoryview(content)[csv_dialect.start :], csv_dialect, escaped=backslash, empty_is_null=False
    )
    lines = borders.lines
    if odd:
        lines = np.delete(lines, [number - 1 for number, _ in odd])
    ragged = tuple(
        RaggedRow(int(borders.lines[number - 1]), cells_of(text, csv_dialect.delimiter)) for number, text in odd
    )
    trimmed = pa.table({name: pc.utf8_trim_whitespace(table.column(name)) for name in table.column_names})
    return TextTable(trimmed, lines, ragged)


def _check_signs(content: bytes, delimiter: str, limits: ReadLimits) -> None:
    """Bound what rows and cells are told by, before a place of each is kept: more than tables within the limits have,
    their empty lines, quotes and texts included.
    """
    if content.count(b"\n") + content.count(b"\r") > _BREAKS_A_ROW * limits.rows:
        raise too_many_rows(limits)
    check_cells(max(content.count(delimiter.encode()), content.count(b'"')) // _SIGNS_A_CELL, limits)


def parsed_rows(
    rows: bytes | memoryview, csv_dialect: Dialect, *, escaped: bool, empty_is_null: bool
) -> tuple[pa.Table, list[tuple[int, str]]]:
    """Rows as columns of text, named by their places; and number (from 1, empty lines aside) and text of the others.

    Args:
        rows: UTF-8 whose quotes are sound, from the start of a row on.
        csv_dialect: how they are laid out.
        escaped: whether quotes in cells are written `\\"`.
        empty_is_null: whether an empty cell is null instead of the empty text.
    """
    odd: list[tuple[int, str]] = []

    def set_aside(row: arrow_csv.InvalidRow) -> str:
        odd.append((row.number, row.text))
        return "skip"

    names = [str(place) for place in range(len(csv_dialect.columns))]
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(pa.py_buffer(rows)),
            arrow_csv.ReadOptions(use_threads=False, block_size=len(rows) + 1, column_names=names),
            arrow_csv.ParseOptions(
                delimiter=csv_dialect.delimiter,
                newlines_in_values=True,
                invalid_row_handler=set_aside,
                escape_char="\\" if escaped else False,
            ),
            arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=empty_is_null, null_values=[""]
            ),
        )
    except pa.ArrowInvalid:  # whose text repeats a row, so it is not passed on
        if bytes(rows).strip(b"\r\n"):
            raise TableRefused(
                Trouble("broken_csv", "the rows below the header cannot be told apart", advice="write the file again")
            ) from None
        table = pa.table({name: pa.array([], pa.string()) for name in names})
    return table, odd


def _borders(content: bytes, csv_dialect: Dialect) -> tuple[RowBorders, bool]:
    """The rows' borders, and whether quotes in cells are written `\\"`: only if they are unsound without."""
    borders = row_borders(content, csv_dialect.start, csv_dialect.line, csv_dialect.delimiter)
    if (borders.stray_quotes or borders.open_quote) and _ESCAPED_QUOTE in content:
        escaped = row_borders(
            content.replace(_ESCAPED_QUOTE, b"\\."), csv_dialect.start, csv_dialect.line, csv_dialect.delimiter
        )
        if not escaped.stray_quotes and not escaped.open_quote:
            return escaped, True
    _refuse_quotes(borders)
    return borders, False


def cells_of(text: str, delimiter: str) -> tuple[str, ...]:
    """The cells of one row's text."""
    return tuple(next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), ()))


def _refuse_quotes(borders: RowBorders) -> None:
    if borders.stray_quotes:
        lines = ", ".join(f"{line:,}" for line in borders.stray_quotes)
        raise TableRefused(
            Trouble(
                "broken_csv",
                f"a quote stands inside a cell (also see lines {lines})"
                if len(borders.stray_quotes) > 1
                else "a quote stands inside a cell",
                "quotes around a whole cell",
                "double the quotes within it",
                borders.stray_quotes[0],
            )
        )
    if borders.open_quote:
        raise TableRefused(
            Trouble("broken_csv", "the last quote is never closed", "a closing quote", "close it", borders.open_quote)
        )
