"""Numbers far from what the model learned are said, field by field; what lies within is not."""

from __future__ import annotations

import pytest

from service.score.input_warnings import RANGED, UNUSUAL, WARNINGS, InputCheck, warnings_of
from tests.factories import applicant, applicant_columns

RANGES = {
    "annual_income": (7_000.0, 180_000.0),
    "interest_rate": (1.0, 34.0),
    "credit_utilization_ratio": (20.0, 50.0),
    "monthly_inhand_salary": (300.0, 15_000.0),
    "num_credit_cards": (0.0, 11.0),
}
COLUMNS, _ = applicant_columns(5, seed=2)
USUAL = {
    "annual_income": 40_000.0,
    "monthly_inhand_salary": 3_200.0,
    "interest_rate": 11.0,
    "credit_utilization_ratio": 31.4,
}


def codes(**changes: object) -> set[str]:
    """The warnings of a usual applicant with some fields changed, beyond what is odd in itself."""
    one = applicant(COLUMNS, 0, **{**USUAL, **changes})
    return set(InputCheck(RANGES).of(one)) - set(warnings_of(one))


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({}, set()),
        ({"interest_rate": 0.11, "credit_utilization_ratio": 0.314}, {"interest_rate", "credit_utilization_ratio"}),
        ({"annual_income": 4e6, "monthly_inhand_salary": 320_000.0}, {"annual_income", "monthly_inhand_salary"}),
        (
            {"annual_income": 0.0, "monthly_inhand_salary": 0.0, "interest_rate": 0.0},
            {*USUAL} - {"credit_utilization_ratio"},
        ),
        ({"monthly_inhand_salary": None}, set()),
        ({"annual_income": 7_000.0, "interest_rate": 34.0}, set()),
    ],
    ids=["usual", "fractions", "cents", "zeros", "unknown", "on-the-edge"],
)
def test_each_field_outside_has_its_code(changes: dict[str, object], fields: set[str]) -> None:
    """Fractions for percent, cents for units and nothing but zeros among them."""
    assert codes(**changes) == {UNUSUAL[field] for field in fields}


def test_a_model_without_ranges_warns_of_none() -> None:
    """An older package has no ranges: only what is odd in itself is said."""
    one = applicant(COLUMNS, 0, interest_rate=0.11)
    assert InputCheck({}).of(one) == warnings_of(one)
    assert set(UNUSUAL.values()) < set(WARNINGS)


def test_many_are_warned_of_what_each_is() -> None:
    """By columns as one by one: each oddity, each field outside, unknown values, and rows with nothing odd."""
    odd: list[dict[str, object]] = [
        {},
        {"num_loans": 0, "loan_types": [], "total_emi_per_month": 5.0},
        {"num_loans": 2, "loan_types": []},
        {"monthly_inhand_salary": 3_334.0 * 1.6},
        {"monthly_inhand_salary": 3_333.0 * 0.19},
        {"total_emi_per_month": 3_400.0},
        {"amount_invested_monthly": 3_400.0},
        {"credit_utilization_ratio": 100.5},
        {"monthly_inhand_salary": None, "amount_invested_monthly": None},
        {"interest_rate": 0.11},
        {"num_credit_cards": 12},
    ]
    many = [applicant(COLUMNS, 0, **{**USUAL, **changes}) for changes in odd]
    columns = {name: [getattr(one, name) for one in many] for name in (*RANGED, "loan_types")}
    for ranges in (RANGES, {}):
        check = InputCheck(ranges)
        each = [check.of(one) for one in many]
        assert check.of_many(many, columns) == each
        assert set(map(bool, each)) == {True, False}
