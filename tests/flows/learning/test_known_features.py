"""Known customers: the same history for learning and for serving, only earlier classes, and never the row's own."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.learning import known_features
from flows.learning.rows import Rows
from service.contract import MAX_PREVIOUS_CLASSES
from service.score import policy
from service.score.features import FEATURE_NAMES, HISTORY, history


def panel(seed: int = 0, customers: int = 6, months: int = 8) -> Rows:
    """Customers with most of their months, each of any class."""
    rng = np.random.default_rng(seed)
    people, month = np.divmod(np.flatnonzero(rng.random(customers * months) < 0.8), months)
    count = len(people)
    return Rows(np.full((count, len(FEATURE_NAMES)), 7.0), rng.integers(0, 3, count), people, month + 1)


@given(st.integers(0, 2**31), st.integers(1, 5))
def test_what_is_learned_is_what_serving_computes(seed: int, delay: int) -> None:
    """Each row's history is that of the contract's own function over the customer's earlier observed classes."""
    rows = panel(seed)
    told, exact = known_features.known_by(rows, delay)
    for place in range(len(rows.labels)):
        earlier = (rows.customers == rows.customers[place]) & (rows.months <= rows.months[place] - delay)
        observed = [
            (str(policy.CLASSES[label]), date(2026, month, 20))
            for label, month in zip(rows.labels[earlier].tolist(), rows.months[earlier].tolist(), strict=True)
        ]
        wanted = history(observed, date(2026, int(rows.months[place]), 25))
        np.testing.assert_allclose(told.features[place, known_features.COLUMNS], wanted)
        assert exact[place] == (wanted[1] == delay)


def test_a_row_never_knows_its_own_class() -> None:
    """Another label in a row, or in any later one, changes nothing of its history."""
    rows = panel(1)
    other = Rows(rows.features, 2 - rows.labels, rows.customers, rows.months)
    first = rows.months == rows.months.min()
    for delay in known_features.DELAYS:
        ours, theirs = (
            known_features.known_by(one, delay)[0].features[:, known_features.COLUMNS] for one in (rows, other)
        )
        assert np.isnan(ours[first]).all() and np.isnan(theirs[first]).all()
    later = rows.months >= 5
    changed = Rows(rows.features, np.where(later, 2 - rows.labels, rows.labels), rows.customers, rows.months)
    ours, theirs = (known_features.known_by(one, 1)[0].features[:, known_features.COLUMNS] for one in (rows, changed))
    assert np.array_equal(ours[rows.months <= 5], theirs[rows.months <= 5], equal_nan=True)


def test_every_row_is_learned_as_an_unknown_customers_too() -> None:
    """The rows as they are, and then those that can have a history, with it; the rest of the row stays."""
    rows = panel(2, customers=300)
    both = known_features.doubled(rows, seed=1)
    count = len(rows.labels)
    assert np.array_equal(both.features[:count], rows.features) and np.array_equal(both.labels[:count], rows.labels)
    again = both.features[count:]
    assert 0 < len(again) < count and not np.isnan(again[:, known_features.FIRST]).any()
    assert (np.delete(again, np.r_[known_features.COLUMNS], axis=1) == 7.0).all()
    assert np.array_equal(known_features.doubled(rows, seed=1).features, both.features, equal_nan=True)


@pytest.mark.parametrize("months", [1, MAX_PREVIOUS_CLASSES])
def test_history_of_known_classes(months: int) -> None:
    """Worked by hand: the last class, its age in months and quarters, and the means by quarter."""
    observed = [("Good", date(2026, 7, 31)), ("Poor", date(2026, 6, 30)), ("Standard", date(2026, 5, 31))]
    told = dict(zip(HISTORY, history(observed[:months], date(2026, 8, 15)), strict=True))
    assert (told["class_last"], told["class_age_months"], told["class_age_quarters"]) == (2.0, 1.0, 0.0)
    assert told["class_this_quarter"] == 2.0
    assert told["class_mean"] == (2.0 if months == 1 else 1.0)
    assert np.isnan(told["class_last_quarter"]) if months == 1 else told["class_last_quarter"] == 0.5
