"""What the model must beat: the majority, two scorecards, a shallow tree, and CatBoost as it comes.

Each learns from the same rows and is judged on the same unseen customers. The plain CatBoost is also the yardstick of
the release checks as long as there is no champion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flows.learning.model_metrics import LabelledAnswers
from flows.learning.rows import Rows
from flows.learning.weight_of_evidence import weight_of_evidence_scorecard
from service.score.policy import CLASSES

Array = NDArray[np.float64]
Predict = Callable[[Array], Array]
YARDSTICK: Final = "default_catboost"
_SHALLOW_DEPTH: Final = 4
_SCORECARD_BINS: Final = 5


def majority(rows: Rows, _threads: int = 2) -> Predict:
    """The class shares of the rows learned from, for everybody."""
    shares = np.bincount(rows.labels, minlength=len(CLASSES)) / len(rows.labels)
    return lambda features: np.tile(shares, (len(features), 1))


def scorecard(rows: Rows, _threads: int = 2) -> Predict:
    """A logistic scorecard: each feature cut into quantile bins, missing as a bin of its own, points per bin."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    edges = [_edges(column) for column in rows.features.T]

    def binned(features: Array) -> Array:
        return np.column_stack([_bins(column, cut) for column, cut in zip(features.T, edges, strict=True)])

    # Small products: on a busy machine BLAS's threads wait for each other a hundred times longer than they compute.
    with threadpool_limits(limits=1, user_api="blas"):
        model = LogisticRegression(C=0.1, max_iter=200).fit(binned(rows.features), rows.labels)
    return lambda features: np.asarray(model.predict_proba(binned(features)))


def _edges(column: Array) -> Array:
    known = column[~np.isnan(column)]
    if known.size == 0:
        return np.array([])
    return np.unique(np.quantile(known, np.linspace(0, 1, _SCORECARD_BINS + 1)[1:-1]))


def _bins(column: Array, edges: Array) -> Array:
    place = np.where(np.isnan(column), len(edges) + 1, np.searchsorted(edges, np.nan_to_num(column), side="right"))
    return np.eye(len(edges) + 2)[place]


def shallow_tree(rows: Rows, _threads: int = 2) -> Predict:
    """One tree of four questions, as a person could apply by hand."""
    from sklearn.tree import DecisionTreeClassifier

    model = DecisionTreeClassifier(max_depth=_SHALLOW_DEPTH, min_samples_leaf=50, random_state=0)
    model.fit(rows.features, rows.labels)
    return lambda features: np.asarray(model.predict_proba(features))


def default_catboost(rows: Rows, threads: int = 2) -> Predict:
    """CatBoost with nothing set but what makes it repeatable."""
    from catboost import CatBoostClassifier

    model = CatBoostClassifier(random_seed=0, thread_count=threads, verbose=False, allow_writing_files=False)
    model.fit(rows.features, rows.labels)
    return lambda features: np.asarray(model.predict_proba(features))


BASELINES: Final[Mapping[str, Callable[[Rows, int], Predict]]] = {
    "majority": majority,
    "shallow_tree": shallow_tree,
    "logistic_scorecard": scorecard,
    "weight_of_evidence": weight_of_evidence_scorecard,
    YARDSTICK: default_catboost,
}


def answer(names: tuple[str, ...], learn: Rows, unseen: Rows, threads: int = 2) -> dict[str, LabelledAnswers]:
    """The named baselines' answers to the unseen rows, after learning from `learn`."""
    result: dict[str, Any] = {}
    for name in names:
        predict = BASELINES[name](learn, threads)
        result[name] = LabelledAnswers(unseen.labels, predict(unseen.features), unseen.customers)
    return result
