"""From raw model output to the answer: calibrated probabilities, score, band, and whether the two disagree.

Pure and tiny, in two forms that do the same operations in the same order: one applicant (plain floats) and many
(arrays). The figures follow the product's design: score = round(1000 (p_Good + 0.5 p_Standard)); the bands' limits are
`service.contract`'s.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import exp
from typing import Final, Literal, cast

import numpy as np
from numpy.typing import NDArray

from service.contract import POOR_MAX, SCORE_MAX, STANDARD_MAX, CreditClass, RiskGrade

CLASSES: Final = tuple(CreditClass)
# A power of two, so that probability x CELLS is exact and the cell needs no search.
CELLS: Final = 32

PROBABILITY_STEPS: Final = 1e6
"""Probabilities are told to six decimals, and graded as they are told."""
GRADES: Final = tuple(RiskGrade)
GRADE_BORDERS: Final = (0.044, 0.11, 0.26, 0.49)
"""Of a model whose manifest states none: the greatest probability of Poor in grades A to D."""

Objective = Literal["MultiClass", "MultiLogloss"]
Triple = tuple[float, float, float]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """Calibrated probability of each class at model probability 0, 1/32, ..., 1; linear between.

    `knots` holds one row of CELLS + 1 non-decreasing values in (0, 1] per class, in the order of `CLASSES`.
    """

    knots: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        if len(self.knots) != len(CLASSES) or any(len(row) != CELLS + 1 for row in self.knots):
            raise ValueError(f"a calibration table has {len(CLASSES)} rows of {CELLS + 1} values")
        for row in self.knots:
            if not all(0.0 < value <= 1.0 for value in row) or any(a > b for a, b in zip(row, row[1:], strict=False)):
                raise ValueError("calibration values must lie in (0, 1] and never fall")

    @cached_property
    def lines(self) -> tuple[tuple[tuple[float, float], ...], ...]:
        """The value at the start of each cell and the rise to its end, by class; past the end it stays."""
        return tuple(
            (*((low, high - low) for low, high in pairwise(row)), (row[-2] + (row[-1] - row[-2]), 0.0))
            for row in self.knots
        )


IDENTITY: Final = Calibration(
    ((1e-6, *(cell / CELLS for cell in range(1, CELLS)), 1.0),) * len(CLASSES)  # above zero: rows must normalise
)


def probabilities(raw: Sequence[float], objective: Objective) -> Triple:
    """Model probabilities of Poor, Standard, Good from its raw values (3 margins, or 2 cumulative logits)."""
    if objective == "MultiClass":
        top = max(raw)
        poor, standard, good = (exp(value - top) for value in raw)
        total = poor + standard + good
        return poor / total, standard / total, good / total
    above_poor = _sigmoid(raw[0])
    good = _sigmoid(raw[1])
    if good > above_poor:  # pylint: disable=consider-using-min-builtin  # a call takes as long as all else
        # The two curves are learned apart and may cross by a hair: Good can never be likelier than better-than-Poor.
        good = above_poor
    return 1.0 - above_poor, above_poor - good, good


def _sigmoid(value: float) -> float:
    # exp of a negative number only: the other way overflows.
    if value >= 0.0:
        return 1.0 / (1.0 + exp(-value))
    power = exp(value)
    return power / (1.0 + power)


def probabilities_many(raw: Array, objective: Objective) -> Array:
    """`probabilities` of many rows: (n, 3) or (n, 2) raw values to (n, 3) probabilities."""
    if objective == "MultiClass":
        powers = np.exp(raw - raw.max(axis=1, keepdims=True))
        return cast(Array, powers / (powers[:, 0] + powers[:, 1] + powers[:, 2])[:, None])
    power = np.exp(-np.abs(raw))
    above = np.where(raw >= 0.0, 1.0, power) / (1.0 + power)
    good = np.minimum(above[:, 1], above[:, 0])
    return np.column_stack([1.0 - above[:, 0], above[:, 0] - good, good])


def calibrated(values: Sequence[float], calibration: Calibration) -> Triple:
    """Calibrated probabilities of one applicant; they add up to one."""
    poor, standard, good = values
    of_poor, of_standard, of_good = calibration.lines
    # Written out: a call for each class would take as long as its arithmetic.
    place = poor * CELLS
    cell = int(place)
    low, rise = of_poor[cell]
    poor = low + (place - cell) * rise
    place = standard * CELLS
    cell = int(place)
    low, rise = of_standard[cell]
    standard = low + (place - cell) * rise
    place = good * CELLS
    cell = int(place)
    low, rise = of_good[cell]
    good = low + (place - cell) * rise
    total = poor + standard + good
    return poor / total, standard / total, good / total


def calibrated_many(values: Array, calibration: Calibration) -> Array:
    """`calibrated` of many rows, shape (n, 3), equal to the last bit."""
    place = values * CELLS
    cell = np.minimum(place.astype(np.intp), CELLS - 1)
    knots = np.asarray(calibration.knots)
    kind = np.arange(len(CLASSES))
    low = knots[kind, cell]
    result = low + (place - cell) * (knots[kind, cell + 1] - low)
    return cast(Array, result / (result[:, 0] + result[:, 1] + result[:, 2])[:, None])


def score(values: Sequence[float]) -> int:
    """The score, 0 to 1000, of calibrated probabilities (Poor, Standard, Good); an exact half goes to the even side."""
    return round(SCORE_MAX * (values[2] + 0.5 * values[1]))


def score_many(values: Array) -> NDArray[np.int64]:
    """`score` of many rows: numpy's rint rounds halves to even as Python's round does."""
    return cast(NDArray[np.int64], np.rint(SCORE_MAX * (values[:, 2] + 0.5 * values[:, 1])).astype(np.int64))


def band(points: int) -> CreditClass:
    """The band that a score lies in."""
    if points <= POOR_MAX:
        return CreditClass.POOR
    return CreditClass.STANDARD if points <= STANDARD_MAX else CreditClass.GOOD


def band_many(points: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions in `CLASSES` of the bands of many scores."""
    return (points > POOR_MAX).astype(np.int64) + (points > STANDARD_MAX)


