"""What the API says of its limits, read from the headers of every answer (IETF draft "RateLimit header fields").

`RateLimit-Policy: "burst";q=100;w=60, "daily";q=10000;w=86400` and `RateLimit: "burst";r=50;t=30, ...`: of quota `q`
tokens a window of `w` seconds, `r` are left, and `t` seconds pass until the window is whole again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_ITEM: Final = re.compile(r'"?([A-Za-z0-9_.-]+)"?((?:\s*;\s*[a-z]+=[^;,]*)+)')
_PARAMETER: Final = re.compile(r";\s*([a-z]+)=\s*\"?(\d+(?:\.\d+)?)")

_LONG_WINDOW_S: Final = 3600


@dataclass(frozen=True)
class Limit:
    """One limit of the key: tokens left, tokens in all, seconds of its window and until it is whole again."""

    name: str
    remaining: float
    quota: float
    window_s: float
    reset_s: float

    @property
    def rate(self) -> float:
        """Tokens that come back in a second; 0 where the API did not say."""
        return self.quota / self.window_s if self.quota and self.window_s else 0.0


def read_limits(headers: Mapping[str, str]) -> tuple[Limit, ...]:
    """The limits in an answer's headers; empty where there are none, never an error."""
    policies = _items(headers.get("ratelimit-policy", ""))
    return tuple(
        Limit(
            name=name,
            remaining=values["r"],
            quota=policies.get(name, {}).get("q", 0.0),
            window_s=policies.get(name, {}).get("w", 0.0),
            reset_s=values.get("t", 0.0),
        )
        for name, values in _items(headers.get("ratelimit", "")).items()
        if "r" in values
    )


def wait_for(tokens: int, limits: tuple[Limit, ...]) -> float:
    """Seconds until each limit has `tokens` again; 0 where it has them, or could never have."""
    waits = [0.0]
    for limit in limits:
        lacking = tokens - limit.remaining
        if lacking > 0:
            # A short window refills steadily, a long one (the daily quota) all at once.
            steady = limit.rate > 0 and limit.window_s <= _LONG_WINDOW_S
            waits.append(min(lacking / limit.rate, limit.reset_s or math.inf) if steady else limit.reset_s)
    return max(waits)


def largest_batch(limits: tuple[Limit, ...], most: int) -> int:
    """The most rows that one request may ever hold under these limits: a batch costs one token a row."""
    return max(1, int(min([most, *(limit.quota for limit in limits if limit.quota)])))


def _items(header: str) -> dict[str, dict[str, float]]:
    return {
        match.group(1): {name: float(value) for name, value in _PARAMETER.findall(match.group(2))}
        for match in _ITEM.finditer(header)
    }
