"""What callers do not read is bounded: who has not read for longest goes, of whoever leaves the most."""

from __future__ import annotations

import asyncio
from typing import Any

from service.protocol.connection_limits import ConnectionLimits
from service.protocol.unread import UnreadAnswers
from tests.service.protocol.talk import Echo
from tests.service.protocol.test_connection_limits import SCORE, opening, said


class Reader:
    """A connection that notes how it ends."""

    def __init__(self) -> None:
        self.gone = False

    def evict(self) -> None:
        """What waits for it is given up."""
        self.gone = True


def _readers(count: int) -> list[Reader]:
    return [Reader() for _ in range(count)]


def test_of_one_caller_the_longest_waiting_goes() -> None:
    """Others are not touched; who reads again is counted no more."""
    unread, (first, second, third, other) = UnreadAnswers(100, 20), _readers(4)
    for reader, owner in ((other, "b"), (first, "a"), (second, "a")):
        unread.hold(reader, owner, 10)
    unread.let_go(first)
    unread.hold(first, "a", 10)
    assert not (first.gone or second.gone)
    unread.hold(third, "a", 10)
    assert [one.gone for one in (first, second, third, other)] == [False, True, False, False]


def test_in_total_who_leaves_the_most_loses() -> None:
    """A caller with little keeps it, though he came first."""
    unread, readers = UnreadAnswers(50, 40), _readers(5)
    unread.hold(readers[0], "small", 5)
    for reader in readers[1:4]:
        unread.hold(reader, "large", 12)
    unread.hold(readers[4], "other", 12)
    assert [one.gone for one in readers] == [False, True, False, False, False]


def test_a_connection_whose_answer_is_not_read_gives_way() -> None:
    """To the same caller's next, when too much waits; one that was read is kept."""

    async def work() -> None:
        connections = ConnectionLimits()
        connections.unread = UnreadAnswers(100, 15)
        connect = opening(connections, Echo())
        read, first, second = connect(), connect(), connect()
        for one in (read, first, second):
            assert await said(one, SCORE)
            _stop_reading(one.pipe)
            one.connection.pause_writing()
            if one is read:
                one.connection.resume_writing()
        assert [one.pipe.closed for one in (read, first, second)] == [False, True, False]
        second.connection.connection_lost(None)
        assert not connections.unread._of_owner  # pylint: disable=protected-access

    def _stop_reading(pipe: Any) -> None:
        pipe.get_write_buffer_size = lambda: 10

    asyncio.run(work())
