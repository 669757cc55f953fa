"""Estimated and realised performance: right under covariate shift, alarmed by concept drift, calm otherwise."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from flows.monitoring import outcomes, performance
from flows.monitoring.verdict_types import DriftState
from flows.monitoring.window_settings import DriftSettings, Thresholds

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
    names = np.array(outcomes.CLASSES)
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


def checks(estimator, reference, rows, cohort: int = 0) -> dict[str, DriftState]:
    """State of every realised check of fully matured rows."""
    found = performance.realised_checks(estimator, reference, rows, cohort or len(rows), SETTINGS)
    return {check.name: check.state for check in found}


def test_concept_drift_fires_within_one_cohort(estimator, reference):
    """A label that changed its meaning for one row in three is seen in 1,000 outcomes, at least nine times in ten."""
    fired = [
        checks(estimator, reference, answered(1_000, seed, flipped=0.35))["concept drift"] is DriftState.RED
        for seed in range(10, 30)
    ]
    assert np.mean(fired) >= 0.9


@pytest.mark.parametrize("shift", [0.0, 0.8])
def test_concept_drift_stays_silent_when_only_applicants_change(estimator, reference, shift):
    """No alarm in more than 2 % of cohorts, shifted applicants included."""
    fired = [
        checks(estimator, reference, answered(1_000, seed, shift))["concept drift"] is DriftState.RED
        for seed in range(50, 150)
    ]
    assert np.mean(fired) <= 0.02


def test_too_few_outcomes_are_no_verdict(estimator, reference):
    """Below the minimum of labels or of coverage nothing is judged, and the coverage is shown."""
    few = performance.realised_checks(estimator, reference, answered(299, 3), 299, SETTINGS)
    thin = performance.realised_checks(estimator, reference, answered(400, 3), 1_000, SETTINGS)
    assert [c.state for c in few + thin] == [DriftState.INSUFFICIENT] * 2
    assert thin[0].value == pytest.approx(0.4)


def test_a_band_that_lost_its_calibration_is_amber(estimator, reference):
    """Good customers who turn out poor more often than their probability says are named by band."""
    rows = answered(2_000, 4)
    rows.loc[(rows["band"] == "Good") & (rows.index % 5 == 0), "observed_class"] = "Poor"
    assert checks(estimator, reference, rows)["calibration by band"] is DriftState.AMBER


def test_an_estimate_that_falls_is_red(estimator, reference):
    """Applicants about whom the model knows little lower the estimated accuracy without any label."""
    unsure = answered(1_000, 5).assign(p_poor=0.34, p_standard=0.34, p_good=0.32)
    assert performance.estimated_check(estimator, reference, unsure, Thresholds()).state is DriftState.RED
    assert performance.estimated_check(estimator, reference, answered(1_000, 6), Thresholds()).state is DriftState.GREEN


def test_outcomes_are_settled_one_by_one_and_the_rest_is_counted():
    """Repeated, contradicting, unknown, early and future ones: exact counts, nothing joined twice; others wait."""
    cohort = pd.DataFrame({"hash": np.array([1, 2, 3, 4, 5], dtype="uint64"), "as_of": "2026-10-01"})
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
        (5, "Poor", "2026-09-30", "known"),
    ]
    came = pd.DataFrame(rows, columns=["hash", "observed_class", "observed_at", "standing"]).assign(partner="acme")
    settled = outcomes.settle(cohort, came, TODAY)
    assert settled.frame.to_dict("records") == [
        {"hash": 1, "as_of": "2026-10-01", "partner": "acme", "observed_class": "Good"}
    ]
    assert settled.quarantined == {
        "in the future or undated": 2,
        "no such class": 1,
        "unknown prediction": 1,
        "contradicting": 2,
        "repeated": 1,
        "before the prediction": 1,
    }


def test_the_estimate_is_the_truth_on_the_rows_it_was_fitted_on(estimator, reference):
    """Of every predicted class: a yardstick with an error of its own would be taken for concept drift."""
    gaps = performance.right(reference, "label") - estimator.chance_of_being_right(
        performance.probabilities_of(reference)
    )
    by_class = pd.Series(gaps).groupby(reference["predicted_class"].to_numpy()).mean()
    assert len(by_class) == len(outcomes.CLASSES)
    assert by_class.abs().max() < 1e-12


def test_calibrated_probabilities_add_up_and_hold_the_chance_of_being_right(estimator):
    """Also where a model is sure of itself."""
    said = np.vstack([performance.probabilities_of(answered(500, 8)), np.eye(3)])
    found = estimator.calibrated(said)
    assert found.sum(axis=1) == pytest.approx(1)
    assert ((found >= 0) & (found <= 1)).all()
    top = found[np.arange(len(said)), said.argmax(axis=1)]
    assert top == pytest.approx(estimator.chance_of_being_right(said))


def test_a_class_that_the_reference_never_predicted_has_an_estimate():
    """Its chance is read off the map of the class over all rows."""
    said = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1]])
    fitted = performance.Estimator.fit(said, np.array(["Poor", "Standard", "Standard", "Standard"]))
    assert np.isfinite(fitted.chance_of_being_right(np.array([[0.1, 0.1, 0.8]]))).all()


def test_the_variance_of_a_mean_counts_customers_not_rows():
    """By hand: residual sums of -1 and +1 of two customers; one row a customer is the usual variance of a mean."""
    values = np.array([0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0])
    customers = np.array([7, 7, 7, 7, 9, 9, 9, 9])
    halves = np.array([0.0, 0.5, 0.5, 0.5, 1.0, 0.5, 0.5, 0.5])
    assert performance.variance_of_mean(values, customers) == pytest.approx(0, abs=1e-12)
    assert performance.variance_of_mean(halves, customers) == pytest.approx(2 * 2 * 0.5**2 / 8**2, abs=1e-12)
    assert performance.variance_of_mean(values, np.arange(8)) == pytest.approx(values.var(ddof=1) / 8, abs=1e-12)
    assert performance.variance_of_mean(values, np.zeros(8)) == 0


@pytest.mark.parametrize("rows_each", [1, 4], ids=["one row each", "four rows each"])
def test_the_interval_covers_the_mean_as_often_as_it_says(rows_each):
    """The 95 % interval of 300 customers' coin throws covers one half in 92 to 98 of 100 draws, repeats or not."""
    rng = np.random.default_rng(0)
    customers = np.repeat(np.arange(300), rows_each)
    covered = []
    for _ in range(1_000):
        throws = (rng.random(300) < 0.5).astype(float)
        low, high = performance.interval(np.repeat(throws, rows_each), customers)
        covered.append(low <= 0.5 <= high)
    assert 0.92 <= np.mean(covered) <= 0.98


@pytest.mark.parametrize("count", [1, 2, 5, 20])
def test_many_outcomes_of_a_few_customers_are_no_verdict_on_all(estimator, reference, count):
    """Whoever is told wrongly is so month for month: chance alone would alarm, and start a training."""
    fired = 0
    for seed in range(20):
        places = np.resize(np.random.default_rng(seed).integers(0, 400, count), 400)
        rows = answered(400, seed).iloc[places].reset_index(drop=True)
        fired += (
            DriftState.RED
            in checks(estimator, reference, rows.assign(customer=np.resize(np.arange(count), 400))).values()
        )
    assert fired == 0


def test_a_few_customers_leave_an_interval_as_wide_as_a_share():
    """Also where all their rows agree; with enough customers it is the usual one."""
    wide = performance.interval(np.zeros(400), np.resize(np.arange(performance.LEAST_CUSTOMERS - 1), 400))
    usual = performance.interval(np.zeros(400), np.resize(np.arange(performance.LEAST_CUSTOMERS), 400))
    assert (wide, usual) == ((-1.0, 1.0), (0.0, 0.0))
