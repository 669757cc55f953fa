"""Perturbation reports say what a known scoring rule does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flows.review import stability
from flows.review.stability import ExpectedDirection
from service.score.features import FEATURE_NAMES, matrix
from tests.factories import applicant_columns

RATE = FEATURE_NAMES.index("interest_rate")


@pytest.fixture(name="people", scope="module")
def _people() -> dict[str, Any]:
    return applicant_columns(400)[0]


def falling(features: np.ndarray) -> np.ndarray:
    """Ten points less for each point of interest."""
    return (900 - 10 * features[:, RATE]).clip(0, 1000).astype(np.int64)


@pytest.mark.parametrize(("sign", "wrong"), [(-1, 0.0), (1, 1.0)])
def test_the_declared_direction_is_measured(people: dict[str, Any], sign: int, wrong: float) -> None:
    """Thirty points down are right where down was declared, and wrong in all pairs where up was."""
    report = stability.directions(falling, people, (ExpectedDirection("interest_rate", sign, 3.0),))[0]
    assert (report.pairs, report.wrong_share) == (400, wrong)
    assert report.mean_reversal == pytest.approx(30.0 * wrong)


def test_unknown_values_are_no_pairs(people: dict[str, Any]) -> None:
    """A field that was not told cannot be moved."""
    report = stability.directions(
        falling, people, (ExpectedDirection("monthly_inhand_salary", 1, 0.1, relative=True),)
    )[0]
    assert report.pairs == np.isfinite(people["monthly_inhand_salary"]).sum() < 400


def test_noise_moves_amounts_by_about_a_hundredth(people: dict[str, Any]) -> None:
    """Amounts move a little, counts and categories not at all, the same way for the same seed."""
    moved = stability.noisy(people, seed=1)
    share = moved["annual_income"] / people["annual_income"] - 1
    assert 0.005 < np.std(share) < 0.02
    assert moved["num_loans"] is people["num_loans"]
    assert np.array_equal(matrix(moved), matrix(stability.noisy(people, seed=1)), equal_nan=True)


def test_band_flips_of_extremes(people: dict[str, Any]) -> None:
    """A rule that ignores amounts never flips, one on a knife's edge often does."""
    assert stability.band_flips(lambda features: np.full(len(features), 500), people) == 0.0
    edge = float(np.median(people["annual_income"]))

    def knife(features: np.ndarray) -> np.ndarray:
        return np.where(features[:, 0] > edge, 700, 701)

    assert 0.0 < stability.band_flips(knife, people) < 0.2


def test_the_report_looks_at_every_declared_field(people: dict[str, Any]) -> None:
    """All directions, and None where reasons were not measured."""
    report = stability.stability(falling, people)
    assert [one.field for one in report.directions] == [one.field for one in stability.DIRECTIONS]
    assert report.reason_raises is report.reason_stable is None
