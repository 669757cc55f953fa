"""Learning: from clean rows to one calibrated CatBoost model of symmetric trees.

Pure: knows nothing of Prefect or MLflow; progress is told through a callback. The model's classes are positions in
`service.score.policy.CLASSES`, its features those of `service.score.features`. Every probability that is judged or
calibrated on comes from a model that never saw the row's customer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from catboost import CatBoost, sum_models
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from flows.learning.calibration import calibrate, table
from flows.learning.grades import Borders, fit_borders
from flows.learning.known_features import AGES, doubled, is_known, known_by, known_in, last_class
from flows.learning.rows import Rows
from service.score import policy
from service.score.features import FEATURE_NAMES, FEATURES

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Progress = Callable[[float, str], None]  # share done (0 to 1), what is being done
Model = TypeVar("Model")


class RawModel(Protocol):
    """A model whose `predict` gives CatBoost's raw values, (n, classes or curves)."""

    def predict(self, data: Array, prediction_type: str, thread_count: int) -> NDArray[Any]:
        """Raw values of each row, for `prediction_type` "RawFormulaVal"."""


class Parameters(BaseModel):
    """How to learn. The defaults won on grouped folds; the model card says what else was tried."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="Learning")

    objective: Literal["MultiClass", "MultiLogloss"] = Field(
        default="MultiLogloss",
        title="Objective",
        description="Three classes at once, or two cumulative curves: better than Poor, better than Standard.",
    )
    iterations: int = Field(default=300, ge=1, le=2000, title="Trees a member")
    members: int = Field(
        default=1, ge=1, le=8, title="Members", description="Models of different seeds, averaged into one file."
    )
    depth: int = Field(default=6, ge=1, le=8, title="Depth of a tree")
    learning_rate: float = Field(default=0.075, gt=0, le=1, title="Learning rate")
    l2_leaf_reg: float = Field(default=20.0, ge=0, le=1000, title="Leaf regularisation (L2)")
    feature_share: float = Field(default=0.5, gt=0, le=1, title="Share of features tried at a split")
    row_share: float = Field(default=0.6, gt=0, le=1, title="Share of rows a tree learns from")
    random_strength: float = Field(default=1.0, ge=0, le=20, title="Randomness of split scores")
    split_score: Literal["L2", "Cosine"] = Field(default="L2", title="Score of a split")
    leaf_steps: int = Field(default=1, ge=1, le=10, title="Newton steps a leaf")
    borders: int = Field(default=64, ge=8, le=254, title="Borders tried in a feature")
    settle_labels: bool = Field(
        default=False,
        title="Settle labels within a quarter",
        description="Learn from the label most of the customer's months of that quarter carry; judge on the real one.",
    )
    recency: float = Field(
        default=1.0,
        ge=0.25,
        le=4,
        title="Weight of a quarter over the one before",
        description="1 weighs all quarters alike.",
    )
    known_weight: float = Field(
        default=0.6,
        ge=0.05,
        le=2,
        title="Weight of a known customer's row",
        description="Each row is learned as an unknown customer's too, with weight 1: less keeps those as good as "
        "alone.",
    )
    balance_classes: float = Field(
        default=0.0, ge=0, le=1, title="Balance of classes", description="0: as they come; 1: equal total weight."
    )
    folds: int = Field(default=5, ge=2, le=10, title="Folds of customers")
    seed: int = Field(default=7, ge=0, le=2**31 - 1, title="Seed")
    threads: int = Field(default=2, ge=1, le=64, title="Threads", description="Part of what makes a fit repeatable.")

    @classmethod
    def among(cls, recorded: Mapping[str, object]) -> Parameters:
        """The parameters among what a manifest recorded; other code's names are left out, what it lacks is default."""
        known = recorded.keys() & cls.model_fields.keys()
        return cls.model_validate({name: recorded[name] for name in known})


@dataclass(frozen=True)
class KnownProbabilities:
    """Rows of known customers whose last class is of one age, and the uncalibrated probabilities they were told.

    `places` are the rows' positions among all that were learned from; `last` is the class that was known last.
    """

    places: Ints
    probabilities: Array
    last: Ints


