"""The calibration comes true, and is bent no further than the aims ask for."""

from __future__ import annotations

import numpy as np
import pytest

from flows.learning import calibration
from flows.learning.calibration import Aims, Array, Bend, Ints, Parts
from flows.learning.model_metrics import LabelledAnswers, judge
from service.score import policy

LAX = Aims(severe_errors=1.0, disagreement=1.0)


def told(count: int = 6_000, power: float = 1.0, seed: int = 1) -> tuple[Array, Ints, Array]:
    """What a model says that overstates by a power, labels drawn from the truth, and the truth."""
    generator = np.random.default_rng(seed)
    true = generator.dirichlet([1.5, 1.5, 1.5], count)
    labels = (generator.random(count)[:, None] > np.cumsum(true, axis=1)).sum(axis=1)
    said = true**power / (true**power).sum(axis=1, keepdims=True)
    return said, labels, true


def halves(count: int) -> Parts:
    """Two parts, each judged on once."""
    one, other = np.arange(count // 2), np.arange(count // 2, count)
    return ((one, other), (other, one))


def severe_and_disagreement(answers: Array, labels: Ints) -> tuple[float, float]:
    """Shares of severe errors, and of classes that are not the score's band."""
    classes = answers.argmax(axis=1)
    bands = policy.band_many(policy.score_many(answers))
    return float(np.mean(np.abs(classes - labels) == 2)), float(np.mean(bands != classes))


def test_probabilities_come_true() -> None:
    """An overconfident model is pulled back; the table is a valid one."""
    said, labels, true = told(20_000, power=2.0)
    table = calibration.bent(calibration.isotonic(said[:10_000], labels[:10_000]), Bend())
    repaired = policy.calibrated_many(said[10_000:], table)
    assert np.abs(repaired - true[10_000:]).mean() < 0.5 * np.abs(said[10_000:] - true[10_000:]).mean()


def test_a_bend_does_what_its_numbers_say() -> None:
    """A share of the model's own word, then a power, then a weight on Standard, in every cell of the table."""
    said, labels, _ = told()
    plain = calibration.isotonic(said, labels)
    own = np.linspace(0.0, 1.0, policy.CELLS + 1)
    mixed = np.clip(0.25 * plain + 0.75 * own, 1e-4, 1.0)
    knots = np.array(calibration.bent(plain, Bend(trust=0.25, sharpness=1.5, caution=1.25)).knots)
    assert knots[1] == pytest.approx(mixed[1] ** 1.5)
    assert knots[[0, 2]] == pytest.approx(mixed[[0, 2]] ** 1.5 / 1.25)


def test_without_need_nothing_is_bent() -> None:
    """A boastful model whose errors bother nobody is made to come true, sharpened by nothing."""
    said, labels, _ = told(power=2.0)
    _, bend = calibration.calibrate(said, labels, halves(len(labels)), LAX)
    assert (bend.sharpness, bend.caution) == (1.0, 1.0) and bend.trust >= 0.5


@pytest.mark.parametrize(("aim", "share"), [("severe_errors", 0.97), ("disagreement", 0.92)])
def test_a_bend_meets_its_aim_on_customers_it_was_not_chosen_on(aim: str, share: float) -> None:
    """The plain table exceeds the aim, the chosen one meets it but for what chance may do, and is bent for it."""
    said, labels, _ = told(20_000)
    fresh, truth, _ = told(20_000, seed=2)
    plain = calibration.bent(calibration.isotonic(said, labels), Bend())
    place = ["severe_errors", "disagreement"].index(aim)
    before = severe_and_disagreement(policy.calibrated_many(fresh, plain), truth)[place]
    asked = Aims(**{"severe_errors": 1.0, "disagreement": 1.0} | {aim: before * share})

    table, bend = calibration.calibrate(said, labels, halves(len(labels)), asked)

    after = severe_and_disagreement(policy.calibrated_many(fresh, table), truth)[place]
    assert bend != Bend() and after < before * (1 + share) / 2


def test_what_no_bend_reaches_is_approached() -> None:
    """The table that exceeds the aim by the least, not an error: the release checks judge what came out."""
    said, labels, _ = told()
    parts = halves(len(labels))
    nothing = Aims(severe_errors=1e-6, disagreement=1.0)
    chosen = calibration.choose(said, labels, parts, nothing)
    assert chosen.caution == max(calibration.CAUTIONS)


def test_the_error_is_the_one_the_model_is_judged_by() -> None:
    """Two definitions would choose for one figure and fail by the other."""
    said, labels, _ = told(500, power=2.0)
    judged = judge(LabelledAnswers(labels, said, np.arange(len(labels))), draws=1)["ece"].value
    assert calibration.expected_error(said, labels) == pytest.approx(judged)
