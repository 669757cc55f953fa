"""Weak slices are found where they were put, and not where chance alone makes them."""

from __future__ import annotations

import numpy as np
import pytest

from flows.learning.model_metrics import LabelledAnswers
from flows.review.weak_segments import FIELDS, search_weak_segments, slices

ROWS = 6_000
MIX = ("Bad", "Good", "Standard", None)


def columns(seed: int = 0) -> dict[str, np.ndarray]:
    """Contract fields drawn apart from each other and from whatever is answered."""
    rng = np.random.default_rng(seed)
    found: dict[str, np.ndarray] = {name: rng.normal(size=ROWS) for name in FIELDS}
    found["credit_mix"] = np.array(MIX, object)[rng.integers(0, 4, ROWS)]
    found["payment_of_min_amount"] = np.array(["Yes", "No"], object)[rng.integers(0, 2, ROWS)]
    found["num_credit_inquiries"][::10] = np.nan
    return found


def answers(right: np.ndarray) -> LabelledAnswers:
    """Rows of which those are told right with which `right` says so."""
    labels = np.zeros(ROWS, np.int64)
    said = np.tile([0.8, 0.15, 0.05], (ROWS, 1))
    said[~right] = [0.15, 0.8, 0.05]
    return LabelledAnswers(labels, said, np.arange(ROWS) // 2)


@pytest.mark.parametrize("seed", range(5))
def test_chance_alone_makes_no_weak_slice(seed: int) -> None:
    """Hundreds of slices are looked at, and none is named."""
    right = np.random.default_rng(seed + 10).random(ROWS) < 0.7
    search = search_weak_segments(answers(right), columns(seed))
    assert search.looked_at > 300
    assert not search.weak


def test_a_slice_of_two_fields_is_found() -> None:
    """With its size, how well it is told, and how far that is from the rest."""
    told = columns()
    income, mix = (slices(told)[field] for field in ("annual_income", "credit_mix"))
    place = income["annual_income high"] & mix["credit_mix Bad"]
    chance = np.random.default_rng(1).random(ROWS)
    search = search_weak_segments(answers(chance < np.where(place, 0.4, 0.8)), told)
    worst = search.weak[0]
    assert worst.name == "annual_income high, credit_mix Bad"
    assert (worst.rows, worst.customers) == (place.sum(), len(np.unique(np.flatnonzero(place) // 2)))
    assert worst.gap < -0.3 and worst.gap < worst.high < 0


def test_every_row_lies_in_one_slice_of_each_field() -> None:
    """Those that did not tell have one of their own."""
    for field, parts in slices(columns()).items():
        assert np.sum(list(parts.values()), axis=0).tolist() == [1] * ROWS, field
    assert slices(columns())["num_credit_inquiries"]["num_credit_inquiries unknown"].sum() == ROWS // 10


def test_too_few_customers_are_not_looked_at() -> None:
    """Nothing is said then, neither good nor bad."""
    few = {name: values[:60] for name, values in columns().items()}
    search = search_weak_segments(answers(np.ones(ROWS, np.bool_)).where(np.arange(ROWS) < 60), few)
    assert (search.looked_at, search.weak) == (0, ())
