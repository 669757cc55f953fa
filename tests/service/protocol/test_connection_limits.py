"""As many connections as a setting says, and a reserve in which health is answered when they are all taken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from service.middleware.edge import Edge
from service.protocol.connection import Connection
from service.protocol.connection_limits import ConnectionLimits
from service.protocol.express import ExpressProtocol
from tests.service.protocol.talk import Echo, Pipe, Talk

SCORE = b"POST /v1/score HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"
LIVE = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"
BUSY = b"POST /v1/score/batch HTTP/1.1\r\nhost: x\r\ncontent-length: 90\r\n\r\n"
HALF_A_HEAD = b"POST /v1/score HTTP/1.1\r\nhost: x\r\nx-a"


class Waiting(Echo):
    """Answers when it is told to: its connections owe nothing meanwhile."""

    async def answer(self, call: Any) -> Any:
        """A batch never ends."""
        if call.path == "/v1/score/batch":
            await asyncio.Event().wait()
        return await super().answer(call)


def opening(connections: ConnectionLimits, echo: Echo) -> Callable[[], Talk]:
    """Makes connections that count under these limits."""
    edge = Edge(cast(Any, None))
    edge.handler = cast(Any, echo)
    state = SimpleNamespace(connections=set(), tasks=set(), total_requests=0, default_headers=[])
    kind = type("Here", (ExpressProtocol,), {"edge": edge, "connections": connections})

    def connect() -> Talk:
        connection: Connection = kind(SimpleNamespace(timeout_keep_alive=5), state, {})
        pipe = Pipe()
        connection.connection_made(pipe)
        return Talk(echo, pipe, connection)

    return connect


async def said(one: Talk, data: bytes) -> bytes:
    """What a connection answers to some bytes."""
    before = len(one.pipe.written)
    one.connection.data_received(data)
    for _ in range(8):
        await asyncio.sleep(0)
    return bytes(one.pipe.written[before:])


def test_health_is_answered_in_the_reserve_and_nothing_else() -> None:
    """All regular places work: one more caller is 503 and its connection ends; health is 200, time after time."""

    async def run() -> None:
        connect = opening(ConnectionLimits(most=2, reserve=1), Waiting())
        busy = [connect(), connect()]
        for one in busy:
            assert await said(one, BUSY) == b""
        caller = connect()
        refused = await said(caller, SCORE)
        assert refused.startswith(b"HTTP/1.1 503 ") and b":crowded" in refused and b"retry-after: 1" in refused
        caller.connection.connection_lost(None)
        for _ in range(3):
            prober = connect()
            assert (await said(prober, LIVE)).startswith(b"HTTP/1.1 200 ") and prober.ended
            prober.connection.connection_lost(None)
        assert not any(one.ended for one in busy)

    asyncio.run(run())


def test_a_prober_is_let_in_whoever_fills_the_reserve_in_silence() -> None:
    """Connections that say nothing leave the reserve for the next one, the longest waiting first."""

    async def run() -> None:
        connect = opening(ConnectionLimits(most=1, reserve=2), Waiting())
        busy = connect()
        await said(busy, BUSY)
        silent = [connect() for _ in range(3)]
        prober = connect()
        assert (await said(prober, LIVE)).startswith(b"HTTP/1.1 200 ")
        assert silent[0].pipe.closed and not busy.ended

    asyncio.run(run())


def test_without_a_reserve_there_is_no_connection_beyond_the_cap() -> None:
    """Nothing owes, nothing is free: the newcomer is closed before it says a word."""

    async def run() -> None:
        connect = opening(ConnectionLimits(most=1, reserve=0), Waiting())
        busy = connect()
        await said(busy, BUSY)
        newcomer = connect()
        assert newcomer.pipe.closed and not newcomer.pipe.written and not busy.ended

    asyncio.run(run())


@pytest.mark.parametrize("owing", [b"", HALF_A_HEAD, SCORE], ids=["silent", "half a head", "idle after an answer"])
def test_a_new_caller_takes_the_place_of_who_owes_for_longest(owing: bytes) -> None:
    """A connection that sends nothing, drips, or rests makes room; one that is being answered never does."""

    async def run() -> None:
        connect = opening(ConnectionLimits(most=2, reserve=1), Waiting())
        waiting, busy = connect(), connect()
        if owing:
            await said(waiting, owing)
        await said(busy, BUSY)
        newcomer = connect()
        assert waiting.pipe.closed and not busy.ended
        assert (await said(newcomer, SCORE)).startswith(b"HTTP/1.1 200 ")

    asyncio.run(run())


def test_a_place_that_is_left_is_free() -> None:
    """Connections that end count no more, regular or in the reserve."""

    async def run() -> None:
        connect = opening(ConnectionLimits(most=1, reserve=1), Waiting())
        for _ in range(3):
            one = connect()
            await said(one, BUSY)
            spare = connect()
            assert (await said(spare, LIVE)).startswith(b"HTTP/1.1 200 ")
            for ended in (one, spare):
                ended.connection.connection_lost(None)

    asyncio.run(run())
