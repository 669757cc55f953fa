"""Buckets in Redis: exact over several hosts. The same arithmetic as `token_bucket`, as one atomic Lua script.

When Redis does not answer, the burst is still held by this host's shared memory and the daily quota fails open with an
alarm (`qf_limiter_remote_failures_total`, by reason): refusing every partner because a counter is away would be worse.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from redis import exceptions
from redis.asyncio import Redis

from service.access.keystore import ApiKey
from service.access.shared_limits import Clock
from service.access.token_bucket import BucketState, Limiter, RateDecision, Terms, describe, of_both
from service.errors import Misconfigured, in_one_line

_SCRIPT: Final = """
local rate, burst, daily, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local now, wall
if ARGV[5] == '' then
  local t = redis.call('TIME')
  now = tonumber(t[1]) + tonumber(t[2]) / 1e6
  wall = now
else
  now, wall = tonumber(ARGV[5]), tonumber(ARGV[6])
end
local s = redis.call('HMGET', KEYS[1], 't', 'a', 'd', 'u')
local tokens, at = tonumber(s[1]) or burst, tonumber(s[2]) or now
local today, used = tonumber(s[3]) or 0, tonumber(s[4]) or 0
if now > at then tokens = tokens + (now - at) * rate elseif at - now < 60 then now = at end
if tokens > burst then tokens = burst end
local day = math.floor(wall / 86400)
if day > today or today - day > 1 then today = day; used = 0 end
local needed = cost
if needed == 0 then needed = 1 end
local violated = ''
if cost < 0 then
  tokens = math.min(burst, tokens - cost)
  used = math.max(0, used + cost)
elseif used + needed > daily then violated = 'daily'
elseif tokens < needed then violated = 'burst'
else tokens = tokens - cost; used = used + cost end
redis.call('HSET', KEYS[1], 't', string.format('%.17g', tokens), 'a', string.format('%.17g', now), 'd', today, 'u',
used) redis.call('EXPIRE', KEYS[1], 172800)
return {violated, string.format('%.17g', tokens), used, string.format('%.17g', wall)}
"""
# A clock of Redis that steps back a little counts no time twice; after a minute or more time goes on from there.
_PREFIX: Final = "qf:limit:"
_log = logging.getLogger("service.limits")

SETTING: Final = "QF_REDIS_URL"
ANSWER_S: Final = 0.25
"""Seconds that Redis may take to be reached and to answer, since a request waits for it."""
PAUSE_S: Final = 1.0
"""Seconds in which no request waits for Redis after it was too slow once."""


class Failure(NamedTuple):
    """A way in which Redis fails: the label it is counted under, and what an operator reads."""

    reason: str
    text: str


OTHER: Final = Failure("other", "it refused the command")
TOO_SLOW: Final = Failure("timeout", f"it takes longer than {ANSWER_S} s")
FAILURES: Final[dict[type[exceptions.RedisError], Failure]] = {
    exceptions.BusyLoadingError: Failure("loading", "it is starting and reads its data"),
    exceptions.AuthenticationError: Failure("login", f"it refuses the user or password of {SETTING}"),
    exceptions.AuthenticationWrongNumberOfArgsError: Failure("login", f"it refuses the user or password of {SETTING}"),
    exceptions.NoPermissionError: Failure("login", f"it refuses the user or password of {SETTING}"),
    exceptions.ReadOnlyError: Failure("read-only", "it is a replica, which takes no writes"),
    exceptions.OutOfMemoryError: Failure("full", "its memory is full"),
    exceptions.InvalidResponse: Failure("no-redis", "what listens there is no Redis"),
    exceptions.TimeoutError: TOO_SLOW,
    exceptions.ConnectionError: Failure("unreachable", "it cannot be reached"),
    exceptions.RedisError: OTHER,
}
"""The narrower kind stands first."""


def failure_of(error: exceptions.RedisError) -> Failure:
    """The reason that an error of Redis' client stands for."""
    return next((failure for kind, failure in FAILURES.items() if isinstance(error, kind)), OTHER)


def redis_at(url: str) -> Redis:
    """A client that makes its connections when they are needed.

    Raises:
        Misconfigured: the address is none of Redis.
    """
    try:
        redis: Redis = Redis.from_url(url, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S)
        pool: Any = redis.connection_pool
        pool.make_connection()  # options of the address are looked at here
    except (ValueError, TypeError):  # whose text may have the password
        raise Misconfigured(f"{SETTING}: is no address such as redis://:password@host:6379/0") from None
    return redis


class RemoteLimiter:
    """Limits of keys over several hosts. Implements `token_bucket.Limiter`."""

    def __init__(
        self,
        redis: Redis,
        fallback: Limiter,
        *,
        clock: Clock | None = None,
        wall: Clock = time.time,
        on_failure: Callable[[str], None] = lambda reason: None,
    ) -> None:
        # register_script falls back to EVAL by itself after a Redis restart (NOSCRIPT).
        self._script = redis.register_script(_SCRIPT)
        self._fallback = fallback
        self._clock = clock  # None: Redis' own clock, the only one all hosts share
        self._wall = wall
        self._on_failure = on_failure
        self._failure: Failure | None = None
        self._asked_from = 0.0

    async def take(self, key: ApiKey, cost: int) -> RateDecision:
        """Take tokens of the key's account, and of the key where its own limits are narrower; or none."""
        if self._failure is not None and time.monotonic() < self._asked_from:
            self._on_failure(self._failure.reason)
            return await self._fallback.take(key, cost)
        try:
            if key.account_terms is None:
                decision = await self._of(key.account, key, cost)
            else:
                decision = await of_both(self._of, key, key.account_terms, cost)
        except exceptions.RedisError as error:
            self._failed(failure_of(error), error)
            return await self._fallback.take(key, cost)
        if self._failure is not None:
            _log.warning("redis answers again: limits hold over all hosts")
            self._failure = None
        return decision

    def _failed(self, failure: Failure, error: exceptions.RedisError) -> None:
        self._on_failure(failure.reason)
        if failure == TOO_SLOW:
            self._asked_from = time.monotonic() + PAUSE_S
        if failure != self._failure:
            _log.error("redis: %s (%s): limits hold per host until it answers", failure.text, in_one_line(error))
            self._failure = failure

    async def _of(self, name: str, terms: Terms, cost: int) -> RateDecision:
        moment: list[Any] = ["", ""] if self._clock is None else [repr(self._clock()), repr(self._wall())]
        arguments = [repr(terms.rate), terms.burst, terms.daily, cost, *moment]
        violated, tokens, used, wall = await self._script(keys=[_PREFIX + name], args=arguments)
        state = BucketState(float(tokens), 0.0, 0, int(used))
        return describe(state, terms, cost or 1, violated.decode() or None, float(wall))
