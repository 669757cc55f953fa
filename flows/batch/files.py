"""Files of a batch job, here or in a bucket: found, cut into pieces, and read piece by piece by whoever scores them.

A piece of a CSV file is a range of bytes from row border to row border, of a parquet file a run of row groups; either
way a worker reads its own bytes and nobody else's. A line break inside quotes is no border: workers count quotes
first, and a quote that stands where RFC 4180 allows none is refused, since it would make borders guesses. A packed CSV
(`.csv.gz`) can be read from its start only, so it is one piece.
"""

from __future__ import annotations

import csv as texts
import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv, fs

from flows.batch.rows import CATEGORIES, BatchRefused
from service.files import replace
from service.s3 import arrow_options

SUFFIXES: Final = (".parquet", ".csv", ".csv.gz")
BUCKET_SCHEME: Final = "s3://"
HEAD_BYTES: Final = 1 << 18  # holds the header, and enough rows to tell how long one is
LONGEST_PIECE_BYTES: Final = 1 << 28
BUFFER_BYTES: Final = 1 << 22  # of a column that is read as a stream
PACKED_BLOCK_BYTES: Final = 1 << 22
_QUOTE: Final = ord('"')
_LINE_END: Final = ord("\n")
_BESIDE_QUOTES: Final = np.frombuffer(b'",\r\n', np.uint8)  # a cell's border, or the other one of a doubled quote


class ResultPlace(NamedTuple):
    """A folder or file, here or in a bucket, as Arrow reaches it."""

    system: fs.FileSystem
    path: str

    @classmethod
    def of(cls, address: str) -> ResultPlace:
        """What `address` names: a path, or s3://bucket/key by the usual AWS variables of this process."""
        if not address.startswith(BUCKET_SCHEME):
            return cls(fs.LocalFileSystem(), os.path.abspath(address))
        return cls(fs.S3FileSystem(**arrow_options(os.environ)), address.removeprefix(BUCKET_SCHEME))

    def at(self, name: str) -> ResultPlace:
        """What is called `name` in here."""
        return ResultPlace(self.system, f"{self.path.rstrip('/')}/{name}")

    def names(self) -> set[str]:
        """Names of the files in here; none if the folder does not exist."""
        found = self.system.get_file_info(fs.FileSelector(self.path, allow_not_found=True))
        return {info.base_name for info in found if info.is_file}

    def read(self) -> bytes:
        """The bytes of the file."""
        with self.system.open_input_stream(self.path) as file:
            return bytes(file.read())

    def write(self, content: bytes | pa.Buffer) -> None:
        """Put the file there whole or not at all: an object appears when it is complete, a file is renamed."""
        if not isinstance(self.system, fs.LocalFileSystem):
            with self.system.open_output_stream(self.path) as stream:
                stream.write(content)
            return
        replace(Path(self.path), memoryview(content))


class Source(NamedTuple):
    """One file of a job: where, how large, and when it changed."""

    address: str
    size_bytes: int
    modified_ns: int


class FileLayout(NamedTuple):
    """What a worker must know of a file to read a piece of it."""

    source: Source
    number: int  # of the file in its job
    columns: tuple[str, ...]  # of a CSV file; of a parquet file those that are read as dictionaries
    start: int  # of a CSV file: where its first row begins
    block: int  # of a CSV file: bytes that hold about as many rows as a part has


class Piece(NamedTuple):
    """What one task reads: bytes of a CSV file, row groups of a parquet file, the whole of a packed file."""

    layout: FileLayout
    number: int
    start: int
    stop: int
    weight: int  # bytes of the file, for progress
    parts: int  # how many parts it fills; 0 if that is known after reading only

    @property
    def prefix(self) -> str:
        """What the names of its parts begin with: names in order are rows in order."""
        return f"part-{self.layout.number:05d}-{self.number:06d}-"

    def part(self, place: int) -> str:
        """Name of its part number `place`."""
        return f"{self.prefix}{place:05d}.parquet"


class Survey(NamedTuple):
    """What a block of CSV tells before it is known whether it begins inside quotes: outside first, inside second."""

    flips: bool  # an odd number of quotes: what follows is the other way round
    borders: tuple[int, ...]  # the first byte after the first row border; -1 for none
    sound: tuple[bool, ...]  # every quote stands where RFC 4180 allows one


