"""The classical yardstick: a scorecard of weights of evidence, two logistic regressions over binned features.

Each feature is cut into quantile bins, a missing value is a bin of its own, and a bin is told by its weight of
evidence: the log of how much likelier it is among those above a class border than among those not. One regression a
border (better than Poor, better than Standard), as credit bureaus have built scorecards since the 1960s (Siddiqi 2006).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flows.learning.rows import Rows
from service.score import policy

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

BINS: Final = 8
_PRIOR: Final = 0.5  # rows added to each bin and side: a bin that holds one side alone is no certainty


@dataclass(frozen=True)
class EvidenceWeights:
    """Inner edges of one feature's bins and the weight of each bin, the last for a missing value."""

    edges: Array
    weights: Array

    @classmethod
    def of(cls, column: Array, above: Bools) -> EvidenceWeights:
        """The weights of a column (n,) for being above a class border (n,)."""
        known = column[~np.isnan(column)]
        edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1])) if known.size else np.array([])
        bins = _bins(column, edges)
        good, bad = (np.bincount(bins[side], minlength=len(edges) + 2) + _PRIOR for side in (above, ~above))
        return cls(edges, np.log(good / good.sum()) - np.log(bad / bad.sum()))

    def __call__(self, column: Array) -> Array:
        """The weight of each value (n,)."""
        weights: Array = self.weights[_bins(column, self.edges)]
        return weights

    @property
    def spread(self) -> float:
        """Spread of the weights; a feature whose weights are all alike tells nothing."""
        return float(np.ptp(self.weights))


def _bins(column: Array, edges: Array) -> NDArray[np.int64]:
    place = np.searchsorted(edges, np.nan_to_num(column), side="right")
    return np.where(np.isnan(column), len(edges) + 1, place).astype(np.int64)


def weight_of_evidence_scorecard(rows: Rows, _threads: int = 2) -> Callable[[Array], Array]:
    """What the scorecard learned from the rows says of others: probabilities (n, 3) of features (n, k)."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    borders = []
    for border in range(len(policy.CLASSES) - 1):
        above = rows.labels > border
        weights = [EvidenceWeights.of(column, above) for column in rows.features.T]
        # Small products: on a busy machine BLAS's threads wait for each other a hundred times longer than they compute.
        with threadpool_limits(limits=1, user_api="blas"):
            model = LogisticRegression(C=1.0, max_iter=500).fit(_weights_of(weights, rows.features), above)
        borders.append((weights, model))

    def predict(features: Array) -> Array:
        chances = np.column_stack(
            [model.predict_proba(_weights_of(weights, features))[:, 1] for weights, model in borders]
        )
        good = np.minimum(chances[:, 1], chances[:, 0])  # learned apart, the two may cross by a hair
        return np.column_stack([1.0 - chances[:, 0], chances[:, 0] - good, good])

    return predict


def _weights_of(weights: list[EvidenceWeights], features: Array) -> Array:
    return np.column_stack([weight(column) for weight, column in zip(weights, features.T, strict=True)])
