"""A file cut into pieces: ranges of bytes from row border to row border, runs of row groups, or the whole.

A worker reads its own bytes and nobody else's. A line break inside quotes is no border: workers count quotes first, and
a quote that stands where RFC 4180 allows none is refused, since it would make borders guesses. Lines are counted on the
way, so that each row of a piece knows its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from flows.batch.layouts import UTF8, FileLayout, Lane, is_utf8, wrong_byte
from service.lexicon.errors import Trouble
from service.lexicon.text_encoding import holds_utf8_letters

LONGEST_PIECE_BYTES: Final = 1 << 28
_QUOTE: Final = ord('"')
_LINE_END: Final = ord("\n")


@dataclass(frozen=True)
class Piece:
    """What one task reads: bytes of a text, row groups of a parquet file, the whole of any other file."""

    layout: FileLayout
    number: int
    start: int
    stop: int
    line: int  # of its first row; of a parquet file the row's number
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
    """What a block of text tells before it is known whether it begins inside quotes: outside first, inside second."""

    flips: bool  # an odd number of quotes: what follows is the other way round
    borders: tuple[int, ...]  # the first byte after the first row border; -1 for none
    border_lines: tuple[int, ...]  # line breaks before that border
    stray_lines: tuple[int, ...]  # line breaks before the first quote that stands where none may; -1 for none
    lines: int  # line breaks in the block
    last_quote_lines: int  # line breaks before its last quote; -1 for none
    utf8: bool
    escaped: bool  # holds `\"`
    letters: bool  # some letter is one of UTF-8


def breaks(content: bytes) -> int:
    """Line breaks in a text: a feed, a return, or both together."""
    count = content.count(b"\n")
    return count + content.count(b"\r") - content.count(b"\r\n") if b"\r" in content else count


def blocks(layout: FileLayout) -> list[tuple[int, int]]:
    """Ranges of bytes of a text that is cut, surveyed one by one; none of another file."""
    if layout.lane is not Lane.CUT:
        return []
    size = layout.source.size_bytes
    first = layout.dialect.start
    return [(start, min(start + layout.block, size)) for start in range(first, size, layout.block)]


def survey(layout: FileLayout, start: int, stop: int) -> Survey:
    """What the bytes from `start` to `stop` tell of row borders."""
    # One byte more on either side: a quote is judged by what stands beside it.
    around = bytes_of(layout, start - 1, min(stop + 1, layout.source.size_bytes))
    result = surveyed(around, stop - start, layout.dialect.delimiter, from_start=start == layout.dialect.start)
    return result._replace(borders=tuple(start - 1 + border if border >= 0 else -1 for border in result.borders))


def surveyed(around: bytes, length: int, delimiter: str, *, from_start: bool = False) -> Survey:
    """`survey` of the `length` bytes that follow the first of `around`; borders are positions in `around`."""
    block = around[1 : length + 1]
    split_pair = block.endswith(b"\r") and around[length + 1 : length + 2] == b"\n"  # counted where it ends
    lines = breaks(block) - split_pair
    utf8, escaped = is_utf8(block, from_start=from_start), b'\\"' in block
    letters = holds_utf8_letters(block)
    if b'"' not in block:
        first = around.find(b"\n", 1, length + 1) + 1 or -1
        return Survey(
            False,
            (first, -1),
            (_lines_before(around, first), 0),
            (-1, -1),
            lines,
            -1,
            utf8=utf8,
            escaped=escaped,
            letters=letters,
        )
    cells = np.frombuffer(around, np.uint8)
    quotes = np.flatnonzero(cells[1 : length + 1] == _QUOTE) + 1
    ends = np.flatnonzero(cells[1 : length + 1] == _LINE_END) + 1
    inside = np.searchsorted(quotes, ends) % 2 == 1
    borders = tuple(int(places[0]) + 1 if len(places := ends[inside == state]) else -1 for state in (False, True))
    stray = tuple(_first_stray(cells, quotes, delimiter, first) for first in (0, 1))
    return Survey(
        len(quotes) % 2 == 1,
        borders,
        tuple(_lines_before(around, border) for border in borders),
        tuple(_lines_before(around, place) if place >= 0 else -1 for place in stray),
        lines,
        _lines_before(around, int(quotes[-1])),
        utf8=utf8,
        escaped=escaped,
        letters=letters,
    )


def _lines_before(around: bytes, place: int) -> int:
    return breaks(around[1:place]) if place > 0 else 0


def _first_stray(cells: NDArray[np.uint8], quotes: NDArray[np.int64], delimiter: str, first: int) -> int:
    """The first quote that neither opens nor closes a cell, where quote number `first` is the first to open; or -1."""
    beside = np.frombuffer(b'"\r\n' + delimiter.encode(), np.uint8)  # a cell's border, or the other of a doubled quote
    padded = np.append(cells, _LINE_END)  # the end of the file ends a cell too
    opens, closes = (np.isin(padded[quotes + step], beside) for step in (-1, 1))
    fine = np.ones(len(quotes), np.bool_)
    fine[first::2], fine[1 - first :: 2] = opens[first::2], closes[1 - first :: 2]
    return -1 if fine.all() else int(quotes[~fine][0])


def not_utf8(layout: FileLayout, surveys: Sequence[Survey]) -> bool:
    """True if the text's bytes are in another encoding than its first ones."""
    return layout.encoding == UTF8 and not all(part.utf8 for part in surveys)