def sources(address: str) -> list[Source]:
    """The files at `address`: itself, or all of a known kind below it, in order of their names.

    Raises:
        BatchRefused: there is none, or the address cannot be reached.
    """
    place = ResultPlace.of(address)
    try:
        info = place.system.get_file_info(place.path)
        if info.type is fs.FileType.NotFound:
            raise BatchRefused(
                f"there is no file {address}: give a CSV or parquet file, a folder or s3://bucket/prefix"
            )
        if info.is_file and not address.endswith(SUFFIXES):
            raise BatchRefused(f"{info.base_name} is neither .parquet nor .csv nor .csv.gz")
        found = [info] if info.is_file else place.system.get_file_info(fs.FileSelector(place.path, recursive=True))
    except OSError as error:
        raise BatchRefused(f"{address} cannot be reached: {type(error).__name__}") from error
    scheme = BUCKET_SCHEME if address.startswith(BUCKET_SCHEME) else ""
    files = [
        Source(scheme + one.path, one.size, one.mtime_ns)
        for one in sorted(found, key=lambda one: str(one.path))
        if one.is_file and one.path.endswith(SUFFIXES) and not one.base_name.startswith((".", "_"))
    ]
    if not files:
        raise BatchRefused(f"{address} holds no .parquet, .csv or .csv.gz file")
    return files


def changed(files: Sequence[Source]) -> bool:
    """Whether a file is no longer as it was when the job began."""
    for one in files:
        place = ResultPlace.of(one.address)
        info = place.system.get_file_info(place.path)
        if not info.is_file or (info.size, info.mtime_ns) != (one.size_bytes, one.modified_ns):
            return True
    return False


def opened(source: Source, number: int, rows: int) -> tuple[FileLayout, pa.Schema]:
    """How file `number` of a job is laid out, for parts of `rows` rows, and its columns.

    Raises:
        BatchRefused: it cannot be read, or has no header.
    """
    place, name = ResultPlace.of(source.address), short(source.address)
    try:
        if name.endswith(".parquet"):
            with pq.ParquetFile(place.path, filesystem=place.system) as file:
                schema = file.schema_arrow
            coded = [
                name for name in CATEGORIES if name in schema.names and pa.types.is_string(schema.field(name).type)
            ]
            return FileLayout(source, number, tuple(coded), 0, 0), schema
        with place.system.open_input_stream(place.path) as stream:  # unpacks by the name
            head = bytes(stream.read(HEAD_BYTES))
        start = head.find(b"\n") + 1
        columns = tuple(next(texts.reader([head[:start].decode("utf-8-sig").rstrip("\r\n")], strict=True), ()))
    except (OSError, ValueError, texts.Error) as error:  # Arrow's own errors are ValueErrors
        raise BatchRefused(f"{name} cannot be read: {type(error).__name__}") from error
    if not columns:
        raise BatchRefused(f"{name} has no header: its first line must name the columns")
    ends = head.count(b"\n", start)
    mean = (head.rfind(b"\n") + 1 - start) / ends if ends else HEAD_BYTES
    return FileLayout(source, number, columns, start, int(rows * mean)), pa.schema(
        [(one, pa.string()) for one in columns]
    )


def blocks(layout: FileLayout) -> list[tuple[int, int]]:
    """Ranges of bytes of a CSV file, surveyed one by one; none of another file."""
    if not layout.source.address.endswith(".csv"):
        return []
    size = layout.source.size_bytes
    return [(first, min(first + layout.block, size)) for first in range(layout.start, size, layout.block)]


def survey(layout: FileLayout, start: int, stop: int) -> Survey:
    """What the bytes from `start` to `stop` tell of row borders."""
    # One byte more on either side: a quote is judged by what stands beside it.
    around = _bytes(layout.source.address, start - 1, min(stop + 1, layout.source.size_bytes))
    found = surveyed(around, stop - start)
    return found._replace(borders=tuple(start - 1 + border if border >= 0 else -1 for border in found.borders))


def surveyed(around: bytes, length: int) -> Survey:
    """`survey` of the `length` bytes that follow the first of `around`; borders are positions in `around`."""
    cells = np.frombuffer(around, np.uint8)
    if b'"' not in around[1 : length + 1]:
        first = around.find(b"\n", 1, length + 1) + 1 or -1
        return Survey(False, (first, -1), (True, True))
    quotes = np.flatnonzero(cells[1 : length + 1] == _QUOTE) + 1
    lines = np.flatnonzero(cells[1 : length + 1] == _LINE_END) + 1
    inside = np.searchsorted(quotes, lines) % 2 == 1
    borders = tuple(int(found[0]) + 1 if len(found := lines[inside == state]) else -1 for state in (False, True))
    beside = np.append(cells, _LINE_END)  # the end of the file ends a cell too
    opens, closes = (np.isin(beside[quotes + step], _BESIDE_QUOTES) for step in (-1, 1))
    sound = tuple(bool(opens[first::2].all() and closes[1 - first :: 2].all()) for first in (0, 1))
    return Survey(len(quotes) % 2 == 1, borders, sound)


