"""The drift rule on the real data, whose label is set anew each quarter: it fires across them and is calm within."""

import numpy as np
import pandas as pd
import pytest

from flows.cleaning.pipeline import clean_rows
from flows.data.raw_reading import read_raw
from flows.monitoring import column_rules, outcomes, performance
from flows.monitoring.verdict_types import DriftState
from flows.monitoring.window_settings import DriftSettings, Thresholds
from flows.predictions import columns

pytestmark = [pytest.mark.full, pytest.mark.needs_data, pytest.mark.timeout(1800)]
COLUMNS = [column for column in columns.contract_columns() if column.kind != "list"]
SETTINGS = DriftSettings(maturity_days=0)
COHORT = 1_000
SPLITS = 100


@pytest.fixture(name="cleaned", scope="module")
def fixture_cleaned(shared_data) -> pd.DataFrame:
    """January to August, labelled, every clean row."""
    return clean_rows(read_raw(shared_data / "train.csv.gz", labelled=True)).frame


@pytest.fixture(name="answered", scope="module")
def fixture_answered(cleaned) -> pd.DataFrame:
    """Rows of customers that a model of the first quarter never saw, with its answers and their labels."""
    from catboost import CatBoostClassifier

    frame = cleaned
    codes = {c.name: frame[c.name].astype("category").cat.codes for c in COLUMNS if c.kind == "category"}
    inputs = pd.DataFrame(
        {c.name: pd.to_numeric(frame[c.name]).astype(float) for c in COLUMNS if c.kind == "number"} | codes
    )
    customers = frame["customer_id"].unique()
    learned = set(np.random.default_rng(0).permutation(customers)[: len(customers) // 2])
    known = frame["customer_id"].isin(learned) & (frame["month"] <= 3)
    model = CatBoostClassifier(
        iterations=300, depth=6, random_seed=0, thread_count=2, verbose=False, allow_writing_files=False
    )
    model.fit(inputs[known], frame.loc[known, "label"].astype(str))
    unseen = frame[~frame["customer_id"].isin(learned)].reset_index(drop=True)
    said = pd.DataFrame(model.predict_proba(inputs[~frame["customer_id"].isin(learned)]), columns=model.classes_)
    for name, column in zip(outcomes.CLASSES, performance.PROBABILITIES, strict=True):
        unseen[column] = said[name]
    unseen["predicted_class"] = unseen["band"] = said[list(outcomes.CLASSES)].idxmax(axis=1)
    customer = pd.factorize(unseen["customer_id"])[0]
    return unseen.assign(observed_class=unseen["label"].astype(str), customer=customer)


def fired(reference: pd.DataFrame, cohort: pd.DataFrame) -> bool:
    """Whether the concept-drift signal fires on a cohort."""
    estimator = performance.Estimator.fit(
        performance.probabilities_of(reference), reference["observed_class"].to_numpy()
    )
    checks = performance.realised_checks(estimator, reference, cohort, len(cohort), SETTINGS)
    return next(check.state for check in checks if check.name == "concept drift") is DriftState.RED


def moved(reference: pd.DataFrame, cohort: pd.DataFrame) -> list[str]:
    """Columns whose values moved; inquiries and the age of the history grow with the calendar."""
    judged = column_rules.judge_columns(COLUMNS, reference, cohort, Thresholds())
    calendar = ("num_credit_inquiries", "credit_history_months")
    return [one.name for one in judged if one.values_state is not DriftState.GREEN and one.name not in calendar]


def halves(rows: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows split in two by customer."""
    customers = np.random.default_rng(seed).permutation(rows["customer_id"].unique())
    first = rows["customer_id"].isin(customers[: len(customers) // 2])
    return rows[first], rows[~first]


def test_the_second_quarter_is_concept_drift_and_no_column_tells(answered):
    """April to June against January to March, in cohorts of 1,000 outcomes: each fires, covariates do not."""
    reference = answered[answered["month"] <= 3]
    later = answered[answered["month"].between(4, 6)].sample(frac=1, random_state=0)
    cohorts = [later[start : start + COHORT] for start in range(0, len(later) - COHORT + 1, COHORT)]
    assert len(cohorts) >= 5
    found = [fired(reference, cohort) for cohort in cohorts]
    print(f"concept drift fired in {sum(found)} of {len(found)} cohorts")
    assert np.mean(found) >= 0.9
    assert [name for cohort in cohorts for name in moved(reference, cohort)] == []


def test_within_the_first_quarter_nothing_fires(answered):
    """January to March split in two by customer, a hundred times: at most two alarms, whatever the cohort's size."""
    rows = answered[answered["month"] <= 3]
    alarms = {"concept, whole half": 0, "concept, 1,000 rows": 0, "columns": 0}
    for seed in range(SPLITS):
        reference, other = halves(rows, seed)
        alarms["concept, whole half"] += fired(reference, other)
        alarms["concept, 1,000 rows"] += fired(reference, other.sample(COHORT, random_state=seed))
        alarms["columns"] += bool(moved(reference, other))
    print(f"alarms in {SPLITS} splits: {alarms}")
    assert sum(alarms.values()) <= 2


def test_a_cohort_of_whole_customers_is_calm(answered):
    """All rows of some 440 customers, a thousand rows: they depend on each other, and no more than 2 % alarm."""
    rows = answered[answered["month"] <= 3]
    alarms, cohorts = 0, 0
    for seed in range(SPLITS):
        reference, other = halves(rows, seed)
        order = np.random.default_rng(seed).permutation(other["customer"].max() + 1)[other["customer"]]
        shuffled = other.iloc[np.argsort(order, kind="stable")]
        for start in range(0, len(other) - COHORT + 1, COHORT):
            alarms += fired(reference, shuffled[start : start + COHORT])
            cohorts += 1
    print(f"{alarms} alarms in {cohorts} cohorts")
    assert alarms <= 0.02 * cohorts


def test_the_months_that_follow_move_inquiries_and_nothing_else(cleaned, shared_data):
    """September to December of the raw test file: inquiries are flagged from October, what people earn and owe not."""
    rows = clean_rows(read_raw(shared_data / "test_raw.csv.gz", labelled=False)).frame
    months = {
        month: {one.name: one for one in column_rules.judge_columns(COLUMNS, cleaned, part, Thresholds())}
        for month, part in rows.groupby("month")
    }
    print(pd.DataFrame({month: {name: one.psi for name, one in found.items()} for month, found in months.items()}))
    assert list(months) == [9, 10, 11, 12]
    for month, found in months.items():
        calm = {name for name, one in found.items() if one.values_state is DriftState.GREEN}
        assert {"annual_income", "outstanding_debt", "interest_rate", "credit_utilization_ratio"} <= calm
        assert month == 9 or "num_credit_inquiries" not in calm
