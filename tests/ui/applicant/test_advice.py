"""What would raise a score: only what a person can change, only what the API rewarded."""

from __future__ import annotations

import json

import pytest

from service.contract import Applicant, Score
from tests.ui.fake_api import MANIFEST, score_of
from ui.applicant.advice import Gain, gains, possible_changes, together
from ui.applicant.examples import EXAMPLES

FIXED = {"annual_income", "monthly_inhand_salary", "credit_history_months", "credit_mix", "customer_ref", "as_of"}


def scored(applicant: Applicant) -> Score:
    """As the API would."""
    return Score.model_validate_json(json.dumps(score_of(applicant, "p", MANIFEST)))


def found_for(applicant: Applicant) -> list[Gain]:
    """The gains of an applicant."""
    changes = possible_changes(applicant)
    return gains(changes, [scored(change.applicant) for change in changes], scored(applicant).score)


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_change_is_one_change(name: str) -> None:
    """Every proposal is a valid applicant with one decision changed, never something nobody decides."""
    applicant = EXAMPLES[name]
    for change in possible_changes(applicant):
        before, after = applicant.model_dump(), change.applicant.model_dump()
        moved = {field for field in before if before[field] != after[field]}
        assert change.field in moved and not moved & FIXED
        assert moved <= {change.field} | (
            {"loan_types", "total_emi_per_month"} if change.field == "num_loans" else set()
        )


def test_only_gains_best_first() -> None:
    """One a field, the strongest, in order; what gains nothing is not shown."""
    found = found_for(EXAMPLES["ordinary"])
    assert [gain.change.field for gain in found] == [
        "delay_from_due_date",
        "outstanding_debt",
        "interest_rate",
        "num_credit_cards",
    ]
    assert [gain.points for gain in found] == [108, 52, 28, 24]


def test_together() -> None:
    """The strongest three at once; one alone is nothing to combine."""
    applicant = EXAMPLES["ordinary"]
    found = found_for(applicant)
    combined = together(applicant, found)
    assert combined is not None and scored(combined).score == 672 + 108 + 52 + 28
    assert together(applicant, found[:1]) is None


def test_nothing_left_to_change() -> None:
    """An applicant at the floor of everything gets no advice."""
    floor = EXAMPLES["careful"].model_dump() | {
        "num_bank_accounts": 1,
        "num_credit_cards": 1,
        "num_loans": 0,
        "loan_types": [],
        "delay_from_due_date": 0.0,
        "num_delayed_payments": 0,
        "num_credit_inquiries": None,
        "outstanding_debt": 0.0,
        "interest_rate": 1.0,
        "credit_utilization_ratio": 10.0,
    }
    assert not possible_changes(Applicant.model_validate(floor))
