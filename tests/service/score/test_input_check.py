"""Numbers far from what the model learned are said, field by field; what lies within is not."""

from __future__ import annotations

import pytest

from service.score.input_warnings import UNUSUAL, WARNINGS, InputCheck, warnings_of
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
