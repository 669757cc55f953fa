"""The audit finds a group that is treated worse, and stays calm where groups are treated alike."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from flows.learning.model_metrics import LabelledAnswers
from flows.review import fairness
from tests.flows.small_training import answers, frame


def groups(told: LabelledAnswers, seed: int = 0) -> np.ndarray:
    """Two groups of customers by chance."""
    return np.where(np.random.default_rng(seed).random(told.customers.max() + 1)[told.customers] < 0.5, "A", "B")


def test_groups_treated_alike_have_ratios_of_one() -> None:
    """Ratios near one, gaps of a few points at most."""
    told = answers(4_000, customers=800)
    report = fairness.audit(told, {"team": groups(told)}, draws=200)
    for group in report.groups:
        assert 0.8 < group.impact_good.low <= group.impact_good.value <= 1.0
        assert -20.0 < group.score_gap.low < group.score_gap.high < 20.0


def test_a_group_treated_worse_is_found() -> None:
    """The same labels, lower probabilities of Good for one group: every figure says so."""
    told = answers(4_000, customers=800)
    names = groups(told)
    said = told.probabilities.copy()
    said[names == "B", 2] *= 0.3
    unfair = LabelledAnswers(told.labels, said / said.sum(axis=1, keepdims=True), told.customers)
    report = {group.group: group for group in fairness.audit(unfair, {"team": names}, draws=200).groups}
    assert report["B"].impact_good.high < 0.8
    assert report["B"].lowest_impact_ratio == report["B"].impact_good
    assert report["B"].equal_opportunity.high < 0.0
    assert report["B"].score_gap.high < 0.0
    assert report["B"].calibration_gap.low > 0.0
    assert report["A"].impact_good.value == 1.0


def test_small_and_unknown_groups_are_named_not_judged() -> None:
    """Under 200 rows nothing is claimed; people of unknown group are no group."""
    told = answers(1_000)
    names = np.where(np.arange(1_000) < 100, "few", np.where(np.arange(1_000) < 300, fairness.OTHERS, "many"))
    report = fairness.audit(told, {"team": names}, draws=20)
    assert [group.group for group in report.groups] == ["many"]
    assert report.too_small == ("team few",)
    assert fairness.audit(told, {"team": np.full(1_000, fairness.OTHERS)}, draws=5).groups == ()


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (17, "under 18"),
        (18, "18-24"),
        (24, "18-24"),
        (25, "25-39"),
        (39, "25-39"),
        (61, "40-61"),
        (62, "62+"),
        (None, "unknown"),
    ],
)
def test_age_groups_are_the_reports(age: int | None, expected: str) -> None:
    """18-24, 25-39, 40-61, 62 and over."""
    assert fairness.age_group(pd.Series([age], dtype="Int64"))[0] == expected


def test_attributes_come_from_the_audit_columns() -> None:
    """Age group and occupation of each row, unknown where empty."""
    prepared = frame(5)
    prepared.loc[0, ["age", "occupation"]] = None
    found = fairness.attributes(prepared)
    assert set(found) == {"age", "occupation"}
    assert (found["age"][0], found["occupation"][0]) == ("unknown", "unknown")


def test_the_proxy_test_tells_a_leak_from_chance() -> None:
    """A feature that is the group gives an AUC near one; noise gives about a half; one group gives none."""
    generator = np.random.default_rng(0)
    customers = np.repeat(np.arange(300), 4)
    names = np.where(generator.random(300)[customers] < 0.5, "A", "B")
    noise = generator.normal(size=(1_200, 3))
    leak = np.column_stack([noise, names == "A"])
    assert fairness.proxy_auc(leak, names, customers) > 0.99
    assert abs(fairness.proxy_auc(noise, names, customers) - 0.5) < 0.15
    assert np.isnan(fairness.proxy_auc(noise, np.full(1_200, "A"), customers))
