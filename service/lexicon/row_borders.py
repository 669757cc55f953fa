"""Where rows of delimited text end, and where quotes stand that may not: found for all bytes at once."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

_QUOTE, _FEED, _RETURN = (ord(sign) for sign in '"\n\r')
MAX_SHOWN: Final = 3


class RowBorders(NamedTuple):
    """Rows that are not empty, in order: where each starts and ends, and its line; and lines with a stray quote."""

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    lines: NDArray[np.int64]
    stray_quotes: tuple[int, ...]  # lines, the first few
    open_quote: int  # the line of a quote that is never closed; 0 for none


def row_borders(content: bytes, start: int, first_line: int, delimiter: str) -> RowBorders:
    """Borders of the rows from byte `start` on, which is the start of line `first_line`."""
    cells = np.frombuffer(content, np.uint8)[start:]
    breaks = np.flatnonzero((cells == _FEED) | (cells == _RETURN))
    paired = (cells[breaks] == _FEED) & (breaks > 0) & (cells[np.maximum(breaks - 1, 0)] == _RETURN)
    ends = breaks[~paired]  # a pair of both counts once, and ends where it begins
    following = cells[np.minimum(ends + 1, len(cells) - 1)]  # of the last sign itself, which is no pair either
    after = np.where((cells[ends] == _RETURN) & (following == _FEED), ends + 2, ends + 1)
    quotes = np.flatnonzero(cells == _QUOTE)
    inside = np.searchsorted(quotes, ends) % 2 == 1
    starts = np.concatenate([[0], after[~inside]]).astype(np.int64)
    stops = np.concatenate([ends[~inside], [len(cells)]]).astype(np.int64)
    lines = first_line + np.concatenate([[0], np.flatnonzero(~inside) + 1]).astype(np.int64)
    nonempty = stops > starts
    stray_lines = first_line + np.searchsorted(ends, _stray(cells, quotes, delimiter)[:MAX_SHOWN])
    open_quote = int(first_line + np.searchsorted(ends, quotes[-1])) if len(quotes) % 2 else 0
    return RowBorders(
        starts[nonempty] + start, stops[nonempty] + start, lines[nonempty], tuple(map(int, stray_lines)), open_quote
    )


def _stray(cells: NDArray[np.uint8], quotes: NDArray[np.int64], delimiter: str) -> NDArray[np.int64]:
    """Quotes that neither open nor close a cell, nor stand for one in it as a pair (RFC 4180)."""
    if not quotes.size:
        return quotes
    beside = np.frombuffer(b'"\r\n' + delimiter.encode(), np.uint8)
    last = len(cells) - 1
    opens = np.isin(cells[np.maximum(quotes - 1, 0)], beside) | (quotes == 0)
    closes = np.isin(cells[np.minimum(quotes + 1, last)], beside) | (quotes == last)
    fine = np.ones(len(quotes), np.bool_)
    fine[::2], fine[1::2] = opens[::2], closes[1::2]
    return quotes[~fine]
