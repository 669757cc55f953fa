"""The scoring route without the ceremony: a whole request is answered from the protocol, in the turn it arrives in.

For every request a server makes a scope, an event, a task and two messages, which costs more than scoring does. Here a
`POST /v1/score` that came whole in one read goes straight to the edge's `Post.answer` and, once it is durable, back to
the wire. Any other (in pieces, pipelined, with an Idempotency-Key, while draining) goes uvicorn's way to the same
`Post.answer`: no rule of the service is here, only the way. uvicorn picks its protocol by name from a module; `install`
puts ours there before the server starts.

A caller sends the same head (request line and headers) again and again on a connection that it keeps. The same bytes at
the same place read the same, so a head that was parsed once is looked up the next time.
"""

from __future__ import annotations

from asyncio import Future, Transport
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any, ClassVar, Final, NamedTuple

from uvicorn.protocols.http import auto

from service.middleware.edge import Edge, Post, fixed_headers, own_headers
from service.protocol.deadlines import HEADER_BYTES, DeadlineProtocol
from service.web.exchange import JSON, Call, Headers, Message, Reply

PATH: Final = b"/v1/score"
HEADS: Final = 16  # remembered of a connection: bodies of some lengths
_HEAD_BYTES: Final = 2048
_ORDINARY: Final = frozenset((b"idempotency-key", b"expect", b"upgrade", b"transfer-encoding"))
_STATUS_LINES: Final = {int(one): b"HTTP/1.1 %d %s\r\n" % (one, one.phrase.encode()) for one in HTTPStatus}


def _lines(headers: Headers) -> list[bytes]:
    return [b"%s: %s\r\n" % pair for pair in headers]


_GAP: Final = b"\r\n\r\n"
_END: Final = b"".join((*_lines(fixed_headers(JSON)), b"\r\n"))


class Errand:
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


class _Cycle:
    """What uvicorn wants to know of the request that is being answered."""

    __slots__ = ("response_complete", "keep_alive", "disconnected", "message_event")

    def __init__(self) -> None:
        self.response_complete = self.disconnected = False
        self.keep_alive = True
        self.message_event = self

    def set(self) -> None:
        """Nobody waits for more of the body: it is whole."""


class Head(NamedTuple):
    """A request's head that went the short way: its headers, and how long it says the body is."""

    headers: dict[bytes, bytes]
    body_bytes: int


class ExpressProtocol(DeadlineProtocol):
    """uvicorn's protocol with the short way."""

    edge: ClassVar[Edge]
    cycle: Any
    _held: list[bytes] | None = None  # the body, so far, of a request that may go the short way
    _named: dict[bytes, bytes] = {}  # its headers
    _between = False  # whether the parser stands between two requests
    _read_there = b""  # what was read when it stood there
    _heads: dict[bytes, Head]

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # narrower, as uvicorn's own is
        """A connection of which nothing is known yet."""
        super().connection_made(transport)
        self._heads = {}

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._between = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Hold back a request that may go the short way until its body is there."""
        if self.url == PATH and self._may_be_quick():
            self._held = []
        else:
            super().on_headers_complete()

    def _may_be_quick(self) -> bool:
        post, self._named = self.edge.post, dict(self.headers)
        return (
            post is not None
            and post.at_once
            and not post.draining
            and (self.cycle is None or self.cycle.response_complete)
            and self._seen <= HEADER_BYTES
            and not self.flow.write_paused
            and self.parser.get_method() == b"POST"
            and self.parser.should_keep_alive()
            and self.parser.get_http_version() == "1.1"
            and _ORDINARY.isdisjoint(self._named)
        )

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self._held is None:
            super().on_body(body)
        else:
            self._held.append(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._between = True
        if self._held is None:
            super().on_message_complete()
            return
        post, body, self._held = self.edge.post, b"".join(self._held), None
        assert post is not None
        self._remember(len(body))
        self._answer(post, self._named, body)

    def _remember(self, body_bytes: int) -> None:
        """Keep the head of a request that came whole in one read, alone."""
        end = len(self._read_there) - body_bytes
        if 0 < end <= _HEAD_BYTES and self._read_there.find(_GAP) + len(_GAP) == end:
            if len(self._heads) >= HEADS:
                self._heads.clear()
            self._heads[self._read_there[:end]] = Head(self._named, body_bytes)

    def _answer(self, post: Post, headers: dict[bytes, bytes], body: bytes) -> None:
        assert self.client is not None
        self.paid()
        cycle = self.cycle = _Cycle()
        call = Call("POST", "/v1/score", headers, self.client[0], _nothing, body=body)
        Errand(post.answer(call), lambda reply: self._reply(post, cycle, call, reply)).go()

    def data_received(self, data: bytes) -> None:
        """What is not whole by the end of a read goes the ordinary way, which has a deadline for bodies."""
        if self._between and self._heads and self._known(data):
            return
        self._read_there = data if self._between else b""
        super().data_received(data)
        self._read_there = b""  # an applicant's values are not kept
        if self._held is not None:
            held, self._held = self._held, None
            super().on_headers_complete()
            for part in held:
                super().on_body(part)

    def _known(self, data: bytes) -> bool:
        """Answer a whole request whose head was parsed before; False if this is none, or none for the short way."""
        end = data.find(_GAP) + len(_GAP)
        head, post = self._heads.get(data[:end]), self.edge.post
        if head is None or len(data) - end != head.body_bytes:
            return False
        if post is None or not post.at_once or post.draining:
            return False
        if not self.cycle.response_complete or self.flow.write_paused:
            return False
        self._unset_keepalive_if_required()
        self._rests = False
        self._answer(post, head.headers, data[end:])
        return True

    def _reply(self, post: Post, cycle: _Cycle, call: Call, reply: Reply) -> None:
        closing = reply.close or post.draining or not cycle.keep_alive
        if not self.transport.is_closing():
            headers = (*self.server_state.default_headers, *own_headers(call, reply, closing=closing))
            self.transport.write(b"".join((_STATUS_LINES[reply.status], *_lines(headers), _END, reply.body)))
        cycle.response_complete = True
        post.note(call, reply)
        if closing:
            self.transport.close()
        elif self.pipeline:
            self.on_response_complete()
        elif not cycle.disconnected:
            self.server_state.total_requests += 1
            self.rest()


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def install(edge: Edge, header_timeout_s: float) -> None:
    """Have uvicorn use this protocol in every server that this process starts from now on."""
    ExpressProtocol.edge = edge
    DeadlineProtocol.header_timeout_s = header_timeout_s
    chosen: Any = auto
    chosen.AutoHTTPProtocol = ExpressProtocol
