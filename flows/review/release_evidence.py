"""What the release checks look at, what they allow, and what they find. Pure records, and how a finding reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from flows.cleaning.gates import Measure
from flows.learning.certainty import CertaintyReport, StressRow
from flows.learning.model_metrics import Difference, Figure, Figures
from flows.review.fairness import FairnessReport
from flows.review.known_customers import KnownReport
from flows.review.stability import StabilityReport
from flows.review.weak_segments import SegmentSearch
from service.contract import Basis
from service.score.manifest_parts import Reliability, Standing


class Result(StrEnum):
    """Outcome of a check; `needs_review` asks for a person's look and note, `failed` for an override."""

    PASSED = "passed"
    FAILED = "failed"
    NEEDS_REVIEW = "needs_review"
    NOT_APPLICABLE = "not_applicable"


class ReleaseCheck(BaseModel):
    """One release check and what it found."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    code: str
    title: str
    result: Result
    explanation: str
    value: float | None = None
    threshold: float | None = None


@dataclass(frozen=True)
class ReleaseLimits:
    """What is allowed. Shares are of one, differences are challenger minus champion."""

    rows: int = 1_000
    class_share: float = 0.05
    macro_f1_loss: float = 0.005
    macro_f1_loss_low: float = 0.01  # of the paired 95 % interval's lower end
    proper_score_loss: float = 0.01  # relative, log loss and RPS
    ece: float = 0.03  # of the worst class, in the latest quarter
    ece_later: float = 0.08  # out of time, without an outcome of those months
    severe_known: float = 0.002
    severe_known_most: float = 0.005  # between the two a person looks
    known_loss: float = 0.02  # accuracy less than repeating the last class gives
    gini_loss: float = 0.01  # of p_Poor for Poor, of the score and of the grade for Poor and for Good
    ks_loss: float = 0.02  # of the same; a distance at one place is noisier than an area
    grade_share: float = 0.08  # of rows in each risk grade
    grade_best: float = 0.03  # share of Poor in A
    grade_worst: float = 0.6  # and in E
    severe: float = 0.03  # Poor taken for Good or the other way
    severe_gain: float = 0.003
    borderline: float = (
        0.2  # class and band disagree: a model honest about the next quarter puts fewer into the outer bands
    )
    out_of_time_loss: float = 0.01  # macro-F1
    score_psi: float = 0.25  # above it partners' cut-offs move: a signed note
    impact_ratio: float = 0.8  # US screening rule; asks for a look, decides nothing
    wrong_way: float = 0.05  # share of perturbed pairs that move against the declared direction
    reversal_points: float = 10.0
    band_flips: float = 0.02  # bands that change under 1 % noise
    reason_raises: float = 0.95
    reason_stable: float = 0.90
    weak_gap: float = 0.2  # accuracy of a slice below everybody's: beyond it a person looks
    size_bytes: int = 50_000_000
    significance: float = 0.05


class DataEvidence(BaseModel):
    """What is known of the data a challenger learned from and is judged on."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    schema_valid: bool
    rows: int
    class_shares: dict[str, float]
    shared_customers: int = Field(description="Customers on both sides of the split.")
    sha256: str
    untelling_fields: tuple[str, ...] | None = Field(
        default=None, description="Contract fields that are empty, or of one value, in the rows learned from."
    )
    gates: tuple[Measure, ...] | None = Field(
        default=None, description="What the gates of the data found; breaches let through have a name and a reason."
    )

    @property
    def let_through(self) -> tuple[Measure, ...]:
        """Breaches of gates that a person let through."""
        return tuple(one for one in self.gates or () if not one.passed and not one.stops)


