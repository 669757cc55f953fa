"""One feature code: a record alone and in a frame of many gives the same numbers, to the last bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.contract import REFERENCE_FIELDS, Applicant, CreditMix, LoanType, MinimumPayment, PaymentBehaviour
from service.score import features

FIELDS = [name for name in dict(Applicant.model_fields) if name not in REFERENCE_FIELDS]
BASE: dict[str, Any] = {
    "annual_income": 24_000.0,
    "monthly_inhand_salary": 1_900.0,
    "num_bank_accounts": 3,
    "num_credit_cards": 4,
    "num_loans": 2,
    "loan_types": ["auto", "auto"],
    "interest_rate": 7.0,
    "delay_from_due_date": 12.0,
    "num_delayed_payments": 5,
    "num_credit_inquiries": 4,
    "changed_credit_limit": 9.5,
    "credit_mix": "Good",
    "outstanding_debt": 812.5,
    "credit_utilization_ratio": 31.0,
    "credit_history_months": 240,
    "payment_of_min_amount": "No",
    "total_emi_per_month": 49.5,
    "amount_invested_monthly": 80.0,
    "payment_behaviour": "high_spent_small_value_payments",
    "monthly_balance": 310.25,
}
amounts = st.floats(0, 1e6, allow_nan=False)


def make(**changes: Any) -> Applicant:
    """An applicant, with some fields changed."""
    return Applicant.model_validate(BASE | changes, strict=False)


def named(applicant: Applicant) -> dict[str, float]:
    """The applicant's features by name."""
    return dict(zip(features.FEATURE_NAMES, features.row(applicant), strict=True))


@st.composite
def applicants(draw: st.DrawFn) -> Applicant:
    """Any applicant the contract allows."""

    def maybe(values: st.SearchStrategy[Any]) -> Any:
        return draw(st.none() | values)

    loans = draw(st.integers(0, 9))
    kinds = draw(st.sampled_from([0, loans]))
    return make(
        annual_income=draw(amounts),
        monthly_inhand_salary=maybe(amounts),
        num_bank_accounts=draw(st.integers(0, 50)),
        num_credit_cards=draw(st.integers(0, 50)),
        num_loans=loans,
        loan_types=draw(st.lists(st.sampled_from(list(LoanType)), min_size=kinds, max_size=kinds)),
        interest_rate=draw(st.floats(0, 100)),
        delay_from_due_date=draw(st.floats(-30, 365)),
        num_delayed_payments=maybe(st.integers(0, 200)),
        num_credit_inquiries=maybe(st.integers(0, 200)),
        changed_credit_limit=maybe(st.floats(-100, 100)),
        credit_mix=maybe(st.sampled_from(list(CreditMix))),
        outstanding_debt=draw(amounts),
        credit_history_months=maybe(st.integers(0, 1200)),
        payment_of_min_amount=maybe(st.sampled_from(list(MinimumPayment))),
        total_emi_per_month=draw(amounts),
        amount_invested_monthly=maybe(amounts),
        payment_behaviour=maybe(st.sampled_from(list(PaymentBehaviour))),
        monthly_balance=maybe(st.floats(-1e6, 1e6)),
    )


def columns(people: list[Applicant], joined: bool) -> dict[str, np.ndarray]:
    """The same applicants as columns; loan types as lists or as joined text."""
    result = {}
    for name in FIELDS:
        values = np.empty(len(people), dtype=object)
        values[:] = [getattr(person, name) for person in people]
        result[name] = values
    if joined:
        result["loan_types"] = np.array(["|".join(person.loan_types) for person in people], dtype=object)
    return result


@given(st.lists(applicants(), min_size=1, max_size=5), st.booleans())
def test_a_row_alone_and_in_a_frame_are_the_same_bits(people: list[Applicant], joined: bool) -> None:
    """Training and serving see the same numbers, NaN included."""
    many = features.matrix(columns(people, joined))
    alone = np.array([features.row(person) for person in people])
    assert many.tobytes() == alone.tobytes() or np.array_equal(many.view(np.uint64), _quiet(alone, many))


