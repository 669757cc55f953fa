"""A body that comes in chunks (RFC 9112, 7.1), read as it comes: whatever the reads, the same parts and faults.

What stands between two chunks is read as one border: the line end behind the one, the size of the next, extensions, a
line end. Extensions say nothing to us; a size is hexadecimal digits and no blank, so that no proxy reads another one.
Borders, and how many there are, are bounded: a small chunk costs as much as reading a kilobyte does.
"""

from __future__ import annotations

import re
from typing import Final

from service.problems import HEADERS_TOO_LARGE, MALFORMED_HTTP, Problem
from service.protocol.heads import HEADER_BYTES

CHUNKS: Final = 2048
"""Of a body that may be as small as their sender likes."""
CHUNK_BYTES: Final = 512
"""Of a chunk beyond those, on the average."""
_TOO_MANY: Final = HEADERS_TOO_LARGE.saying("The body comes in too many small chunks")
_TOO_LARGE: Final = HEADERS_TOO_LARGE.saying("The lines around the body's chunks are larger than 16 KiB and the body")
_DIGITS: Final = rb"[0-9A-Fa-f]{1,16}"
_EXTENSION: Final = rb"(?:;[\t\x20-\x7e\x80-\xff]*)?"
_LINE: Final = rb"(" + _DIGITS + rb")" + _EXTENSION + rb"\r\n"
_BEGUN: Final = rb"(?:" + _DIGITS + _EXTENSION + rb"\r?)?"
_FIRST, _FIRST_BEGUN = re.compile(_LINE), re.compile(_BEGUN)
_NEXT, _NEXT_BEGUN = re.compile(rb"\r\n" + _LINE), re.compile(rb"\r?|\r\n" + _BEGUN)


class Chunks:
    """The chunks of one body."""

    __slots__ = ("ended", "fault", "_border", "_unfinished", "_partial", "_missing", "_count", "_body", "_lines")

    def __init__(self) -> None:
        self.ended = False
        """The last one was read; trailers follow."""
        self.fault: Problem | None = None
        """Nothing more of this body can be read."""
        self._border, self._unfinished = _FIRST, _FIRST_BEGUN
        self._partial = b""  # a border as far as it came
        self._missing = 0  # of a chunk
        self._count = self._body = self._lines = 0

    def read(self, data: bytes, place: int) -> tuple[bytes, int]:
        """The part of the body in `data` from `place` on, and its end: the end of the bytes unless it `ended`."""
        parts: list[bytes] = []
        while place < len(data):
            if self._missing:
                part = data[place : place + self._missing]
                parts.append(part)
                self._missing -= len(part)
                place += len(part)
                continue
            place = self._read_border(data, place)
            if self.ended or self.fault is not None:
                break
        return parts[0] if len(parts) == 1 else b"".join(parts), place

    def _read_border(self, data: bytes, place: int) -> int:
        """The size of the next chunk; where its border ends."""
        room = HEADER_BYTES + self._body - self._lines
        before = len(self._partial)
        if before:
            data, place, start = self._partial + data[place : place + room], 0, place
        else:
            start = place
        match = self._border.match(data, place)
        if match is None or match.end() - place > room:
            return self._stop(data, place, room) + start - before
        size = int(match[1], 16)
        self._partial, self._border, self._unfinished = b"", _NEXT, _NEXT_BEGUN
        self._missing = size
        self._lines += match.end() - place
        self._count += 1
        self._body += size
        if not size:
            self.ended = True
        elif self._count > CHUNKS + (self._body - size) // CHUNK_BYTES:
            self.fault = _TOO_MANY
        return match.end() - place + start - before

    def _stop(self, data: bytes, place: int, room: int) -> int:
        """The border is not whole, or none at all: which of the two, its first bytes tell, as many as it may have."""
        border = data[place : place + room]
        if self._unfinished.fullmatch(border) is None:
            self.fault = MALFORMED_HTTP
        elif len(data) - place > room:
            self.fault = _TOO_LARGE
        self._partial = border
        return len(data) - place
