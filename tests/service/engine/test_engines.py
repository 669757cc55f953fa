"""Both engines against CatBoost itself: raw values, exact SHAP values, missing values, limits."""

from __future__ import annotations

import dataclasses
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pytest
from catboost import CatBoost, CatBoostClassifier, Pool
from hypothesis import given, settings
from hypothesis import strategies as st

from service.engine import compiled
from service.engine.check import ask_catboost, border_rows, output_order, raw_difference, unlike
from service.engine.compiled import Compiled, build
from service.engine.formulas import record
from service.engine.portable import Portable
from service.engine.rules import FAMILY_OF, MARGINS, Rules
from service.engine.shapley import leaf_table
from service.engine.trees import LeafTable, read_ensemble, read_table
from service.errors import ModelRefused
from service.score import features
from service.score.features import FEATURE_NAMES
from service.score.policy import IDENTITY, Calibration, Objective
from service.score.reasons import FAMILIES
from tests.factories import applicant_columns

WIDTH = len(FEATURE_NAMES)

ALL_RULES = [one.name for one in dataclasses.fields(Rules)]
SURER = Calibration(tuple(tuple(knot**1.25 for knot in row) for row in IDENTITY.knots))
"""Of known customers: another table than that of unknown ones, so that one taken for the other shows."""


class Trained(NamedTuple):
    """A model, its leaf table, both engines and rows along its borders with CatBoost's raw values."""

    objective: Objective
    model: CatBoost
    table: LeafTable
    rules: Rules
    portable: Portable
    compiled: Compiled
    rows: np.ndarray
    raw: np.ndarray
    order: list[int]


def _history(classes: np.ndarray) -> np.ndarray:
    """What is known of each customer: of every other one the class, one to four months old."""
    told = np.full((len(classes), len(features.HISTORY)), np.nan)
    rows = np.arange(0, len(classes), 2)
    told[rows, :3] = np.column_stack([classes[rows], 1 + rows % 4, rows % 3])
    told[rows, 3:] = classes[rows][:, None]
    return told


def _train(objective: Objective, **changes: Any) -> Trained:
    columns, classes = applicant_columns(2500, seed=3)
    labels: Any = np.array(["Poor", "Standard", "Good"])[classes]
    if objective == "MultiLogloss":
        labels = np.column_stack([classes > 0, classes > 1]).astype(np.int64)
    settled: dict[str, Any] = {"iterations": 40, "depth": 6, "learning_rate": 0.2, "loss_function": objective} | changes
    model = CatBoostClassifier(**settled, thread_count=2, random_seed=1, allow_writing_files=False, verbose=False)
    matrix = features.matrix(columns | {"history": _history(classes)})
    model.fit(Pool(matrix, labels, weight=np.linspace(0.5, 2, len(classes))))
    order = output_order([str(name) for name in model.classes_], objective)
    table = leaf_table(read_ensemble(model, order), np.array(MARGINS[objective]))
    reference = features.matrix(columns)[np.flatnonzero(classes == 2)[:1]]
    centred = Portable(table, Rules(objective, IDENTITY, SURER, tuple(reference[0]), (0.0,) * len(FAMILIES)))
    rules = Rules(
        objective, IDENTITY, SURER, tuple(reference[0].tolist()), tuple(centred.contributions(reference)[0].tolist())
    )
    rows = np.concatenate([border_rows(table.ensemble, 700), matrix[:300]])
    raw = np.asarray(model.predict(rows, prediction_type="RawFormulaVal"))[:, order]
    return Trained(
        objective, model, table, rules, Portable(table, rules), Compiled(table, rules, build()), rows, raw, order
    )


