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
from service.lexicon.limits import MIB, ReadLimits
from service.lexicon.unpacking import no_table
from service.lexicon.workbook import workbook_rows

NOTHING: Final = "(nothing)"
"""What stands for an element of a list that is nothing: no kind of loan, so the cell stays unread."""


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
            if file.metadata.num_rows > limits.rows:
                raise TableRefused(_too_many_rows(limits))
            texts = [field.name for field in file.schema_arrow if pa.types.is_string(field.type)]
        with pq.ParquetFile(pa.BufferReader(content), read_dictionary=texts) as file:
            table = file.read()  # texts once a distinct value: a short file may repeat a long one a million times
    except (pa.ArrowException, OSError):
        raise TableRefused(Trouble("damaged", "this is a damaged parquet file", advice="write it again")) from None
    if sum(_unpacked_bytes(column) for column in table.columns) > limits.unpacked_bytes:
        most = limits.unpacked_bytes // MIB
        raise TableRefused(Trouble("too_large", f"it unpacks to more than {most} MiB", advice="split the file"))
    columns = tuple(_from_arrow(column) for column in table.columns)
    return TypedTable(tuple(table.column_names), columns, np.arange(1, len(table) + 1), 0)


def _unpacked_bytes(column: pa.ChunkedArray) -> int:
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    longest = [pc.max(pc.binary_length(chunk.dictionary)).as_py() or 0 for chunk in column.chunks]
    return max(longest, default=0) * len(column)


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
    rows: list[tuple[int, dict[str, Any]]] = []
    for number, line in enumerate(io.BytesIO(content), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line, object_pairs_hook=_once)
        except _NameTwice as twice:
            raise TableRefused(
                Trouble("column_twice", "the object has this name twice", "one", "remove one", number, str(twice))
            ) from None
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise TableRefused(no_table("this is no JSON object on one line", number))
        rows.append((number, record))
        if len(rows) > limits.rows:
            raise TableRefused(_too_many_rows(limits))
    names = tuple(dict.fromkeys(name for _, record in rows for name in record))
    columns = tuple(_mixed([_scalar(record.get(name)) for _, record in rows]) for name in names)
    return TypedTable(names, columns, np.array([number for number, _ in rows], np.int64), 0)


class _NameTwice(Exception):
    """A name stands twice in one object; its text is the name."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        raise _NameTwice(next(name for place, name in enumerate(names) if name in names[:place]))
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
    """The first visible sheet of an .xlsx file, below the row that names the columns."""
    rows = _below_header(workbook_rows(content, limits))
    header_line, header = next(rows)
    names = [str(cell).strip() if cell is not None else "" for cell in header]
    while names and not names[-1]:
        names.pop()
    cells: list[list[Any]] = [[] for _ in names]
    lines: list[int] = []
    for number, row in rows:
        if not number:
            _refuse_merged(int(row[0]), int(row[1]), header_line)
            continue
        if any(cell is not None for cell in row[len(names) :]):
            raise TableRefused(
                Trouble("ragged", "a cell stands where no column is named", "a name above it", line=number)
            )
        if len(lines) >= limits.rows:
            raise TableRefused(_too_many_rows(limits))
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


def _below_header(rows: Iterator[tuple[int, list[Any]]]) -> Iterator[tuple[int, list[Any]]]:
    """The header and what follows: the first row of names that are known, else the first with two cells or more."""
    beginning: list[tuple[int, list[Any]]] = []
    for row in rows:
        if not row[0] and not beginning:
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


def _too_many_rows(limits: ReadLimits) -> Trouble:
    return Trouble("too_many_rows", f"more than {limits.rows:,} rows", advice="split the file")
