"""Where the rows of a file that is still written lie: followed as the file grows, so that no look-up reads it through.

A sealed file brings its own index. One that is written to has none on the disk yet, and its writer may be another
process; each reader therefore remembers how far it has come, and reads what was added since. A number that nobody was
given costs the same as one that somebody was.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from service.ledger.journal import frames

_CHUNK_BYTES: Final = 1 << 16


@dataclass(slots=True)
class _FileIndex:
    """How far a file was read, and the rows so far: offset of the frame and position in it, by number."""

    inode: int
    end: int = frames.HEADER_BYTES
    broken_at: int = -1
    places: dict[int, tuple[int, int]] = field(default_factory=dict)


class LiveIndex:
    """Rows of unsealed files by number; for any number of threads."""

    def __init__(self) -> None:
        self._files: dict[str, _FileIndex] = {}
        self._lock = threading.Lock()

    def find(self, path: Path, file: BinaryIO, inode: int, number: int) -> tuple[int, int] | None:
        """(offset of the frame, position of the row) of a number in an open, unsealed file; None if it is not there."""
        with self._lock:
            index = self._files.get(path.name)
            if index is None or index.inode != inode:
                index = self._files[path.name] = _FileIndex(inode)
            _follow(file, index)
            return index.places.get(number)

    def keep(self, names: Collection[str]) -> None:
        """Forget the files that are not among these."""
        if len(self._files) > len(names):
            with self._lock:
                self._files = {name: one for name, one in self._files.items() if name in names}


def _follow(file: BinaryIO, index: _FileIndex) -> None:
    """Take in what was added since the last look."""
    while data := _chunk(file, index.end):
        end = 0
        for start, payload in frames.entries_from(data):
            _note(index, index.end + start, payload)
            end = start + frames.frame_bytes(payload)
        if end:
            index.end += end
        elif not _passed_over(file, index):
            return


def _chunk(file: BinaryIO, offset: int) -> bytes:
    """Some bytes from an offset on, the first frame whole; nothing where nothing was written yet."""
    file.seek(offset)
    data = file.read(_CHUNK_BYTES)
    missing = (frames.payload_length(data[: frames.FRAME_HEAD_BYTES]) or 0) + frames.FRAME_HEAD_BYTES - len(data)
    if missing > 0:
        data += file.read(missing)
    return data if data[: frames.FRAME_HEAD_BYTES].strip(b"\0") else b""


def _passed_over(file: BinaryIO, index: _FileIndex) -> bool:
    """True if the reader stands before bytes that are no entry.

    They are a write that is not whole yet, or damage. Seen for the first time, sound entries behind them are noted and
    the place is looked at again next time; still there then, they are damage and whoever follows goes on behind them.
    """
    file.seek(index.end)
    behind = frames.parse(file.read()).entries
    for start, payload in behind:
        _note(index, index.end + start, payload)
    seen_before, index.broken_at = index.broken_at == index.end, index.end
    if not (seen_before and behind):
        return False
    index.end += behind[-1][0] + frames.frame_bytes(behind[-1][1])
    return True


def _note(index: _FileIndex, offset: int, payload: bytes) -> None:
    for position, number in enumerate(frames.numbers_of(payload)):
        index.places[number] = (offset, position)
