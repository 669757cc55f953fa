"""Nobody approves their own model; an override is complete or refused."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from flows.review.release_evidence import Result
from flows.review.signatures import override_check, people_check


@pytest.mark.parametrize(
    ("trainer", "reviewer", "expected"),
    [
        ("ana", "bruno", Result.PASSED),
        ("ana", " ANA ", Result.FAILED),
        ("", "bruno", Result.FAILED),
        ("ana", "", Result.FAILED),
    ],
)
def test_nobody_approves_their_own_model(trainer: str, reviewer: str, expected: Result) -> None:
    """Case and blanks make no second person, and an unknown trainer is not someone else."""
    assert people_check(trainer, reviewer).result is expected


TODAY = date(2026, 11, 23)
COMPLETE: dict[str, Any] = {"reason": "sample data", "expires": date(2026, 12, 31), "second": "carla"}


@pytest.mark.parametrize(
    ("changes", "lacking"),
    [
        ({"reason": "  "}, "a reason"),
        ({"expires": None}, "an expiry"),
        ({"expires": TODAY}, "an expiry"),
        ({"second": ""}, "a second name"),
        ({"second": " Bruno"}, "a second name"),
        ({"second": "ANA"}, "a second name"),
    ],
)
def test_an_incomplete_override_fails(changes: dict[str, Any], lacking: str) -> None:
    """A reason, an expiry to come, and a second person besides trainer and reviewer."""
    check = override_check(**COMPLETE | changes, others=("ana", "bruno"), today=TODAY)
    assert check.result is Result.FAILED and lacking in check.explanation


def test_a_complete_override_stays_visible() -> None:
    """It never turns into a pass."""
    check = override_check(**COMPLETE, others=("ana", "bruno"), today=TODAY)
    assert check.result is Result.NEEDS_REVIEW and "2026-12-31" in check.explanation
