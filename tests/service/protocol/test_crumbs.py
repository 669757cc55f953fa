"""Bytes that come a few at a time: few reads at any pace, and what came in time is read in time."""

from __future__ import annotations

import asyncio

import pytest

from service.protocol.crumbs import FREE, Crumbs
from service.protocol.leftover import LARGE_BYTES
from service.protocol.turns import Turns, TurnTaker
from tests.service.protocol.talk import Echo, talk

LIMIT_S = 10.0


def reads(pace_s: float, sends_s: float) -> list[float]:
    """The moments at which a sender of a byte each `pace_s` is read until all that it sends has been, or time is up."""
    crumbs, moment, found = Crumbs(), pace_s, list[float]()
    while moment < LIMIT_S:
        found.append(moment)
        if moment >= sends_s:
            break
        following = moment + max(crumbs.rest(LIMIT_S - moment), pace_s)
        moment = following if following > moment + pace_s else moment + pace_s
    return found


@pytest.mark.parametrize("pace_s", [0.0005, 0.001, 0.005, 0.02, 0.05, 0.1])
@pytest.mark.parametrize("sends_s", [0.5, 3.0, 6.0, 8.1, 9.0, 9.8])
def test_a_slow_sender_that_keeps_its_time_is_read_in_time(pace_s: float, sends_s: float) -> None:
    """A rest ends before the time for the whole does; at no pace are there many reads."""
    found = reads(pace_s, sends_s)
    assert sends_s <= found[-1] < LIMIT_S
    assert len(found) <= FREE + 12


def test_what_is_thrown_away_is_gathered_too() -> None:
    """Behind a refusal nothing is read for a while after a few bytes, and then in a turn; more come in turns anyway."""
    taken: list[str] = []

    class Counting(Turns):
        """Turns that are there, and counted."""

        def take(self, owner: str, taker: TurnTaker, turns: int = 1) -> bool:
            """Always one."""
            taken.append(owner)
            return True

    async def run(part: bytes) -> tuple[bool, int]:
        taken.clear()
        start = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 999999999\r\n\r\n"
        found = await talk([start, part], Echo(early=True), turns=Counting(), first_rest_s=60.0)
        assert found.statuses == [401]
        return found.pipe.paused, len(taken)

    assert asyncio.run(run(b"x")) == (True, 1)
    assert asyncio.run(run(b"x" * LARGE_BYTES)) == (False, 2)