def _quiet(alone: np.ndarray, many: np.ndarray) -> np.ndarray:
    """NaN has many bit patterns that all mean missing; everything else must agree exactly."""
    return np.where(np.isnan(alone) & np.isnan(many), many, alone).view(np.uint64)


@given(applicants())
def test_features_are_finite_or_missing(person: Applicant) -> None:
    """No ratio overflows or divides by zero, whatever the contract lets in."""
    assert not any(math.isinf(value) for value in features.row(person))


@pytest.mark.parametrize(
    ("field", "feature"),
    [
        ("monthly_inhand_salary", "monthly_inhand_salary"),
        ("num_delayed_payments", "delay_burden"),
        ("num_credit_inquiries", "inquiries_per_history_year"),
        ("credit_history_months", "inquiries_per_history_year"),
        ("credit_mix", "credit_mix"),
        ("payment_of_min_amount", "payment_of_min_amount"),
        ("payment_behaviour", "spent_level"),
        ("payment_behaviour", "payment_size"),
        ("monthly_balance", "balance_to_salary"),
    ],
)
def test_null_becomes_missing_in_all_that_needs_it(field: str, feature: str) -> None:
    """A null is never taken for zero, also not in a ratio."""
    assert math.isnan(named(make(**{field: None}))[feature])


@pytest.mark.parametrize(
    ("changes", "feature", "expected"),
    [
        ({"credit_mix": "Bad"}, "credit_mix", 0.0),
        ({"credit_mix": "Good"}, "credit_mix", 2.0),
        ({"payment_of_min_amount": "Yes"}, "payment_of_min_amount", 1.0),
        ({"payment_behaviour": "low_spent_large_value_payments"}, "spent_level", 0.0),
        ({"payment_behaviour": "low_spent_large_value_payments"}, "payment_size", 2.0),
        ({"payment_behaviour": "high_spent_medium_value_payments"}, "payment_size", 1.0),
        ({}, "loans_auto", 2.0),
        ({}, "loans_payday", 0.0),
        ({"num_loans": 0, "loan_types": []}, "loans_auto", 0.0),
        ({}, "delay_burden", 60.0),
        ({}, "credit_lines", 9.0),
        ({"annual_income": 0.0, "outstanding_debt": 5.0}, "debt_to_income", 5.0),
    ],
)
def test_features_mean_what_they_say(changes: dict[str, Any], feature: str, expected: float) -> None:
    """Ordinals, counts and ratios of a known applicant."""
    assert named(make(**changes))[feature] == expected


def test_untold_loan_kinds_are_missing() -> None:
    """Loans without kinds are not the same as none of each kind."""
    assert math.isnan(named(make(loan_types=[]))["loans_auto"])


@pytest.mark.parametrize("changes", [{"customer_ref": "abc"}, {"as_of": "2026-01-01"}])
def test_who_and_when_change_nothing(changes: dict[str, str]) -> None:
    """Reference and date identify; they are no features."""
    changed = Applicant.model_validate(BASE | changes, strict=False)
    assert features.row(changed) == features.row(make())


def test_an_unknown_category_is_refused_without_telling_it() -> None:
    """A frame that was never cleaned stops with the allowed values, not with the applicant's."""
    frame = columns([make()], joined=True)
    frame["credit_mix"] = np.array(["_secret_"], dtype=object)
    with pytest.raises(ValueError, match="allowed are Bad, Standard, Good") as caught:
        features.matrix(frame)
    assert "_secret_" not in str(caught.value)


def test_every_feature_comes_from_the_contract() -> None:
    """Sources are contract fields, names are unique, and nobody's age, occupation or month is used."""
    sources = {source for feature in features.FEATURES for source in feature.sources}
    assert sources <= {*FIELDS, "previous_classes"}
    assert len(set(features.FEATURE_NAMES)) == len(features.FEATURES)
    assert not sources & {"age", "occupation", "month", "customer_ref", "as_of"}


def test_no_rows_give_an_empty_matrix() -> None:
    """An empty frame is no special case."""
    assert features.matrix(columns([], joined=True)).shape == (0, len(features.FEATURE_NAMES))