@dataclass(frozen=True)
class Learned:
    """A model and the one number that calibrates it.

    `out_of_fold` holds the uncalibrated probabilities of the rows learned from, each by a model that never saw the
    row's customer: material for calibration and judgement. `known` holds the same rows as known customers', by the age
    of the last class in months.
    """

    model: CatBoost
    parameters: Parameters
    sharpness: float
    sharpness_known: float
    out_of_fold: Array
    known: Mapping[int, KnownProbabilities]
    grade_borders: Borders

    @property
    def calibration(self) -> policy.Calibration:
        """The table of unknown customers."""
        return table(self.sharpness)

    @property
    def calibration_known(self) -> policy.Calibration:
        """The table of known customers, who are surer from the start."""
        return table(self.sharpness_known)

    @property
    def recipe(self) -> dict[str, Any]:
        """What run, manifest and card say of the learning: the parameters, and the calibration's one number."""
        return {
            **self.parameters.model_dump(mode="json"),
            "calibration_sharpness": self.sharpness,
            "calibration_sharpness_known": self.sharpness_known,
        }

    def probabilities(self, features: Array) -> Array:
        """Calibrated probabilities, shape (n, 3)."""
        raw = uncalibrated(self.model, features, self.parameters)
        known = known_in(features)
        calibrated = policy.calibrated_many(raw, self.calibration)
        calibrated[known] = policy.calibrated_many(raw[known], self.calibration_known)
        return calibrated

    def save(self, path: Path) -> None:
        """The model alone, as CatBoost's own binary."""
        self.model.save_model(str(path))


def folds(customers: Ints, count: int, seed: int) -> Iterator[tuple[Ints, Ints]]:
    """Positions to learn from and to judge on, fold by fold; a customer is never on both sides."""
    names, position = np.unique(customers, return_inverse=True)
    if len(names) < count:
        raise ValueError(f"{len(names)} customers cannot be split into {count} folds: prepare more data")
    fold = (np.random.default_rng(seed).permutation(len(names)) % count)[position]
    for number in range(count):
        yield np.flatnonzero(fold != number), np.flatnonzero(fold == number)


def settled(rows: Rows) -> Ints:
    """Labels with one-month flips undone: what more than half of the customer's rows of the quarter say.

    Only labels to learn from may be settled: about 7 % of months flip by a step and back at random, which no model
    can know. Rows that are judged keep their own.
    """
    _, group = np.unique(rows.customers * 8 + rows.quarters, return_inverse=True)
    votes = np.zeros((group.max() + 1, len(policy.CLASSES)))
    np.add.at(votes, (group, rows.labels), 1.0)
    most = votes.argmax(axis=1).astype(np.int64)
    clear = votes.max(axis=1) * 2 > votes.sum(axis=1)
    return np.where(clear[group], most[group], rows.labels).astype(np.int64)


def weights(rows: Rows, labels: Ints, parameters: Parameters) -> Array:
    """Weight of each row: later quarters by `recency`, rarer classes by `balance_classes`; mean one."""
    weight = parameters.recency ** (rows.quarters - rows.quarters.max()).astype(np.float64)
    weight = np.where(is_known(rows), parameters.known_weight, 1.0) * weight
    share = np.bincount(labels, weight, len(policy.CLASSES)) / weight.sum()
    weight = weight * (1.0 / np.maximum(share, 1e-12)[labels]) ** parameters.balance_classes
    return np.asarray(weight / weight.mean())


def fit_model(rows: Rows, parameters: Parameters) -> CatBoost:
    """One CatBoost model of symmetric trees; several members are averaged into one file."""
    missing = [str(name) for place, name in enumerate(policy.CLASSES) if not np.any(rows.labels == place)]
    if missing:
        raise ValueError(f"no row of class {', '.join(missing)}: the model needs all three to learn from")
    labels = settled(rows) if parameters.settle_labels else rows.labels
    target: NDArray[Any] = labels
    if parameters.objective == "MultiLogloss":
        target = np.column_stack([labels > 0, labels > 1]).astype(np.int64)
    weight = weights(rows, labels, parameters)
    members = []
    for member in range(parameters.members):
        model = CatBoost(_catboost_parameters(parameters, parameters.seed + member))
        model.fit(rows.features, target, sample_weight=weight)
        members.append(model)
    return members[0] if len(members) == 1 else sum_models(members, weights=[1.0 / len(members)] * len(members))


class CurvesApart:
    """Two CatBoost models, one a curve: better than Poor, better than Standard. No package holds it: for experiments.

    CatBoost takes monotone constraints for two curves of one model but does not keep them there (1.2.10: of 20 declared
    features 16 moved an answer the wrong way); for a model of one curve it does.
    """

    def __init__(self, curves: tuple[CatBoost, CatBoost]) -> None:
        self._curves = curves

    def predict(self, data: Array, prediction_type: str, thread_count: int) -> Array:
        """As `RawModel` says; a column a curve."""
        return np.column_stack(
            [one.predict(data, prediction_type=prediction_type, thread_count=thread_count) for one in self._curves]
        )


def fit_curves_apart(rows: Rows, parameters: Parameters, *, declared_directions: bool) -> CurvesApart:
    """The same two curves, each learned alone; `declared_directions`: no declared feature moves one the wrong way."""
    weight = weights(rows, rows.labels, parameters)
    directions = {"monotone_constraints": [-one.risk for one in FEATURES]} if declared_directions else {}
    curves = []
    for place in range(2):
        curve = CatBoost(_catboost_parameters(parameters, parameters.seed) | {"loss_function": "Logloss"} | directions)
        curves.append(curve.fit(rows.features, (rows.labels > place).astype(np.int64), sample_weight=weight))
    return CurvesApart((curves[0], curves[1]))


