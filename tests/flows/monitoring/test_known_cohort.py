"""Known customers have a verdict of their own, by the age of their last class."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from flows.learning.known_features import GROUPS
from flows.monitoring import known_cohort
from flows.monitoring.known_cohort import known_cohorts
from flows.monitoring.verdict_types import DriftState
from flows.monitoring.window_settings import DriftSettings
from tests.flows.answered_applicants import answers

SETTINGS = DriftSettings(minimum_labels=100)
BEFORE = {"known_1_month": "2026-10-20", "known_2_to_3_months": "2026-08-20", "known_longer": "2026-05-20"}


def settled(group: str | None, rows: int = 600, wrong: float = 0.0, seed: int = 1) -> pd.DataFrame:
    """Answers with outcomes, to customers whose last class was Standard; a share of the outcomes is any class."""
    frame = answers(rows, seed).assign(as_of="2026-11-20", customer=np.arange(rows))
    chance = np.random.default_rng(seed).random(rows) < wrong
    observed = np.where(chance, np.random.default_rng(0).permutation(frame["label"]), frame["label"])
    previous = f"Standard@{BEFORE[group]}|Good@2026-04-01" if group else ""
    basis = "known_customer" if group else "applicant"
    return frame.assign(observed_class=observed, previous_classes=previous, basis=basis)


@pytest.mark.parametrize("group", list(GROUPS))
def test_each_age_is_judged_by_its_own_outcomes(group: str) -> None:
    """Calm where the probabilities come true, whatever happens to unknown customers."""
    frame = pd.concat([settled(group), settled(None, wrong=0.9)])
    [found] = known_cohorts(frame, frame, SETTINGS)
    assert (found.name, found.state, found.rows, found.settled) == (group, DriftState.GREEN, 600, 600)
    assert found.gap is not None and found.gap.low < 0 < found.gap.high
    known = frame[frame["basis"] == "known_customer"]
    repeated = (known["observed_class"] == "Standard").mean()
    right = (known["observed_class"] == known["predicted_class"]).mean()
    assert found.gain is not None and found.gain.value == pytest.approx(right - repeated)


def test_promises_that_are_not_kept_are_red() -> None:
    """In the group whose promises they are, alone."""
    frame = pd.concat([settled("known_1_month", wrong=0.6), settled("known_longer", seed=2)])
    states = {one.name: one.state for one in known_cohorts(frame, frame, SETTINGS)}
    assert states == {"known_1_month": DriftState.RED, "known_longer": DriftState.GREEN}


def test_too_few_outcomes_are_insufficient() -> None:
    """Answers are counted, and nothing is said of them."""
    frame = settled("known_1_month", rows=99)
    [found] = known_cohorts(frame, frame, SETTINGS)
    assert (found.state, found.settled, found.accuracy) == (DriftState.INSUFFICIENT, 99, None)
    [waiting] = known_cohorts(frame, frame.head(0), SETTINGS)
    assert (waiting.rows, waiting.settled) == (99, 0)


def test_nobody_known_is_no_verdict() -> None:
    """Nor are rows of a time when no class could be told."""
    frame = settled(None)
    assert not known_cohorts(frame, frame, SETTINGS)
    assert not known_cohorts(frame.drop(columns="previous_classes"), frame, SETTINGS)


def test_ages_fall_into_the_groups() -> None:
    """A class of this month is as fresh as one of last month; very old ones are with the oldest."""
    ages = np.array([0, 1, 2, 3, 4, 30], np.float64)
    assert list(known_cohort.group_of(ages)) == [
        *["known_1_month"] * 2,
        *["known_2_to_3_months"] * 2,
        *["known_longer"] * 2,
    ]
