"""The rows of a piece, as its file has them, each with its line; what they mean comes after."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from flows.batch.contract_columns import FIELDS, is_string, plain_type
from flows.batch.cuts import LONGEST_PIECE_BYTES, Piece, breaks, bytes_of
from flows.batch.errors import BatchRefused
from flows.batch.layouts import (
    UTF8,
    FileLayout,
    Lane,
    as_utf8_bytes,
    is_utf8,
    read_whole,
    refusal,
    stream_of,
    wrong_byte,
)
from flows.batch.places import system_words
from service.lexicon.cells import RULES, CellKind, ColumnForm
from service.lexicon.delimited_text import Dialect, RaggedRow, cells_of, parsed_rows, refuse_broken_index
from service.lexicon.errors import TableRefused, Trouble
from service.lexicon.layout import adds_up, ragged, totals, unnamed_cell
from service.lexicon.row_borders import row_borders
from service.lexicon.text_encoding import WINDOWS
from service.lexicon.understanding import SetAside, TableRead
from service.lexicon.unpacking import damaged

PACKED_BLOCK_BYTES: Final = 1 << 22
BUFFER_BYTES: Final = 1 << 22  # of a column that is read as a stream
PLAIN: Final = ColumnForm(decimal=".")
UNREAD_CELL: Final = "unread"  # what stands in a field's column for a text without a meaning: no number, no category
Lines = Callable[[], NDArray[np.int64]]


@dataclass(frozen=True)
class RowsRead:
    """Rows of one file in order.

    `file_table` has the columns as the file names them, `table` the fields' own columns by field beside those that are
    passed on. A row that is none of the table's is empty in both, and stands in `aside` by its place.
    """

    table: pa.Table
    file_table: pa.Table
    lines: Lines
    fields: Mapping[str, str]  # by field its column in `file_table`
    forms: Mapping[str, ColumnForm]  # by field how the cells of `table` are read
    aside: Mapping[int, SetAside] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()  # columns that name a person, and are neither passed on nor told

    def __len__(self) -> int:
        return len(self.table)

    def cells(self, place: int) -> tuple[str, ...]:
        """A row's cells as written."""
        if place in self.aside:
            return self.aside[place].cells
        cells = (column[place].as_py() for column in self.file_table.columns)
        return tuple("" if cell is None else "|".join(cell) if isinstance(cell, list) else str(cell) for cell in cells)

    def sliced(self, start: int, length: int) -> RowsRead:
        """Some of the rows."""
        aside = {place - start: row for place, row in self.aside.items() if start <= place < start + length}
        lines = self.lines
        return replace(
            self,
            table=self.table.slice(start, length),
            file_table=self.file_table.slice(start, length),
            lines=lambda: lines()[start : start + length],
            aside=aside,
        )


def joined(reads: Sequence[RowsRead]) -> RowsRead:
    """Rows of several reads as one."""
    if len(reads) == 1:
        return reads[0]
    aside: dict[int, SetAside] = {}
    first = 0
    for one in reads:
        aside |= {first + place: row for place, row in one.aside.items()}
        first += len(one)
    parts = list(reads)
    return replace(
        reads[0],
        table=pa.concat_tables([one.table for one in reads]),
        file_table=pa.concat_tables([one.file_table for one in reads]),
        lines=lambda: np.concatenate([one.lines() for one in parts]),
        aside=aside,
    )


