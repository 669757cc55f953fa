"""The metrics are the ones everybody computes, their intervals are by customer, comparisons are paired."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from flows.learning import model_metrics
from flows.learning.model_metrics import BootstrapDraws, LabelledAnswers, compare
from tests.flows.small_training import answers


@pytest.fixture(name="told", scope="module")
def _told() -> LabelledAnswers:
    return answers()


EXPECTED = {
    "accuracy": lambda a: reference.accuracy_score(a.labels, a.classes),
    "macro_f1": lambda a: reference.f1_score(a.labels, a.classes, average="macro"),
    "balanced_accuracy": lambda a: reference.balanced_accuracy_score(a.labels, a.classes),
    "log_loss": lambda a: reference.log_loss(a.labels, a.probabilities),
    "auc_ovr": lambda a: reference.roc_auc_score(a.labels, a.probabilities, multi_class="ovr"),
    "gini_poor": lambda a: 2 * reference.roc_auc_score(a.labels == 0, a.probabilities[:, 0]) - 1,
    "ks_poor": lambda a: np.max(np.subtract(*reference.roc_curve(a.labels == 0, a.probabilities[:, 0])[1::-1])),
    "qwk": lambda a: reference.cohen_kappa_score(a.labels, a.classes, weights="quadratic"),
    "r2": lambda a: reference.r2_score(model_metrics.MIDPOINTS[a.labels], a.scores),
    "mae": lambda a: reference.mean_absolute_error(model_metrics.MIDPOINTS[a.labels], a.scores),
    "mse": lambda a: reference.mean_squared_error(model_metrics.MIDPOINTS[a.labels], a.scores),
    "mape": lambda a: reference.mean_absolute_percentage_error(model_metrics.MIDPOINTS[a.labels], a.scores),
    "severe_error_rate": lambda a: np.mean(np.abs(a.labels - a.classes) == 2),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_metrics_agree_with_scikit_learn(name: str, told: LabelledAnswers) -> None:
    """Own sums, needed for the bootstrap, give the well-known figures."""
    assert model_metrics.judge(told, draws=20)[name].value == pytest.approx(EXPECTED[name](told), rel=1e-9)


def test_every_metric_of_the_design_is_there(told: LabelledAnswers) -> None:
    """Nothing is left out, and each value lies in its own interval or by its edge."""
    figures = model_metrics.judge(told, draws=200)
    assert tuple(figures) == model_metrics.METRICS
    for name, figure in figures.items():
        assert figure.low <= figure.high, name
        assert figure.low - 0.05 * abs(figure.value) <= figure.value <= figure.high + 0.05 * abs(figure.value), name


def test_rps_and_ece_of_known_answers() -> None:
    """Worked by hand: one row right for sure, one wrong by two steps for sure."""
    told = LabelledAnswers(np.array([0, 0]), np.array([[1.0, 0, 0], [0, 0, 1.0]]), np.array([0, 1]))
    figures = model_metrics.judge(told, draws=5)
    assert figures["rps"].value == 0.5
    assert figures["ece"].value == 0.5
    assert figures["severe_error_rate"].value == 0.5


def test_rows_of_one_customer_widen_the_interval(told: LabelledAnswers) -> None:
    """Ten copies of each row add no knowledge: the interval by customer stays as wide."""
    copies = LabelledAnswers(
        np.tile(told.labels, 10), np.tile(told.probabilities, (10, 1)), np.tile(told.customers, 10)
    )
    one, many = model_metrics.judge(told, 300)["accuracy"], model_metrics.judge(copies, 300)["accuracy"]
    assert many.high - many.low == pytest.approx(one.high - one.low)


def test_the_same_seed_gives_the_same_interval(told: LabelledAnswers) -> None:
    """A report can be reproduced."""
    assert model_metrics.judge(told, 50, seed=3) == model_metrics.judge(told, 50, seed=3)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_weighted_draws_equal_repeated_rows(seed: int) -> None:
    """A draw's figure is that of a frame in which each customer's rows are repeated as often as drawn."""
    told = answers(count=60, seed=seed, customers=12)
    draws = BootstrapDraws.of(told.customers, 1, seed)
    times = draws.weights[1].astype(int)[draws.position]
    again = LabelledAnswers(
        np.repeat(told.labels, times), np.repeat(told.probabilities, times, axis=0), np.repeat(told.customers, times)
    )
    if len(np.unique(again.labels)) < 3:
        return
    drawn = {name: values[1] for name, values in model_metrics.bootstrap_values(told, draws).items()}
    plain = {
        name: values[0]
        for name, values in model_metrics.bootstrap_values(again, BootstrapDraws.of(again.customers, 1)).items()
    }
    assert drawn == pytest.approx(plain, rel=1e-9)


def test_a_slice_without_a_class_has_no_rank_metric() -> None:
    """A figure that cannot be computed is NaN, never a made-up number."""
    told = answers()
    only = model_metrics.by_slice(told, {"poor": told.labels == 0, "nobody": told.labels > 5}, draws=20)
    assert set(only) == {"poor"}
    assert np.isnan(only["poor"]["auc_ovr"].value)


def test_a_model_does_not_differ_from_itself(told: LabelledAnswers) -> None:
    """Paired on the same draws, the difference of equal models is zero, not noise."""
    for name, gap in compare(told, told, 50).items():
        assert (gap.value, gap.low, gap.high, gap.p_better) == (0.0, 0.0, 0.0, 0.0), name


def test_pairing_sees_what_two_intervals_hide() -> None:
    """A model a little better on the same rows is told apart although the two intervals overlap."""
    good = answers(3_000, seed=1, customers=600)
    labels = good.labels.copy()
    spoiled = good.probabilities.copy()
    spoiled[:45] = np.roll(np.eye(3)[labels[:45]], 1, axis=1)
    gap = compare(good, LabelledAnswers(labels, spoiled, good.customers), 300)["accuracy"]
    assert gap.low > 0.0 and gap.p_better > 0.99


@pytest.mark.parametrize("change", ["labels", "customers"])
def test_only_the_same_rows_are_compared(told: LabelledAnswers, change: str) -> None:
    """Two models judged on different rows cannot be paired."""
    values = {"labels": told.labels, "probabilities": told.probabilities, "customers": told.customers}
    other = LabelledAnswers(**values | {change: values[change][::-1].copy()})
    with pytest.raises(ValueError, match="same rows"):
        compare(told, other)


@pytest.mark.parametrize("sizes", [(0, 0), (3, 2)], ids=["no rows", "unequal"])
def test_broken_answers_are_refused(sizes: tuple[int, int]) -> None:
    """Empty or ragged answers stop at once."""
    with pytest.raises(ValueError, match="rows"):
        LabelledAnswers(np.zeros(sizes[0], int), np.full((sizes[1], 3), 1 / 3), np.zeros(sizes[0], int))


def test_chance_alone_explains_the_ece_of_a_perfect_model() -> None:
    """Labels drawn from the model's own probabilities give an ECE near the noise figure."""
    generator = np.random.default_rng(5)
    said = generator.dirichlet([2, 2, 2], 4_000)
    labels = (generator.random(4_000)[:, None] > np.cumsum(said, axis=1)).sum(axis=1)
    told = LabelledAnswers(labels, said, np.arange(4_000))
    ece = model_metrics.judge(told, 2)["ece"].value
    assert 0.5 < model_metrics.calibration_noise(told) / ece < 2.0


