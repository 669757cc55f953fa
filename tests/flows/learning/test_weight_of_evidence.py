"""The classical scorecard: a bin's weight is the log of how much likelier it is on the good side."""

from __future__ import annotations

import numpy as np
import pytest

from flows.learning.model_metrics import LabelledAnswers, judge
from flows.learning.weight_of_evidence import EvidenceWeights, weight_of_evidence_scorecard
from tests.flows.small_training import rows


def test_weights_follow_from_counts() -> None:
    """Two bins and a missing one, counted by hand with half a row added to each."""
    column = np.array([1.0] * 4 + [2.0] * 4 + [np.nan] * 2)
    above = np.array([True, False, False, False, True, True, True, False, True, True])
    weights = EvidenceWeights.of(column, above)
    good, bad = np.array([1, 3, 2]) + 0.5, np.array([3, 1, 0]) + 0.5
    told = weights(np.array([1.0, 2.0, np.nan]))
    held = np.bincount(np.searchsorted(weights.edges, [1.0, 2.0], side="right"), minlength=len(weights.edges) + 1)
    total_good, total_bad = (side.sum() + 0.5 * (len(weights.weights) - 3) for side in (good, bad))
    assert held.max() == 1
    assert told == pytest.approx(np.log(good / total_good) - np.log(bad / total_bad))
    assert weights.spread > 0


def test_a_feature_without_a_value_tells_nothing() -> None:
    """One bin, one weight, no error."""
    weights = EvidenceWeights.of(np.full(20, np.nan), np.arange(20) < 10)
    assert weights(np.array([np.nan]))[0] == pytest.approx(0.0, abs=0.2)


def test_it_tells_more_than_the_majority() -> None:
    """Probabilities that add up, on customers it did not learn from."""
    learned, unseen = rows(200, seed=1), rows(100, seed=2)
    said = weight_of_evidence_scorecard(learned)(unseen.features)
    assert said.sum(axis=1) == pytest.approx(1.0) and (said >= 0).all()
    figures = judge(LabelledAnswers(unseen.labels, said, unseen.customers), draws=20)
    assert figures["auc_ovr"].value > 0.7
    assert figures["accuracy"].value > np.bincount(unseen.labels).max() / len(unseen.labels)
