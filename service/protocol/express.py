"""The scoring route without the ceremony: a whole request is answered in the turn of the loop it arrives in.

For every request a server makes an event, a task and two messages, which costs more than scoring does. Here a
`POST /v1/score` that came whole in one read runs the edge's `RequestHandler.answer` at once and, once it is durable,
goes back to the wire. Any other (in pieces, pipelined, with an Idempotency-Key, while draining) gets a task and the
same `RequestHandler.answer`: no rule of the service is here, only the way.

A caller sends the same head (request line and fields) again and again on a connection that it keeps. The same bytes at
the same place read the same, so a head that was parsed once is looked up the next time. One number in it may differ,
the length, since no two applicants' bodies are equally long; it is compared with what came.
"""

from __future__ import annotations

import re
from asyncio import Future, Transport
from collections.abc import Callable, Coroutine
from typing import Any, Final

from service.endpoints.scores import ONE
from service.protocol.connection import Connection
from service.protocol.heads import Head
from service.protocol.inbound import Inbound
from service.web.exchange import Reply

PATH: Final = ONE.path
HEADS: Final = 16  # remembered of a connection
_HEAD_BYTES: Final = 2048
_GAP: Final = b"\r\n\r\n"
_LENGTH_FIELD: Final = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ([1-9][0-9]{0,6})\r\n")
_LENGTH_NAME: Final = b"content-length"


class EagerCoroutine:
    """A coroutine that is run without a task: its first part at once, the rest when the future it waits for is done."""

    __slots__ = ("_coroutine", "_then")

    def __init__(self, coroutine: Coroutine[Any, Any, Reply], then: Callable[[Reply], None]) -> None:
        self._coroutine = coroutine
        self._then = then

    def go(self, _waited: object = None) -> None:
        """Run until it waits or ends; what a failed future raises is raised where it was waited for."""
        try:
            future: Future[Any] = self._coroutine.send(None)
        except StopIteration as end:
            self._then(end.value)
            return
        future._asyncio_future_blocking = False  # pylint: disable=protected-access  # how a task says that it waits
        future.add_done_callback(self.go)


class ExpressProtocol(Connection):
    """A connection with the short way."""

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        """As `Connection`."""
        super().__init__(config, server_state, app_state, _loop)
        self._heads: dict[tuple[bytes, bytes], Head] = {}  # by what stands before and behind the length
        self._between = True  # the parser stands between two requests
        self._read_there = b""  # what was read when it stood there

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # narrower, as `Connection`'s is
        """Only a regular connection has the short way."""
        super().connection_made(transport)
        self._between = not self.connections.is_spare(self)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._between = False
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """The request is whole."""
        whole = self._arriving
        super().on_message_complete()
        self._between = whole is not None

    def data_received(self, data: bytes) -> None:
        """Bytes from the wire; a head that is known is not parsed."""
        if self._between and self._heads and self._answer_known_head(data):
            return
        self._read_there = data if self._between else b""
        super().data_received(data)
        self._read_there = b""  # an applicant's values are not kept

    def _begin(self, inbound: Inbound) -> None:
        """Answer at once what can be."""
        head, body = inbound.head, inbound.call.body
        if head is None or body is None or head.path != PATH or not self._at_once(head):
            super()._begin(inbound)
            return
        self._remember(head, len(body))
        self._run(inbound)

    def _at_once(self, head: Head) -> bool:
        """True if the answer waits for nothing but the outbox."""
        handler = self._handler
        return handler.at_once and not handler.draining and b"idempotency-key" not in head.headers

    def _run(self, inbound: Inbound) -> None:
        self._now = inbound
        EagerCoroutine(self._handler.answer(inbound.call), lambda reply: self._finish(inbound, reply)).go()

    def _remember(self, head: Head, body_bytes: int) -> None:
        """Keep the head of a request that came whole in one read, alone."""
        end = len(self._read_there) - body_bytes
        if head.length != body_bytes or not head.keep_alive or not 0 < end <= _HEAD_BYTES:
            return
        if self._read_there.find(_GAP) + len(_GAP) != end:
            return
        known = self._read_there[:end]
        length = _LENGTH_FIELD.search(known)
        if length is None or int(length[1]) != body_bytes or known.lower().count(_LENGTH_NAME) != 1:
            return
        if len(self._heads) >= HEADS:
            self._heads.clear()
        self._heads[known[: length.start(1)], known[length.end(1) :]] = head

    def _answer_known_head(self, data: bytes) -> bool:
        """Answer a whole request whose head was parsed before; False if this is none, or none for the short way."""
        end = data.find(_GAP) + len(_GAP)
        length = _LENGTH_FIELD.search(data, 0, end)
        head = self._heads.get((data[: length.start(1)], data[length.end(1) : end])) if length else None
        if length is None or head is None or len(data) - end != int(length[1]):
            return False
        if self._now is not None or self._over or self._write_paused or self._holds_back() or not self._at_once(head):
            return False
        self.connections.deadlines.disarm(self)
        self._idle = False
        call = self._call(head, data[end:])
        if len(data) - end != head.length:
            call.headers = head.headers | {_LENGTH_NAME: length[1]}
        inbound = Inbound(call, head, self._read_on)
        inbound.complete = inbound.queued = True
        self._run(inbound)
        return True