def rows_of(piece: Piece, rows: int) -> Iterator[RowsRead]:
    """The piece's rows, `rows` at a time; of a text that is cut all at once.

    Raises:
        BatchRefused: the file is damaged, or says otherwise than its beginning; no value is told.
    """
    try:
        if piece.layout.lane is Lane.CUT:
            content = bytes_of(piece.layout, piece.start, piece.stop)
            yield text_rows(piece.layout, as_utf8_bytes(piece.layout, content, piece.line), piece.line)
        else:
            reads = {Lane.STREAM: _streamed, Lane.PARQUET: _parquet, Lane.WHOLE: _whole}[piece.layout.lane]
            yield from _evenly(reads(piece, rows), rows)
    except TableRefused as refused:
        raise refusal(piece.layout.source, refused.trouble) from None
    except pa.ArrowException:  # whose text may repeat a cell
        raise piece.layout.refused(Trouble("damaged", "this file is damaged", advice="write it again")) from None
    except OSError as error:
        if piece.layout.lane is Lane.STREAM:
            raise piece.layout.refused(damaged(piece.layout.packing)) from None
        raise BatchRefused(f"{piece.layout.name} cannot be read: {system_words(error)}") from None


def _read(layout: FileLayout, cells: pa.Table, lines: Lines) -> RowsRead:
    """The columns with the contract's names where they hold a field that a score needs."""
    names = {column: name for name, column in layout.fields.items() if name in FIELDS}
    table = cells.rename_columns([names.get(name, name) for name in cells.column_names])
    return RowsRead(_with_all_fields(table), cells, lines, layout.fields, layout.forms)


def _with_all_fields(table: pa.Table) -> pa.Table:
    """The table with an empty column for each field that its file has no column for."""
    for name in FIELDS:
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(len(table)))
    return table


def text_rows(layout: FileLayout, content: bytes, line: int) -> RowsRead:
    """The rows of UTF-8 text that starts with a row, on line `line`.

    Raises:
        TableRefused: a cell stands under no name.
    """
    csv_dialect = layout.dialect
    cells, odd = parsed_rows(content, csv_dialect, escaped=False, empty_is_null=True)
    total = len(cells) + len(odd)
    numbers = np.delete(np.arange(total), [number - 1 for number, _ in odd]) if odd else np.arange(total)

    def lines_of(rows: NDArray[np.int64]) -> NDArray[np.int64]:
        lines: NDArray[np.int64] = row_borders(content, 0, line, csv_dialect.delimiter).lines[rows]
        return lines

    blank = _blank(cells)
    if blank.any():
        cells, numbers = cells.filter(pa.array(~blank)), numbers[~blank]
    sums = adds_up([cells.column(place) for place, name in enumerate(csv_dialect.columns) if name])
    aside: dict[int, SetAside] = {}
    if sums.any():
        rows = cells.filter(pa.array(sums)).to_pylist()
        told_rows = [["" if cell is None else str(cell) for cell in row.values()] for row in rows]
        sum_rows = zip(numbers[sums], lines_of(numbers[sums]), told_rows, strict=True)
        aside = {int(number): totals(int(own), row) for number, own, row in sum_rows}
        cells, numbers = cells.filter(pa.array(~sums)), numbers[~sums]
    _refuse_unnamed(cells, csv_dialect, lambda places: lines_of(numbers[places]))
    if csv_dialect.indexed and len(numbers):
        refuse_broken_index(cells.column(0), lines_of(numbers))
    columns = [place for place, name in enumerate(csv_dialect.columns) if name]
    table = cells.select(columns).rename_columns([csv_dialect.columns[place] for place in columns])
    if not odd and not aside:
        return _read(layout, table, lambda: lines_of(numbers))
    lines = lines_of(np.array([number - 1 for number, _ in odd], np.int64))
    aside |= {
        number - 1: ragged(RaggedRow(int(own), cells_of(text, csv_dialect.delimiter)), csv_dialect.columns)
        for own, (number, text) in zip(lines, odd, strict=True)
        if text.strip(f" \r\n\t{csv_dialect.delimiter}")
    }
    return _with_aside(layout, table, numbers, aside, lines_of)


