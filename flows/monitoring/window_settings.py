"""The settings of the drift flow: windows, thresholds and minimum sizes, typed so that Prefect shows them as a form.

Each default is a measured one: the false alarms and the power of these rules at 500 to 5,000 rows are in the folder's
README, and `make bench` repeats the measurement.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from flows.settings import NO_DAY_OR_DAY

Share = Annotated[float, Field(gt=0, le=1)]
Index = Annotated[float, Field(gt=0, le=5)]
Auc = Annotated[float, Field(gt=0.5, le=1)]
Rows = Annotated[int, Field(ge=50, le=1_000_000)]


class Thresholds(BaseModel):
    """When a figure turns a column or the whole window amber or red."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    psi_amber: Share = Field(0.1, title="PSI, amber", description="Population stability index of a column.")
    psi_red: Index = Field(0.25, title="PSI, red", description="PSI from which a column is red.")
    psi_red_key: Index = Field(
        0.2, title="PSI, red for key columns", description="A stricter red for the score and top features."
    )
    effect_amber: Share = Field(
        0.08, title="Effect size, amber", description="KS distance or Cramer's V, with a significant p-value."
    )
    p_value: float = Field(
        0.05, gt=0, lt=1, title="Significance", description="False discovery rate (Benjamini-Hochberg)."
    )
    missing_amber: Share = Field(0.05, title="Missing share, amber", description="Rise of the missing share.")
    missing_red: Share = Field(0.1, title="Missing share, red", description="Rise from which a column is red.")
    amber_columns_red: Share = Field(
        0.2, title="Share of amber columns that is red", description="Many small shifts are a large one."
    )
    traffic_amber: float = Field(
        0.5, ge=0, le=1, title="Traffic, amber", description="Warns below this share of the usual traffic."
    )
    domain_auc_amber: Auc = Field(
        0.65, title="Domain classifier AUC, amber", description="Can a model tell the windows apart?"
    )
    domain_auc_red: Auc = Field(0.75, title="Domain classifier AUC, red", description="Can it tell them apart well?")
    accuracy_drop: Share = Field(
        0.05, title="Drop of accuracy, red", description="Estimated or realised, against the reference."
    )
    concept_gap: Share = Field(
        0.03, title="Concept gap, red", description="Realised minus estimated accuracy, its interval below zero."
    )
    partner_share: float = Field(
        0.5,
        ge=0.5,
        le=1,
        title="Largest weight of one partner",
        description="Share of the outcomes that one partner's count for where others sent some too.",
    )
    partner_gap: Share = Field(
        0.15,
        title="Partner gap, amber",
        description="Realised minus estimated accuracy of one partner's outcomes, against the middle of all partners'.",
    )


FIRST_YEAR: Final = 1970


class DriftSettings(BaseModel):
    """One run of the drift flow."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window_end: str = Field(
        "",
        title="Window end",
        description="First day after the window, YYYY-MM-DD; empty means tomorrow (UTC).",
        pattern=NO_DAY_OR_DAY,
    )
    window_days: int = Field(7, ge=1, le=366, title="Window, days", description="Days that the described data spans.")
    extend_days: int = Field(
        28,
        ge=1,
        le=366,
        title="Longest window, days",
        description="The window grows to this until it holds enough rows.",
    )
    after_rows: int = Field(
        0,
        ge=0,
        le=100_000_000,
        title="Only after new rows",
        description="Judge only if so many predictions were stored since the last verdict; 0 judges always.",
    )
    minimum_rows: Rows = Field(500, title="Minimum rows", description="Fewer are insufficient, not green.")
    maximum_rows: int = Field(
        50_000,
        ge=1_000,
        le=1_000_000,
        title="Rows compared at most",
        description="Above this a fixed sample by prediction id, of at most 20,000 for each described day.",
    )
    minimum_labels: Rows = Field(300, title="Minimum outcomes", description="Fewer are not judged.")
    minimum_coverage: Share = Field(
        0.6, title="Minimum coverage", description="Share of the cohort whose outcome must have come."
    )
    maturity_days: int = Field(30, ge=0, le=720, title="Maturity, days", description="Age at which an outcome counts.")
    cooldown_days: int = Field(
        7,
        ge=0,
        le=365,
        title="Retraining cool-down, days",
        description="At most one training and one recalibration in so many days.",
    )
    recalibrate: bool = Field(
        True,
        title="Start recalibration",
        description="On red performance or a band out of calibration, before any training; never promotes by itself.",
    )
    retrain: bool = Field(True, title="Start training", description="On red performance; never promotes by itself.")
    notify: list[str] = Field(
        default_factory=list, title="Notify", description="Names of Prefect notification blocks (webhook, e-mail)."
    )
    thresholds: Thresholds = Field(default_factory=Thresholds, title="Thresholds")


class Window(BaseModel):
    """Days [start, end) that the compared data describes."""

    model_config = ConfigDict(frozen=True)

    start: date
    end: date

    @property
    def name(self) -> str:
        """The window as part of an object key."""
        return f"{self.start.isoformat()}_{self.end.isoformat()}"

    @property
    def days(self) -> int:
        """Length of the window."""
        return (self.end - self.start).days

    def reaching_back(self, days: int) -> Window:
        """The window of `days` days that ends with this one."""
        return Window(start=self.end - timedelta(days=days), end=self.end)


def window_of(settings: DriftSettings, today: date) -> Window:
    """The window that the settings ask for on the day `today` (UTC).

    Raises:
        ValueError: the settings' end is no date, or one before anything was predicted.
    """
    end = date.fromisoformat(settings.window_end) if settings.window_end else today + timedelta(days=1)
    if end.year < FIRST_YEAR:
        raise ValueError(f"window_end lies before any prediction: give a day from {FIRST_YEAR} on")
    return Window(start=end - timedelta(days=settings.window_days), end=end)
