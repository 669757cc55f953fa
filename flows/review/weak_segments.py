"""Where the model is weak: every pair of coarse slices with enough customers, searched for accuracy below the rest.

A search over many slices finds a bad one by chance, so each is held to an interval by customer at a level divided by
the number of slices looked at (Bonferroni). Only what remains is named.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import combinations
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from flows.learning.model_metrics import LabelledAnswers
from flows.monitoring.performance import variance_of_mean

Bools = NDArray[np.bool_]
Columns = Mapping[str, NDArray[Any]]

FIELDS: Final = (
    "annual_income",
    "outstanding_debt",
    "interest_rate",
    "credit_history_months",
    "delay_from_due_date",
    "num_delayed_payments",
    "num_credit_inquiries",
    "credit_mix",
    "payment_of_min_amount",
)
"""What slices are cut by: the fields that models of this data lean on."""
LEAST_CUSTOMERS: Final = 100
LEVEL: Final = 0.05
_THIRDS: Final = ("low", "middle", "high")


class WeakSegment(BaseModel):
    """A slice whose accuracy lies below everybody's, beyond chance."""

    model_config = ConfigDict(frozen=True)

    name: str
    rows: int
    customers: int
    accuracy: float
    gap: float
    high: float


class SegmentSearch(BaseModel):
    """The weak slices, weakest first, and how many were looked at."""

    model_config = ConfigDict(frozen=True)

    weak: tuple[WeakSegment, ...] = ()
    looked_at: int = 0


def slices(columns: Columns) -> dict[str, dict[str, Bools]]:
    """By field, the rows of each third of a number, of each level of a category, and of those that did not tell."""
    result: dict[str, dict[str, Bools]] = {}
    for field in FIELDS:
        values = columns[field]
        if np.issubdtype(np.asarray(values).dtype, np.number):
            missing = np.isnan(values.astype(np.float64))
            edges = (
                np.quantile(values[~missing].astype(np.float64), [1 / 3, 2 / 3]) if (~missing).any() else np.zeros(2)
            )
            place = np.searchsorted(edges, values.astype(np.float64))
            parts = {f"{field} {name}": (place == third) & ~missing for third, name in enumerate(_THIRDS)}
        else:
            missing = np.array([value is None for value in values])
            levels = sorted({str(value) for value in values if value is not None})
            texts = np.array([str(value) for value in values])
            parts = {f"{field} {level}": (texts == level) & ~missing for level in levels}
        result[field] = parts | {f"{field} unknown": missing}
    return result


def _pairs(by_field: Mapping[str, Mapping[str, Bools]]) -> Iterator[tuple[str, Bools]]:
    for parts in by_field.values():
        yield from parts.items()
    for one, other in combinations(by_field.values(), 2):
        for first, rows in one.items():
            for second, more in other.items():
                yield f"{first}, {second}", rows & more


def search_weak_segments(answers: LabelledAnswers, columns: Columns) -> SegmentSearch:
    """The search over every slice and every pair of slices of two fields.

    Args:
        answers: rows by models that never saw their customers.
        columns: the same rows' contract fields.
    """
    hits = (answers.classes == answers.labels).astype(np.float64)
    usual = float(hits.mean())
    looked = [(name, rows, len(np.unique(answers.customers[rows]))) for name, rows in _pairs(slices(columns))]
    enough = [one for one in looked if one[2] >= LEAST_CUSTOMERS]
    if not enough:
        return SegmentSearch()
    reach = NormalDist().inv_cdf(1.0 - LEVEL / len(enough))
    weak = []
    for name, rows, customers in enough:
        gaps = hits[rows] - usual
        gap = float(gaps.mean())
        high = gap + reach * math.sqrt(variance_of_mean(gaps, answers.customers[rows]))
        if high < 0.0:
            weak.append(
                WeakSegment(
                    name=name,
                    rows=int(rows.sum()),
                    customers=customers,
                    accuracy=float(hits[rows].mean()),
                    gap=gap,
                    high=high,
                )
            )
    return SegmentSearch(weak=tuple(sorted(weak, key=lambda one: one.gap)), looked_at=len(enough))
