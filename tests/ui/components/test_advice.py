"""The way to the next band in words: a decision a line, singular and plural, and no target above the best band."""

from __future__ import annotations

from typing import Any

import pytest

from service.contract import Change, CreditClass
from ui.components.advice import decisions, in_words, next_band
from ui.session import PageContext

POOR, STANDARD, GOOD = CreditClass


@pytest.mark.parametrize(("band", "above"), [(POOR, STANDARD), (STANDARD, GOOD), (GOOD, None)])
def test_the_band_above(band: CreditClass, above: CreditClass | None) -> None:
    """One step up, and none above the best."""
    assert next_band(band) is above


def test_what_goes_along_is_no_decision() -> None:
    """A loan paid off takes its kind and its instalments along: told as one change. Alone, either is told."""
    kinds = Change(field="loan_types", before=["auto", "auto"], after=["auto"])
    loans = Change(field="num_loans", before=2, after=1)
    instalments = Change(field="total_emi_per_month", before=90.0, after=45.0)
    assert decisions([loans, kinds, instalments]) == [loans]
    assert decisions([instalments]) == [instalments]


@pytest.mark.parametrize(
    ("field", "before", "after", "told"),
    [
        ("delay_from_due_date", 18.0, 0.0, "Pay on the due date"),
        ("delay_from_due_date", 18.0, 9.0, "Pay 9 days after the due date on average instead of 18"),
        ("outstanding_debt", 3400.0, 1700.0, "Bring the debt from R$ 3,400.00 down to R$ 1,700.00"),
        ("outstanding_debt", 3400.0, 0.0, "Pay off the debt of R$ 3,400.00"),
        ("num_delayed_payments", 13, 0, "No delayed payment instead of 13"),
        ("num_loans", 3, 0, "Pay off every loan"),
        ("num_credit_cards", 3, 1, "1 credit card instead of 3"),
        ("num_credit_cards", 3, 2, "2 credit cards instead of 3"),
        ("num_loans", 3, 1, "1 loan instead of 3: pay off the others, with their instalments"),
        ("payment_of_min_amount", "Yes", "No", "Pay more than the minimum amount due"),
        ("monthly_balance", 10.0, 20.0, "Left over: R$ 20.00 instead of R$ 10.00"),
        ("newer_than_the_page", 1, 2, "Newer than the page: 2 instead of 1"),
    ],
)
def test_a_change_in_words(context: PageContext, field: str, before: Any, after: Any, told: str) -> None:
    """Each as a decision, with its values as the form writes them."""
    said = in_words(context, Change(field=field, before=before, after=after)).replace("\u00a0", " ")
    assert said == told
