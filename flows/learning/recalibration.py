"""Recalibration: the same trees, and one number fitted on outcomes of a new quarter.

The number is a power put on both kinds of answers, of unknown and of known customers, as their training calibrated
them: below 1 it makes the model less sure. It changes no likeliest class. It is always fitted on what training left,
never on what an earlier recalibration made of it, so recalibrating twice is recalibrating once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from flows.learning.calibration import fit_sharpness, table
from flows.learning.model_metrics import LabelledAnswers
from service.score import policy

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

LEAST_OUTCOMES: Final = 500
LEAST_OF_CLASS: Final = 10
_SEED: Final = 7  # of the halves that judge each other
_LEARNED, _LEARNED_KNOWN = "calibration_sharpness", "calibration_sharpness_known"
POWER: Final = "recalibration_power"


@dataclass(frozen=True)
class Calibrations:
    """The sharpness that training fitted, of unknown and of known customers, and the power put on both since."""

    unknown: float
    known: float
    power: float = 1.0

    @classmethod
    def recorded(cls, parameters: Mapping[str, JsonValue]) -> Calibrations | None:
        """What a manifest's parameters say; None if they are of a model that was not calibrated so."""
        values = [parameters.get(name) for name in (_LEARNED, _LEARNED_KNOWN)]
        numbers = [float(value) for value in values if isinstance(value, (int, float))]
        if len(numbers) != len(values):
            return None
        power = parameters.get(POWER, 1.0)
        return cls(numbers[0], numbers[1], float(power) if isinstance(power, (int, float)) else 1.0)

    def raised(self, power: float) -> Calibrations:
        """These, with another power in place of the one before."""
        return Calibrations(self.unknown, self.known, power)

    @property
    def tables(self) -> tuple[policy.Calibration, policy.Calibration]:
        """The calibration tables of unknown and of known customers."""
        return table(self.unknown * self.power), table(self.known * self.power)

    def probabilities(self, raw: Array, known: Bools) -> Array:
        """Calibrated probabilities (n, 3) of what the trees say (n, 3); `known` tells the known customers (n,)."""
        unknown_table, known_table = self.tables
        probabilities = policy.calibrated_many(raw, unknown_table)
        probabilities[known] = policy.calibrated_many(raw[known], known_table)
        return probabilities


@dataclass(frozen=True)
class SettledRows:
    """Answered applicants whose class was observed: what the trees say of them (n, 3), and what came of it."""

    raw: Array
    known: Bools
    labels: Ints
    customers: Ints

    def where(self, chosen: Bools) -> SettledRows:
        """Only the chosen rows."""
        return SettledRows(self.raw[chosen], self.known[chosen], self.labels[chosen], self.customers[chosen])

    def answers(self, probabilities: Array, borders: tuple[float, ...]) -> LabelledAnswers:
        """The rows with what they were told."""
        return LabelledAnswers(self.labels, probabilities, self.customers, borders)


def shortfall(labels: Ints, least: int) -> str:
    """Why these outcomes are too few to fit one number on, how many are missing among it; empty if they are enough."""
    if len(labels) < least:
        return f"{len(labels)} outcomes, {least - len(labels)} are missing"
    counts = np.bincount(labels, minlength=len(policy.CLASSES))
    rare = [f"{name} {count}" for name, count in zip(policy.CLASSES, counts, strict=True) if count < LEAST_OF_CLASS]
    if rare:
        return f"too few outcomes of a class: {', '.join(rare)}, at least {LEAST_OF_CLASS} are needed"
    return ""


def fit_power(rows: SettledRows, learned: Calibrations) -> float:
    """The power under which what training calibrated comes true best, by log loss."""
    return fit_sharpness(learned.raised(1.0).probabilities(rows.raw, rows.known), rows.labels)


def judged_apart(rows: SettledRows, learned: Calibrations) -> Array:
    """Probabilities of each row under the power fitted on the other half of the customers: (n, 3).

    Raises:
        ValueError: there are fewer than two customers.
    """
    names, position = np.unique(rows.customers, return_inverse=True)
    if len(names) < 2:
        raise ValueError("outcomes of one customer cannot judge each other")
    first = (np.random.default_rng(_SEED).permutation(len(names)) % 2 == 0)[position]
    probabilities = np.empty_like(rows.raw)
    for half in (first, ~first):
        power = fit_power(rows.where(~half), learned)
        probabilities[half] = learned.raised(power).probabilities(rows.raw[half], rows.known[half])
    return probabilities
