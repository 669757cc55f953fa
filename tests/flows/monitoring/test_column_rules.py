"""The drift rule: it fires when it should, and only then."""

import numpy as np
import pandas as pd
import pytest

from flows.monitoring import column_rules, window_rules
from flows.monitoring.drift_statistics import RECORDED
from flows.monitoring.verdict_types import ColumnVerdict, DriftCheck, DriftState, worst
from flows.monitoring.window_settings import Thresholds
from flows.predictions import columns as watched
from flows.predictions.columns import WatchedColumn

THRESHOLDS = Thresholds()
SEEDS = [12, pytest.param(200, marks=pytest.mark.full)]
NUMBERS = [WatchedColumn(f"number_{i}", "number") for i in range(18)]
CATEGORIES = [WatchedColumn(f"category_{i}", "category", levels=tuple("abcdefgh"[: 3 + i])) for i in range(6)]
INCOME = WatchedColumn("annual_income", "number", 0, 1e9, key=True)
COLUMNS = [INCOME, *NUMBERS, *CATEGORIES]


def draw(rows: int, seed: int, income: float = 1.0) -> pd.DataFrame:
    """Rows of 25 columns without drift, incomes log-normal with 2 % outliers and multiplied by `income`."""
    rng = np.random.default_rng(seed)
    salaries = rng.lognormal(10.5, 0.7, rows) * income
    wild = rng.random(rows) < 0.02
    frame = {INCOME.name: np.where(wild, rng.uniform(1e6, 2.4e7, rows), salaries)}
    frame |= {column.name: rng.normal(i, 1 + i, rows) for i, column in enumerate(NUMBERS)}
    frame |= {column.name: rng.choice(column.levels, rows) for column in CATEGORIES}
    return pd.DataFrame(frame)


@pytest.fixture(name="reference", scope="module")
def fixture_reference() -> pd.DataFrame:
    """Twenty thousand rows to compare with."""
    return draw(20_000, 999)


def states(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, DriftState]:
    """State of every column."""
    return {v.name: v.state for v in column_rules.judge_columns(COLUMNS, reference, current, THRESHOLDS)}


@pytest.mark.parametrize("seeds", SEEDS)
def test_no_drift_raises_no_alarm(reference, seeds):
    """Over many seeds of 1,000 rows and 25 columns: red never, amber in at most 2 %."""
    found = [worst(states(reference, draw(1_000, seed)).values()) for seed in range(seeds)]
    assert DriftState.RED not in found
    print(f"{found.count(DriftState.RED)} red, {found.count(DriftState.AMBER)} amber of {seeds} windows")
    assert found.count(DriftState.AMBER) <= 0.02 * seeds


@pytest.mark.parametrize(("factor", "share"), [(1.2, 0.85), (1.3, 0.99), (1.5, 1.0)], ids=["+20 %", "+30 %", "+50 %"])
@pytest.mark.parametrize("seeds", SEEDS)
def test_income_that_rises_is_flagged_among_outliers(reference, factor, share, seeds):
    """A shift of income with 2 % outliers is flagged as often as promised."""
    flagged = [
        column_rules.judge_columns([INCOME], reference, draw(1_000, seed, factor), THRESHOLDS)[0].state
        is not DriftState.GREEN
        for seed in range(seeds)
    ]
    print(f"{np.mean(flagged):.1%} of {seeds} windows flagged")
    assert np.mean(flagged) >= share


@pytest.mark.parametrize("seeds", SEEDS)
def test_a_category_that_triples_is_flagged(seeds):
    """From 10 to 30 % of the rows: always seen."""
    shares = np.array([0.1, 0.3, 0.3, 0.3])
    column = WatchedColumn("mix", "category", levels=tuple("abcd"))
    rng = np.random.default_rng(0)
    before = pd.DataFrame({"mix": rng.choice(list("abcd"), 20_000, p=shares)})
    for _ in range(seeds):
        after = pd.DataFrame({"mix": rng.choice(list("abcd"), 1_000, p=[0.3, 0.7 / 3, 0.7 / 3, 0.7 / 3])})
        assert column_rules.judge_columns([column], before, after, THRESHOLDS)[0].state is not DriftState.GREEN


