"""The arithmetic of throttling: a token bucket and a daily quota, checked and taken in one step.

Pure: time comes in as numbers. The bucket refills by the monotonic clock, which no clock change moves; the quota counts
UTC days by the wall clock. Whoever stores the state makes the step atomic (`shared_limits`, `redis_limits`).
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from service.access.keystore import ApiKey
from service.access.terms import Policy

DAY_S: Final = 86_400
BURST: Final = "burst"
DAILY: Final = "daily"
__all__ = [
    "BURST",
    "DAILY",
    "DAY_S",
    "BucketState",
    "Limiter",
    "Policy",
    "RateDecision",
    "Terms",
    "describe",
    "of_both",
    "take",
]


Terms = Policy | ApiKey
"""Decides which policy a bucket follows: a key holds its own."""


@dataclass(slots=True)
class BucketState:
    """A bucket's state: `tokens` at monotonic second `at`; `used` of the quota of UTC day number `day`."""

    tokens: float
    at: float
    day: int
    used: int


class RateDecision(NamedTuple):
    """The limiter's decision on one request, and the figures that its caller is told.

    `retry_after_s` is None where waiting cannot help: the request costs more than the policy ever holds.
    """

    allowed: bool
    violated: str | None
    remaining: int
    reset_s: int
    daily_remaining: int
    daily_reset_s: int
    retry_after_s: int | None = 0


class Limiter(Protocol):
    """A store of buckets that many requests, workers or hosts share."""

    async def take(self, key: ApiKey, cost: int) -> RateDecision:
        """Take `cost` tokens of a key, or none.

        A cost of 0 takes nothing and is refused where 1 would be; a negative cost gives back.
        """


async def of_both(
    bucket: Callable[[str, Terms, int], Awaitable[RateDecision]], key: ApiKey, terms: Policy, cost: int
) -> RateDecision:
    """Take from a key's own bucket and from its account's, which has wider `terms`; from both or from neither."""
    own = await bucket(key.id, key, cost)
    if not own.allowed:
        return own
    shared = await bucket(key.account, terms, cost)
    if not shared.allowed:
        await bucket(key.id, key, -cost)
        return shared
    return min(own, shared, key=lambda decision: decision.remaining)


def take(state: BucketState, policy: Terms, cost: int, now: float, wall: float) -> RateDecision:
    """Take `cost` tokens if both bucket and quota have them, changing `state`; otherwise change nothing but time.

    `now` in monotonic seconds, `wall` in seconds since 1970.
    """
    refill(state, policy, now)
    day = int(wall // DAY_S)
    # A clock set back by a day or less keeps the later day, so that no quota is given twice.
    if day > state.day or state.day - day > 1:
        state.day, state.used = day, 0
    tokens = cost or 1
    violated = None
    if cost < 0:  # given back
        state.tokens = min(float(policy.burst), state.tokens - cost)
        state.used = max(0, state.used + cost)
    elif state.used + tokens > policy.daily:
        violated = DAILY
    elif state.tokens < tokens:
        violated = BURST
    else:
        state.tokens -= cost
        state.used += cost
    return describe(state, policy, tokens, violated, wall)


def refill(state: BucketState, policy: Terms, now: float) -> None:
    """Let time pass, which never goes back: a moment that was counted already brings no token a second time."""
    passed = max(0.0, now - state.at)
    state.tokens = min(float(policy.burst), state.tokens + passed * policy.rate)
    state.at += passed


def describe(state: BucketState, policy: Terms, tokens: int, violated: str | None, wall: float) -> RateDecision:
    """The decision in whole tokens and seconds, rounded so that who obeys it is admitted."""
    daily_reset = DAY_S - int(wall % DAY_S)
    retry: int | None = 0
    reset = math.ceil((policy.burst - state.tokens) / policy.rate)
    if violated == BURST:
        retry = math.ceil((tokens - state.tokens) / policy.rate) if tokens <= policy.burst else None
        reset = max(1, reset if retry is None else retry)
    elif violated == DAILY:
        retry = daily_reset if tokens <= policy.daily else None
    return RateDecision(
        violated is None,
        violated,
        max(0, int(state.tokens)),
        reset,
        max(0, policy.daily - state.used),
        daily_reset,
        max(1, retry) if violated and retry is not None else retry,
    )
