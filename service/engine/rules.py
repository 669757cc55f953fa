"""Data that both engines use beside the trees: calibration, reference, and how answers are laid out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from service.contract import CreditClass, Reason
from service.engine.trees import Float
from service.score import policy
from service.score.features import FEATURE_NAMES, FEATURES, HISTORY, row
from service.score.manifest import Manifest
from service.score.policy import Calibration, Objective, Triple
from service.score.reasons import CATALOGUE, FAMILIES

# Grows with creditworthiness: Good minus Poor, or the sum of the two cumulative logits.
MARGINS: Final[dict[Objective, tuple[float, ...]]] = {"MultiClass": (-1.0, 0.0, 1.0), "MultiLogloss": (1.0, 1.0)}
KNOWN: Final = FEATURE_NAMES.index(next(iter(HISTORY)))
"""The feature that is missing where no class was observed: what parts known customers from others."""
FAMILY_OF: Final = tuple(FAMILIES.index(feature.family) for feature in FEATURES)


class Assessment(NamedTuple):
    """One applicant's answer; `numbers` are positions in the catalogue of reasons, most points lost first."""

    probabilities: Triple
    score: int
    band: CreditClass
    predicted_class: CreditClass
    borderline: bool
    numbers: tuple[int, ...]
    relative_contributions: tuple[float, ...]  # margin by family, less the reference's: what is negative was lost

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """The reasons as the contract has them."""
        return tuple(CATALOGUE[number] for number in self.numbers)


class Arrays(NamedTuple):
    """Many answers, one row an applicant; bands and classes are positions in `policy.CLASSES`."""

    probabilities: Float  # (n, 3)
    score: NDArray[np.int32]
    band: NDArray[np.int8]
    predicted_class: NDArray[np.int8]
    borderline: NDArray[np.bool_]
    numbers: NDArray[np.int16]  # (n, 4) positions in the catalogue, -1 for none; all -1 if reasons were not asked
    relative_contributions: (
        Float  # (n, families) as `Assessment.relative_contributions`; no row if reasons were not asked
    )

    def rows(self, some: slice) -> Arrays:
        """The answers of some rows."""
        return Arrays(
            self.probabilities[some],
            self.score[some],
            self.band[some],
            self.predicted_class[some],
            self.borderline[some],
            self.numbers[some],
            self.relative_contributions[some],
        )

    def named_reasons(self) -> Iterator[tuple[int, ...]]:
        """The `numbers` of each applicant, without what stands for none."""
        for numbers in self.numbers.tolist():
            yield tuple(numbers) if numbers[-1] >= 0 else tuple(number for number in numbers if number >= 0)


@dataclass(frozen=True, slots=True)
class Rules:
    """From raw values to an answer."""

    objective: Objective
    calibration: Calibration
    calibration_known: Calibration  # of customers with an observed class
    reference: tuple[float, ...]  # the reference applicant's features
    baseline: tuple[float, ...]  # its contributions by family: more is better than the reference, less is worse

    @classmethod
    def of(cls, manifest: Manifest) -> Rules:
        """The rules that a manifest states; a family it does not mention has a baseline of 0."""
        baseline = manifest.reference.contributions
        return cls(
            objective=manifest.objective,
            calibration=Calibration(manifest.calibration),
            calibration_known=Calibration(manifest.calibration_known or manifest.calibration),
            reference=tuple(row(manifest.reference.applicant)),
            baseline=tuple(baseline.get(family, 0.0) for family in FAMILIES),
        )

    def triple(self, raw: list[float], known: bool) -> Triple:
        """Calibrated probabilities of one row's raw values."""
        table = self.calibration_known if known else self.calibration
        return policy.calibrated(policy.probabilities(raw, self.objective), table)

    def points(self, raw: list[float], known: bool) -> int:
        """The score of one row's raw values."""
        return policy.score(self.triple(raw, known))

    def triples(self, raw: Float, known: NDArray[np.bool_]) -> Float:
        """`triple` of many rows, shape (n, 3)."""
        uncalibrated = policy.probabilities_many(raw, self.objective)
        probabilities = policy.calibrated_many(uncalibrated, self.calibration)
        if known.any():
            probabilities[known] = policy.calibrated_many(uncalibrated[known], self.calibration_known)
        return probabilities


class Engine(Protocol):
    """The evaluator of a packed model; the portable and the compiled engine give the same answers."""

    name: str

    def raw(self, matrix: Float) -> Float:
        """Raw values, shape (n, outputs), as CatBoost's RawFormulaVal."""

    def contributions(self, matrix: Float) -> Float:
        """Exact SHAP values of the margin by family, shape (n, families)."""

    def assess(self, values: list[float]) -> Assessment:
        """The answer to one row of features."""

    def assess_many(self, matrix: Float, reasons: bool) -> Arrays:
        """The answers to many rows."""
