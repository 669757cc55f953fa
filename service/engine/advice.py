"""Advice: the smallest set of changes that brings an applicant to a target, found in one call of the engine.

Only what a person can change counts: paying on time, owing less, closing what is open, paying more than the minimum.
Income,
the age of the history, the bureau's judgements and the lender's rates are left alone. A model's answer moves in steps
and not always one way, so every step of every lever is asked, alone and in pairs, then the last steps of three and of
all:
what is found is what `POST /v1/score` would answer to the changed applicant, and where nothing reaches the target the
advice says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any, Final

import numpy as np

from service.contract import Advice, AdviceTarget, Applicant, Change, CreditClass, MinimumPayment
from service.engine.rules import Arrays
from service.engine.trees import Float
from service.score import features, policy

STEPS: Final = 4  # of a lever, at most
Assess = Callable[[Float], Arrays]


@dataclass(frozen=True)
class Step:
    """One change of one lever: the fields it sets, how far along its lever it lies (0 to 1), and what is told of it."""

    field: str
    sets: dict[str, Any]
    effort: float


def levers(applicant: Applicant) -> list[list[Step]]:
    """The steps of every lever this applicant has, least first."""
    choices = [
        _falling(applicant, "delay_from_due_date", 0.0, whole=True),
        _falling(applicant, "num_delayed_payments", 0.0, whole=True),
        _falling(applicant, "outstanding_debt", 0.0, whole=False),
        _falling(applicant, "num_credit_inquiries", 0.0, whole=True),
        _falling(applicant, "num_credit_cards", 1.0, whole=True),
        _falling(applicant, "num_bank_accounts", 1.0, whole=True),
        _loans(applicant),
    ]
    if applicant.payment_of_min_amount is not None and applicant.payment_of_min_amount == MinimumPayment.YES:
        choices.append([Step("payment_of_min_amount", {"payment_of_min_amount": MinimumPayment.NO}, 1.0)])
    return [steps for steps in choices if steps]


def _falling(applicant: Applicant, field: str, least: float, *, whole: bool) -> list[Step]:
    """Steps of equal size from the value down to the least."""
    value = getattr(applicant, field)
    if value is None or value <= least:
        return []
    count = min(STEPS, int(np.ceil(value - least))) if whole else STEPS
    values = [value - (value - least) * step / count for step in range(1, count + 1)]
    rounded = [round(one) if whole else round(one, 2) for one in values]
    return [Step(field, {field: one}, (step + 1) / count) for step, one in enumerate(rounded)]


def _loans(applicant: Applicant) -> list[Step]:
    """Loans paid off one by one: each leaves the list of kinds and takes its share of the instalments with it."""
    count = applicant.num_loans
    steps = []
    for fewer in range(1, min(count, STEPS) + 1):
        rest = count - fewer
        instalments = round(applicant.total_emi_per_month * rest / count, 2)
        sets = {"num_loans": rest, "loan_types": applicant.loan_types[:rest], "total_emi_per_month": instalments}
        steps.append(Step("num_loans", sets, fewer / count))
    return steps


def plans(choices: Sequence[Sequence[Step]]) -> list[tuple[Step, ...]]:
    """Every set of changes that is asked, from none on: fewest fields first, then least effort."""
    candidates: list[tuple[Step, ...]] = [(), *((step,) for steps in choices for step in steps)]
    candidates += [pair for one, other in combinations(choices, 2) for pair in product(one, other)]
    last = [steps[-1] for steps in choices]
    candidates += combinations(last, 3)
    if len(last) > 3:
        candidates.append(tuple(last))
    return sorted(candidates, key=lambda plan: (len(plan), sum(step.effort for step in plan)))


def advise(assess: Assess, applicant: Applicant, target: AdviceTarget) -> Advice:
    """The smallest plan that reaches the target, or none and the best score that any plan reaches."""
    candidates = plans(levers(applicant))
    answers = assess(_matrix(applicant, candidates))
    scores = answers.score.tolist()
    reached = [number for number, score in enumerate(scores) if _reaches(score, target)]
    best = reached[0] if reached else int(np.argmax(answers.score))
    return Advice(
        score=scores[0],
        band=policy.band(scores[0]),
        reachable=bool(reached),
        changes=[
            Change(field=field, before=_plain(getattr(applicant, field)), after=_plain(value))
            for step in (candidates[best] if reached else ())
            for field, value in step.sets.items()
        ],
        reached_score=scores[best],
        reached_band=policy.band(scores[best]),
    )


def _reaches(score: int, target: AdviceTarget) -> bool:
    if target.score is not None:
        return score >= target.score
    order = list(CreditClass)
    return order.index(policy.band(score)) >= order.index(target.band or CreditClass.GOOD)


def _plain(value: Any) -> Any:
    return [str(one) for one in value] if isinstance(value, (list, tuple)) else value


def _matrix(applicant: Applicant, candidates: Sequence[tuple[Step, ...]]) -> Float:
    """The features of the applicant under each plan."""
    names = {source for feature in features.FEATURES for source in feature.sources} - {"previous_classes"}
    columns: dict[str, Any] = {name: [getattr(applicant, name)] * len(candidates) for name in names}
    for row, plan in enumerate(candidates):
        for step in plan:
            for field, value in step.sets.items():
                columns[field][row] = value
    numbers = {name: np.array(columns[name], np.float64) for name in features.NUMBERS}  # None becomes NaN
    return features.matrix(columns | numbers | features.histories([applicant] * len(candidates)))
