"""Deadlines of connections: one sweep a second watches all that owe something, so a request costs no timer."""

from __future__ import annotations

import asyncio
import time
from math import inf
from typing import Final, Generic, Protocol, TypeVar

_SWEEP_S: Final = 1.0


class TimedConnection(Protocol):
    """A connection that can have a deadline."""

    def overdue(self) -> None:
        """The time is over."""

    def evict(self) -> None:
        """Its place is needed."""


Timed = TypeVar("Timed", bound=TimedConnection)


class Deadlines(Generic[Timed]):
    """The deadlines of connections, the longest waiting first."""

    def __init__(self) -> None:
        self._until: dict[Timed, float] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    def arm(self, connection: Timed, seconds: float) -> None:
        """From now on it has so many seconds, whatever it had before."""
        self._until.pop(connection, None)
        self._until[connection] = time.monotonic() + seconds
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)

    def disarm(self, connection: Timed) -> None:
        """End the connection's deadline."""
        self._until.pop(connection, None)

    def oldest(self) -> Timed | None:
        """The connection whose deadline has run for longest."""
        return next(iter(self._until), None)

    def left_s(self, connection: Timed) -> float:
        """Seconds until the connection's deadline; without end where none is running."""
        return self._until.get(connection, inf) - time.monotonic()

    def __contains__(self, connection: Timed) -> bool:
        """True if a deadline is running for the connection."""
        return connection in self._until

    def _sweep(self) -> None:
        now = time.monotonic()
        for connection in [one for one, until in self._until.items() if until < now]:
            del self._until[connection]
            connection.overdue()
        self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep) if self._until else None
