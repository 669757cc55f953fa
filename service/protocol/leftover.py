"""Bytes that are read to be thrown away: what follows the last answer of a connection."""

from __future__ import annotations

from typing import Final

DRAIN_BYTES: Final = 64 << 20
DRAIN_S: Final = 6.0
_FAST_BYTES: Final = 6 << 20  # who sends that much in this time may go on
LARGE_BYTES: Final = 64 * 1024  # in one read; each of them takes a turn


class Leftover:
    """Count of the bytes thrown away of a connection, which decides if it may send more."""

    __slots__ = ("_bytes", "_bytes_before")

    def __init__(self) -> None:
        self._bytes = self._bytes_before = 0

    def __bool__(self) -> bool:
        """True if bytes are waiting."""
        return self._bytes > 0

    def add(self, size: int) -> bool:
        """Count what was read; True if there was too much of it."""
        self._bytes += size
        return self._bytes > DRAIN_BYTES

    def came_fast(self) -> bool:
        """True if much came since this was asked last."""
        fast = self._bytes - self._bytes_before >= _FAST_BYTES
        self._bytes_before = self._bytes
        return fast
