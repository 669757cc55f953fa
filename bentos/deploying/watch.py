"""Judging a slot by what clients see: shadow traffic before the switch, live traffic after it."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from pydantic import BaseModel, ConfigDict

from bentos.deploying.probe import Prober
from bentos.deploying.proxy import LoggedRequest

ODD_MIN: Final = 3
"""One odd answer in a few, an error or a slow one, is chance (a disk busy elsewhere); three above what is allowed are
not."""
SLICE_MIN: Final = 20
"""Fewer scores than this tell nothing about a 99th percentile, unless most of them are slow."""


def p99(times_ms: Sequence[float]) -> float:
    """The 99th percentile in milliseconds (nearest rank), 0 of none."""
    if not times_ms:
        return 0.0
    return sorted(times_ms)[max(0, -(-len(times_ms) * 99 // 100) - 1)]


class WatchLimits(BaseModel):
    """The limits that take a slot back: a share of 5xx, or two slices in a row above `p99_ms`."""

    model_config = ConfigDict(frozen=True)

    error_share: float
    p99_ms: float
    slice_s: float


class WatchVerdict:
    """Collects what the proxy saw of a slot and says as soon as it is bad."""

    def __init__(self, limits: WatchLimits, start: float) -> None:
        self._limits = limits
        self._slice_end = start + limits.slice_s
        self._slice: list[float] = []
        self._slow = 0
        self.requests = 0
        self.errors = 0
        self.times: list[float] = []

    def add(self, request: LoggedRequest) -> None:
        """Take one request into account."""
        self.requests += 1
        self.errors += request.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        if (elapsed := request.score_ms) is not None:
            self._took(elapsed)

    def note(self, elapsed_ms: float) -> None:
        """Take an answered score into account that the watch asked for itself."""
        self.requests += 1
        self._took(elapsed_ms)

    def _took(self, elapsed_ms: float) -> None:
        self._slice.append(elapsed_ms)
        self.times.append(elapsed_ms)

    def fault(self, now: float) -> str:
        """Why the slot is bad; empty while it is not."""
        share = self.errors / self.requests if self.requests else 0.0
        if self.errors >= ODD_MIN and share > self._limits.error_share:
            return f"{self.errors} of {self.requests} requests were answered with 5xx"
        if now < self._slice_end:
            return ""
        slice_p99, above = p99(self._slice), sum(elapsed > self._limits.p99_ms for elapsed in self._slice)
        count = len(self._slice)
        slow = above >= ODD_MIN and (count < 2 * above or count >= SLICE_MIN and slice_p99 > self._limits.p99_ms)
        self._slice, self._slice_end = [], now + self._limits.slice_s
        self._slow = self._slow + 1 if slow else 0
        if self._slow > 1:
            return f"p99 is {slice_p99:.0f} ms, at most {self._limits.p99_ms:.0f} ms are allowed"
        return ""


class ShadowComparison(BaseModel):
    """p99 in milliseconds of the same requests to both slots; `old_ms` is 0 where there was no old one."""

    model_config = ConfigDict(frozen=True)

    requests: int
    new_ms: float
    old_ms: float


def shadow(new: Prober, old: Prober | None, requests: int) -> ShadowComparison:
    """Both slots asked the same in turn, so that a busy machine is unfair to neither.

    Raises:
        SmokeFailed: the new slot fails or scores otherwise than it must.
    """
    fresh, current = [], []
    for _ in range(requests):
        fresh.append(new.ask())
        if old is not None:
            current.append(old.ask(check=False))
    return ShadowComparison(requests=requests, new_ms=round(p99(fresh), 2), old_ms=round(p99(current), 2))
