"""What is not paid for takes its turn: so many turns a second, and between their owners one after the other.

A refusal, a free page, each large piece of a refused body and crumbs of any cost processor time and no token. Answered
as fast as they come they leave nothing of a worker for those who pay. Who asks for few has his turn at once, whoever
asks for many: every owner (a partner, or an address without a key) has an allowance and a line of his own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

_TURN_S: Final = 0.001  # one costs about a tenth of it; what costs more takes several
_SAVED_TURNS: Final = 4  # that were not taken, or came late
_LENT_TURNS: Final = 8  # before their time, to those who asked for few
_OWNERS: Final = 4096  # whose allowance is remembered


class TurnTaker(Protocol):
    """A caller that may have to wait for its turn."""

    def go_on(self) -> None:
        """Its turn has come."""


class Turns:
    """The turns of a worker; each connection waits for one at a time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lines: dict[str, dict[TurnTaker, None]] = {}
        self._owners: dict[TurnTaker, str] = {}
        self._sizes: dict[TurnTaker, int] = {}  # of those who wait for more than one
        self._next = 0.0  # when one is free
        self._next_of: dict[str, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def take(self, owner: str, taker: TurnTaker, turns: int = 1) -> bool:
        """True if there is a turn at once; else `taker` is told when it comes. It may take the time of several."""
        now = self._clock()
        if (
            owner not in self._lines
            and self._next_of.get(owner, 0.0) <= now
            and self._next <= now + _LENT_TURNS * _TURN_S
        ):
            self._count(owner, now, turns)
            return True
        if self._owners.get(taker, owner) != owner:  # it waited as somebody else
            self.leave(taker)
        self._lines.setdefault(owner, {})[taker] = None
        self._owners[taker] = owner
        if turns > 1:
            self._sizes[taker] = turns
        self._wake()
        return False

    def leave(self, taker: TurnTaker) -> None:
        """Take the caller out of the queue."""
        owner = self._owners.pop(taker, None)
        self._sizes.pop(taker, None)
        if owner is not None:
            del self._lines[owner][taker]
            if not self._lines[owner]:
                del self._lines[owner]

    def __contains__(self, taker: TurnTaker) -> bool:
        """True if the taker waits for its turn."""
        return taker in self._owners

    def _count(self, owner: str, now: float, turns: int) -> None:
        if len(self._next_of) >= _OWNERS:
            self._next_of.clear()
        self._next = _following(self._next, now, turns)
        self._next_of[owner] = _following(self._next_of.get(owner, 0.0), now, turns)

    def _wake(self) -> None:
        if self._timer is None and self._lines:
            self._timer = asyncio.get_running_loop().call_later(_TURN_S, self._give)

    def _give(self) -> None:
        self._timer = None
        now = self._clock()
        while self._lines and self._next <= now:
            owner = next(iter(self._lines))
            line = self._lines.pop(owner)
            taker = next(iter(line))
            del line[taker], self._owners[taker]
            if line:
                self._lines[owner] = line  # behind all others
            self._count(owner, now, self._sizes.pop(taker, 1))
            taker.go_on()
        self._wake()


def _following(turn: float, now: float, turns: int) -> float:
    """The time at which the turn after these is free."""
    return max(turn, now - _SAVED_TURNS * _TURN_S) + turns * _TURN_S
