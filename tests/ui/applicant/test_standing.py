"""Where a score stands among the reference customers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ui.applicant.standing import share_below

KNOWN: dict[str, Any] = {"distributions": {"score": {"edges": [250.0, 500.0], "shares": [0.5, 0.25, 0.25]}}}


@pytest.mark.parametrize(("score", "share"), [(0, 0.0), (125, 0.25), (250, 0.5), (500, 0.75), (1000, 1.0)])
def test_the_share_below(score: float, share: float) -> None:
    """Whole bins below, and the part of its own."""
    assert share_below(score, KNOWN) == pytest.approx(share)


@given(st.floats(0, 999), st.floats(0, 1))
def test_a_higher_score_stands_no_lower(score: float, more: float) -> None:
    """The share never falls as the score rises."""
    low, high = share_below(score, KNOWN), share_below(score + more, KNOWN)
    assert low is not None and high is not None and low <= high


@pytest.mark.parametrize(
    "manifest", [{}, {"distributions": {}}, {"distributions": {"score": {"edges": [1], "shares": [1]}}}]
)
def test_unknown_stays_unknown(manifest: dict[str, Any]) -> None:
    """Without a distribution there is no share."""
    assert share_below(500, manifest) is None
