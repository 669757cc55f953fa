"""The split by customer and the out-of-time slice."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.data.split import is_test_customer, last_months


@given(names=st.sets(st.text(min_size=1, max_size=12), min_size=1, max_size=60), seed=st.integers(0, 2**40))
@settings(deadline=None)
def test_a_customer_keeps_its_side(names: set[str], seed: int) -> None:
    """The side depends on id and seed alone: adding or repeating customers moves nobody."""
    everyone = pd.Series(sorted(names), dtype="str")
    sides = is_test_customer(everyone, seed=seed, share=0.2)
    for one in everyone:
        assert (
            is_test_customer(pd.Series([one], dtype="str"), seed=seed, share=0.2).iloc[0]
            == sides[everyone == one].iloc[0]
        )


def test_the_share_of_the_test_side_is_kept() -> None:
    """About a fifth of many customers judge; another seed chooses others."""
    customers = pd.Series([f"CUS_{number}" for number in range(20_000)], dtype="str")
    side = is_test_customer(customers, seed=1, share=0.2)
    assert side.mean() == pytest.approx(0.2, abs=0.01)
    assert (side != is_test_customer(customers, seed=2, share=0.2)).any()


@pytest.mark.parametrize(
    ("months", "count", "expected"),
    [([1, 2, 3, 8], 2, (3, 8)), ([9, 10], 2, (10,)), ([4], 2, ()), ([1, 2, 3], 1, (3,))],
    ids=str,
)
def test_the_out_of_time_slice_leaves_a_month_to_train_on(
    months: list[int], count: int, expected: tuple[int, ...]
) -> None:
    """The last months present, but never all of them."""
    assert last_months(pd.Series(months), count) == expected
