"""Calibration: from what a model says to how often it comes true, bent no further than the aims ask for.

A true table is not all that is wanted of the answers. Poor taken for Good must stay rare, and the likeliest class
should lie in the score's band. Three numbers bend the table towards that; how far is chosen per data set, on held-out
customers, never on rows the model is judged on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flows.learning.model_metrics import ECE_BINS
from service.contract import CreditClass
from service.score import policy

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Parts = Sequence[tuple[Ints, Ints]]

TRUSTS: Final = (1.0, 0.75, 0.5, 0.25, 0.0)
SHARPNESSES: Final = (1.0, 1.03, 1.07, 1.12)
CAUTIONS: Final = (1.0, 1.04, 1.08)
_SMALLEST: Final = 1e-4  # no class is ever said to be impossible: a table of 60,000 rows cannot know that
_GRID_PER_CELL: Final = 16


@dataclass(frozen=True)
class Bend:
    """How a calibration table departs from the plain one."""

    trust: float = 1.0  # share of the isotonic curve; the rest is the model's own word
    sharpness: float = 1.0  # power put on the probabilities: class and band agree more often
    caution: float = 1.0  # weight of Standard over both extremes: fewer Poor taken for Good


@dataclass(frozen=True)
class Aims:
    """Shares of held-out rows that the bend shall keep below: Poor for Good or back; class and band that disagree."""

    severe_errors: float
    disagreement: float


def calibrate(said: Array, labels: Ints, parts: Parts, aims: Aims) -> tuple[policy.Calibration, Bend]:
    """The table of all rows, and how it was bent.

    Args:
        said: uncalibrated probabilities (n, 3), each by a model that never saw the row's customer.
        labels: positions in `policy.CLASSES`.
        parts: positions to calibrate on and to judge on, customers apart; every row is judged on once.
        aims: what the bend is for.
    """
    bend = choose(said, labels, parts, aims)
    return bent(isotonic(said, labels), bend), bend


def isotonic(said: Array, labels: Ints) -> Array:
    """How often each class came true at each knot of the table, shape (3, CELLS + 1), rising.

    An isotonic curve, averaged around each knot of the table with a triangular window one cell wide, so that a knot
    does not hang on the single step it happens to fall on; the curve stays monotone.
    """
    from sklearn.isotonic import IsotonicRegression

    fine = np.linspace(0.0, 1.0, policy.CELLS * _GRID_PER_CELL + 1)
    offset = np.arange(-_GRID_PER_CELL + 1, _GRID_PER_CELL)
    window = 1.0 - np.abs(offset) / _GRID_PER_CELL
    window /= window.sum()
    table = []
    for kind in range(len(policy.CLASSES)):
        curve = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(said[:, kind], labels == kind)
        padded = np.pad(curve.predict(fine), _GRID_PER_CELL - 1, mode="edge")
        table.append(np.convolve(padded, window, mode="valid")[::_GRID_PER_CELL])
    return np.array(table)


def bent(table: Array, bend: Bend) -> policy.Calibration:
    """The table with the bend in it; power and weight of each class act on all when they are made to add up."""
    own = np.linspace(0.0, 1.0, policy.CELLS + 1)
    mixed = np.clip(bend.trust * table + (1.0 - bend.trust) * own, _SMALLEST, 1.0)
    weight = np.array([1.0 if name is CreditClass.STANDARD else 1.0 / bend.caution for name in policy.CLASSES])
    rising = np.maximum.accumulate(weight[:, None] * mixed**bend.sharpness, axis=1)  # rounding may dip by an ulp
    return policy.Calibration(tuple(tuple(row) for row in rising.tolist()))


def choose(said: Array, labels: Ints, parts: Parts, aims: Aims) -> Bend:
    """Of the bends that meet the aims on held-out customers the one whose probabilities come true best there.

    If none does, the one that exceeds an aim by the least share.
    """
    tables = [(judged, isotonic(said[learned], labels[learned])) for learned, judged in parts]
    answers = np.empty_like(said)
    ranked = []
    for bend in _bends():
        for judged, table in tables:
            answers[judged] = policy.calibrated_many(said[judged], bent(table, bend))
        ranked.append((_excess(answers, labels, aims), expected_error(answers, labels), bend))
    return min(ranked, key=lambda one: one[:2])[2]


def _bends() -> Iterator[Bend]:
    return (Bend(*numbers) for numbers in product(TRUSTS, SHARPNESSES, CAUTIONS))


def _excess(answers: Array, labels: Ints, aims: Aims) -> float:
    """By which share the worse of both aims is exceeded; 0 if none is."""
    classes = answers.argmax(axis=1)
    severe = np.mean(np.abs(classes - labels) == len(policy.CLASSES) - 1)
    disagree = np.mean(policy.band_many(policy.score_many(answers)) != classes)
    return max(0.0, float(severe) / aims.severe_errors - 1.0, float(disagree) / aims.disagreement - 1.0)


def expected_error(answers: Array, labels: Ints) -> float:
    """Expected calibration error of the worst class, as `flows.learning.model_metrics` has it."""
    worst = 0.0
    for kind in range(len(policy.CLASSES)):
        said = answers[:, kind]
        bins = np.minimum((said * ECE_BINS).astype(np.int64), ECE_BINS - 1)
        worst = max(worst, float(np.abs(np.bincount(bins, said - (labels == kind))).sum() / len(said)))
    return worst