def test_bands_and_shift_of_scores(told: LabelledAnswers) -> None:
    """Better bands hold fewer Poor; a score compared with itself has not moved, halved it has."""
    worst, middle, best = model_metrics.poor_rate_by_band(told)
    assert worst > middle > best
    assert model_metrics.score_psi(told.scores, told.scores) == 0.0
    assert model_metrics.score_psi(told.scores, told.scores // 2) > 0.25


def test_the_interval_of_ece_holds_its_value() -> None:
    """Of nearly perfect answers too, where every draw is worse than the sample."""
    rng = np.random.default_rng(0)
    said = rng.dirichlet((1.0, 1.0, 1.0), 4_000)
    labels = (rng.random(4_000)[:, None] > np.cumsum(said, axis=1)).sum(axis=1)
    ece = model_metrics.judge(LabelledAnswers(labels, said, np.arange(4_000)), draws=200)["ece"]
    assert ece.low <= ece.value <= ece.high


@pytest.mark.parametrize("seed", range(6))
def test_the_interval_of_a_distance_without_sign_holds_its_value(seed: int) -> None:
    """Of a model that hardly tells the classes apart too, where every draw finds a larger distance by chance."""
    rng = np.random.default_rng(seed)
    said = rng.dirichlet((8.0, 8.0, 8.0), 300)
    figures = model_metrics.judge(LabelledAnswers(rng.integers(0, 3, 300), said, np.arange(300)), draws=200)
    distances = [figure for name, figure in figures.items() if name == "ece" or name.startswith("ks_")]
    assert len(distances) > 5
    for one in distances:
        assert 0.0 <= one.low <= one.value <= one.high <= 1.0
