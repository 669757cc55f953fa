"""Tables whose cells carry their own types: parquet, JSON lines and workbooks, as columns for pandas."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from service.lexicon.errors import TableRefused, Trouble
from service.lexicon.headings import field_of
from service.lexicon.limits import ReadLimits, check_bytes, check_cells, too_many_rows
from service.lexicon.unpacking import no_table
from service.lexicon.workbook import workbook_rows

NOTHING: Final = "(nothing)"
"""What stands for an element of a list that is nothing: no kind of loan, so the cell stays unread."""


_LINE_BYTES: Final = 1 << 20  # of JSON; five hundred columns are fewer


@dataclass(frozen=True)
class TypedTable:
    """Columns by name, each all numbers, all text, or both; the line of each row, and of the header (0 for none)."""

    names: tuple[str, ...]
    columns: tuple[pd.Series, ...]
    lines: NDArray[np.int64]
    header_line: int


def read_parquet(content: bytes, limits: ReadLimits) -> TypedTable:
    """A parquet file; rows are numbered from 1.

    Raises:
        TableRefused: it is damaged, or has more rows or bytes than the limits.
    """
    try:
        with pq.ParquetFile(pa.BufferReader(content)) as file:
            _check_metadata(file.metadata, limits)
            leaves = map(file.schema.column, range(len(file.schema)))
            texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
        with pq.ParquetFile(pa.BufferReader(content), read_dictionary=texts) as file:
            table = file.read()  # texts once a distinct value: a short file may repeat a long one a million times
    except (pa.ArrowException, OSError):
        raise TableRefused(Trouble("damaged", "this is a damaged parquet file", advice="write it again")) from None
    check_bytes(sum(_unpacked_bytes(chunk) for column in table.columns for chunk in column.chunks), limits)
    columns = tuple(_from_arrow(column) for column in table.columns)
    return TypedTable(tuple(table.column_names), columns, np.arange(1, len(table) + 1), 0)


def _check_metadata(metadata: pq.FileMetaData, limits: ReadLimits) -> None:
    """Bound what is going to be read, which is what a file says it holds: its reader trusts no less to it."""
    if metadata.num_rows > limits.rows:
        raise too_many_rows(limits)
    check_cells(max(metadata.num_rows, metadata.num_row_groups) * metadata.num_columns, limits)
    groups = [metadata.row_group(place) for place in range(metadata.num_row_groups)]
    check_bytes(sum(group.total_byte_size for group in groups), limits)
    check_cells(
        sum(group.column(place).num_values for group in groups for place in range(metadata.num_columns)), limits
    )


def _unpacked_bytes(array: pa.Array) -> int:
    """With a text as often as it stands there, not once a distinct one."""
    if pa.types.is_dictionary(array.type):
        return int(pc.max(pc.binary_length(array.dictionary)).as_py() or 0) * len(array)
    if pa.types.is_nested(array.type):
        parts = array.flatten()
        return sum(map(_unpacked_bytes, parts if isinstance(parts, list) else [parts]))
    return int(array.nbytes)


def _from_arrow(column: pa.ChunkedArray) -> pd.Series:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_decimal(kind):
        column = exact_decimals(column)
    elif pa.types.is_boolean(kind):
        column = pc.if_else(column, "True", "False")
    elif pa.types.is_temporal(kind) and not pa.types.is_duration(kind) or _is_text(kind):
        column = column.cast(pa.string())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return pd.Series([str(_scalar(value)) for value in column.to_pylist()], dtype="str")
    if pa.types.is_integer(column.type) and column.null_count:
        return pd.Series([*map(_exact, column.to_pylist())], dtype="object")
    series: pd.Series = column.to_pandas()
    return series if pd.api.types.is_numeric_dtype(series) else _trimmed(series)


def exact_decimals(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Decimals as the numbers that their digits are nearest to: Arrow's own cast may miss the last bit."""
    return column.cast(pa.string()).cast(pa.float64())


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _exact(value: int | None) -> int | str:
    return "" if value is None else value


def _trimmed(series: pd.Series) -> pd.Series:
    return series.astype("str").fillna("").str.strip()


