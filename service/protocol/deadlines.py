"""HTTP on the wire: deadlines and limits for headers, which uvicorn does not have.

Without this a thousand connections that never finish their headers stay open for ever, and a header may have any size.
One sweep a second watches all connections that owe headers, so a request costs two dictionary operations and no timer.
"""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.problems import BAD_HEADER, HEADERS_TOO_LARGE, MEDIA_TYPE, Problem
from service.web.exchange import Receive, Scope, Send, new_request_id

HEADER_BYTES: Final = 16 * 1024
_UNFINISHED_BYTES: Final = 64 * 1024
_SWEEP_S: Final = 1.0
_REASONS: Final = {400: b"Bad Request", 431: b"Request Header Fields Too Large"}


class DeadlineProtocol(HttpToolsProtocol):
    """uvicorn's protocol, impatient with headers."""

    header_timeout_s: ClassVar[float] = 10.0
    _owing: ClassVar[dict[DeadlineProtocol, float]] = {}  # until when
    _sweeper: ClassVar[asyncio.TimerHandle | None] = None
    _seen = 0  # bytes since headers are owed
    _read = 0  # bytes of this read
    _rests = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """A connection owes headers from its first moment."""
        super().connection_made(transport)
        self._owe(self.header_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """A closed connection owes nothing."""
        self._owing.pop(self, None)
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        if self._rests or self not in self._owing:
            self._owe(self.header_timeout_s)
            self._rests = False
            # Where in this read the request begins is unknown: enough to have its headers measured.
            self._seen = min(self._read, HEADER_BYTES + 1)

    def on_headers_complete(self) -> None:
        """Headers are there: in time, and if small enough the request is answered."""
        seen = self.paid()
        if seen > HEADER_BYTES and sum(len(name) + len(value) for name, value in self.headers) > HEADER_BYTES:
            answering, self.app = self.app, _too_large
            super().on_headers_complete()
            self.app = answering
            return
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Bytes from the wire; who sends headers without end is cut off."""
        self._read = len(data)
        if self in self._owing:
            self._seen += self._read
        super().data_received(data)
        if self._seen > _UNFINISHED_BYTES and self in self._owing:
            self._refuse(HEADERS_TOO_LARGE)

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is refused in the shape of every other error, without saying what it was."""
        self._refuse(BAD_HEADER.saying("The request is not well-formed HTTP"))

    def _refuse(self, problem: Problem) -> None:
        identifier = new_request_id()
        body = problem.render(identifier)
        head = (
            b"HTTP/1.1 %d %s\r\ncontent-type: %s\r\ncontent-length: %d\r\nx-request-id: %s\r\nconnection: close\r\n\r\n"
        )
        values = (problem.status, _REASONS[problem.status], MEDIA_TYPE, len(body), identifier.encode())
        self.transport.write(head % values + body)
        self.transport.close()

    def paid(self) -> int:
        """Nothing is owed any more; how many bytes were seen since the connection owed."""
        self._owing.pop(self, None)
        seen, self._seen = self._seen, 0
        return seen

    def rest(self) -> None:
        """A request was answered: the next one is owed within the time that a connection is kept."""
        self._owe(self.timeout_keep_alive)
        self._rests = True

    def _owe(self, seconds: float) -> None:
        self._owing[self] = time.monotonic() + seconds
        self._seen = 0
        if DeadlineProtocol._sweeper is None:
            DeadlineProtocol._sweeper = self.loop.call_later(_SWEEP_S, DeadlineProtocol._sweep, self.loop)

    @classmethod
    def _sweep(cls, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        for protocol in [one for one, deadline in cls._owing.items() if deadline < now]:
            protocol.transport.close()
        DeadlineProtocol._sweeper = loop.call_later(_SWEEP_S, cls._sweep, loop) if cls._owing else None


async def _too_large(_scope: Scope, _receive: Receive, send: Send) -> None:
    body = HEADERS_TOO_LARGE.render(new_request_id())
    headers = [(b"content-type", MEDIA_TYPE), (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": HEADERS_TOO_LARGE.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
