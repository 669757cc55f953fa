"""From bytes to heads and bodies: llhttp on one connection, with the bounds that it has not.

What asks for an upgrade is read again as if it did not ask. Names that nobody reads are not kept. Trailers are counted
and dropped.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn, Protocol

import httptools

from service.problems import HEADERS_TOO_LARGE, Problem
from service.protocol.heads import HEADER_BYTES
from service.web.fields import READ

CLOSES: Final = (b"connection", b"close")
"""What is read of a head after which llhttp reads no other, for whatever reason: `Proxy-Connection` is one."""


class Listener(Protocol):
    """Who is told what was read. Any of these may raise, which ends the parser's work."""

    def on_message_begin(self) -> None:
        """The first byte of a request."""

    def on_head(self, method: bytes, target: bytes, version: str, fields: list[tuple[bytes, bytes]]) -> None:
        """A head, whole; the names are in lower case."""

    def on_body(self, body: bytes) -> None:
        """A part of the body."""

    def on_message_complete(self) -> None:
        """The request is whole."""

    def stop(self, problem: Problem) -> NoReturn:
        """What is being read breaks a bound."""


class RequestParser:
    """The requests of one connection, one behind another."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.on_body, self.on_message_complete = (
            listener.on_body,
            listener.on_message_complete,
        )  # without a step between
        self._target = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._field_bytes = 0  # of this head, or of these trailers
        self._in_head = False
        self._llhttp: Any = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> bool:
        """Read on; False if the listener ended that, or what came is no HTTP."""
        rest = memoryview(data)
        try:
            while True:
                try:
                    self._llhttp.feed_data(rest)
                    return True
                except httptools.HttpParserUpgrade as upgrade:
                    rest = rest[upgrade.args[0] :]
                    self._read_again()
        except httptools.HttpParserError:
            return False

    def _read_again(self) -> None:
        first = (self._llhttp.get_method(), self._target, self._llhttp.get_http_version().encode())
        fields = b"".join(b"%s: %s\r\n" % field for field in self._fields)
        self._llhttp = httptools.HttpRequestParser(self)
        self._llhttp.feed_data(b"%s %s HTTP/%s\r\n%s\r\n" % (*first, fields))

    # What llhttp calls, beside `on_body` and `on_message_complete`

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._target, self._fields, self._field_bytes, self._in_head = b"", [], 0, True
        self._listener.on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        self._target += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head; or a trailer, which is never one."""
        self._count(len(name) + len(value) + 4)
        name = name.lower()
        if name in READ and self._in_head:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """A head is there."""
        method = self._llhttp.get_method()
        if self._llhttp.should_upgrade() and method != b"CONNECT":
            return
        self._field_bytes, self._in_head = 0, False
        if not self._llhttp.should_keep_alive():
            self._fields.append(CLOSES)
        self._listener.on_head(method, self._target, self._llhttp.get_http_version(), self._fields)

    def _count(self, size: int) -> None:
        self._field_bytes += size
        if self._field_bytes > HEADER_BYTES:
            self._listener.stop(HEADERS_TOO_LARGE)