def read_json_lines(content: bytes, limits: ReadLimits) -> TypedTable:
    """One flat JSON object a line; a name that a line lacks is an empty cell.

    Raises:
        TableRefused: a line is no flat object, with its number.
    """
    rows: list[tuple[int, dict[str, str | float | int]]] = []
    columns_seen: dict[str, None] = {}
    for number, line in enumerate(io.BytesIO(content), start=1):
        if not line.strip():
            continue
        if len(line) > _LINE_BYTES:
            raise TableRefused(no_table(f"this line is longer than {_LINE_BYTES:,} bytes", number))
        try:
            record = json.loads(line, object_pairs_hook=_once)
        except _NameTwice as twice:
            raise TableRefused(
                Trouble("column_twice", "the object has this name twice", "one", "remove one", number, str(twice))
            ) from None
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            raise TableRefused(no_table("this is no JSON object on one line", number))
        rows.append((number, {name: _scalar(value) for name, value in record.items()}))
        if len(rows) > limits.rows:
            raise too_many_rows(limits)
        columns_seen.update(dict.fromkeys(record))
        if len(columns_seen) > limits.columns:
            raise TableRefused(no_table(f"up to here the objects have more than {limits.columns} names", number))
        check_cells(len(rows) * len(columns_seen), limits)
    names = tuple(columns_seen)
    columns = tuple(_mixed([record.get(name, "") for _, record in rows]) for name in names)
    return TypedTable(names, columns, np.array([number for number, _ in rows], np.int64), 0)


class _NameTwice(Exception):
    """A name stands twice in one object; its text is the name."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = set[str]()
        for name, _ in pairs:
            if name in names:
                raise _NameTwice(name)
            names.add(name)
    return record


def _scalar(value: Any) -> str | float | int:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, list):
        return "|".join(NOTHING if part is None else str(part) for part in value)
    return value if isinstance(value, int | float) else str(value).strip()


def read_workbook(content: bytes, limits: ReadLimits) -> TypedTable:
    """The first visible sheet of an .xlsx file, below the row that names the columns.

    Raises:
        TableRefused: another sheet names columns of applicants too: what it holds would be lost without a word.
    """
    rows = _below_header(workbook_rows(content, limits))
    header_line, header = next(rows)
    most_fields = max(2, _field_count(header) // 2)
    names = [str(cell).strip() if cell is not None else "" for cell in header]
    while names and not names[-1]:
        names.pop()
    cells: list[list[Any]] = [[] for _ in names]
    lines: list[int] = []
    for number, row in rows:
        if number < 0:
            _refuse_further_tables(rows, most_fields)
            break
        if not number:
            _refuse_merged(int(row[0]), int(row[1]), header_line)
            continue
        if any(cell is not None for cell in row[len(names) :]):
            raise TableRefused(
                Trouble("ragged", "a cell stands where no column is named", "a name above it", line=number)
            )
        if len(lines) >= limits.rows:
            raise too_many_rows(limits)
        check_cells((len(lines) + 1) * len(names), limits)
        lines.append(number)
        for place, column in enumerate(cells):
            column.append(_scalar(row[place] if place < len(row) else None))
    return TypedTable(tuple(names), tuple(map(_mixed, cells)), np.array(lines, np.int64), header_line)


def _refuse_merged(first: int, last: int, header_line: int) -> None:
    """Merged cells say once what may hold for each row, or not: above the rows they are a title, among them a guess."""
    if last > header_line:
        raise TableRefused(
            Trouble(
                "merged_cells", "cells are merged", "a value in every cell", "split them", max(first, header_line + 1)
            )
        )


def _refuse_further_tables(rows: Iterator[tuple[int, list[Any]]], fields: int) -> None:
    """Look at the beginnings of the sheets after the first. They are counted: a sheet's name may be a person's."""
    sheet = 2
    for number, row in rows:
        if number < 0:
            sheet += 1
        elif number and _field_count(row) >= fields:
            what = f"visible sheet {sheet} holds a table of applicants beside the first"
            raise TableRefused(
                Trouble("several_sheets", what, "one sheet with a table", "save each sheet as a file of its own")
            )


def _below_header(rows: Iterator[tuple[int, list[Any]]]) -> Iterator[tuple[int, list[Any]]]:
    """The header and what follows: the first row of names that are known, else the first with two cells or more."""
    beginning: list[tuple[int, list[Any]]] = []
    after: list[tuple[int, list[Any]]] = []
    for row in rows:
        if row[0] < 1:
            after.append(row)
            break
        beginning.append(row)
        if len(beginning) >= 30 or _field_count(row[1]) > 1:
            break
    if not beginning:
        raise TableRefused(Trouble("empty", "the sheet is empty", "a header and a row a customer"))
    best = max(
        range(len(beginning)),
        key=lambda place: (_field_count(beginning[place][1]), len(beginning[place][1]) > 1, -place),
    )
    yield from beginning[best:]
    yield from after
    yield from rows


def _field_count(cells: Sequence[Any]) -> int:
    return sum(isinstance(cell, str) and field_of(cell) is not None for cell in cells)


def _mixed(cells: list[str | float | int]) -> pd.Series:
    """Numbers where all cells are, text where all are, else both as they are."""
    if cells and not any(isinstance(cell, str) for cell in cells):
        return pd.Series(cells)
    if all(isinstance(cell, str) for cell in cells):
        return pd.Series(cells, dtype="str")
    return pd.Series(cells, dtype="object")
