"""From bytes to heads and bodies: llhttp on one connection, with the bounds that it has not.

It is given one piece at a time: a head to its end, a body to its end, trailers to theirs; chunks are read before it
(`service.protocol.chunks`). So what is counted is where it stands in the bytes, and never how they were cut into reads:
the same bytes have the same answers.

What asks for an upgrade is read again as if it did not ask. Names that nobody reads are not kept. Trailers are counted
and dropped.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Any, Final, NoReturn, Protocol

import httptools

from service.problems import HEADERS_TOO_LARGE, MALFORMED_HTTP, Problem
from service.protocol.chunks import Chunks
from service.protocol.heads import HEADER_BYTES
from service.web.fields import READ

CLOSES: Final = (b"connection", b"close")
"""What is read of a head after which llhttp reads no other, for whatever reason: `Proxy-Connection` is one."""
_GAP: Final = b"\r\n\r\n"
_LAST_CHUNK: Final = b"0\r\n"
_BLANKS: Final = re.compile(rb"[\r\n]+")
_BLANK_LINES: Final = re.compile(rb"(?:\r\n)*\r?")
_AROUND_TARGET: Final = len(b"  HTTP/1.1\r\n")  # with the method, what a request line is made of


class Stop(Exception):
    """Ends the parser's work, also from within one of its callbacks."""


class Listener(Protocol):
    """The listener to what is read. Any of its methods may raise, which ends the parser's work."""

    def on_message_begin(self) -> None:
        """The first byte of a request."""

    def on_head(self, method: bytes, target: bytes, version: str, fields: list[tuple[bytes, bytes]]) -> int | None:
        """A head, whole; the names are in lower case. How long its body is, None if it comes in chunks."""

    def on_body(self, body: bytes) -> None:
        """A part of the body."""

    def on_message_complete(self) -> None:
        """The request is whole."""

    def is_full(self) -> bool:
        """True if it takes no more requests for now: `feed` goes on where it stood."""

    def stop(self, problem: Problem) -> NoReturn:
        """Refuse what is being read: it breaks a bound."""


class _Stage(Enum):
    HEAD = auto()
    BODY = auto()
    CHUNKS = auto()
    TRAILERS = auto()


