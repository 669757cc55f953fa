"""Risk grades: borders that keep their word, and tables that add up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.learning import grades
from flows.learning.model_metrics import LabelledAnswers
from service.score import policy


def people(rows: int, seed: int = 0) -> LabelledAnswers:
    """Calibrated answers whose classes are drawn from what they say."""
    rng = np.random.default_rng(seed)
    said = rng.dirichlet((0.5, 1.0, 0.5), rows)
    labels = (rng.random(rows)[:, None] > np.cumsum(said, axis=1)).sum(axis=1)
    answers = LabelledAnswers(labels, said, np.arange(rows) // 4)
    return LabelledAnswers(labels, said, answers.customers, grades.fit_borders(said[:, 0], labels))


def test_borders_keep_their_word_on_other_customers() -> None:
    """A is nearly free of Poor, E mostly Poor, and none is small, on rows the borders were not chosen on."""
    fitted, others = people(20_000), people(20_000, seed=1)
    judged = LabelledAnswers(others.labels, others.probabilities, others.customers, fitted.borders)
    table = grades.by_grade(judged)
    assert [one.name for one in table] == list("ABCDE")
    assert min(one.share for one in table) >= 0.08
    assert table[0].classes["Poor"].value <= 0.03 and table[-1].classes["Poor"].value >= 0.6
    assert all(one.rise is not None and one.rise.low > 0.0 for one in table[1:])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.integers(0, 2**31))
def test_borders_always_rise_strictly(said: list[float], seed: int) -> None:
    """Whatever a model says, even one value alone, the manifest takes its borders."""
    labels = np.random.default_rng(seed).integers(3, size=len(said))
    borders = grades.fit_borders(np.array(said), labels)
    assert 0.0 < borders[0] < borders[1] < borders[2] < borders[3] < 1.0


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_grade_goes_strictly_by_the_told_probability(one: float, other: float) -> None:
    """Who is likelier Poor never has the better grade, and one row and many agree."""
    low, high = sorted(map(policy.rounded, (one, other)))
    assert policy.grade(low, policy.GRADE_BORDERS) <= policy.grade(high, policy.GRADE_BORDERS)
    many = policy.grade_many(policy.rounded_many(np.array([one, other])), policy.GRADE_BORDERS)
    assert [policy.GRADES[place] for place in many] == [
        policy.grade(policy.rounded(value), policy.GRADE_BORDERS) for value in (one, other)
    ]


@pytest.mark.parametrize("names", ["grade", "score"])
def test_tables_count_every_row_once(names: str) -> None:
    """Rows, shares and classes add up in every slice."""
    answers = people(4_000)
    first = np.arange(4_000) < 1_500
    for place, table in grades.by_slice(answers, {"first": first}, names).items():
        assert sum(one.rows for one in table) == (1_500 if place == "first" else 4_000)
        assert sum(one.share for one in table) == pytest.approx(1.0)
        assert all(sum(part.value for part in one.classes.values()) == pytest.approx(1.0) for one in table)
        assert all(
            part.low <= part.value <= part.high for one in table for part in one.classes.values() if one.rows > 50
        )


def test_borders_carried_over_keep_each_grade_its_share() -> None:
    """On another scale of the same order, and with an empty first grade."""
    before = np.random.default_rng(0).beta(1, 3, 4_000)
    after = before**0.5 * 0.8
    borders = (0.02, 0.1, 0.3, 0.6)
    moved = grades.carried_over(borders, before, after)
    for old, new in zip(borders, moved, strict=True):
        assert (before <= old).mean() == pytest.approx((after <= new).mean(), abs=0.002)
    empty = grades.carried_over((1e-9, 0.1, 0.3, 0.6), before, after)
    assert 0.0 < empty[0] < empty[1] == moved[1]
