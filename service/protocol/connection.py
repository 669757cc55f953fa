"""HTTP/1.1 on one connection: bytes become requests, answers go back in their order, and every connection has an end.

One request gets one answer, and its body is never read as anything else. What the product does not have is not there:
an `Upgrade`, to HTTP/2 or to a websocket, is passed over and the request answered as it stands (RFC 9110 7.8). Trailers
are counted and dropped. What is no HTTP is refused behind the answers that are still owed, never before them.

An answer may leave before its request has come whole. A little that is still missing is waited for, so that the
connection can be kept; else the sending side is closed and the rest thrown away unread, within a number of bytes and a
time, since a socket that is closed over unread bytes resets, and the caller never sees the answer.

An answer that was not paid for, and each large piece that is thrown away, takes its turn (`service.protocol.turns`).
Crumbs of a request that comes in many are given time to gather (`service.protocol.crumbs`), and then take turns too.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, ClassVar, Final, NoReturn

from service.errors import ProblemError
from service.middleware.edge import Edge, RequestHandler
from service.problems import CROWDED, INCOMPLETE, MALFORMED_HTTP, Problem
from service.protocol.connection_limits import ConnectionLimits
from service.protocol.crumbs import CRUMB_BYTES, FIRST_REST_S, Crumbs
from service.protocol.heads import Head, read_head
from service.protocol.inbound import Inbound
from service.protocol.leftover import DRAIN_S, LARGE_BYTES, Leftover
from service.protocol.rendering import CONTINUE, rendered
from service.protocol.request_parser import RequestParser, Stop
from service.web.exchange import Call, Reply, problem_reply

_PIPELINED: Final = 64  # requests that may wait behind one another; more wait as bytes
_KEPT_BYTES: Final = 64 * 1024  # missing of a body that was answered: fewer are waited for, to keep the connection
_HEAD_BYTES_A_TURN: Final = 4096  # of the smallest fields, or of one large
_WRITE_S: Final = 30.0  # for an answer that is not read


class Connection(asyncio.Protocol):  # pylint: disable=too-many-instance-attributes  # it is the state of a connection
    """One connection, made by uvicorn with its own arguments."""

    edge: ClassVar[Edge]
    connections: ClassVar[ConnectionLimits]
    first_rest_s: ClassVar[float] = FIRST_REST_S

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        """`app_state` is for applications behind a server that knows nothing of them; this one knows its own."""
        del app_state
        self._server = server_state
        self._keep_alive_s: float = config.timeout_keep_alive
        self._loop: asyncio.AbstractEventLoop = _loop or asyncio.get_running_loop()
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # until the connection is made
        self._parser: RequestParser | None = None
        self._address = ""
        self._now: Inbound | None = None  # is being answered
        self._queue: deque[Inbound] = deque()  # are to be answered after it
        self._arriving: Inbound | None = None  # its body is not whole
        self._crumbs = Crumbs(self.first_rest_s)
        self._gathers = False  # more of them, unread
        self._idle = False
        self._over = False  # nothing more is read as a request
        self._lingers = False
        self._half_closed = False  # by the caller
        self._ends = False  # with the server
        self._leftover = Leftover()
        self._owner = ""  # whose turns it takes
        self._waiting_reply: Reply | None = None  # waits for its turn
        self._last_call: Call | None = None  # last; whose answer it is that may not be read
        self._read_paused = self._write_paused = False

    # What asyncio and the server call

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # narrower, as it is
        """A connection owes a head from its first moment."""
        self._transport = transport
        self._server.connections.add(self)
        peer = transport.get_extra_info("peername")
        self._address = str(peer[0]) if isinstance(peer, tuple) else ""
        self._parser = RequestParser(self)
        seconds = self.connections.enter(self)
        if seconds:
            self._arm(seconds)
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone: end the waiting for more of a body, and forget requests that were not begun."""
        self._server.connections.discard(self)
        self.connections.leave(self)
        self._over = True
        self._queue.clear()
        if self._now is not None:
            self._now.fail(INCOMPLETE)
            if self._waiting_reply is not None:
                self._send(self._now, self._waiting_reply)
        self._arriving = self._parser = None

    def data_received(self, data: bytes) -> None:
        """Bytes from the wire."""
        if self._over:
            self._discard(len(data))
            return
        if len(data) < CRUMB_BYTES and (rest_s := self._crumbs.rest(self._left_s())) and not self._gathers:
            self._gather(rest_s)
        self._parse(data)

    def _left_s(self) -> float:
        """Seconds in which all of what is coming must be there."""
        if self._arriving is None or self._arriving.answered:
            return self.connections.deadlines.left_s(self)
        return self.connections.body_timeout_s - (time.perf_counter() - self._arriving.call.started)

    def _gather(self, rest_s: float) -> None:
        """Read nothing for a while, then in a turn what has come."""
        self._gathers = True
        self._pause_reading()
        self._loop.call_later(rest_s, self._read_gathered)

    def _read_gathered(self) -> None:
        if not self._gathers or self._transport.is_closing():
            return
        self._owner = self._owner or self._handler.owner(self._inbound(None).call)
        if self.connections.turns.take(self._owner, self):
            self._gathers = False
            self._resume_reading()

    def _parse(self, data: bytes) -> None:
        before = self._arriving
        if self._parser is not None and not self._parser.feed(data):
            self._unreadable()
        if self._over:
            return
        if self._arriving is not None and self._arriving is not before and not self._arriving.queued:
            self._enqueue(self._arriving)

    def eof_received(self) -> bool:
        """The caller sends no more; what it sent is answered all the same."""
        self._half_closed = True
        if not self._holds_back():
            self._expect_no_more()
        return not self._lingers and (self._now is not None or bool(self._queue) or self._holds_back())

    def _expect_no_more(self) -> None:
        self._over = True
        if self._arriving is not None:
            self._arriving.fail(INCOMPLETE)

    def _holds_back(self) -> bool:
        """True if requests wait as bytes behind those that wait to be answered."""
        return self._parser is not None and bool(self._parser.waiting)

    def _go_on_parsing(self) -> None:
        """The requests that waited have been begun: read those that were held back behind them."""
        if self._over:
            return
        self._parse(b"")
        if self._half_closed and not self._holds_back():
            self._expect_no_more()
        if self._now is None and not self._over and not self._queue:
            self._next()

    def pause_writing(self) -> None:
        """The caller does not read, or not as fast as it is answered."""
        self._write_paused = True
        self._arm(_WRITE_S)
        if self._last_call is not None:
            owner = self._handler.owner(self._last_call)
            self.connections.unread.hold(self, owner, self._transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """It reads."""
        self._write_paused = False
        self.connections.unread.let_go(self)
        self.connections.deadlines.disarm(self)
        if self._now is None and not self._transport.is_closing():
            self._next()

    def shutdown(self) -> None:
        """The server stops: end after what is being answered."""
        self._ends = True
        if self._now is None and not self._queue:
            self._transport.close()

    def overdue(self) -> None:
        """A deadline is over. A client that sends a large refused body fast, or waits for its turn, may finish it."""
        if self._lingers and (self._leftover.came_fast() or self in self.connections.turns):
            self._arm(DRAIN_S)
        else:
            self._transport.abort()

    def evict(self) -> None:
        """Another connection takes its place."""
        self._transport.abort()

    def go_on(self) -> None:
        """Its turn has come: to be answered, or to be read."""
        if self._now is not None and self._waiting_reply is not None:
            self._send(self._now, self._waiting_reply)
        else:
            self._gathers = False
            self._resume_reading()

    # What the parser calls

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        if self._over:
            raise Stop
        if self._idle or self not in self.connections.deadlines:
            self._idle = False
            self._arm(self.connections.header_timeout_s)

    def on_head(self, method: bytes, target: bytes, version: str, fields: list[tuple[bytes, bytes]]) -> int | None:
        """A head is there: its body is awaited, or it is refused."""
        if not self._write_paused:
            self.connections.deadlines.disarm(self)
        try:
            head = read_head(method, target, version, fields)
        except ProblemError as error:
            self.stop(error.problem)
        if self.connections.is_spare(self) and not self._handler.vital(head.path):
            self.stop(CROWDED)
        self._arriving = self._inbound(head)
        return head.length

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self._arriving is not None and self._arriving.add(body):
            self._pause_reading()

    def on_message_complete(self) -> None:
        """The request is whole."""
        whole, self._arriving = self._arriving, None
        if whole is None:
            return
        whole.end()
        self._crumbs.begin()
        self._gathers = False
        if not whole.keep_alive:
            self._over = True
        if whole.answered:
            self._next()
        elif not whole.queued:
            self._enqueue(whole)

    def is_full(self) -> bool:
        """True if enough requests wait; the bytes of the next ones wait as they came."""
        return len(self._queue) >= _PIPELINED

    def stop(self, problem: Problem) -> NoReturn:
        """Refuse what the parser is about, and stop it."""
        if self._arriving is not None:
            self._cut(self._arriving, problem)
        else:
            self._refuse(problem)
        raise Stop

    # From bytes to requests

    def _unreadable(self) -> None:
        """The parser stands still: it was stopped, or this is no HTTP, or more than the last request."""
        if self._over:
            self._leftover.add(1)
        elif self._arriving is not None:
            self._cut(self._arriving, MALFORMED_HTTP)
        else:
            self._refuse(MALFORMED_HTTP)

    def _call(self, head: Head, body: bytes | None = None) -> Call:
        """The call that a head asks for, however the head was read."""
        return Call(head.method, head.path, head.headers, self._address, query=head.query, body=body)

    def _inbound(self, head: Head | None, refusal: Problem | None = None) -> Inbound:
        call = Call("", "", {}, self._address) if head is None else self._call(head)
        if self._parser is not None:
            call.turns += self._parser.head_bytes // _HEAD_BYTES_A_TURN
        inbound = Inbound(call, head, self._read_on, refusal)
        call.receive = inbound.receive
        return inbound

    def _read_on(self, *, expected: bool) -> None:
        """Somebody waits for more of a body; `told`: so does the caller for our word."""
        if expected and not self._transport.is_closing():
            self._transport.write(CONTINUE)
        if not self._queue:
            self._resume_reading()

    def _cut(self, arriving: Inbound, problem: Problem) -> None:
        """The rest of this request is not to be believed: its answer is the last one."""
        self._over = True
        self._leftover.add(1)
        if arriving.answered:
            self._end()
            return
        arriving.fail(problem)
        if not arriving.queued:
            self._enqueue(arriving)

    def _refuse(self, problem: Problem) -> None:
        """Answer what never became a request, after all that did."""
        self._over = True
        self._leftover.add(1)
        self._enqueue(self._inbound(None, problem))

    # From requests to answers

    @property
    def _handler(self) -> RequestHandler:
        handler = self.edge.handler
        assert handler is not None, "a server listens only after its start"
        return handler

    def _enqueue(self, inbound: Inbound) -> None:
        inbound.queued = True
        if self._now is None and not self._write_paused:
            self._begin(inbound)
        else:
            self._queue.append(inbound)
            self._pause_reading()

    def _begin(self, inbound: Inbound) -> None:
        """Start answering, in a task."""
        self._now = inbound
        if inbound.refusal is not None:
            self._finish(inbound, problem_reply(inbound.refusal, inbound.call))
            return
        task = self._loop.create_task(self._answer(inbound))
        self._server.tasks.add(task)
        task.add_done_callback(self._server.tasks.discard)

    async def _answer(self, inbound: Inbound) -> None:
        self._finish(inbound, await self._handler.answer(inbound.call))

    def _finish(self, inbound: Inbound, reply: Reply) -> None:
        """Send the answer, in its turn if it was not paid for."""
        inbound.let_go()
        if not inbound.call.tokens:
            self._owner = self._handler.owner(inbound.call)
            if not self.connections.turns.take(self._owner, self, inbound.call.turns):
                self._waiting_reply = reply
                self._pause_reading()
                return
        self._send(inbound, reply)

    def _send(self, inbound: Inbound, reply: Reply) -> None:
        """Send it now, then see to the next request or to the end."""
        self._now = self._waiting_reply = None
        self._last_call = inbound.call
        handler, closing = self._handler, self._is_last(inbound, reply)
        if not self._transport.is_closing():
            self._transport.write(rendered(inbound.call, reply, self._server.default_headers, closing=closing))
        handler.note(inbound.call, reply)
        if self._transport.is_closing():
            return
        self._server.total_requests += 1
        if closing:
            self._end()
        else:
            self._next()

    def _is_last(self, inbound: Inbound, reply: Reply) -> bool:
        """True if the connection ends with this answer."""
        if (
            reply.close
            or self._ends
            or self._handler.draining
            or not inbound.keep_alive
            or self.connections.is_spare(self)
        ):
            return True
        if self._over and not self._queue:
            return True
        return not inbound.complete and (inbound.expects or not inbound.lacks_at_most(_KEPT_BYTES))

    def _next(self) -> None:
        """Go on after an answer: with the next request, the rest of this one's body, or wait."""
        if self._write_paused:
            return
        if self._queue:
            self._begin(self._queue.popleft())
        elif self._holds_back():
            self._loop.call_soon(self._go_on_parsing)  # not from within an answer's end, which may be such a one's
            return
        elif self._arriving is None:
            self._idle = True
            self._arm(self._keep_alive_s)
        else:
            self._arm(DRAIN_S)
        if not self._queue:
            self._resume_reading()

    # The end

    def _end(self) -> None:
        """Close; where unread bytes are on their way, throw them away first."""
        unread = self._leftover or self._arriving is not None or self._read_paused
        self._over = True
        self._queue.clear()
        if unread and not self._half_closed and self._transport.can_write_eof():
            self._lingers = True
            self._arriving, self._gathers = None, False
            self._resume_reading()
            self._transport.write_eof()
            self._arm(_WRITE_S if self._transport.get_write_buffer_size() else DRAIN_S)
        else:
            self._transport.close()
            if self._transport.get_write_buffer_size():
                self._arm(_WRITE_S)

    def _discard(self, size: int) -> None:
        if self._leftover.add(size):
            self._transport.abort()
        elif not self._lingers:
            return
        elif size < LARGE_BYTES:
            if not self._gathers:
                self._gather(self.first_rest_s)
        elif not self.connections.turns.take(self._owner, self):
            self._pause_reading()

    def _arm(self, seconds: float) -> None:
        self.connections.deadlines.arm(self, seconds)

    def _pause_reading(self) -> None:
        if not self._read_paused and not self._transport.is_closing():
            self._read_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._read_paused and not self._gathers and not self._transport.is_closing():
            self._read_paused = False
            self._transport.resume_reading()
