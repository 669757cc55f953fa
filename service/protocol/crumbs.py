"""Reads of a few bytes, each of which costs as much as one of thousands: how long a request's next one has to wait.

The first are free, since honest senders write a head in pieces. After them each waits twice as long as the one before,
so that a request has few of them however its sender spreads them over the time it has, and waits for what it has sent
no longer than it took to send it.
"""

from __future__ import annotations

from typing import Final

CRUMB_BYTES: Final = 512
"""Fewer in one read are a crumb."""
FREE: Final = 8
"""Crumbs of a request before the others have to gather."""
FIRST_REST_S: Final = 0.02
_LONGEST: Final = 128  # times the first: well below the time that a head or a body has
_MARGIN_S: Final = 0.1


class Crumbs:
    """Those of the request that is coming."""

    __slots__ = ("_count", "_first_rest_s", "_rest_s")

    def __init__(self, first_rest_s: float = FIRST_REST_S) -> None:
        self._count, self._rest_s, self._first_rest_s = 0, first_rest_s, first_rest_s

    def begin(self) -> None:
        """The next request's are to be counted."""
        self._count, self._rest_s = 0, self._first_rest_s

    def rest(self, left_s: float) -> float:
        """Count one; for how long nothing is read behind it, of the time that is left: shortly before its end what has
        come by then is read."""
        self._count += 1
        if self._count <= FREE:
            return 0.0
        rest, self._rest_s = self._rest_s, min(2 * self._rest_s, _LONGEST * self._first_rest_s)
        return min(rest, left_s - _MARGIN_S) if left_s > _MARGIN_S else rest
