"""All connections of a worker: how many there may be, who goes when there are too many, and what is owed by when."""

from __future__ import annotations

from typing import Final, Protocol

from service.protocol.deadlines import Deadlines, TimedConnection
from service.protocol.turns import Turns, TurnTaker
from service.protocol.unread import UnreadAnswers

_SPARE_HEAD_S: Final = 2.0


class LimitedConnection(TimedConnection, TurnTaker, Protocol):
    """A connection that may owe something, and may have to wait."""


class ConnectionLimits:
    """Counts connections in.

    At the most of them a new one takes the place of the one that has owed something for longest: an idle one, or one
    that sends its head byte by byte. If none owes anything, a reserve is left, in which health and metrics alone are
    answered, so that a crowd of callers never looks like a dead worker.
    """

    def __init__(
        self,
        most: int = 4096,
        reserve: int = 64,
        header_timeout_s: float = 10.0,
        body_timeout_s: float = 10.0,
        *,
        turns: Turns | None = None,
    ) -> None:
        self.deadlines: Deadlines[LimitedConnection] = Deadlines()
        self.turns = turns or Turns()
        self.unread = UnreadAnswers()
        self.header_timeout_s, self.body_timeout_s = header_timeout_s, body_timeout_s
        self._most = most
        self._reserve = reserve
        self._regular: set[LimitedConnection] = set()
        self._spare: set[LimitedConnection] = set()

    def enter(self, connection: LimitedConnection) -> float:
        """Count a connection in; the seconds it has for its first head, 0 if there is no place for it."""
        if len(self._regular) >= self._most:
            self._give_place()
        if len(self._regular) < self._most:
            self._regular.add(connection)
            return self.header_timeout_s
        if len(self._spare) < self._reserve:
            self._spare.add(connection)
            return _SPARE_HEAD_S
        return 0.0

    def leave(self, connection: LimitedConnection) -> None:
        """Count it out."""
        self._regular.discard(connection)
        self._spare.discard(connection)
        self.deadlines.disarm(connection)
        self.turns.leave(connection)
        self.unread.let_go(connection)

    def is_spare(self, connection: LimitedConnection) -> bool:
        """True if the connection is one of the reserved ones."""
        return bool(self._spare) and connection in self._spare

    def _give_place(self) -> None:
        oldest = self.deadlines.oldest()
        if oldest is not None:
            self.leave(oldest)
            oldest.evict()