def rounded(value: float) -> float:
    """A probability as an answer tells it."""
    return round(value * PROBABILITY_STEPS) / PROBABILITY_STEPS


def rounded_many(values: Array) -> Array:
    """`rounded` of many probabilities, equal to the last bit."""
    return np.rint(values * PROBABILITY_STEPS) / PROBABILITY_STEPS


def grade(poor: float, borders: Sequence[float]) -> RiskGrade:
    """The grade of a probability of Poor as it is told; one on a border belongs to the better grade."""
    return GRADES[bisect_left(borders, poor)]


def grade_many(poor: Array, borders: Sequence[float]) -> NDArray[np.int64]:
    """Positions in `GRADES` of many probabilities of Poor as they are told."""
    return np.searchsorted(np.asarray(borders, np.float64), poor, side="left").astype(np.int64)


def prediction_set(probabilities: Sequence[float], thresholds: Sequence[float]) -> list[CreditClass]:
    """The classes whose probability, as it is told, reaches its threshold, worst first; the likeliest in any case."""
    likeliest = predicted_class(probabilities)
    parts = zip(CLASSES, probabilities, thresholds, strict=True)
    return [name for name, value, least in parts if value >= least or name is likeliest]


def prediction_sets_many(probabilities: Array, thresholds: Sequence[float]) -> NDArray[np.bool_]:
    """`prediction_set` of many rows: which classes are in each, shape (n, 3)."""
    members: NDArray[np.bool_] = probabilities >= np.asarray(thresholds, np.float64)
    members[np.arange(len(probabilities)), probabilities.argmax(axis=1)] = True
    return members


def predicted_class(values: Sequence[float]) -> CreditClass:
    """The likeliest class; of equals the worse one, as numpy's argmax."""
    poor, standard, good = values
    if good > standard and good > poor:
        return CreditClass.GOOD
    return CreditClass.STANDARD if standard > poor else CreditClass.POOR


def borderline(values: Sequence[float]) -> bool:
    """True if the likeliest class and the score's band disagree: a case for a person's look."""
    return predicted_class(values) is not band(score(values))