def _catboost_parameters(parameters: Parameters, seed: int) -> dict[str, Any]:
    return {
        "loss_function": parameters.objective,
        "iterations": parameters.iterations,
        "depth": parameters.depth,
        "learning_rate": parameters.learning_rate,
        "l2_leaf_reg": parameters.l2_leaf_reg,
        "rsm": parameters.feature_share,
        "bootstrap_type": "Bernoulli",
        "subsample": parameters.row_share,
        "random_strength": parameters.random_strength,
        "score_function": parameters.split_score,
        "leaf_estimation_iterations": parameters.leaf_steps,
        "border_count": parameters.borders,
        "boosting_type": "Plain",
        "grow_policy": "SymmetricTree",  # serving reads leaves from a table, which needs one split a level
        "random_seed": seed,
        "thread_count": parameters.threads,
        "verbose": False,
        "allow_writing_files": False,
    }


def uncalibrated(model: RawModel, features: Array, parameters: Parameters) -> Array:
    """The model's own probabilities of Poor, Standard, Good, shape (n, 3)."""
    raw = model.predict(features, prediction_type="RawFormulaVal", thread_count=parameters.threads)
    return policy.probabilities_many(np.asarray(raw, dtype=np.float64), parameters.objective)


def learn(rows: Rows, parameters: Parameters, progress: Progress | None = None) -> Learned:
    """A calibrated model of all rows, and of every fold's a model for the calibration.

    Same rows, parameters (threads included) and library versions give bit-identical predictions. Raises ValueError if
    a class is absent or customers are fewer than folds.
    """
    parts = tuple(folds(rows.customers, parameters.folds, parameters.seed))
    parts_of_rows = [doubled(part, parameters.seed) for part in (rows, *(rows.where(learned) for learned, _ in parts))]
    model, *others = fit_models(parts_of_rows, parameters, progress)
    if model.feature_names_ and len(model.feature_names_) != len(FEATURE_NAMES):
        raise ValueError(f"the model takes {len(model.feature_names_)} features, the code has {len(FEATURE_NAMES)}")
    fold_models = [(places, other) for (_, places), other in zip(parts, others, strict=True)]
    probabilities = out_of_fold(rows, fold_models, parameters)
    sharpness = calibrate(probabilities, rows)
    borders = fit_borders(policy.calibrated_many(probabilities, table(sharpness))[:, 0], rows.labels)
    known = {age: _known_probabilities(rows, age, fold_models, parameters) for age in AGES}
    return Learned(
        model, parameters, sharpness, _sharpness_known(rows, known, sharpness), probabilities, known, borders
    )


def _sharpness_known(rows: Rows, known: Mapping[int, KnownProbabilities], otherwise: float) -> float:
    """The sharpness of known customers' latest quarter, that of unknown ones where nobody is known."""
    places = np.concatenate([one.places for one in known.values()])
    if places.size == 0:
        return otherwise
    return calibrate(np.concatenate([one.probabilities for one in known.values()]), rows.where(places))


def out_of_fold(rows: Rows, fold_models: Sequence[tuple[Ints, RawModel]], parameters: Parameters) -> Array:
    """Uncalibrated probabilities of each row by the model that did not see its customer: (n, 3)."""
    probabilities = np.empty((len(rows.labels), len(policy.CLASSES)))
    for places, model in fold_models:
        probabilities[places] = uncalibrated(model, rows.features[places], parameters)
    return probabilities


def _known_probabilities(
    rows: Rows, age: int, fold_models: Sequence[tuple[Ints, CatBoost]], parameters: Parameters
) -> KnownProbabilities:
    known, exact = known_by(rows, age)
    probabilities = out_of_fold(known, fold_models, parameters)
    return KnownProbabilities(np.flatnonzero(exact), probabilities[exact], last_class(known.where(exact)))


def fit_models(parts: Sequence[Rows], parameters: Parameters, progress: Progress | None = None) -> list[CatBoost]:
    """A model of each part; see `fit_each`."""
    return fit_each(fit_model, parts, parameters, progress)


def fit_each(
    fit: Callable[[Rows, Parameters], Model],
    parts: Sequence[Rows],
    parameters: Parameters,
    progress: Progress | None = None,
) -> list[Model]:
    """What `fit` makes of each part, as many at a time as there are threads: a small fit gains little from a second."""
    lanes = min(parameters.threads, len(parts))
    alone = parameters.model_copy(update={"threads": parameters.threads // lanes})
    with ThreadPoolExecutor(lanes, thread_name_prefix="fit") as pool:
        futures = [pool.submit(fit, part, alone) for part in parts]
        for count, _ in enumerate(as_completed(futures), start=1):
            if progress:
                progress(count / len(parts), f"fit {count} of {len(parts)}")
        return [one.result() for one in futures]