def _with_aside(
    layout: FileLayout,
    cells: pa.Table,
    numbers: NDArray[np.int64],
    aside: Mapping[int, SetAside],
    lines_of: Callable[[NDArray[np.int64]], NDArray[np.int64]],
) -> RowsRead:
    """The rows and those that are set aside, in the order of their numbers."""
    every = np.concatenate([numbers, np.array(sorted(aside), np.int64)])
    order = np.argsort(every, kind="stable")
    beyond = order >= len(numbers)
    table = cells.take(pa.array(np.where(beyond, 0, order), mask=beyond))
    places = {int(every[order[place]]): place for place in np.flatnonzero(beyond)}
    rows = _read(layout, table, lambda: lines_of(every[order]))
    return replace(rows, aside={int(places[number]): row for number, row in aside.items()})


def _blank(cells: pa.Table) -> NDArray[np.bool_]:
    """Rows without any text, as a sheet's last rows are."""
    empty = np.ones(len(cells), np.bool_)
    for column in cells.columns:
        if not empty.any():
            break
        told_cells = pc.fill_null(pc.not_equal(pc.utf8_trim_whitespace(column), ""), False)
        empty &= ~told_cells.to_numpy()
    return empty


def _refuse_unnamed(
    cells: pa.Table, csv_dialect: Dialect, lines: Callable[[NDArray[np.int64]], NDArray[np.int64]]
) -> None:
    for place, name in enumerate(csv_dialect.columns):
        if name or not place:
            continue
        filled = np.flatnonzero(cells.column(place).is_valid().to_numpy())
        if len(filled):
            raise TableRefused(unnamed_cell(int(lines(filled[:1])[0])))


def _streamed(piece: Piece, _: int) -> Iterator[RowsRead]:
    """Packed text, some MiB at a time from row border to row border."""
    layout, line = piece.layout, piece.line
    buffer, plain = b"", True
    # pylint: disable-next=contextmanager-generator-missing-cleanup  # its own with blocks close the file
    with stream_of(layout.source, layout.packing, layout.options) as stream:
        stream.read(layout.dialect.start)
        while True:
            chunk = bytes(stream.read(PACKED_BLOCK_BYTES))
            buffer += chunk
            end = len(buffer) if not chunk else _last_border(layout, buffer, line)
            if len(buffer) - end > LONGEST_PIECE_BYTES:
                raise layout.refused(
                    Trouble("too_large", f"no row ends for {LONGEST_PIECE_BYTES:,} bytes", "a row a line", line=line)
                )
            content, buffer = buffer[:end], buffer[end:]
            if content:
                layout = _still(layout, content, line, plain=plain)
                plain = plain and content.isascii()
                text = as_utf8_bytes(layout, content, line)
                _refuse_quotes(layout, text, line)
                yield text_rows(layout, text, line)
                line += breaks(content)
            if not chunk:
                return


def _still(layout: FileLayout, content: bytes, line: int, *, plain: bool) -> FileLayout:
    """The layout; in Windows' encoding from the first letter on that is not UTF-8, if no letter was before."""
    if layout.encoding != UTF8 or is_utf8(content):
        return layout
    if layout.options.encoding or not plain:
        raise layout.refused(wrong_byte(UTF8, line))
    return _in_windows(layout)


def _in_windows(layout: FileLayout) -> FileLayout:
    return replace(layout, encoding=WINDOWS)


def _last_border(layout: FileLayout, content: bytes, line: int) -> int:
    last = content.rfind(b"\n") + 1
    if b'"' not in content or not last:
        return last
    starts = row_borders(content, 0, line, layout.dialect.delimiter).starts
    # What follows the last border may be a row cut in two, or one whose quotes are open yet.
    return int(starts[-1]) if len(starts) and starts[-1] < last else last


def _refuse_quotes(layout: FileLayout, content: bytes, line: int) -> None:
    if b'"' not in content:
        return
    borders = row_borders(content, 0, line, layout.dialect.delimiter)
    advice = ("quotes around a whole cell", "double the quotes within it")
    if borders.stray_quotes:
        raise TableRefused(Trouble("broken_csv", "a quote stands inside a cell", *advice, borders.stray_quotes[0]))
    if borders.open_quote:
        raise TableRefused(Trouble("broken_csv", "the last quote is never closed", *advice, borders.open_quote))


