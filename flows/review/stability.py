"""How the score moves when one field moves: declared directions, noise, and whether named reasons matter.

Works on clean rows of customers the model did not learn from, through whatever answers them (`Assess`), so the same
code judges a fresh model and a packed one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from service.score import policy
from service.score.features import matrix

Columns = Mapping[str, NDArray[Any]]
Points = NDArray[np.int64]
Scores = Callable[[NDArray[np.float64]], Points]  # features (n, k) to scores

NOISE_SHARE: Final = 0.01
TOLERANCE_POINTS: Final = 10  # a step of fewer points is the grain of the trees, not a direction
SAMPLE_ROWS: Final = 4_000


@dataclass(frozen=True)
class ExpectedDirection:
    """What a greater value of a contract field should do to the score, and the step it is perturbed by."""

    field: str
    sign: int  # +1 the score may only rise, -1 only fall
    step: float
    relative: bool = False  # step is a share of the value instead of units


DIRECTIONS: Final = (
    ExpectedDirection("delay_from_due_date", -1, 5.0),  # days
    ExpectedDirection("num_delayed_payments", -1, 3.0),
    ExpectedDirection("num_credit_inquiries", -1, 2.0),
    ExpectedDirection("interest_rate", -1, 3.0),  # percentage points
    ExpectedDirection("num_credit_cards", -1, 1.0),
    ExpectedDirection("num_bank_accounts", -1, 1.0),
    ExpectedDirection("outstanding_debt", -1, 0.10, relative=True),
    ExpectedDirection("credit_history_months", 1, 12.0),
    ExpectedDirection("monthly_inhand_salary", 1, 0.10, relative=True),
)
_NOISY: Final = (
    "annual_income",
    "monthly_inhand_salary",
    "interest_rate",
    "delay_from_due_date",
    "changed_credit_limit",
    "outstanding_debt",
    "total_emi_per_month",
    "amount_invested_monthly",
    "monthly_balance",
)


class DirectionReport(BaseModel):
    """Pairs of an applicant with and without a step of one field."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    field: str
    pairs: int
    wrong_share: float = Field(description=f"Pairs that move the wrong way by more than {TOLERANCE_POINTS} points.")
    mean_reversal: float = Field(description="Mean points the wrong way over all pairs, right moves counted as 0.")


class StabilityReport(BaseModel):
    """Directions, noise and reasons; None where not measured."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    directions: tuple[DirectionReport, ...]
    band_flips: float = Field(description="Share of bands that 1 % noise on the amounts changes.")
    reason_raises: float | None = Field(
        default=None, description="Named fields that raise the score when moved to the reference."
    )
    reason_stable: float | None = Field(default=None, description="First reasons that stay first under 1 % noise.")


def some_rows(columns: Columns, rows: int = SAMPLE_ROWS, seed: int = 0) -> dict[str, NDArray[Any]]:
    """At most `rows` of the rows, drawn with a seed."""
    count = len(columns["annual_income"])
    chosen = np.sort(np.random.default_rng(seed).permutation(count)[:rows])
    return {name: values[chosen] for name, values in columns.items()}


def directions(
    scores: Scores, columns: Columns, table: tuple[ExpectedDirection, ...] = DIRECTIONS
) -> tuple[DirectionReport, ...]:
    """Paired perturbation of each declared field; rows where the field is unknown are no pairs."""
    before = scores(matrix(columns))
    reports = []
    for one in table:
        values = np.asarray(columns[one.field], dtype=np.float64)
        known = ~np.isnan(values)
        moved = values * (1.0 + one.step) if one.relative else values + one.step
        change = one.sign * (scores(matrix({**columns, one.field: moved})) - before)[known]
        reports.append(
            DirectionReport(
                field=one.field,
                pairs=int(known.sum()),
                wrong_share=float(np.mean(change < -TOLERANCE_POINTS)) if known.any() else 0.0,
                mean_reversal=float(np.mean(np.maximum(-change, 0))) if known.any() else 0.0,
            )
        )
    return tuple(reports)


def noisy(columns: Columns, seed: int = 0) -> dict[str, NDArray[Any]]:
    """The same applicants with amounts off by about 1 % (normal); counts and categories stay."""
    generator = np.random.default_rng(seed)
    changed = {
        name: np.asarray(columns[name], dtype=np.float64)
        * (1.0 + NOISE_SHARE * generator.standard_normal(len(columns[name])))
        for name in _NOISY
    }
    return {**columns, **changed}


def band_flips(scores: Scores, columns: Columns, seed: int = 0) -> float:
    """Share of applicants whose band 1 % noise changes."""
    before, after = scores(matrix(columns)), scores(matrix(noisy(columns, seed)))
    return float(np.mean(policy.band_many(before) != policy.band_many(after)))


def stability(
    scores: Scores, columns: Columns, reason_raises: float | None = None, reason_stable: float | None = None
) -> StabilityReport:
    """The whole report; the reasons' two shares come from whoever can explain (`flows.review.reason_quality`)."""
    sample = some_rows(columns)
    return StabilityReport(
        directions=directions(scores, sample),
        band_flips=band_flips(scores, sample),
        reason_raises=reason_raises,
        reason_stable=reason_stable,
    )
