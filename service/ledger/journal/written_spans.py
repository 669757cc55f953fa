"""What this process has written to its journal: its index of keys takes it from here and reads none of it again.

An entry's bytes were checked when they were made and are durable when they are noted, so reading them back to find the
few that carry an Idempotency-Key would only cost time. Everything else (other workers' files, what was written before a
start, a note that does not join on to what the index has) is read and checked as ever.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from service.ledger.journal import frames
from service.ledger.journal.frames import KeyedEntry


class PlacedKey(NamedTuple):
    """An entry with a key, and its offset in the file."""

    offset: int
    entry: KeyedEntry


@dataclass
class WrittenSpan:
    """A part of one file that this process wrote: from where to where, and the keys in it."""

    start: int
    end: int
    keys: list[PlacedKey] = field(default_factory=list)
    open: bool = True
    """True if this process still writes the file: nobody else can have written behind its end."""


class WrittenSpans:
    """What was written since it was asked last, by file; noted by one thread and taken by another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: dict[str, WrittenSpan] = {}

    def begin(self, name: str, end: int) -> None:
        """A file was begun; its header ends there."""
        with self._lock:
            self._spans[name] = WrittenSpan(end, end)

    def note(self, name: str, group: Iterable[bytes]) -> None:
        """These entries' frames are durable, one behind the other, behind what the file had."""
        with self._lock:
            span = self._spans[name]
            for frame in group:
                entry = frames.keyed_entry(frame)
                if entry is not None:
                    span.keys.append(PlacedKey(span.end, entry))
                span.end += len(frame)

    def finish(self, name: str) -> None:
        """The file is written no more."""
        with self._lock:
            self._spans[name].open = False

    def take(self) -> dict[str, WrittenSpan]:
        """The spans since the last time; a file that is open is always among them."""
        with self._lock:
            spans = self._spans
            self._spans = {name: WrittenSpan(span.end, span.end) for name, span in spans.items() if span.open}
            return spans