@pytest.mark.parametrize("column", [INCOME.name, "number_3", "category_2"])
@pytest.mark.parametrize("seeds", [5, pytest.param(200, marks=pytest.mark.full)])
def test_missing_values_that_appear_are_red(reference, column, seeds):
    """A missing share from 0 to 20 % is red for numbers and for categories, every time."""
    for seed in range(seeds):
        current = draw(1_000, seed)
        current[column] = current[column].astype(object)
        current.loc[np.random.default_rng(seed).random(1_000) < 0.2, column] = None
        judged = [candidate for candidate in COLUMNS if candidate.name == column]
        found = column_rules.judge_columns(judged, reference, current, THRESHOLDS)[0]
        assert (found.missing_state, found.state) == (DriftState.RED, DriftState.RED)
        assert found.values_state is DriftState.GREEN


def _all_missing(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(number_0=np.nan)


def _constant(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(number_0=1.0)


def _lost(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(columns="number_0")


def _infinite(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(number_0=np.inf)


def _words(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(number_0="many")


@pytest.mark.parametrize("breakage", [_all_missing, _constant, _lost, _infinite, _words])
def test_a_broken_column_is_red_and_hides_no_other(reference, breakage):
    """The broken column is red with a note; the rest are judged as if nothing had happened."""
    current = draw(1_000, 7)
    judged = {v.name: v for v in column_rules.judge_columns(COLUMNS, reference, breakage(current), THRESHOLDS)}
    broken = judged.pop("number_0")
    assert broken.state is DriftState.RED
    assert broken.note
    assert {v.state for v in judged.values()} == {DriftState.GREEN}


def test_a_new_column_is_red():
    """A column that the reference does not know cannot be compared."""
    frame = draw(600, 1)
    judged = column_rules.judge_columns(
        [WatchedColumn("number_0", "number")], frame.drop(columns="number_0"), frame, THRESHOLDS
    )
    assert (judged[0].state, judged[0].note) == (DriftState.RED, "the column is new: the reference does not know it")


@pytest.mark.parametrize("rows", [1, 50])
def test_few_rows_are_compared_without_a_crash(reference, rows):
    """Tiny windows give verdicts; whether they count is decided by the window's size."""
    assert set(states(reference, draw(rows, 3))) == {column.name for column in COLUMNS}


def test_values_outside_the_contract_are_red_and_not_repeated(reference):
    """Out-of-range numbers and unseen categories are counted; the note holds no value."""
    current = draw(1_000, 5)
    current.loc[:4, INCOME.name] = -987654.0
    current.loc[:2, "category_0"] = "zebra"
    judged = {v.name: v for v in column_rules.judge_columns(COLUMNS, reference, current, THRESHOLDS)}
    assert (judged[INCOME.name].state, judged[INCOME.name].note) == (DriftState.RED, "5 values out of range")
    assert (judged["category_0"].state, judged["category_0"].note) == (DriftState.RED, "3 values of unseen categories")


def test_every_statistic_for_the_record_is_in_the_verdict(reference):
    """A column of numbers carries all of them, one of categories those of counts; one without a field is lost."""
    current = draw(1_000, 3)

    number, *_, category = column_rules.judge_columns(COLUMNS, reference, current, THRESHOLDS)

    assert {one.name for one in RECORDED} <= set(ColumnVerdict.model_fields)
    assert [one.name for one in RECORDED if getattr(number, one.name) is None] == []
    assert {one.name for one in RECORDED if getattr(category, one.name) is not None} == {
        one.name for one in RECORDED if one.binned
    }


def test_an_empty_list_is_a_value_not_a_missing_one():
    """No loans means no loan types: nothing is missing, and items are compared one by one."""
    column = WatchedColumn("loan_types", "list", levels=("auto", "personal"))
    frame = pd.DataFrame({"loan_types": ["auto|personal", "", "auto"] * 300})
    found = column_rules.judge_columns([column], frame, frame, THRESHOLDS)[0]
    assert (found.state, found.missing_current) == (DriftState.GREEN, 0.0)


def verdict(name: str, state: DriftState, **figures) -> ColumnVerdict:
    """A column verdict whose values decide."""
    return ColumnVerdict(
        name=name, state=state, values_state=state, missing_state=DriftState.GREEN, **({"psi": 0.15} | figures)
    )


GREENS = [verdict(f"g{i}", DriftState.GREEN) for i in range(10)]
RED_CHECK = DriftCheck(name="concept drift", state=DriftState.RED, explanation="realised minus estimated -0.1")


@pytest.mark.parametrize(
    ("verdicts", "performance", "previous", "state"),
    [
        (GREENS, [], set(), DriftState.GREEN),
        ([*GREENS, verdict("a", DriftState.AMBER)], [], set(), DriftState.AMBER),
        ([*GREENS, verdict("a", DriftState.AMBER)], [], {"a"}, DriftState.RED),
        ([*GREENS, verdict("a", DriftState.AMBER)], [], {"b"}, DriftState.AMBER),
        ([*GREENS, verdict("a", DriftState.RED)], [], set(), DriftState.AMBER),
        ([*GREENS, verdict("a", DriftState.RED, key=True)], [], set(), DriftState.RED),
        ([*GREENS, verdict("a", DriftState.RED, problem="out_of_range")], [], set(), DriftState.RED),
        ([*GREENS, *[verdict(n, DriftState.AMBER) for n in "abc"]], [], set(), DriftState.RED),
        (GREENS, [RED_CHECK], set(), DriftState.RED),
        (GREENS, [RED_CHECK.model_copy(update={"state": DriftState.AMBER})], set(), DriftState.AMBER),
        (GREENS, [RED_CHECK.model_copy(update={"state": DriftState.INSUFFICIENT})], set(), DriftState.GREEN),
    ],
    ids=[
        "nothing",
        "one amber",
        "amber twice",
        "another amber before",
        "red but no key column",
        "red key column",
        "data quality",
        "a fifth of the columns",
        "performance red",
        "performance amber",
        "performance unknown",
    ],
)
def test_the_decision_follows_the_written_rules(verdicts, performance, previous, state):
    """Each rule alone gives its state, with a reason whenever it is not green."""
    decided = window_rules.decide(verdicts, [], performance, frozenset(previous), THRESHOLDS)
    assert decided.state is state
    assert bool(decided.causes) == (state is not DriftState.GREEN)


def test_every_field_of_the_contract_is_watched_but_the_reference_and_the_date():
    """Ranges and levels come from the contract itself."""
    columns = {column.name: column for column in watched.contract_columns(("annual_income",))}
    assert len(columns) == 20
    assert columns["annual_income"] == WatchedColumn("annual_income", "number", 0, 1e7, key=True)
    assert columns["credit_mix"].levels == ("Bad", "Standard", "Good")
    assert columns["loan_types"].kind == "list"


def test_the_domain_classifier_sees_what_no_single_column_shows():
    """Two columns that swap their dependence keep their own distributions; the classifier notices, and is calm else."""
    rng = np.random.default_rng(0)
    columns = [WatchedColumn("x", "number"), WatchedColumn("y", "number")]
    x = rng.normal(size=3_000)
    before = pd.DataFrame({"x": x, "y": x + rng.normal(scale=0.3, size=3_000)})
    after = pd.DataFrame({"x": x, "y": -x + rng.normal(scale=0.3, size=3_000)})
    same = pd.DataFrame({"x": x[::-1], "y": x[::-1] + rng.normal(scale=0.3, size=3_000)})
    assert {v.state for v in column_rules.judge_columns(columns, before, after, THRESHOLDS)} == {DriftState.GREEN}
    assert window_rules.domain_classifier(columns, before, after, THRESHOLDS).state is DriftState.RED
    assert window_rules.domain_classifier(columns, before, same, THRESHOLDS).state is DriftState.GREEN


def test_the_worst_columns_come_first_and_green_ones_never():
    """By state, then by PSI, at most three."""
    listed = [
        *GREENS,
        verdict("a", DriftState.AMBER, psi=0.12),
        verdict("b", DriftState.AMBER, psi=0.2),
        verdict("c", DriftState.RED),
    ]
    assert [v.name for v in window_rules.worst_columns(listed)] == ["c", "b", "a"]
