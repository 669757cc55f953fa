"""What is not paid for takes its turn, and nobody waits for the turns of another."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from service.protocol.connection_limits import ConnectionLimits
from service.protocol.leftover import LARGE_BYTES
from service.protocol.turns import Turns
from tests.service.protocol.talk import Echo
from tests.service.protocol.test_connection_limits import BUSY, SCORE, opening, said

AT_ONCE = 5  # turns of an owner who took none for long
LARGE = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 90000000\r\n\r\n"


class Clock:
    """Stands still but for who moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The moment."""
        return self.now


class Taker:
    """Notes when its turn comes."""

    def __init__(self, name: str, came: list[str]) -> None:
        self._name, self._came = name, came

    def go_on(self) -> None:
        """Now."""
        self._came.append(self._name)


async def pass_ms(clock: Clock, count: int) -> None:
    """Let so many milliseconds pass, and the turns look at each."""
    for _ in range(count):
        clock.now += 0.001
        await asyncio.sleep(0.004)


def test_an_owner_of_few_goes_at_once_and_lines_take_turns() -> None:
    """Two owners of many have a turn after the other; a third is not behind either of them."""

    async def run() -> None:
        clock, came = Clock(), []
        turns = Turns(clock)
        for owner in ("a", "b"):
            names = [f"{owner}{place}" for place in range(20)]
            taken = [turns.take(owner, Taker(name, came)) for name in names]
            assert taken[0] and not any(taken[AT_ONCE:])
        assert turns.take("c", Taker("c", came))
        await pass_ms(clock, 30)
        assert abs(sum(name[0] == "a" for name in came) - sum(name[0] == "b" for name in came)) <= AT_ONCE
        assert 10 <= len(came) <= 30
        assert turns.take("d", Taker("d", came))

    asyncio.run(run())


def test_turns_are_no_more_than_the_time_has() -> None:
    """However many ask: one a millisecond and the few that were saved; who leaves takes none."""

    async def run() -> None:
        clock, came = Clock(), []
        turns = Turns(clock)
        takers = [Taker(str(place), came) for place in range(100)]
        at_once = sum(turns.take("a", taker) for taker in takers)
        assert at_once == AT_ONCE
        for taker in takers[AT_ONCE:50]:
            turns.leave(taker)
        assert takers[10] not in turns and takers[60] in turns
        await pass_ms(clock, 20)
        assert 15 <= len(came) <= 21
        assert came == [str(place) for place in range(50, 50 + len(came))]

    asyncio.run(run())


@pytest.fixture(name="limits")
def _limits() -> tuple[Clock, ConnectionLimits]:
    """Connections whose turns come by a clock that stands."""
    clock = Clock()
    return clock, ConnectionLimits(turns=Turns(clock))


def test_a_refusal_waits_for_its_turn_and_a_paid_answer_does_not(limits: Any) -> None:
    """Held refusals are sent one after the other, each once; they are read no further meanwhile."""

    async def run() -> None:
        clock, connections = limits
        refusing, echo = Echo(early=True), Echo()
        strangers = [opening(connections, refusing)() for _ in range(AT_ONCE + 3)]
        for one in strangers:
            await said(one, BUSY)
        held = strangers[AT_ONCE:]
        assert [one.statuses for one in strangers] == [[401]] * AT_ONCE + [[]] * 3
        assert all(one.pipe.paused for one in held)
        assert (await said(opening(connections, echo)(), SCORE)).startswith(b"HTTP/1.1 200 ")
        held[0].pipe.close()
        held[0].connection.connection_lost(None)
        assert held[0].connection not in connections.turns
        await pass_ms(clock, 10)
        assert [one.statuses for one in held] == [[], [401], [401]]
        assert not any(one.pipe.paused for one in held[1:])
        assert refusing.noted == [401] * len(strangers)

    asyncio.run(run())


def test_large_pieces_of_a_refused_body_take_turns_and_small_ones_are_gathered_for_one(limits: Any) -> None:
    """So a body that is thrown away costs others no more than its turns."""

    async def run() -> None:
        clock, connections = limits
        sender = opening(connections, Echo(early=True))()
        await said(sender, LARGE)
        assert sender.pipe.ended
        sender.connection.data_received(b"x" * 100)
        assert sender.pipe.paused
        while sender.pipe.paused:  # a rest by the loop's own clock
            await asyncio.sleep(0.001)
        for _ in range(AT_ONCE):
            sender.connection.data_received(b"x" * LARGE_BYTES)
        assert sender.pipe.paused
        await pass_ms(clock, 5)
        assert not sender.pipe.paused

    asyncio.run(run())


def test_what_costs_as_much_as_several_takes_as_many() -> None:
    """At once or in line: the next one's time comes when they have passed."""

    async def run() -> None:
        clock, came = Clock(), []
        turns = Turns(clock)
        assert turns.take("a", Taker("first", came), 10)
        assert not turns.take("a", Taker("heavy", came), 10)
        assert not turns.take("a", Taker("last", came))
        await pass_ms(clock, 12)
        assert came == ["heavy"]
        await pass_ms(clock, 12)
        assert came == ["heavy", "last"]

    asyncio.run(run())
