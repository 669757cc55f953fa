"""How right the model was, by the week in which it answered: figures with intervals, the reference's beside them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from flows.learning import model_metrics
from flows.learning.model_metrics import Figure, LabelledAnswers
from flows.monitoring.outcomes import CLASSES
from flows.monitoring.performance import Estimator, customers_of, interval, probabilities_of, right
from flows.monitoring.window_settings import Window

SHOWN: Final = ("accuracy", "macro_f1", "gini_poor", "log_loss", "severe_error_rate", "ece")
DRAWS: Final = 200
SMALLEST: Final = 50  # outcomes below which an interval would say nothing


class Cohort(BaseModel):
    """Predictions of [start, end): how many there were, how many have an outcome, and what the outcomes say.

    `estimated` is the accuracy that the probabilities promised (CBPE), `gap` realised minus estimated; both are left
    out, as the metrics are, where there are fewer than 50 outcomes.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    start: date | None = None
    end: date | None = None
    rows: int
    outcomes: int
    metrics: dict[str, Figure] = {}
    estimated: float | None = None
    gap: Figure | None = None


def by_week(
    estimator: Estimator,
    reference: pd.DataFrame,
    cohort: pd.DataFrame,
    settled: pd.DataFrame,
    window: Window,
    days: int,
) -> list[Cohort]:
    """The reference, then the cohort in steps of `days` back from its window's end; empty ones are left out.

    Args:
        estimator: fitted on the reference.
        reference: labelled, with stored probabilities and `label`.
        cohort: every matured prediction, with `as_of` (ISO text).
        settled: those of them that have an outcome, with `observed_class`.
        window: the days that the cohort describes.
        days: length of a step.
    """
    cohorts = [
        _cohort("reference", reference.assign(observed_class=reference["label"].astype(str)), len(reference), estimator)
    ]
    end = window.end
    while end > window.start:
        start = max(window.start, end - timedelta(days=days))
        rows = int(_inside(cohort, start, end).sum())
        if rows:
            part = _cohort(start.isoformat(), settled[_inside(settled, start, end)], rows, estimator)
            cohorts.insert(1, part.model_copy(update={"start": start, "end": end}))
        end = start
    return cohorts


def _inside(frame: pd.DataFrame, start: date, end: date) -> pd.Series:
    return (frame["as_of"] >= start.isoformat()) & (frame["as_of"] < end.isoformat())


def _cohort(name: str, settled: pd.DataFrame, rows: int, estimator: Estimator) -> Cohort:
    if len(settled) < SMALLEST:
        return Cohort(name=name, rows=rows, outcomes=len(settled))
    probabilities = probabilities_of(settled)
    customers = customers_of(settled)
    chance = estimator.chance_of_being_right(probabilities)
    gaps = right(settled, "observed_class") - chance
    low, high = interval(gaps, customers)
    labels = pd.Categorical(settled["observed_class"], categories=CLASSES).codes.astype(np.int64)
    figures = model_metrics.judge(
        LabelledAnswers(labels, probabilities, np.unique(customers, return_inverse=True)[1]), DRAWS
    )
    return Cohort(
        name=name,
        rows=rows,
        outcomes=len(settled),
        metrics={metric: figures[metric] for metric in SHOWN if np.isfinite(figures[metric].value)},
        estimated=float(chance.mean()),
        gap=Figure(value=float(gaps.mean()), low=low, high=high),
    )