@pytest.fixture(
    name="trained",
    scope="module",
    params=[
        ("MultiClass", {}),
        ("MultiLogloss", {}),
        ("MultiClass", {"nan_mode": "Max", "depth": 4, "iterations": 70}),
        ("MultiClass", {"depth": 8, "iterations": 10}),
        ("MultiClass", {"depth": 1, "iterations": 5}),
        ("MultiLogloss", {"depth": 8, "iterations": 10}),
        ("MultiLogloss", {"depth": 2, "iterations": 1}),
        ("MultiLogloss", {"depth": 6, "iterations": 64, "learning_rate": 0.5}),
    ],
    ids=[
        *("three-classes", "two-cumulative", "missing-high", "deep", "stumps"),
        *("two-deep", "one-tree", "whole-blocks"),
    ],
)
def _trained(request: pytest.FixtureRequest) -> Trained:
    objective, changes = request.param
    return _train(objective, **changes)


def test_raw_values_equal_catboost_to_the_last_bit(trained: Trained) -> None:
    """1,000 rows, along every border and with missing values: no difference at all."""
    assert np.isnan(trained.rows).any()
    np.testing.assert_array_equal(trained.portable.raw(trained.rows), trained.raw)
    np.testing.assert_array_equal(trained.compiled.raw(trained.rows), trained.raw)


def test_shap_values_equal_catboost(trained: Trained) -> None:
    """1,000 rows: the table's SHAP values are CatBoost's to 1e-9, and so are both engines' sums by family."""
    values = trained.model.get_feature_importance(Pool(trained.rows), type="ShapValues", thread_count=2)
    wanted = np.tensordot(values[:, trained.order], trained.table.direction, (1, 0))

    found = trained.portable.feature_contributions(trained.rows)

    assert raw_difference(found, wanted[:, :-1]) < 1e-9
    assert trained.table.base == pytest.approx(wanted[0, -1], abs=1e-9)
    by_family = np.zeros((len(found), len(FAMILIES)))
    np.add.at(by_family.T, np.array(FAMILY_OF), wanted[:, :-1].T)
    assert raw_difference(trained.portable.contributions(trained.rows), by_family) < 1e-9
    assert raw_difference(trained.compiled.contributions(trained.rows), by_family) < 1e-9


def test_contributions_add_up_to_the_margin(trained: Trained) -> None:
    """Additivity: base and contributions are the margin, for every row."""
    margin = trained.raw @ trained.table.direction

    total = trained.compiled.contributions(trained.rows).sum(axis=1) + trained.table.base

    np.testing.assert_allclose(total, margin, rtol=0, atol=1e-9)


def test_both_engines_give_the_same_answers(trained: Trained) -> None:
    """Scores, bands, classes and reasons are equal, alone and among many."""
    assert unlike(trained.compiled, trained.portable, trained.rows, trained.raw) == ""
    for row in trained.rows[:200].tolist():
        left, right = trained.compiled.assess(row), trained.portable.assess(row)
        assert left[1:-1] == right[1:-1]
        assert left.relative_contributions == pytest.approx(right.relative_contributions, abs=1e-12)
        assert left.probabilities == pytest.approx(right.probabilities, abs=1e-12)


def test_threads_do_not_mix_their_answers(trained: Trained) -> None:
    """Many threads at once, one row at a time: everyone gets the answer to their own row."""
    rows = trained.rows[:200].tolist() * 5
    wanted = [trained.compiled.assess(row) for row in rows]

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(trained.compiled.assess, rows)) == wanted


def test_trees_differ_in_their_families(plain: Trained) -> None:
    """What the kernel adds up by family covers trees that ask about few families beside trees that ask about many."""
    own = np.array(FAMILY_OF)[plain.table.ensemble.split_feature]
    assert len({len(set(families)) for families in own.tolist()}) > 2


@pytest.fixture(name="plain", scope="module")
def _plain() -> Trained:
    return _train("MultiClass")


@settings(max_examples=60, deadline=None)
@given(
    row=st.lists(
        st.one_of(st.floats(-1e12, 1e12), st.floats(0, 50), st.just(float("nan")), st.just(1e30)),
        min_size=WIDTH,
        max_size=WIDTH,
    )
)
def test_any_row_is_answered_alike(plain: Trained, row: list[float]) -> None:
    """Whatever the numbers, CatBoost and both engines agree."""
    matrix = np.array([row])
    raw = np.asarray(plain.model.predict(matrix, prediction_type="RawFormulaVal"))[:, plain.order]

    np.testing.assert_array_equal(plain.compiled.raw(matrix), raw)
    np.testing.assert_array_equal(plain.portable.raw(matrix), raw)
    compiled, portable = plain.compiled.assess(row), plain.portable.assess(row)
    assert compiled[1:-1] == portable[1:-1]
    assert compiled.relative_contributions == pytest.approx(portable.relative_contributions, abs=1e-9)