def _parquet(piece: Piece, rows: int) -> Iterator[RowsRead]:
    schema = piece.layout.schema
    assert schema is not None  # a parquet file has one
    coded = [
        piece.layout.fields[name]
        for name in FIELDS
        if name in piece.layout.fields
        and RULES[name].kind in (CellKind.CATEGORY, CellKind.LOANS)
        and pa.types.is_string(schema.field(piece.layout.fields[name]).type)
    ]
    with (
        piece.layout.source.opened() as place,
        pq.ParquetFile(place.path, filesystem=place.system, read_dictionary=coded, buffer_size=BUFFER_BYTES) as file,
    ):
        first = piece.line
        for batch in file.iter_batches(batch_size=rows, row_groups=range(piece.start, piece.stop), use_threads=False):
            table = pa.Table.from_batches([batch])
            yield _read(piece.layout, table, _counting(first, len(table)))
            first += len(table)


def _counting(first: int, count: int) -> Lines:
    return lambda: np.arange(first, first + count)


def _whole(piece: Piece, _: int) -> Iterator[RowsRead]:
    table = read_whole(piece.layout)
    faults = sorted(table.understanding.faults, key=lambda one: one.line)
    every = np.concatenate([table.lines, np.array([one.line for one in faults], np.int64)])
    order = np.argsort(every, kind="stable")
    beyond = order >= len(table.lines)
    indices = pa.array(np.where(beyond, 0, order), mask=beyond)
    aside = {int(place): faults[order[place] - len(table.lines)] for place in np.flatnonzero(beyond)}
    cells = pa.table({str(name): _as_written(table.frame[name]) for name in table.frame.columns})
    fields = {table.columns[name]: name for name in FIELDS if name in table.columns}
    columns = {
        fields.get(name, name): _plain(table, fields[name]) if name in fields else cells.column(name)
        for name in cells.column_names
    }
    lines = every[order]
    # The shared reader left plain numbers; days stand as they were written.
    forms = dict.fromkeys(FIELDS, PLAIN) | {
        one.field: one.form for one in table.understanding.columns if one.kind is CellKind.DAY
    }
    yield RowsRead(
        _with_all_fields(pa.table(columns).take(indices)),
        cells.take(indices),
        lambda: lines,
        dict(table.columns),
        forms,
        aside,
    )


def _as_written(cells: pd.Series) -> pa.Array:
    if pd.api.types.is_numeric_dtype(cells):
        return pa.array(cells, from_pandas=True)
    return pa.array([None if pd.isna(cell) or cell == "" else str(cell) for cell in cells], pa.string())


def _plain(table: TableRead, name: str) -> pa.Array:
    column = table.plain[name]
    if pd.api.types.is_numeric_dtype(column.cells):
        return pa.array(column.cells, from_pandas=True)
    texts: list[Any] = column.cells.astype("object").to_list()
    return pa.array(
        [
            UNREAD_CELL if unread else None if pd.isna(text) else text
            for text, unread in zip(texts, column.unread, strict=True)
        ],
        pa.string(),
    )


def _evenly(reads: Iterator[RowsRead], rows: int) -> Iterator[RowsRead]:
    """The rows in parts of exactly `rows`, the last one shorter: parts do not depend on how a file is read."""
    parts: list[RowsRead] = []
    for part in reads:
        while sum(map(len, parts)) + len(part) >= rows:
            missing = rows - sum(map(len, parts))
            yield joined([*parts, part.sliced(0, missing)])
            parts, part = [], part.sliced(missing, len(part) - missing)
        if len(part):
            parts.append(part)
    if parts:
        yield joined(parts)


def numeric_texts(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    """By field the columns of numbers that are written as text: those that have a decimal mark."""
    names = [name for name in FIELDS if RULES[name].numeric and is_string(plain_type(table.schema.field(name).type))]
    return {name: table.column(name).cast(pa.string()) for name in names}
