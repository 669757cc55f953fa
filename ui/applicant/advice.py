"""What could raise a score: changes that a person can make, each a whole applicant for the API to score again.

Nothing is guessed here: a change is shown with the points the API gave it, and only if it gained any. Left out on
purpose: income, the age of the credit history and the bureau's judgement of the credit mix, which nobody changes by
deciding to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from service.contract import Applicant, MinimumPayment, Score

_HEALTHY_UTILIZATION: Final = 30.0  # the share of the limit that lenders commonly name as moderate
_TOGETHER: Final = 3


@dataclass(frozen=True)
class PossibleChange:
    """One change: which advice it is, the value before and after, and the applicant with it made."""

    code: str
    field: str
    before: Any
    after: Any
    applicant: Applicant


@dataclass(frozen=True)
class Gain:
    """A change with the points the API gave it."""

    change: PossibleChange
    score: Score
    points: int


def possible_changes(applicant: Applicant) -> list[PossibleChange]:
    """Every change this applicant could make, at most two a field."""
    found: list[PossibleChange] = []
    for code, field, propose in _LEVERS:
        before = getattr(applicant, field)
        if before is None:
            continue
        for after in propose(before):
            found.append(PossibleChange(code, field, before, after, _with(applicant, field, after)))
    return found


def gains(changes: Sequence[PossibleChange], scores: Sequence[Score], base: int) -> list[Gain]:
    """The best change of each field that gained points, most points first."""
    best: dict[str, Gain] = {}
    for change, score in zip(changes, scores, strict=True):
        gain = Gain(change, score, score.score - base)
        kept = best.get(change.field)
        if gain.points > 0 and (kept is None or gain.points > kept.points):
            best[change.field] = gain
    return sorted(best.values(), key=lambda gain: -gain.points)


def together(applicant: Applicant, found: Sequence[Gain]) -> Applicant | None:
    """The applicant with the strongest changes made at once; None where there is only one to make."""
    if len(found) < 2:
        return None
    combined = applicant
    for gain in found[:_TOGETHER]:
        combined = _with(combined, gain.change.field, gain.change.after)
    return combined


def _with(applicant: Applicant, field: str, value: Any) -> Applicant:
    update: dict[str, Any] = {field: value}
    if field == "num_loans":
        # A loan paid off leaves the list of kinds and takes its share of the instalments with it.
        update["loan_types"] = applicant.loan_types[:value]
        update["total_emi_per_month"] = round(applicant.total_emi_per_month * value / applicant.num_loans, 2)
    return Applicant.model_validate({**applicant.model_dump(), **update})


def _halved(value: float) -> list[float]:
    return [round(value / 2, 2)] if value > 1 else []


def _halved_count(value: int) -> list[int]:
    return [value // 2] if value > 0 else []


def _one_fewer(value: int) -> list[int]:
    return [value - 1] if value > 1 else []


def _two_steps_fewer(value: int) -> list[int]:
    return [step for step in (value - 1, value - 2) if step >= 1]


_LEVERS: Final[tuple[tuple[str, str, Callable[[Any], Sequence[Any]]], ...]] = (
    (
        "pay_on_time",
        "delay_from_due_date",
        lambda days: [step for step in (float(round(days / 2)), 0.0) if 0 <= step < days],
    ),
    ("fewer_delayed", "num_delayed_payments", _halved_count),
    ("less_debt", "outstanding_debt", lambda debt: [round(debt * 0.75, 2), round(debt / 2, 2)] if debt >= 1 else []),
    (
        "less_used",
        "credit_utilization_ratio",
        lambda share: [_HEALTHY_UTILIZATION] if share > _HEALTHY_UTILIZATION else [],
    ),
    (
        "pay_more_than_minimum",
        "payment_of_min_amount",
        lambda now: [MinimumPayment.NO] if now is MinimumPayment.YES else [],
    ),
    ("fewer_cards", "num_credit_cards", _two_steps_fewer),
    ("fewer_accounts", "num_bank_accounts", _two_steps_fewer),
    ("fewer_inquiries", "num_credit_inquiries", _halved_count),
    ("pay_off_loan", "num_loans", _one_fewer),
    ("lower_interest", "interest_rate", _halved),
)