class RequestParser:  # pylint: disable=too-many-instance-attributes  # it is the state of a parser
    """The requests of one connection, one behind another."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.on_body = listener.on_body  # without a step between
        self.waiting = b""
        """The bytes behind more requests than the listener takes for now."""
        self._stage = _Stage.HEAD
        self._count = 0  # bytes of this head, or of these trailers
        self._tail = b""  # of them, where their end may begin
        self._missing = 0  # of the body
        self._chunks = Chunks()
        self._target = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._line_bytes = 0  # of the request line
        self._in_head = self._at_gap = self._line_read = False
        self._llhttp: Any = httptools.HttpRequestParser(self)

    @property
    def head_bytes(self) -> int:
        """Of the head that is being read, or was just read; or of trailers."""
        return self._count

    def feed(self, data: bytes) -> bool:
        """Read on; False if the listener ended that, or what came is no HTTP."""
        data, self.waiting = self.waiting + data if self.waiting else data, b""
        view, place = memoryview(data), 0
        try:
            while place < len(data):
                if self._stage is _Stage.HEAD and not self._count and self._listener.is_full():
                    self.waiting = data[place:]
                    return True
                place = self._read(data, view, place)
        except (httptools.HttpParserError, Stop):
            return False
        return True

    def _read(self, data: bytes, view: memoryview, start: int) -> int:
        """Read the next piece; where it ends."""
        if self._stage is _Stage.BODY:
            end = min(len(data), start + self._missing)
            self._missing -= end - start
            self._llhttp.feed_data(view[start:end])
            return end
        if self._stage is _Stage.CHUNKS:
            return self._read_chunks(data, start)
        if self._stage is _Stage.HEAD and not self._in_head:
            blanks = _BLANKS.match(data, start)
            if blanks or self._tail:
                return self._read_blanks(view[start : blanks.end() if blanks else start], start)
        end = self._gap(data, start)
        if not self._line_read:
            line_end = data.find(b"\n", start, end)
            self._line_bytes += (line_end + 1 if line_end >= 0 else end) - start
            self._line_read = line_end >= 0
        self._tail = (self._tail + data[max(start, end - len(_GAP)) : end])[-len(_GAP) :]
        self._at_gap = self._tail == _GAP
        self._read_counted(view[start:end])
        return end

    def _read_blanks(self, piece: memoryview, start: int) -> int:
        """Empty lines before a request line, whole ones alone; where they end."""
        if not _BLANK_LINES.fullmatch(self._tail + piece) or not piece:
            self._listener.stop(MALFORMED_HTTP)
        self._tail = b"\r" if piece[-1] == ord("\r") else b""
        self._read_counted(piece)
        return start + len(piece)

    def _gap(self, data: bytes, start: int) -> int:
        """Offset of the end of the head or of the trailers, else of the bytes."""
        if self._tail:
            seam = (self._tail[-3:] + data[start : start + 3]).find(_GAP)
            if seam >= 0:
                return start + seam + len(_GAP) - len(self._tail[-3:])
        gap = data.find(_GAP, start)
        return len(data) if gap < 0 else gap + len(_GAP)

    def _read_counted(self, piece: memoryview) -> None:
        """Read as far as the bound lets it: a fault that stands before that is met first."""
        room = HEADER_BYTES - self._count
        count = self._count = self._count + len(piece)
        try:
            self._llhttp.feed_data(piece if len(piece) <= room else piece[:room])
        except httptools.HttpParserUpgrade:
            self._count = count  # llhttp has said that the message was over
            self._read_again()
        if len(piece) > room:
            self._listener.stop(HEADERS_TOO_LARGE)

    def _read_chunks(self, data: bytes, start: int) -> int:
        body, end = self._chunks.read(data, start)
        if body:
            self.on_body(body)
        if self._chunks.fault is not None:
            self._listener.stop(self._chunks.fault)
        if self._chunks.ended:
            self._stage, self._count, self._tail = _Stage.TRAILERS, 0, _LAST_CHUNK
            self._llhttp.feed_data(_LAST_CHUNK)  # it has seen no chunk before
        return end

    def _read_again(self) -> None:
        first = (self._llhttp.get_method(), self._target, self._llhttp.get_http_version().encode())
        fields = b"".join(b"%s: %s\r\n" % field for field in self._fields)
        self._llhttp = httptools.HttpRequestParser(self)
        self._at_gap, self._line_bytes = True, len(first[0]) + len(first[1]) + _AROUND_TARGET
        self._llhttp.feed_data(b"%s %s HTTP/%s\r\n%s\r\n" % (*first, fields))

    # What llhttp calls, beside `on_body`

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._target, self._fields, self._in_head = b"", [], True
        self._listener.on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head; or a trailer, which is never one."""
        name = name.lower()
        if name in READ and self._in_head:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """A head is there."""
        method = self._llhttp.get_method()
        if not self._at_gap or self._line_bytes != len(method) + len(self._target) + _AROUND_TARGET:
            self._listener.stop(MALFORMED_HTTP)  # it ends where we see no end, or more than one blank parts its line
        if self._llhttp.should_upgrade() and method != b"CONNECT":
            return
        if not self._llhttp.should_keep_alive():
            self._fields.append(CLOSES)
        self._in_head = False
        length = self._listener.on_head(method, self._target, self._llhttp.get_http_version(), self._fields)
        if length is None:
            self._stage, self._chunks = _Stage.CHUNKS, Chunks()
        else:
            self._stage, self._missing = _Stage.BODY, length

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._stage, self._count, self._tail, self._in_head = _Stage.HEAD, 0, b"", False
        self._line_bytes, self._line_read = 0, False
        self._listener.on_message_complete()
