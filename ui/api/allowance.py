"""What one visitor may spend of the page's key, so that nobody's batch leaves all other visitors waiting.

A bucket of a minute's tokens that refills steadily. A request larger than what is left is let through while anything is
left, and the debt is waited for: a batch goes on at the visitor's own pace.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from ui.api.errors import LimitReached

_MINUTE_S: Final = 60.0
_VISITORS_KEPT: Final = 10_000


class Allowance:
    """The visitors' buckets of one process. `a_minute` of 0 sets no bound."""

    def __init__(self, a_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._a_minute = a_minute
        self._clock = clock
        self._lock = threading.Lock()
        self._balances: dict[str, tuple[float, float]] = {}  # by visitor: tokens, and when they were so many

    def spend(self, visitor: str, tokens: int) -> None:
        """Takes the tokens, or `LimitReached` with how long it takes until there is one again."""
        if not self._a_minute:
            return
        with self._lock:
            now = self._clock()
            previous, since = self._balances.pop(visitor, (self._a_minute, now))
            balance = min(self._a_minute, previous + (now - since) * self._a_minute / _MINUTE_S)
            enough = balance >= 1
            self._balances[visitor] = (balance - tokens if enough else balance, now)
            while len(self._balances) > _VISITORS_KEPT:
                self._balances.pop(next(iter(self._balances)))
        if not enough:
            raise LimitReached(status=429, retry_after_s=(1 - balance) * _MINUTE_S / self._a_minute)
