"""Cells in the dress of other countries' programs: the one value that is meant, or none."""

from __future__ import annotations

from datetime import date

import pytest

from service.lexicon import vocabulary
from service.lexicon.cells import RULES, UNREAD, ColumnForm, meaning
from service.lexicon.numerals import evidence

AMOUNTS = {
    "CHF 1'234.50": "1234.50",
    "1’234.50 Fr.": "1234.50",
    "$1,234.50 MXN": "1234.50",
    "MX$1,234.50": "1234.50",
    "C$ 1,234.50": "1234.50",
    "1\N{NARROW NO-BREAK SPACE}234,50 €": "1234.50",
    "₹12,34,567.50": "1234567.50",
    "1,234.50-": "-1234.50",
    "(1,234.50)": "-1234.50",
    "$ (1,234.50)": "-1234.50",
    "(R$ 1.234,50)": "-1234.50",
    "R$ (1.234,50)": "-1234.50",
    "(1.234,50) €": "-1234.50",
    " R$ -   ": "0",
    "- €": "0",
    "$ –": "0",
}


@pytest.mark.parametrize("text", AMOUNTS)
def test_an_amount_as_its_country_writes_it(text: str) -> None:
    """Currency before or behind, groups by any sign, negatives as accountants write them, their dash for nothing."""
    assert meaning(RULES["monthly_balance"], text) == AMOUNTS[text]


@pytest.mark.parametrize(
    "text", ["$1,234.50 EUR", "R$ 1 €", "((1.50))", "(-1.50)", "$ ()", "R$", "1.50 XYZ", "$ - 5 -"]
)
def test_an_amount_that_contradicts_itself_is_none(text: str) -> None:
    """Two currencies, two signs or no number: never a guess."""
    assert meaning(RULES["monthly_balance"], text) is UNREAD


def test_a_dash_without_a_currency_is_not_known() -> None:
    """It may be an accountant's nothing or a clerk's gap."""
    assert meaning(RULES["monthly_balance"], " -   ") is None


@pytest.mark.parametrize(
    ("text", "currency"), [("$1,234.50 MXN", "MX$"), ("CHF 1", "CHF"), ("R$ -", "R$"), ("$ (1)", "")]
)
def test_a_currency_is_told_in_any_dress(text: str, currency: str) -> None:
    """So that amounts in two of them are seen."""
    assert [name for name, _ in evidence([text]).currencies] == ([currency] if currency else [])


DAYS = {
    "31 de dezembro de 2025": "2025-12-31",
    "31-dez-2025": "2025-12-31",
    "31. Dezember 2025": "2025-12-31",
    "1er janvier 2026": "2026-01-01",
    "1º de março de 2026": "2026-03-01",
    "5 de mayo de 2026": "2026-05-05",
    "Dec 31, 2025": "2025-12-31",
    "December 31st, 2025": "2025-12-31",
    "31/Jan/2026": "2026-01-31",
    "2025-12-31T23:30:00-03:00": "2025-12-31",
}


@pytest.mark.parametrize("text", DAYS)
def test_a_day_whose_month_is_a_name(text: str) -> None:
    """No order is open there, whatever the column's other days tell."""
    for order in ("", "dmy", "mdy"):
        assert meaning(RULES["as_of"], text, ColumnForm(days=order)) == DAYS[text]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    ["31 de 2025", "30 de fevereiro de 2026", "31 jui 2025", "45992", "31-dez-25", "2025 dez 31 2025", "dez 2025"],
)
def test_what_is_no_day_is_none(text: str) -> None:
    """Serial numbers of spreadsheets, years of two digits and days that no month has are not guessed at."""
    assert meaning(RULES["as_of"], text) is UNREAD


@pytest.mark.parametrize("month", range(1, 13))
def test_a_month_is_known_by_its_names(month: int) -> None:
    """In each language in full; so are three letters, but for those that two months share."""
    names = vocabulary.MONTH_NAMES[month - 1]
    for name in names:
        assert vocabulary.month(name) == vocabulary.month(name.upper()) == month
        assert vocabulary.month(name[:3]) in (month, None)
    assert vocabulary.month(f"{date(2026, month, 1):%B}") == month
    assert vocabulary.month("jui") is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, "Yes") for text in ("sim", "SÍ", "ja", "J", "oui", "Verdadeiro", "VERDADERO", "WAHR", "VRAI")),
        *((text, "No") for text in ("nao", "nein", "Non", "FALSO", "FALSCH", "Faux")),
        *((text, UNREAD) for text in ("x", "1", "0", "2", "✓")),
    ],
)
def test_yes_and_no_as_spreadsheets_write_them(text: str, value: object) -> None:
    """A mark or a number says neither: whether a gap beside it is no or not known, nothing tells."""
    assert meaning(RULES["payment_of_min_amount"], text) == value
