"""Answers that wait in memory because their callers do not read: bounded, of one caller and in total.

An answer may be a thousand times as large as what asked for it, and a caller who reads slowly is given time. So what
waits is counted, and above a bound the connection goes that has not read for longest: of the caller whose answers are
too many, or, in total, of the caller with the most.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, Protocol

OWNER_BYTES: Final = 32 << 20
"""Some twenty of the largest answers; who reads as they come never has so many."""
ALL_BYTES: Final = 128 << 20


class SlowReader(Protocol):
    """A connection whose caller does not read."""

    def evict(self) -> None:
        """Give up what waits for it."""


class UnreadAnswers:
    """The bytes that wait, by connection and by whose they are."""

    def __init__(self, most: int = ALL_BYTES, most_of_owner: int = OWNER_BYTES) -> None:
        self._most, self._most_of_owner = most, most_of_owner
        self._of_owner: Counter[str] = Counter()
        self._waiting: dict[SlowReader, tuple[str, int]] = {}  # the longest first

    def hold(self, reader: SlowReader, owner: str, size: int) -> None:
        """Count what waits for a connection, until `let_go`."""
        self.let_go(reader)
        self._waiting[reader] = owner, size
        self._of_owner[owner] += size
        while self._of_owner[owner] > self._most_of_owner:
            self._evict_oldest(owner)
        while self._of_owner.total() > self._most:
            self._evict_oldest(max(self._of_owner, key=self._of_owner.__getitem__))

    def let_go(self, reader: SlowReader) -> None:
        """It reads again, or is gone."""
        if reader not in self._waiting:
            return
        owner, size = self._waiting.pop(reader)
        self._of_owner[owner] -= size
        if not self._of_owner[owner]:
            del self._of_owner[owner]

    def _evict_oldest(self, owner: str) -> None:
        oldest = next(reader for reader, (whose, _) in self._waiting.items() if whose == owner)
        self.let_go(oldest)
        oldest.evict()
