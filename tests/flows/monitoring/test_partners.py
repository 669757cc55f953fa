"""One partner's outcomes: they weigh no more than a share, and one that lies is named and turns nothing red."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from flows.monitoring import outcomes, partners, performance
from flows.monitoring.partners import PartnerGap
from flows.monitoring.verdict_types import DriftCheck, DriftRule, DriftState
from flows.monitoring.window_settings import DriftSettings
from tests.flows.monitoring.test_performance import answered

SETTINGS = DriftSettings(maturity_days=0)
REFERENCE = answered(20_000, 1)
ESTIMATOR = performance.Estimator.fit(performance.probabilities_of(REFERENCE), REFERENCE["label"].to_numpy())


def sent(seed: int, rows: dict[str, int]) -> pd.DataFrame:
    """Honest outcomes of so many rows of each partner."""
    return pd.concat(
        [answered(count, seed + place).assign(partner=who) for place, (who, count) in enumerate(rows.items())]
    )


def lying(frame: pd.DataFrame, liar: str) -> pd.DataFrame:
    """The same outcomes, but those of one partner say another class than was answered."""
    names = list(outcomes.CLASSES)
    wrong = frame["predicted_class"].map(dict(zip(names, names[1:] + names[:1], strict=True)))
    return frame.assign(observed_class=frame["observed_class"].where(frame["partner"] != liar, wrong))


def judged(frame: pd.DataFrame) -> dict[DriftRule | None, DriftCheck]:
    """Every realised check of fully matured rows."""
    found = performance.realised_checks(ESTIMATOR, REFERENCE, frame, len(frame), SETTINGS)
    return {check.rule: check for check in found}


@pytest.mark.parametrize(
    "rows",
    [{"ana": 900, "bia": 900, "eva": 500}, {"ana": 700, "eva": 400}, {"ana": 400, "eva": 4_000}],
    ids=["three", "two", "the liar sends most"],
)
def test_a_consistent_liar_is_named_and_turns_nothing_red(rows: dict[str, int]) -> None:
    """Its false outcomes wait for a person; not told who sent them, they would have started a training."""
    frame = lying(sent(100, rows), "eva")

    told, untold = judged(frame), judged(frame.drop(columns="partner"))

    assert untold[DriftRule.CONCEPT_DRIFT].state is DriftState.RED
    assert {told[rule].state for rule in (DriftRule.CONCEPT_DRIFT, DriftRule.REALISED_ACCURACY)} == {DriftState.GREEN}
    named = told[DriftRule.PARTNERS]
    assert named.state is DriftState.AMBER and "eva" in named.explanation and "set aside" in named.explanation
    assert "ana" not in named.explanation and named.figures["apart"] == 1


def test_who_repeats_our_own_answers_is_named_too() -> None:
    """Outcomes that are never wrong would hide a drift as well as false ones would invent it."""
    frame = sent(200, {"ana": 900, "bia": 900, "eva": 900})
    frame["observed_class"] = frame["observed_class"].where(frame["partner"] != "eva", frame["predicted_class"])

    assert "eva" in judged(frame)[DriftRule.PARTNERS].explanation


def test_a_change_that_all_partners_see_is_concept_drift() -> None:
    """Nobody is named, and it is red."""
    frame = pd.concat([answered(600, seed, flipped=0.35).assign(partner=f"p{seed}") for seed in (310, 320, 330)])

    found = judged(frame)

    assert found[DriftRule.CONCEPT_DRIFT].state is DriftState.RED
    assert found[DriftRule.PARTNERS].state is DriftState.GREEN


def test_honest_partners_are_not_named() -> None:
    """In no more than 2 of 100 cohorts of four."""
    rows = {"ana": 200, "bia": 200, "caio": 100, "eva": 60}
    found = [judged(sent(1_000 + 10 * seed, rows))[DriftRule.PARTNERS].state for seed in range(100)]
    assert found.count(DriftState.AMBER) <= 2


def test_where_too_few_others_are_left_all_are_judged() -> None:
    """The partner is named, and the verdict stays one of what there is."""
    found = judged(lying(sent(400, {"ana": 100, "eva": 900}), "eva"))
    assert "too few others" in found[DriftRule.PARTNERS].explanation
    assert found[DriftRule.CONCEPT_DRIFT].state is DriftState.RED


@pytest.mark.parametrize(
    ("counts", "share", "heaviest"),
    [
        pytest.param({"a": 500}, 0.5, 1.0, id="alone"),
        pytest.param({"a": 500, "b": 500}, 0.5, 0.5, id="even"),
        pytest.param({"a": 9_000, "b": 700, "c": 300}, 0.5, 0.5, id="bounded"),
        pytest.param({"a": 9_000, "b": 1_000}, 0.75, 0.75, id="another-share"),
        pytest.param({"a": 9_000, "b": 1_000}, 1.0, 0.9, id="not-bounded"),
        pytest.param({"a": 9_000, "b": 10}, 0.5, 300 / 310, id="ten-rows-do-not-take-the-word"),
        pytest.param({"a": 400, "b": 400, "c": 200}, 0.5, 0.4, id="nobody-has-so-much"),
    ],
)
def test_no_partner_weighs_more_than_its_share(counts: dict[str, int], share: float, heaviest: float) -> None:
    """Where others sent enough; the weights are 1 on average."""
    senders = np.repeat(list(counts), list(counts.values())).astype(object)
    found = partners.weights(senders, share, least=300)
    assert found.mean() == pytest.approx(1)
    assert max(found[senders == name].sum() for name in counts) / len(senders) == pytest.approx(heaviest)


def test_the_verdict_is_of_weighted_rows() -> None:
    """A partner with nine rows in ten moves the gap by half of its own, and the interval is of so few rows."""
    frame = sent(500, {"ana": 3_600, "eva": 400})
    rng = np.random.default_rng(7)
    poor = (frame["partner"] == "ana") & (rng.random(len(frame)) < 0.1)
    frame["observed_class"] = frame["observed_class"].mask(poor, "Poor")

    bounded, whole = (judged(each)[DriftRule.CONCEPT_DRIFT] for each in (frame, frame.drop(columns="partner")))

    own = [judged(frame[frame["partner"] == who])[DriftRule.CONCEPT_DRIFT].value or 0.0 for who in ("ana", "eva")]
    assert bounded.value == pytest.approx(np.mean(own))
    assert whole.value == pytest.approx(0.9 * own[0] + 0.1 * own[1])
    width = [check.figures["high"] - check.figures["low"] for check in (bounded, whole)]
    assert width[0] > 1.5 * width[1]


def test_a_few_outcomes_are_nobodys_lie() -> None:
    """Below fifty a partner's own gap says nothing, however far it lies; one partner alone has no others."""
    far = PartnerGap("eva", partners.HEARD - 1, -0.8, -0.9, -0.7)
    near = [PartnerGap(name, 500, 0.0, -0.05, 0.05) for name in ("ana", "bia")]
    assert partners.outliers([*near, far], 0.15) == []
    loud = PartnerGap("eva", partners.HEARD, -0.8, -0.9, -0.7)
    assert partners.outliers([*near, loud], 0.15) == [loud]
    assert partners.outliers([loud], 0.15) == []
