"""From raw output to the answer: exact rounding, bands at their limits, calibration that stays a probability."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.contract import CreditClass
from service.score import policy
from service.score.policy import CELLS, IDENTITY, Calibration

shares = st.tuples(*[st.floats(1e-6, 1)] * 3).map(lambda parts: tuple(part / sum(parts) for part in parts))
tables = st.tuples(
    *[st.lists(st.floats(1e-4, 1), min_size=CELLS + 1, max_size=CELLS + 1).map(lambda row: tuple(sorted(row)))] * 3
).map(Calibration)


@pytest.mark.parametrize(
    ("points", "expected"),
    [(0, "Poor"), (300, "Poor"), (301, "Standard"), (700, "Standard"), (701, "Good"), (1000, "Good")],
)
def test_bands_change_where_partners_were_told(points: int, expected: str) -> None:
    """0-300 Poor, 301-700 Standard, 701-1000 Good."""
    assert policy.band(points) == expected
    assert policy.CLASSES[int(policy.band_many(np.array([points]))[0])] == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [((1, 0, 0), 0), ((0, 1, 0), 500), ((0, 0, 1), 1000), ((0.25, 0.5, 0.25), 500), ((0.9995, 0, 0.0005), 0)],
)
def test_score_is_the_designs_formula(values: tuple[float, float, float], expected: int) -> None:
    """round(1000 (p_Good + 0.5 p_Standard)), a half to the even side."""
    assert policy.score(values) == expected


@given(shares, st.floats(0, 1), st.sampled_from([(0, 1), (1, 2), (0, 2)]))
def test_score_never_falls_when_probability_moves_to_a_better_class(
    values: tuple[float, float, float], share: float, move: tuple[int, int]
) -> None:
    """The score is monotone in every stochastic improvement."""
    worse, better = move
    changed = list(values)
    changed[worse], changed[better] = values[worse] * (1 - share), values[better] + values[worse] * share
    assert policy.score(changed) >= policy.score(values)


@given(st.lists(shares, min_size=1, max_size=5), tables)
def test_calibration_of_one_and_of_many_are_the_same_bits(
    rows: list[tuple[float, float, float]], table: Calibration
) -> None:
    """One applicant and a frame get the same probabilities, scores and bands; they add up to one."""
    many = policy.calibrated_many(np.array(rows), table)
    alone = [policy.calibrated(row, table) for row in rows]
    assert many.tolist() == [list(row) for row in alone]
    assert policy.score_many(many).tolist() == [policy.score(row) for row in alone]
    assert np.allclose(many.sum(axis=1), 1.0, atol=1e-12)
    assert np.all((many >= 0) & (many <= 1))


@given(shares)
def test_the_identity_changes_nothing_that_shows(values: tuple[float, float, float]) -> None:
    """Without calibration the probabilities stay within a millionth."""
    assert policy.calibrated(values, IDENTITY) == pytest.approx(values, abs=5e-6)


@given(st.lists(st.floats(-700, 700), min_size=3, max_size=3))
def test_three_margins_give_probabilities(raw: list[float]) -> None:
    """Softmax without overflow, the same alone and in a frame."""
    alone = policy.probabilities(raw, "MultiClass")
    assert math.isclose(sum(alone), 1.0, abs_tol=1e-12)
    assert policy.probabilities_many(np.array([raw]), "MultiClass")[0] == pytest.approx(alone, abs=1e-14)


@given(st.lists(st.floats(-700, 700), min_size=2, max_size=2))
def test_two_cumulative_curves_give_probabilities(raw: list[float]) -> None:
    """Even where the curves cross no class gets a negative probability."""
    alone = policy.probabilities(raw, "MultiLogloss")
    assert min(alone) >= 0.0 and math.isclose(sum(alone), 1.0, abs_tol=1e-12)
    assert policy.probabilities_many(np.array([raw]), "MultiLogloss")[0] == pytest.approx(alone, abs=1e-14)


@pytest.mark.parametrize(
    ("values", "expected", "disagree"),
    [
        ((0.8, 0.1, 0.1), CreditClass.POOR, False),
        ((0.1, 0.8, 0.1), CreditClass.STANDARD, False),
        ((0.45, 0.1, 0.45), CreditClass.POOR, True),
        ((0.5, 0.4, 0.1), CreditClass.POOR, False),
        ((0.45, 0.35, 0.2), CreditClass.POOR, True),
    ],
)
def test_borderline_is_where_class_and_band_disagree(
    values: tuple[float, float, float], expected: CreditClass, disagree: bool
) -> None:
    """The likeliest class, of equals the worse one, against the band of the score."""
    assert policy.predicted_class(values) is expected
    assert policy.borderline(values) is disagree


@pytest.mark.parametrize(
    "knots",
    [
        IDENTITY.knots[:2],
        ((0.5,) * CELLS,) * 3,
        ((0.0,) * (CELLS + 1),) * 3,
        ((0.9, *[0.1] * CELLS),) * 3,
        ((*[0.5] * CELLS, 1.5),) * 3,
    ],
    ids=["two classes", "too short", "zero", "falling", "above one"],
)
def test_a_broken_calibration_table_is_refused(knots: tuple[tuple[float, ...], ...]) -> None:
    """Wrong shape, impossible values and falling curves never reach an applicant."""
    with pytest.raises(ValueError, match="calibration"):
        Calibration(knots)
