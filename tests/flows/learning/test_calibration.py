"""Calibration: one number makes a quarter's probabilities come true, and changes nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.learning import calibration
from flows.learning.calibration import Array, Ints
from flows.learning.rows import Rows
from service.score import policy


def people(count: int, sharpness: float, seed: int = 0) -> tuple[Array, Ints]:
    """Probabilities that come true once this power is put on them, and what came."""
    rng = np.random.default_rng(seed)
    said = rng.dirichlet((1.0, 1.5, 1.0), count)
    true = said**sharpness
    true /= true.sum(axis=1, keepdims=True)
    return said, (rng.random(count)[:, None] > np.cumsum(true, axis=1)).sum(axis=1)


@pytest.mark.parametrize("sharpness", [0.6, 1.0, 1.5])
def test_the_sharpness_is_found_and_heals(sharpness: float) -> None:
    """From 500 rows a good guess, from many the number; other rows' probabilities then come true."""
    said, labels = people(20_000, sharpness)
    assert calibration.fit_sharpness(said, labels) == pytest.approx(sharpness, abs=0.05)
    few = calibration.fit_sharpness(said[:500], labels[:500])
    fresh, came = people(20_000, sharpness, seed=1)
    healed = calibration.expected_error(policy.calibrated_many(fresh, calibration.table(few)), came)
    assert healed <= max(0.04, calibration.expected_error(fresh, came) / 2)


def test_the_latest_quarter_decides() -> None:
    """What held a year ago does not: earlier quarters are left out, unless the latest has too few rows."""
    early, labels = people(3_000, 1.5)
    late, came = people(3_000, 0.7, seed=1)
    months = np.repeat([1, 7], 3_000)
    rows = Rows(np.zeros((6_000, 1)), np.concatenate([labels, came]), np.arange(6_000), months)
    said = np.concatenate([early, late])
    assert calibration.calibrate(said, rows) == pytest.approx(0.7, abs=0.08)
    assert calibration.latest(rows).sum() == 3_000
    assert calibration.latest(rows.where(np.arange(3_400))).all()


@given(st.floats(*calibration.SHARPNESS), st.integers(0, 2**31))
def test_no_order_and_no_class_changes(sharpness: float, seed: int) -> None:
    """Any sharpness is a table the manifest takes, and the likeliest class stays."""
    said = np.random.default_rng(seed).dirichlet((1.0, 1.0, 1.0), 50)
    told = policy.calibrated_many(said, calibration.table(sharpness))
    assert np.allclose(told.sum(axis=1), 1.0)
    first, second = -np.sort(-said, axis=1)[:, :2].T
    clear = first - second > 0.05  # straight lines between knots may swap what is nearly even
    assert (told.argmax(axis=1) == said.argmax(axis=1))[clear].all()
