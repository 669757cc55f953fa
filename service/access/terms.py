"""The terms of a token bucket: its rate, its burst and its daily quota."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """The limits of a key: `rate` tokens a second up to `burst` at once, and `daily` a UTC day."""

    rate: float
    burst: int
    daily: int