def test_no_rows_are_no_answers(plain: Trained) -> None:
    """An empty matrix gives empty arrays of the right shape."""
    nothing = np.empty((0, WIDTH))
    for engine in (plain.portable, plain.compiled):
        assert engine.raw(nothing).shape == (0, 3)
        assert engine.contributions(nothing).shape == (0, len(FAMILIES))
        assert len(engine.assess_many(nothing, True).score) == 0


def test_rows_of_another_width_are_refused(plain: Trained) -> None:
    """The kernel never reads beyond a row."""
    with pytest.raises(ValueError, match=f"rows of {WIDTH} features"):
        plain.compiled.raw(np.zeros((3, WIDTH - 1)))


def test_a_table_survives_its_archive(plain: Trained) -> None:
    """What is read back is what was written."""
    read = read_table(plain.table.archive())

    np.testing.assert_array_equal(read.shap, plain.table.shap)
    np.testing.assert_array_equal(read.ensemble.split_border, plain.table.ensemble.split_border)
    assert read.base == plain.table.base


def test_the_program_repeats_the_formulas() -> None:
    """Replaying the recorded operations on a row gives its derived features to the last bit."""
    columns, _ = applicant_columns(50, seed=4)
    program = record()
    for row in features.matrix(columns).tolist():
        registers = [*row, *program.constants]
        for operation, left, right in program.operations.tolist():
            a, b = registers[left], registers[right]
            registers.append((a + b, a - b, a * b, a / b if b else float("nan"))[operation])
        for feature, register in program.outputs:
            np.testing.assert_equal(registers[register], row[feature])


def test_a_kernel_that_answers_otherwise_is_told(plain: Trained) -> None:
    """The comparison names what differs: raw values, SHAP values, probabilities, reasons."""
    rows, raw = plain.rows[:50], plain.raw[:50]
    assert "raw values" in unlike(plain.compiled, plain.portable, rows, raw + 1e-12)

    def other(**changes: Any) -> Portable:
        rules = {name: getattr(plain.rules, name) for name in ALL_RULES}
        return Portable(plain.table, Rules(**(rules | changes)))

    assert "contributions" in unlike(plain.compiled, other(baseline=(-1e9,) * len(FAMILIES)), rows, raw)
    assert raw_difference(raw, raw[:3]) == float("inf")
    assert raw_difference(raw, raw * np.nan) == float("inf")


@pytest.mark.parametrize("compiler", ["gcc", "clang", "ziglang"])
def test_every_compiler_gives_the_same_answers(plain: Trained, compiler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever built the kernel: raw values are CatBoost's to the last bit, answers and reasons the portable ones."""
    if compiler == "ziglang":
        pytest.importorskip("ziglang", reason="infra/locks/compiler.txt is installed where a machine has no compiler")
        monkeypatch.setattr(compiled.shutil, "which", lambda _name: None)
    elif shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    build.cache_clear()
    kernel = build() if compiler == "ziglang" else build(compiler)
    build.cache_clear()

    found = Compiled(plain.table, plain.rules, kernel)

    assert np.array_equal(found.raw(plain.rows), plain.raw)
    assert not unlike(found, plain.portable, plain.rows, plain.raw)


def test_a_dead_or_late_trial_is_a_refusal(plain: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial process that is killed by the model or hangs refuses the model."""
    rows = plain.rows[:1]
    with pytest.raises(ModelRefused, match="does not load"):
        ask_catboost(b"no model", rows, "MultiClass")
    monkeypatch.setattr("service.engine.check.TRIAL_TIMEOUT_S", 0.01)
    with pytest.raises(ModelRefused, match="not loaded within"):
        ask_catboost(b"no model", rows, "MultiClass")
