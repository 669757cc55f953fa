"""A connection without a network: bytes go in, in any pieces, and the answers come out; and an application that says
what it was asked."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from service.errors import ProblemError
from service.middleware.edge import Edge
from service.protocol.connection import Connection
from service.protocol.connection_limits import ConnectionLimits
from service.protocol.express import ExpressProtocol
from service.protocol.turns import Turns
from service.web.exchange import Call, Reply, problem_reply

Asked = tuple[str, str, bytes]


@dataclass
class Echo:
    """Stands where `RequestHandler` does: reads each request to its end and notes it."""

    at_once: bool = True
    draining: bool = False
    early: bool = False  # answer before the body was asked for
    asked: list[Asked] = field(default_factory=list)
    noted: list[int] = field(default_factory=list)
    headers: list[dict[bytes, bytes]] = field(default_factory=list)

    async def answer(self, call: Call) -> Reply:
        """200 with what was asked."""
        self.headers.append(dict(call.headers))
        if self.early:
            return Reply(401, b"no")
        call.tokens = 1
        try:
            body = call.body if call.body is not None else await _read(call)
        except ProblemError as error:
            return problem_reply(error.problem, call)
        self.asked.append((call.method, call.path, body))
        return Reply(200, b"%s %d" % (call.method.encode(), len(body)))

    def vital(self, path: str) -> bool:
        """Health alone."""
        return path == "/livez"

    def owner(self, call: Call) -> str:
        """Nobody has a key."""
        return call.address

    def note(self, _call: Call, reply: Reply) -> None:
        """Each answer is noted once."""
        self.noted.append(reply.status)


async def _read(call: Call) -> bytes:
    parts = []
    while True:
        message = await call.receive()
        parts.append(message["body"])
        if not message["more_body"]:
            return b"".join(parts)


class Pipe(asyncio.Transport):  # pylint: disable=abstract-method  # a connection calls no other
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 40000)})
        self.written = bytearray()
        self.closed = self.ended = self.paused = False

    def write(self, data: Any) -> None:
        """Keep it."""
        assert not self.ended and not self.closed
        self.written += data

    def write_eof(self) -> None:
        """Nothing more will be written."""
        self.ended = True

    def can_write_eof(self) -> bool:
        """As a socket."""
        return True

    def close(self) -> None:
        """Gone."""
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        """Whether it is gone."""
        return self.closed

    def get_write_buffer_size(self) -> int:
        """It is read at once."""
        return 0

    def pause_reading(self) -> None:
        """Bytes wait in the kernel."""
        self.paused = True

    def resume_reading(self) -> None:
        """Bytes come again."""
        self.paused = False


@dataclass
class Talk:
    """What became of some bytes."""

    echo: Echo
    pipe: Pipe
    connection: Connection

    @property
    def statuses(self) -> list[int]:
        """Of the answers on the wire, in order; interim ones left out."""
        methods, rest, found = [one[0] for one in self.echo.asked], bytes(self.pipe.written), []
        while rest:
            head, gap, rest = rest.partition(b"\r\n\r\n")
            assert gap, "half an answer"
            status = int(head.split(b" ")[1])
            if status == 100:
                continue
            length = int(next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))[15:])
            head_only = len(found) < len(methods) and methods[len(found)] == "HEAD" and status == 200
            rest = rest if head_only else rest[length:]
            found.append(status)
        return found

    @property
    def ended(self) -> bool:
        """Whether the connection is to be used no more."""
        return self.pipe.ended or self.pipe.closed


async def _settled(connection: Connection) -> None:
    for _ in range(5):
        await asyncio.sleep(0)
    # pylint: disable-next=protected-access
    while connection._arriving is None and (connection._now is not None or connection._holds_back()):
        if cast(Pipe, connection._transport).closed:  # pylint: disable=protected-access
            break
        await asyncio.sleep(0)


async def talk(
    parts: Iterable[bytes],
    echo: Echo | None = None,
    *,
    half_close: bool = False,
    turns: Turns | None = None,
    first_rest_s: float = 1e-9,
) -> Talk:
    """Send these parts, each when all that came before was looked at. Paused bytes wait, as in a kernel.

    Nobody waits for a turn, unless there are `turns` to wait for.
    """
    found = echo or Echo()
    state = SimpleNamespace(connections=set(), tasks=set(), total_requests=0, default_headers=[])
    edge = Edge(cast(Any, None))
    edge.handler = cast(Any, found)
    limits = ConnectionLimits(turns=turns or Turns(clock=itertools.count().__next__))
    kind = type("Here", (ExpressProtocol,), {"edge": edge, "connections": limits, "first_rest_s": first_rest_s})
    connection: Connection = kind(SimpleNamespace(timeout_keep_alive=5), state, {})
    pipe = Pipe()
    connection.connection_made(pipe)
    for part in parts:
        for _ in range(1000):
            if not pipe.paused or pipe.closed:
                break
            await asyncio.sleep(0)
        if pipe.closed:
            break
        connection.data_received(part)
        await _settled(connection)
    if half_close and not pipe.closed and not connection.eof_received():
        pipe.close()
    await _settled(connection)
    connection.connection_lost(None)
    await asyncio.gather(*state.tasks)
    return Talk(found, pipe, connection)


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """The bytes in pieces."""
    edges = [0, *sorted(places), len(data)]
    return [data[start:end] for start, end in zip(edges, edges[1:], strict=False) if end > start]
