"""Estimated and realised performance: right under covariate shift, alarmed by concept drift, calm otherwise."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from flows import performance
from flows.monitor import State
from flows.windows import DriftSettings, Thresholds

TODAY = date(2026, 11, 1)
SETTINGS = DriftSettings(maturity_days=0)


def answered(rows: int, seed: int, shift: float = 0.0, flipped: float = 0.0) -> pd.DataFrame:
    """Rows with honest probabilities from a latent risk, true labels, and `flipped` of the labels moved one step."""
    rng = np.random.default_rng(seed)
    risk = rng.normal(shift, 1.2, rows)
    raw = np.exp(np.column_stack([risk, np.full(rows, 0.6), -risk]))
    shares = raw / raw.sum(axis=1, keepdims=True)
    label = (shares.cumsum(axis=1) > rng.random((rows, 1))).argmax(axis=1)
    moved = np.where(rng.random(rows) < flipped, np.where(label == 1, 0, 1), label)
    names = np.array(performance.CLASSES)
    predicted = names[shares.argmax(axis=1)]
    return pd.DataFrame(shares, columns=performance.PROBABILITIES).assign(
        prediction_id=[f"{seed}-{i}" for i in range(rows)],
        predicted_class=predicted,
        band=predicted,
        label=names[moved],
        observed_class=names[moved],
        as_of="2026-10-01",
    )


@pytest.fixture(name="reference", scope="module")
def fixture_reference() -> pd.DataFrame:
    """Twenty thousand judged rows."""
    return answered(20_000, 1)


@pytest.fixture(name="estimator", scope="module")
def fixture_estimator(reference) -> performance.Estimator:
    """The estimate fitted on them."""
    return performance.Estimator.fit(performance.probabilities_of(reference), reference["label"].to_numpy())


@pytest.mark.parametrize("shift", [-1.2, -0.5, 0.5, 1.2])
def test_the_estimate_holds_under_covariate_shift(estimator, shift):
    """Other applicants, same meaning of the label: within 0.02 of the true accuracy and macro-F1 at 10,000 rows."""
    from sklearn.metrics import f1_score

    rows = answered(10_000, 2, shift)
    chance = estimator.chance_of_being_right(performance.probabilities_of(rows)).mean()
    assert abs(chance - (rows["label"] == rows["predicted_class"]).mean()) <= 0.02
    true = f1_score(rows["label"], rows["predicted_class"], average="macro")
    assert abs(estimator.macro_f1(performance.probabilities_of(rows)) - true) <= 0.02


def checks(estimator, reference, rows, cohort: int = 0) -> dict[str, State]:
    """State of every realised check of fully matured rows."""
    found = performance.realised_checks(estimator, reference, rows, cohort or len(rows), SETTINGS)
    return {check.name: check.state for check in found}


def test_concept_drift_fires_within_one_cohort(estimator, reference):
    """A label that changed its meaning for one row in three is seen in 1,000 outcomes, at least nine times in ten."""
    fired = [
        checks(estimator, reference, answered(1_000, seed, flipped=0.35))["concept drift"] is State.RED
        for seed in range(10, 30)
    ]
    assert np.mean(fired) >= 0.9


@pytest.mark.parametrize("shift", [0.0, 0.8])
def test_concept_drift_stays_silent_when_only_applicants_change(estimator, reference, shift):
    """No alarm in more than 2 % of cohorts, shifted applicants included."""
    fired = [
        checks(estimator, reference, answered(1_000, seed, shift))["concept drift"] is State.RED
        for seed in range(50, 150)
    ]
    assert np.mean(fired) <= 0.02


def test_too_few_outcomes_are_no_verdict(estimator, reference):
    """Below the minimum of labels or of coverage nothing is judged, and the coverage is shown."""
    few = performance.realised_checks(estimator, reference, answered(299, 3), 299, SETTINGS)
    thin = performance.realised_checks(estimator, reference, answered(400, 3), 1_000, SETTINGS)
    assert [c.state for c in few + thin] == [State.INSUFFICIENT] * 2
    assert thin[0].value == pytest.approx(0.4)


def test_a_band_that_lost_its_calibration_is_amber(estimator, reference):
    """Good customers who turn out poor more often than their probability says are named by band."""
    rows = answered(2_000, 4)
    rows.loc[(rows["band"] == "Good") & (rows.index % 5 == 0), "observed_class"] = "Poor"
    assert checks(estimator, reference, rows)["calibration by band"] is State.AMBER


def test_an_estimate_that_falls_is_red(estimator, reference):
    """Applicants about whom the model knows little lower the estimated accuracy without any label."""
    unsure = answered(1_000, 5).assign(p_poor=0.34, p_standard=0.34, p_good=0.32)
    assert performance.estimated_check(estimator, reference, unsure, Thresholds()).state is State.RED
    assert performance.estimated_check(estimator, reference, answered(1_000, 6), Thresholds()).state is State.GREEN


def test_outcomes_are_settled_one_by_one_and_the_rest_is_counted():
    """Repeated, contradicting, unknown and future outcomes: exact counts, nothing joined twice; other cohorts wait."""
    cohort = pd.DataFrame({"hash": np.array([1, 2, 3, 4], dtype="uint64")})
    rows = [
        (1, "Good", "2026-10-01", "known"),
        (1, "Good", "2026-10-02", "known"),
        (2, "Good", "2026-10-01", "known"),
        (2, "Poor", "2026-10-01", "known"),
        (3, "Poor", "2027-01-01", "known"),
        (4, "Poor", "no date", "known"),
        (4, "Excellent", "2026-10-01", "known"),
        (8, "Poor", "2026-10-01", "unknown"),
        (9, "Poor", "2026-10-01", "elsewhere"),
        (7, "Poor", "2026-10-01T12:00:00Z", "known"),
    ]
    outcomes = pd.DataFrame(rows, columns=["hash", "observed_class", "observed_at", "standing"])
    settled = performance.settle(cohort, outcomes, TODAY)
    assert settled.frame.to_dict("records") == [{"hash": 1, "observed_class": "Good"}]
    assert settled.quarantined == {
        "in the future or undated": 2,
        "no such class": 1,
        "unknown prediction": 1,
        "contradicting": 2,
        "repeated": 1,
    }


def test_the_interval_covers_the_mean_as_often_as_it_says():
    """The 95 % interval of 300 coin throws covers one half in 92 to 98 of 100 draws."""
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(1_000):
        low, high = performance.interval((rng.random(300) < 0.5).astype(float))
        covered.append(low <= 0.5 <= high)
    assert 0.92 <= np.mean(covered) <= 0.98
