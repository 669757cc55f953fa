"""Beyond accuracy: which classes an answer leaves open, how much could be decided without a person, and hard times.

Sets and thresholds are found on one half of the customers and judged on the other, both ways, so what is told holds for
customers that nothing was found on. The rows themselves are answered by models that never saw their customers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from flows.learning.model_metrics import LabelledAnswers
from service.engine.packed_model import PackedModel
from service.score import policy
from service.score.features import matrix

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
Columns = Mapping[str, NDArray[Any]]

COVERAGE: Final = 0.9
AIMS: Final = (0.85, 0.9)
_SEED: Final = 7
_LEAST: Final = 50  # rows that a threshold is found on; with fewer nobody is decided about


class Automation(BaseModel):
    """The share that the likeliest class could decide if it is to be right so often, and how often it was."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    aim: float
    share: float
    accuracy: float | None = Field(default=None, description="Of those decided; none where nobody is.")


class CertaintyReport(BaseModel):
    """Prediction sets that hold the true class so often in each class (conformal), and what they leave open."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    rows: int
    coverage: dict[str, float]
    size: float = Field(description="Classes in a set, on average.")
    single: float = Field(description="Share of sets with one class.")
    extremes: float = Field(description="Share of sets that hold both Poor and Good.")
    automation: tuple[Automation, ...]


class StressRow(BaseModel):
    """What hard times would do: every unseen applicant with some fields moved, all else as it is."""

    model_config = ConfigDict(frozen=True)

    name: str
    score: float = Field(description="Mean change of the score, points.")
    bands: dict[str, float] = Field(description="Share of applicants in each band.")


def certainty(answers: LabelledAnswers) -> CertaintyReport:
    """Sets and automation of these rows, each half of the customers judged by what was found on the other."""
    halves = _halves(answers.customers)
    sets = np.zeros(answers.probabilities.shape, np.bool_)
    decided = {aim: np.zeros(len(answers.labels), np.bool_) for aim in AIMS}
    for half in halves:
        probabilities = policy.rounded_many(answers.probabilities[half])
        sets[half] = policy.prediction_sets_many(probabilities, thresholds(answers.where(~half)))
        top = answers.probabilities[half].max(axis=1)
        for aim in AIMS:
            decided[aim][half] = top >= sure_enough(answers.where(~half), aim)
    hits = sets[np.arange(len(sets)), answers.labels]
    size, right = sets.sum(axis=1), answers.classes == answers.labels
    return CertaintyReport(
        rows=len(sets),
        coverage={
            str(name): float(hits[answers.labels == place].mean())
            for place, name in enumerate(policy.CLASSES)
            if np.any(answers.labels == place)
        },
        size=float(size.mean()),
        single=float((size == 1).mean()),
        extremes=float((sets[:, 0] & sets[:, -1]).mean()),
        automation=tuple(
            Automation(
                aim=aim,
                share=float(chosen.mean()),
                accuracy=float(right[chosen].mean()) if chosen.any() else None,
            )
            for aim, chosen in decided.items()
        ),
    )


def _halves(customers: NDArray[np.int64]) -> tuple[Bools, Bools]:
    names, position = np.unique(customers, return_inverse=True)
    first: Bools = (np.random.default_rng(_SEED).permutation(len(names)) % 2 == 0)[position]
    return first, ~first


def thresholds(answers: LabelledAnswers) -> tuple[float, float, float]:
    """The least probability with which each class belongs into a set, so that COVERAGE of its own rows have it there.

    Of probabilities as they are told: a partner who reads them finds the same set.

    Split conformal prediction by class (Vovk 2012): the quantile with its finite-sample correction. A class without
    rows is in every set.
    """
    probabilities = policy.rounded_many(answers.probabilities)
    poor, standard, good = (
        _least(np.sort(probabilities[answers.labels == place, place])) for place in range(probabilities.shape[1])
    )
    return poor, standard, good


def _least(probabilities: Array) -> float:
    """The threshold of a class, of what its own rows were told of it, in order."""
    left_out = int(np.floor((1.0 - COVERAGE) * (len(probabilities) + 1))) - 1
    return float(probabilities[left_out]) if left_out >= 0 else 0.0


def sure_enough(answers: LabelledAnswers, aim: float) -> float:
    """The least probability of the likeliest class from which on it is right so often; above one if none is."""
    top = answers.probabilities.max(axis=1)
    order = np.argsort(-top, kind="stable")
    right = np.cumsum(answers.classes[order] == answers.labels[order]) / np.arange(1, len(order) + 1)
    places = np.flatnonzero(right >= aim)
    places = places[places >= _LEAST - 1]
    return float(top[order[places[-1]]]) if len(places) else np.inf


def _scaled(field: str, factor: float) -> Callable[[dict[str, Any]], None]:
    def move(columns: dict[str, Any]) -> None:
        columns[field] = columns[field] * factor

    return move


def _more_inquiries(columns: dict[str, Any]) -> None:
    columns["num_credit_inquiries"] = columns["num_credit_inquiries"] + 3


def _all(columns: dict[str, Any]) -> None:
    for move in STRESSES.values():
        if move is not _all:
            move(columns)


def _less_income(columns: dict[str, Any]) -> None:
    for field in ("annual_income", "monthly_inhand_salary"):
        _scaled(field, 0.8)(columns)


STRESSES: Final[dict[str, Callable[[dict[str, Any]], None]]] = {
    "incomes down by a fifth": _less_income,
    "debt up by 30 %": _scaled("outstanding_debt", 1.3),
    "three more credit inquiries": _more_inquiries,
    "all three at once": _all,
}


def stress(model: PackedModel, columns: Columns) -> tuple[StressRow, ...]:
    """The scores of these applicants as they are, and in hard times."""
    before = model.assess_arrays(matrix(columns))
    rows = [_row("as they are", before.score, before.score, before.band)]
    for name, move in STRESSES.items():
        moved = dict(columns)
        move(moved)
        after = model.assess_arrays(matrix(moved))
        rows.append(_row(name, before.score, after.score, after.band))
    return tuple(rows)


def _row(name: str, before: NDArray[Any], after: NDArray[Any], bands: NDArray[Any]) -> StressRow:
    shares = np.bincount(bands.astype(np.int64), minlength=len(policy.CLASSES)) / len(bands)
    change = float((after.astype(np.float64) - before).mean())
    return StressRow(name=name, score=change, bands=dict(zip(map(str, policy.CLASSES), shares.tolist(), strict=True)))