def cut(layout: FileLayout, surveys: Sequence[Survey]) -> list[Piece]:
    """A CSV file's pieces: each runs from its block's first row border to that of the next.

    Raises:
        BatchRefused: quotes stand where none may, or no row ends for too long.
    """
    name, size = short(layout.source.address), layout.source.size_bytes
    borders, inside = [layout.start], False
    for number, found in enumerate(surveys):
        if not found.sound[inside]:
            near = layout.start + number * layout.block
            raise BatchRefused(
                f"{name}: a quote stands inside a cell, after byte {near}: put the whole cell in quotes, double its own"
            )
        if number and found.borders[inside] >= 0:
            borders.append(found.borders[inside])
        inside ^= found.flips
    if inside:
        raise BatchRefused(f"{name}: the last quote is never closed")
    ranges = [(start, stop) for start, stop in pairwise([*borders, size]) if start < stop]
    if long := [start for start, stop in ranges if stop - start > LONGEST_PIECE_BYTES]:
        raise BatchRefused(f"{name}: no row ends for {LONGEST_PIECE_BYTES} bytes from byte {long[0]} on")
    return [
        Piece(layout, number, start, stop, stop - (start if number else 0), 1)
        for number, (start, stop) in enumerate(ranges)
    ]


def whole(layout: FileLayout, rows: int) -> list[Piece]:
    """The pieces of a parquet or packed file: row groups that make a part together, or one that makes many."""
    source = layout.source
    if not source.address.endswith(".parquet"):
        return [Piece(layout, 0, 0, 0, source.size_bytes, 0)]
    place = ResultPlace.of(source.address)
    with pq.ParquetFile(place.path, filesystem=place.system) as file:
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    pieces: list[Piece] = []
    first = 0
    for group in range(len(sizes)):
        if group + 1 < len(sizes) and sum(sizes[first : group + 2]) <= rows:
            continue
        count = sum(sizes[first : group + 1])
        before, total = sum(sizes[:first]), max(sum(sizes), 1)  # shares that add up to the file, to the byte
        weight = source.size_bytes * (before + count) // total - source.size_bytes * before // total
        pieces.append(Piece(layout, len(pieces), first, group + 1, weight, -(-count // rows)))
        first = group + 1
    return pieces


def tables(piece: Piece, rows: int) -> Iterator[pa.Table]:
    """The piece's rows, `rows` at a time; of a CSV piece all at once.

    Raises:
        BatchRefused: the file is damaged or a row has too few or too many cells; no value is told.
    """
    address = piece.layout.source.address
    odd: list[str] = []
    try:
        if address.endswith(".parquet"):
            yield from _parquet(piece, rows)
        elif address.endswith(".csv"):
            content = _bytes(address, piece.start, piece.stop)
            yield csv.read_csv(pa.BufferReader(content), *_options(piece.layout, len(content) + 1, odd))
        else:
            place = ResultPlace.of(address)
            with place.system.open_input_stream(place.path) as stream:
                reader = csv.open_csv(stream, *_options(piece.layout, PACKED_BLOCK_BYTES, odd, skip_rows=1))
                yield from _evenly(reader, rows)
    except (OSError, pa.ArrowException) as error:
        reason = odd[0] if odd else f"{type(error).__name__}"
        where = f", after byte {piece.start}" if address.endswith(".csv") else ""
        # Arrow's own text repeats the row, so it is not passed on.
        raise BatchRefused(f"{short(address)} cannot be read{where}: {reason}") from None


def _options(layout: FileLayout, block: int, odd: list[str], skip_rows: int = 0) -> tuple[object, object, object]:
    """How Arrow reads: every cell as text ("NA" is no missing value, an empty cell is), one thread."""

    def refuse(row: csv.InvalidRow) -> str:
        odd.append(f"a row of {row.actual_columns} cells, the header names {row.expected_columns}")
        return "error"

    names = list(layout.columns)
    return (
        csv.ReadOptions(use_threads=False, block_size=block, column_names=names, skip_rows=skip_rows),
        csv.ParseOptions(newlines_in_values=True, invalid_row_handler=refuse),
        csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]),
    )


def _parquet(piece: Piece, rows: int) -> Iterator[pa.Table]:
    place = ResultPlace.of(piece.layout.source.address)
    with pq.ParquetFile(
        place.path, filesystem=place.system, read_dictionary=list(piece.layout.columns), buffer_size=BUFFER_BYTES
    ) as file:
        groups = range(piece.start, piece.stop)
        yield from _evenly(file.iter_batches(batch_size=rows, row_groups=groups, use_threads=False), rows)


def _evenly(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """The batches' rows in tables of exactly `rows`, the last one shorter: parts do not depend on how Arrow reads."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        while sum(map(len, held)) + len(batch) >= rows:
            wanted = rows - sum(map(len, held))
            yield pa.Table.from_batches([*held, batch.slice(0, wanted)])
            held, batch = [], batch.slice(wanted)
        if len(batch):
            held.append(batch)
    if held:
        yield pa.Table.from_batches(held)


def _bytes(address: str, start: int, stop: int) -> bytes:
    place = ResultPlace.of(address)
    with place.system.open_input_file(place.path) as file:
        return bytes(file.read_at(stop - start, start))


def short(address: str) -> str:
    """The file's own name, for messages."""
    return address.rpartition("/")[2]
