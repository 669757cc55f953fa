"""Recalibration: one number from the outcomes of a new quarter, always fitted on what training left."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.learning import recalibration
from flows.learning.calibration import SHARPNESS, expected_error
from flows.learning.recalibration import Calibrations, SettledRows

LEARNED = Calibrations(unknown=1.1, known=0.9)


def settled(count: int, power: float, seed: int = 0) -> SettledRows:
    """Outcomes that come true once this power is put on what training calibrated; a third are known customers."""
    rng = np.random.default_rng(seed)
    raw = rng.dirichlet((1.0, 1.5, 1.0), count)
    known = rng.random(count) < 1 / 3
    true = LEARNED.raised(power).probabilities(raw, known)
    labels = (rng.random(count)[:, None] > np.cumsum(true, axis=1)).sum(axis=1)
    return SettledRows(raw, known, labels, np.arange(count) // 2)


@pytest.mark.parametrize("power", [0.6, 0.8, 1.3])
def test_five_hundred_outcomes_make_probabilities_come_true_again(power: float) -> None:
    """Of unknown and of known customers alike, on outcomes that were not fitted on."""
    fitted = recalibration.fit_power(settled(500, power), LEARNED)
    later = settled(20_000, power, seed=1)
    healed = expected_error(LEARNED.raised(fitted).probabilities(later.raw, later.known), later.labels)
    assert fitted == pytest.approx(power, abs=0.15)
    assert healed <= 0.04
    assert healed < expected_error(LEARNED.probabilities(later.raw, later.known), later.labels)


@given(st.floats(*SHARPNESS), st.integers(0, 2**31))
def test_no_likeliest_class_changes(power: float, seed: int) -> None:
    """Whatever number is fitted, known customer or not."""
    rows = settled(40, 1.0, seed)
    before, after = (one.probabilities(rows.raw, rows.known) for one in (LEARNED, LEARNED.raised(power)))
    first, second = -np.sort(-before, axis=1)[:, :2].T
    clear = first - second > 1e-9
    assert np.array_equal(before.argmax(axis=1)[clear], after.argmax(axis=1)[clear])
    assert np.allclose(after.sum(axis=1), 1.0)


def test_recalibrated_twice_is_recalibrated_once() -> None:
    """The number is fitted on what training left, not on what an earlier one made of it."""
    rows = settled(1_000, 0.7)
    once = recalibration.fit_power(rows, LEARNED)
    assert recalibration.fit_power(rows, LEARNED.raised(once)) == once


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"calibration_sharpness": 1.1, "calibration_sharpness_known": 0.9}, LEARNED),
        (
            {"calibration_sharpness": 1.1, "calibration_sharpness_known": 0.9, "recalibration_power": 0.7},
            LEARNED.raised(0.7),
        ),
        ({"calibration_sharpness": 1.1}, None),
        ({"calibration_sharpness": "1.1", "calibration_sharpness_known": None}, None),
        ({}, None),
    ],
    ids=["trained", "recalibrated", "of an earlier release", "no numbers", "nothing said"],
)
def test_a_manifest_says_how_a_model_is_calibrated(parameters: dict, expected: Calibrations | None) -> None:
    """Or says nothing that a recalibration could start from."""
    assert Calibrations.recorded(parameters) == expected


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (np.repeat([0, 1, 2], 200), ""),
        (np.repeat([0, 1, 2], 100), "300 outcomes, 200 are missing"),
        (np.zeros(0, np.int64), "0 outcomes, 500 are missing"),
        (np.ones(600, np.int64), "too few outcomes of a class: Poor 0, Good 0, at least 10 are needed"),
    ],
    ids=["enough", "too few", "none", "one class only"],
)
def test_too_few_outcomes_are_told(labels: np.ndarray, told: str) -> None:
    """How many are missing, or which class."""
    assert recalibration.shortfall(labels, 500) == told


def test_every_outcome_is_judged_by_other_customers_number() -> None:
    """No customer on both sides, and one customer alone cannot be judged."""
    rows = settled(1_000, 0.7)
    told = recalibration.judged_apart(rows, LEARNED)
    powers = {round(float(p), 3) for p in [recalibration.fit_power(rows, LEARNED)]}
    under_all = LEARNED.raised(next(iter(powers))).probabilities(rows.raw, rows.known)
    assert np.allclose(told, under_all, atol=0.1) and not np.array_equal(told, under_all)
    alone = SettledRows(rows.raw, rows.known, rows.labels, np.zeros(1_000, np.int64))
    with pytest.raises(ValueError, match="one customer"):
        recalibration.judged_apart(alone, LEARNED)
