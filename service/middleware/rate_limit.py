"""Spends a key's tokens and bounds what runs at once: the last gate before work is done."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from service.access.keystore import ApiKey
from service.access.limit_headers import limit_headers
from service.access.token_bucket import BURST, Limiter, RateDecision
from service.errors import ProblemError
from service.problems import OVERLOADED, QUOTA, Problem
from service.web.exchange import Call


@dataclass(slots=True)
class Throttle:
    """Charges requests and counts those in flight in this worker.

    A request counts as in flight when its body is there, so slow senders hold no place; whether there is one is asked
    before (`look`).
    """

    limiter: Limiter
    max_in_flight: int
    max_in_flight_per_key: int
    in_flight: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    _in_flight_of: dict[str, int] = field(default_factory=dict)

    async def charge(self, call: Call, cost: int, *, leaves: int = 0) -> None:
        """Take `cost` tokens of the caller's key, if so many are left behind; 0 only asks whether one is left.

        Raises:
            ProblemError: 429, telling when to come back; nothing was taken.
        """
        key = call.owner
        decision = await self.limiter.take(key, cost + leaves)
        if leaves and decision.allowed:
            decision = await self.limiter.take(key, -leaves)
        call.limits = limit_headers(key, decision)
        if decision.allowed:
            call.tokens += cost
            self.decisions["admitted"] += 1
            return
        self.decisions[decision.violated or BURST] += 1
        raise ProblemError(_refusal(key, decision, cost))

    async def tell(self, call: Call) -> None:
        """Note what the caller has left, for an answer that costs nothing."""
        call.limits = limit_headers(call.owner, await self.limiter.take(call.owner, 0))

    async def refund(self, call: Call, cost: int) -> None:
        """Give tokens back that paid for an answer we failed to give."""
        call.tokens -= cost
        call.limits = limit_headers(call.owner, await self.limiter.take(call.owner, -cost))

    def look(self, call: Call) -> None:
        """Ask whether there is a place.

        Raises:
            ProblemError: 503 when the worker is full, 429 when this partner's keys fill too much of it.
        """
        name = call.owner.account
        if self.in_flight >= self.max_in_flight:
            self.decisions["shed"] += 1
            raise ProblemError(OVERLOADED)
        count = self._in_flight_of.get(name, 0)
        if count >= self.max_in_flight_per_key:
            self.decisions["in-flight"] += 1
            detail = f"At most {self.max_in_flight_per_key} requests of a partner are answered at once"
            extra = {"violated-policies": ["in-flight"]}
            raise ProblemError(replace(QUOTA, detail=detail, extra=extra, headers=((b"retry-after", b"1"),)))

    def enter(self, call: Call) -> None:
        """Count a request in.

        Raises:
            ProblemError: as `look`.
        """
        self.look(call)
        name = call.owner.account
        self.in_flight += 1
        self._in_flight_of[name] = self._in_flight_of.get(name, 0) + 1

    def leave(self, call: Call) -> None:
        """Count a request out."""
        name = call.owner.account
        self.in_flight -= 1
        count = self._in_flight_of[name] - 1
        if count:
            self._in_flight_of[name] = count
        else:
            del self._in_flight_of[name]


def _refusal(key: ApiKey, decision: RateDecision, cost: int) -> Problem:
    most = key.burst if decision.violated == BURST else key.daily
    if decision.retry_after_s is None:
        detail = f"This request costs {cost} tokens and the key never holds more than {most}: send fewer rows at once"
    else:
        detail = f"The {decision.violated} limit is used up; try again in {decision.retry_after_s} s"
    return replace(QUOTA, detail=detail, extra={"violated-policies": [decision.violated]})