class RepairedReport(BaseModel):
    """The same unseen customers where the caller gives their past: what it tells fills the gaps of their rows."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    rows: int
    rows_as_served: int = Field(description="Of these, the rows that tell what a score needs by themselves.")
    figures: Figures


class Evidence(BaseModel):
    """Everything the checks look at. None or an absent metric means: not measured, and fails."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    champion: int = Field(default=0, description="Version compared with; 0: the default CatBoost is the yardstick.")
    data: DataEvidence | None = None
    pooled: Figures | None = None
    repaired: RepairedReport | None = Field(
        default=None, description="Unseen customers' rows with gaps filled; all else is judged on rows as served."
    )
    severe_error_rate: float | None = Field(
        default=None,
        description="Of every customer, each judged by a model that never saw them: in folds, or set aside.",
    )
    against: dict[str, Difference] | None = Field(
        default=None, description="Paired with champion or yardstick on the same unseen rows."
    )
    out_of_time_against: dict[str, Difference] | None = Field(default=None, description="The same, out of time.")
    calibration_noise: float | None = Field(
        default=None, description="ECE that chance alone gives a perfect model on the latest quarter's rows."
    )
    ece: dict[str, Figure] | None = Field(
        default=None, description="ECE of every customer's rows by quarter, the latest one last, and out of time."
    )
    known: dict[str, KnownReport] | None = Field(
        default=None, description="Known customers, by the age of their last class."
    )
    poor_rate_by_band: tuple[float, float, float] | None = None
    grades: dict[str, tuple[Standing, ...]] | None = Field(
        default=None, description="Every customer's rows by risk grade: pooled first, then by quarter."
    )
    score_steps: dict[str, tuple[Standing, ...]] | None = Field(default=None, description="The same by score step.")
    reliability: dict[Basis, Reliability] = Field(
        default={}, description="By basis and class, what was told and what came, of every customer."
    )
    score_psi: float | None = None
    fairness: FairnessReport | None = None
    stability: StabilityReport | None = None
    size_bytes: int | None = None
    certainty: dict[str, CertaintyReport] | None = Field(
        default=None,
        description="Prediction sets and automation: `unknown` customers, all `known` ones, then known ones by age.",
    )
    set_thresholds: dict[Basis, tuple[float, float, float]] = Field(
        default={}, description="Thresholds of prediction sets as the package tells them, found on every customer."
    )
    stress: tuple[StressRow, ...] = ()
    weak: SegmentSearch | None = Field(default=None, description="Slices that are told worse than the rest.")


LATER: Final = "out_of_time"
Kind = TypeVar("Kind")
Verdict = tuple[Result, str, float | None, float | None]
Finding = Callable[[Evidence, ReleaseLimits], Verdict]


class Missing(Exception):
    """A check's evidence is absent; the message names it."""


def need(value: Kind | None, what: str) -> Kind:
    """The value.

    Raises:
        Missing: there is none.
    """
    if value is None:
        raise Missing(what)
    return value


def refuse_infinite(values: Mapping[str, float], what: str) -> None:
    """Make sure that none of the values is degenerate, as of a group without rows: it would hide behind the others."""
    odd = [name for name, value in values.items() if not isfinite(value)]
    if odd:
        raise Missing(f"{what} {', '.join(odd)} is not a number")


def figure_of(figures: Figures | None, name: str) -> float:
    """A figure of the judgement on unseen customers; Missing where there is none, or where it is no number."""
    figure = need(need(figures, "judgement on unseen customers").get(name), name)
    if not isfinite(figure.value):
        raise Missing(f"{name} is not a number")
    return figure.value


def gap_of(differences: Mapping[str, Difference] | None, name: str, where: str) -> Difference:
    """A metric's paired difference.

    Raises:
        Missing: it was not measured.
    """
    gap = need(need(differences, f"paired comparison {where}").get(name), f"{name} {where}")
    if not all(isfinite(value) for value in (gap.value, gap.low, gap.high)):
        raise Missing(f"{name} {where} is not a number")
    return gap


def passed(holds: bool, explanation: str, value: float, threshold: float) -> Verdict:
    """The verdict of a bound that holds or does not."""
    return (Result.PASSED if holds else Result.FAILED), explanation, value, threshold


def compared_with(evidence: Evidence) -> str:
    """With whom the challenger is compared, in words."""
    return f"champion {evidence.champion}" if evidence.champion else "the default CatBoost (no champion yet)"
