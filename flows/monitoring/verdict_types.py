"""The types of the monitor's verdicts: states, and the verdict of a column or of a check of the whole window."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

DATA_QUALITY: Final = "data quality"
PROBLEMS: Final[Mapping[str, str]] = {
    "lost": "the column is lost",
    "new": "the column is new: the reference does not know it",
    "no_reference": "the reference holds no value",
    "all_missing": "every value is missing",
    "constant": "every value is the same",
    "out_of_range": "{rows} values out of range",
    "unseen": "{rows} values of unseen categories",
}
"""What can be wrong with a column, by a code that a page puts into its own language."""


class DriftState(StrEnum):
    """The four answers of the monitor, best first; `insufficient` is no verdict and never reads as green."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"
    INSUFFICIENT = "insufficient"


SEVERITY = {DriftState.GREEN: 0, DriftState.INSUFFICIENT: 1, DriftState.AMBER: 2, DriftState.RED: 3}


def worst(states: Iterable[DriftState]) -> DriftState:
    """The most severe of the states; green if there are none."""
    return max(states, key=SEVERITY.__getitem__, default=DriftState.GREEN)


class ColumnVerdict(BaseModel):
    """What one column shows: states of its values and of its missing share, and the figures behind them."""

    model_config = ConfigDict(frozen=True)

    name: str
    state: DriftState
    values_state: DriftState
    missing_state: DriftState
    key: bool = False
    method: str = ""
    psi: float | None = None
    effect: float | None = Field(None, description="KS distance of numbers, Cramer's V of categories")
    p_value: float | None = Field(None, description="adjusted by Benjamini-Hochberg over all columns")
    # For the record, each under the name that drift_statistics.RECORDED gives it.
    wasserstein: float | None = None
    jensen_shannon: float | None = None
    kullback_leibler: float | None = None
    missing_reference: float | None = None
    missing_current: float | None = None
    problem: str = Field("", description="key of PROBLEMS; empty where the column is sound")
    problem_rows: int = 0
    note: str = Field("", description="the problem in words")

    @property
    def broken(self) -> bool:
        """True if the column could not be compared at all."""
        return self.method == DATA_QUALITY


class DriftRule(StrEnum):
    """The rules that can speak, by codes that a page puts into its own language."""

    DATA_QUALITY = "data_quality"
    KEY_COLUMNS = "key_columns"
    MANY_COLUMNS = "many_columns"
    AMBER_AGAIN = "amber_again"
    COLUMNS_MOVED = "columns_moved"
    TOO_FEW_ROWS = "too_few_rows"
    TRAFFIC = "traffic"
    TRAFFIC_ALONE = "traffic_alone"
    DOMAIN_CLASSIFIER = "domain_classifier"
    ESTIMATED_ACCURACY = "estimated_accuracy"
    REALISED_ACCURACY = "realised_accuracy"
    TOO_FEW_OUTCOMES = "too_few_outcomes"
    CONCEPT_DRIFT = "concept_drift"
    CALIBRATION = "calibration"
    PARTNERS = "partners"


class Cause(BaseModel):
    """Why a window is not green: the rule that spoke, and the same in words.

    `figures` are the numbers of the text by name, `columns` the columns it names.
    """

    model_config = ConfigDict(frozen=True)

    rule: DriftRule | None
    text: str
    columns: tuple[str, ...] = ()
    figures: Mapping[str, int | float] = {}


class DriftCheck(BaseModel):
    """One check of the whole window; `rule` and `figures` say what `explanation` says in words."""

    model_config = ConfigDict(frozen=True)

    name: str
    state: DriftState
    value: float | None = None
    explanation: str
    rule: DriftRule | None = Field(None, description="none in a verdict of a release that did not say")
    figures: Mapping[str, int | float] = {}

    @property
    def cause(self) -> Cause:
        """The check as a reason for the window's state."""
        return Cause(rule=self.rule, text=self.explanation, figures=self.figures)
