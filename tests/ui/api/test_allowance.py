"""One visitor's share of the page's key."""

from __future__ import annotations

import pytest

from ui.api.allowance import Allowance
from ui.api.errors import LimitReached


class Clock:
    """Seconds that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_visitor_waits_and_no_other_does() -> None:
    """What one has used up is that one's to wait for; it comes back steadily."""
    clock = Clock()
    allowance = Allowance(60, clock)
    allowance.spend("ana", 60)
    with pytest.raises(LimitReached) as refused:
        allowance.spend("ana", 1)
    assert refused.value.retry_after_s == pytest.approx(1.0)
    allowance.spend("rui", 60)
    clock.now += 1.0
    allowance.spend("ana", 1)


def test_a_large_part_is_let_through_and_waited_for() -> None:
    """A request larger than the bucket passes while anything is left, and its debt is waited for."""
    clock = Clock()
    allowance = Allowance(60, clock)
    allowance.spend("ana", 600)
    clock.now += 540
    with pytest.raises(LimitReached):
        allowance.spend("ana", 1)
    clock.now += 2
    allowance.spend("ana", 1)


def test_without_a_bound_nobody_waits() -> None:
    """0 sets no bound."""
    for _ in range(3):
        Allowance(0).spend("ana", 10_000)
