"""Known customers judged apart: what their outcomes say, by the age of the class that was known last.

They are another population than unknown customers, and the reference holds none of them, so they have yardsticks of
their own: what the probabilities promised, and what repeating the last class would have given.
"""

from __future__ import annotations

from datetime import date
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from flows.learning.known_features import GROUPS
from flows.learning.model_metrics import Figure
from flows.monitoring.outcomes import CLASSES
from flows.monitoring.performance import CONCEPT_LEVEL, customers_of, interval, probabilities_of, right
from flows.monitoring.verdict_types import DriftState
from flows.monitoring.window_settings import DriftSettings
from service.contract import Basis
from service.score import features
from service.score.observed_classes import from_text

_AGE: Final = list(features.HISTORY).index("class_age_months")
_LAST: Final = 0  # of the history's columns: the class that was observed last


class KnownCohort(BaseModel):
    """Answers to customers whose last class was of one age.

    `rows` are the window's answers, `settled` the matured ones with an outcome. `gap` is accuracy minus what the
    probabilities promised, `gain` accuracy minus that of repeating the last class; both absent with too few outcomes.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    state: DriftState
    rows: int
    settled: int
    accuracy: Figure | None = None
    gap: Figure | None = None
    gain: Figure | None = None


def histories(frame: pd.DataFrame) -> NDArray[np.float64]:
    """What was known of each stored answer's customer, as features have it: shape (n, len(HISTORY))."""
    cells = zip(frame["previous_classes"].fillna(""), frame["as_of"].astype(str), strict=True)
    rows = [_history(str(previous), as_of) for previous, as_of in cells]
    return np.array(rows, np.float64).reshape(-1, len(features.HISTORY))


def _history(previous: str, as_of: str) -> tuple[float, ...]:
    day = date.fromisoformat(as_of[:10])
    return features.history(from_text(previous, day), day)


def group_of(ages: NDArray[np.float64]) -> NDArray[np.str_]:
    """The group (`known_features.GROUPS`) of each age in months; the last takes all older ones."""
    tops = np.array([max(months) for months in GROUPS.values()][:-1])
    return np.array(list(GROUPS))[np.searchsorted(tops, ages)]


def known_cohorts(current: pd.DataFrame, settled: pd.DataFrame, settings: DriftSettings) -> list[KnownCohort]:
    """A verdict for each group of known customers that has an answer or an outcome.

    Args:
        current: the window's answers of one version, known customers' among them.
        settled: its matured answers with `observed_class`.
        settings: minimum sizes and thresholds.
    """
    if "previous_classes" not in current or "previous_classes" not in settled:
        return []  # stored before classes could be told
    now, outcomes = (frame[frame["basis"] == Basis.KNOWN_CUSTOMER] for frame in (current, settled))
    past = histories(outcomes)
    of_now, of_came = group_of(histories(now)[:, _AGE]), group_of(past[:, _AGE])
    return [
        _cohort(name, int((of_now == name).sum()), outcomes[of_came == name], past[of_came == name, _LAST], settings)
        for name in GROUPS
        if (of_now == name).any() or (of_came == name).any()
    ]


def _cohort(
    name: str, rows: int, settled: pd.DataFrame, last: NDArray[np.float64], settings: DriftSettings
) -> KnownCohort:
    """Red where what the probabilities promised did not come true, beyond the threshold and beyond chance."""
    if len(settled) < settings.minimum_labels:
        return KnownCohort(name=name, state=DriftState.INSUFFICIENT, rows=rows, settled=len(settled))
    customers = customers_of(settled)
    hits = right(settled, "observed_class")
    repeated = settled["observed_class"].to_numpy() == np.array(CLASSES)[last.astype(int)]
    gap, gain = hits - probabilities_of(settled).max(axis=1), hits - repeated.astype(np.float64)
    low, high = interval(gap, customers, CONCEPT_LEVEL)
    broken_promise = float(gap.mean()) < -settings.thresholds.concept_gap and high < 0
    return KnownCohort(
        name=name,
        state=DriftState.RED if broken_promise else DriftState.GREEN,
        rows=rows,
        settled=len(settled),
        accuracy=_figure(hits, *interval(hits, customers)),
        gap=_figure(gap, low, high),
        gain=_figure(gain, *interval(gain, customers)),
    )


def _figure(values: NDArray[np.float64], low: float, high: float) -> Figure:
    return Figure(value=float(values.mean()), low=low, high=high)