def has_utf8_letters(surveys: Sequence[Survey]) -> bool:
    """True if letters of the text are UTF-8: where other bytes of it are none, two encodings were put together."""
    return any(part.letters for part in surveys)


def refuse_bytes(layout: FileLayout, surveys: Sequence[Survey]) -> None:
    """Make sure that the text is UTF-8 as its owner says, or as its other letters do.

    Raises:
        BatchRefused: it is not; the line is that of the block at fault.
    """
    line = layout.dialect.line
    for part in surveys:
        if not part.utf8:
            raise layout.refused(wrong_byte(UTF8, line))
        line += part.lines


def cut(layout: FileLayout, surveys: Sequence[Survey]) -> list[Piece] | None:
    """A text's pieces: each runs from its block's first row border to that of the next.

    None if quotes are written as only the shared reader reads them.

    Raises:
        BatchRefused: quotes stand where none may, or no row ends for too long.
    """
    size = layout.source.size_bytes
    borders, lines = [layout.dialect.start], [layout.dialect.line]
    inside, line, last_quote = False, layout.dialect.line, 0
    for number, part in enumerate(surveys):
        if part.stray_lines[inside] >= 0:
            _refuse_quotes(layout, surveys, line + part.stray_lines[inside], "a quote stands inside a cell")
            return None
        if number and part.borders[inside] >= 0:
            borders.append(part.borders[inside])
            lines.append(line + part.border_lines[inside])
        if part.last_quote_lines >= 0:
            last_quote = line + part.last_quote_lines
        line += part.lines
        inside ^= part.flips
    if inside:
        _refuse_quotes(layout, surveys, last_quote, "the last quote is never closed")
        return None
    ranges = [(*ends, line) for ends, line in zip(pairwise([*borders, size]), lines, strict=True) if ends[0] < ends[1]]
    if long := [line for start, stop, line in ranges if stop - start > LONGEST_PIECE_BYTES]:
        raise layout.refused(
            Trouble("too_large", f"no row ends for {LONGEST_PIECE_BYTES:,} bytes", "a row a line", line=long[0])
        )
    return [
        Piece(layout, number, start, stop, line, stop - (start if number else 0), 1)
        for number, (start, stop, line) in enumerate(ranges)
    ]


def _refuse_quotes(layout: FileLayout, surveys: Sequence[Survey], line: int, what: str) -> None:
    if not any(part.escaped for part in surveys):
        raise layout.refused(
            Trouble("broken_csv", what, "quotes around a whole cell", "double the quotes within it", line)
        )


def whole(layout: FileLayout, rows: int) -> list[Piece]:
    """The pieces of a file that is not cut: row groups that make a part together, or one that makes many."""
    source = layout.source
    if layout.lane is not Lane.PARQUET:
        return [Piece(layout, 0, 0, 0, layout.dialect.line, source.size_bytes, 0)]
    with source.opened() as place, pq.ParquetFile(place.path, filesystem=place.system) as file:
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    pieces: list[Piece] = []
    first = 0
    for group in range(len(sizes)):
        if group + 1 < len(sizes) and sum(sizes[first : group + 2]) <= rows:
            continue
        count = sum(sizes[first : group + 1])
        before, total = sum(sizes[:first]), max(sum(sizes), 1)  # shares that add up to the file, to the byte
        weight = source.size_bytes * (before + count) // total - source.size_bytes * before // total
        pieces.append(Piece(layout, len(pieces), first, group + 1, before + 1, weight, -(-count // rows)))
        first = group + 1
    return pieces


def bytes_of(layout: FileLayout, start: int, stop: int) -> bytes:
    """The file's bytes of a range."""
    with layout.source.opened() as place, place.system.open_input_file(place.path) as file:
        return bytes(file.read_at(stop - start, start))
