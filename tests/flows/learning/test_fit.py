"""Learning: customers stay on one side, the same seed gives the same bits, the calibration comes true."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from flows.learning import fit
from flows.learning.fit import Parameters
from flows.learning.rows import Rows, rows_of
from service.engine.check import output_order
from service.engine.trees import read_ensemble
from service.score import policy
from service.score.features import FEATURE_NAMES, FEATURES
from tests.flows.small_training import MONTHS, QUICK, frame, rows


@pytest.fixture(name="taught", scope="module")
def _taught() -> Rows:
    return rows(200)


def test_rows_hold_features_labels_and_quarters() -> None:
    """Unlabelled rows are left out, classes are counted from the worst, months become quarters."""
    prepared = frame(10)
    prepared.loc[0, "label"] = None
    taught = rows_of(prepared)
    assert taught.features.shape == (10 * MONTHS - 1, len(FEATURE_NAMES))
    assert taught.quarters.tolist()[:3] == [1, 1, 2]
    assert [str(policy.CLASSES[place]) for place in taught.labels] == prepared["label"].dropna().tolist()


def test_no_customer_is_on_both_sides(taught: Rows) -> None:
    """Each row is held out once, and never beside its own customer."""
    held = np.zeros(len(taught.labels), dtype=int)
    for on, off in fit.folds(taught.customers, 5, seed=1):
        assert not set(taught.customers[on]) & set(taught.customers[off])
        held[off] += 1
    assert (held == 1).all()


def test_too_few_customers_are_refused() -> None:
    """Folds of nobody are no folds."""
    with pytest.raises(ValueError, match="3 customers cannot be split into 5"):
        next(fit.folds(np.array([0, 1, 2, 2]), 5, 0))


@pytest.mark.parametrize("objective", ["MultiClass", "MultiLogloss"])
@pytest.mark.parametrize("members", [1, 2])
def test_the_same_seed_gives_the_same_bits(taught: Rows, objective: str, members: int) -> None:
    """Twice the same rows and parameters, bit-identical probabilities; another seed, another model."""
    parameters = QUICK.model_copy(update={"objective": objective, "members": members})
    one, two = fit.learn(taught, parameters), fit.learn(taught, parameters)
    other = fit.fit_model(taught, parameters.model_copy(update={"seed": 8}))
    assert one.probabilities(taught.features).tobytes() == two.probabilities(taught.features).tobytes()
    assert one.calibration == two.calibration
    assert not np.array_equal(one.model.predict(taught.features), other.predict(taught.features))


@pytest.mark.parametrize("objective", ["MultiClass", "MultiLogloss"])
@pytest.mark.parametrize("members", [1, 2])
def test_the_model_can_be_served_from_leaf_tables(taught: Rows, objective: str, members: int) -> None:
    """Symmetric trees, one output an objective's margin, members in one file."""
    model = fit.fit_model(taught, QUICK.model_copy(update={"objective": objective, "members": members}))
    names = [str(name) for name in np.asarray(model.classes_).ravel()]
    trees = read_ensemble(model, output_order(names, objective))
    assert model.tree_count_ <= QUICK.iterations * members
    assert trees.features == len(FEATURE_NAMES)


def test_probabilities_are_learned(taught: Rows) -> None:
    """Better than chance on customers the folds never saw, and a probability everywhere."""
    told = fit.learn(taught, QUICK).out_of_fold
    assert np.allclose(told.sum(axis=1), 1.0)
    assert (told.argmax(axis=1) == taught.labels).mean() > 0.5


def test_progress_counts_every_fit(taught: Rows) -> None:
    """Whoever watches sees each fold's fit and the final one, never a step back."""
    seen: list[tuple[float, str]] = []
    fit.learn(taught, QUICK, lambda share, what: seen.append((share, what)))
    assert seen == [(count / 4, f"fit {count} of 4") for count in range(1, 5)]


def test_fits_side_by_side_are_the_fits_alone(taught: Rows) -> None:
    """Lanes change the time a training takes, not a bit of its models, which keep their order."""
    parts = [taught, taught.where(taught.customers > 20), taught.where(taught.customers > 40)]
    beside = fit.fit_models(parts, QUICK.model_copy(update={"threads": 2}))
    for part, model in zip(parts, beside, strict=True):
        assert np.array_equal(model.predict(taught.features), fit.fit_model(part, QUICK).predict(taught.features))


def test_settled_labels_follow_the_quarter() -> None:
    """One flip in a quarter is undone, a tie and another quarter are left alone."""
    taught = Rows(
        np.zeros((7, 1)),
        np.array([0, 0, 1, 1, 2, 1, 2]),
        np.array([0, 0, 0, 0, 0, 1, 1]),
        np.array([1, 2, 3, 4, 5, 1, 2]),
    )
    assert fit.settled(taught).tolist() == [0, 0, 0, 1, 2, 1, 2]


def test_weights_by_quarter_and_class() -> None:
    """A quarter's weight is `recency` times the one before; balanced classes weigh the same in total."""
    taught = Rows(
        np.full((4, len(FEATURE_NAMES)), np.nan), np.array([0, 0, 0, 1]), np.arange(4), np.array([1, 4, 7, 7])
    )
    recent = fit.weights(taught, taught.labels, Parameters(recency=2.0))
    assert (recent[1] / recent[0], recent[2] / recent[1]) == (2.0, 2.0)
    balanced = fit.weights(taught, taught.labels, Parameters(recency=1.0, balance_classes=1.0))
    assert balanced[:3].sum() == pytest.approx(balanced[3])
    assert recent.mean() == pytest.approx(1.0)


def test_an_absent_class_is_refused(taught: Rows) -> None:
    """A model that never saw Good cannot say Good."""
    with pytest.raises(ValueError, match="no row of class Good"):
        fit.fit_model(taught.where(taught.labels < 2), QUICK)


@pytest.mark.parametrize("bad", [{"iterations": 0}, {"depth": 9}, {"learning_rate": 0.0}, {"unknown": 1}])
def test_the_form_refuses_what_makes_no_sense(bad: dict[str, float]) -> None:
    """Bounds stand in the model that Prefect makes its form from."""
    with pytest.raises(ValueError, match="validation error"):
        Parameters(**bad)


def test_every_parameter_has_a_title() -> None:
    """The form speaks to people."""
    assert all(field.title for field in Parameters.model_fields.values())


def test_parameters_are_found_in_what_another_version_recorded(taught: Rows) -> None:
    """A champion of older code still has a recipe; what a model says of itself gives its parameters back."""
    assert Parameters.among({"depth": 4, "sharpness": 1.03}) == Parameters(depth=4)
    assert Parameters.among(fit.learn(taught, QUICK).recipe) == QUICK


@pytest.mark.parametrize("kept", [True, False])
def test_declared_directions_are_kept_where_they_are_asked_for(kept: bool) -> None:
    """No riskier value raises a curve; without the wish some do."""
    taught = rows(80)
    model = fit.fit_curves_apart(taught, QUICK, declared_directions=kept)
    raw = partial(model.predict, prediction_type="RawFormulaVal", thread_count=1)
    wrong = 0
    for place, feature in enumerate(FEATURES):
        moved = taught.features.copy()
        moved[:, place] += np.ptp(np.nan_to_num(moved[:, place])) / 3
        wrong += int((((raw(moved) - raw(taught.features)) * -feature.risk) < -1e-9).any())
    assert (wrong == 0) is kept
