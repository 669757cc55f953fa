"""Numbers, amounts, dates and spans in both languages."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ui.texts.formats import Formats, zone_of

PT, EN = Formats("pt"), Formats("en")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (PT.number(1234567.891, 2), "1.234.567,89"),
        (EN.number(1234567.891, 2), "1,234,567.89"),
        (PT.amount(1250), "R$\u00a01.250,00"),
        (EN.amount(-1250.5), "−R$\u00a01,250.50"),
        (Formats("en", "USD").amount(3), "US$\u00a03.00"),
        (Formats("pt", "CHF").amount(3), "CHF\u00a03,00"),
        (PT.percent(0.605, 1), "60,5%"),
        (EN.plain(18.0), "18"),
        (PT.plain(9.5), "9,5"),
        (EN.plain(0.126), "0.13"),
        (EN.signed(42), "+42"),
        (PT.signed(-1042), "−1.042"),
        (EN.signed(0), "0"),
        (EN.span(0.2), "1\u00a0s"),
        (EN.span(60), "1\u00a0min"),
        (EN.span(200), "3\u00a0min 20\u00a0s"),
        (EN.span(3900), "1\u00a0h 5\u00a0min"),
        (EN.span(7200), "2\u00a0h"),
    ],
)
def test_written(written: str, expected: str) -> None:
    """As a reader of the language writes it."""
    assert written == expected


TYPED = [
    (PT, "R$ 42.000,00", 42_000.0),
    (PT, "4.000", 4_000.0),
    (PT, "3480,50", 3_480.5),
    (PT, "1.234,56", 1_234.56),
    (PT, "1.234.567", 1_234_567.0),
    (PT, "1,234.56", 1_234.56),
    (PT, "9.5", 9.5),
    (PT, "9,555", 9.555),
    (PT, "0.500", 0.5),
    (PT, "−R$\u00a0500,00", -500.0),
    (PT, "12%", 12.0),
    (PT, "34 000", 34_000.0),
    (EN, "34,000", 34_000.0),
    (EN, "3480,50", 3_480.5),
    (EN, "4.000", 4.0),
    (EN, "1.234,56", 1_234.56),
    (EN, "R$ 3,480.50", 3_480.5),
    (EN, "-10", -10.0),
    (PT, "muito", None),
    (PT, "1.23.4", None),
    (PT, "1,2,3", None),
    (EN, "1,23,45.7", None),
    (EN, "1e9", 1e9),
    (EN, "nan", None),
    (EN, "9" * 400, None),
    (EN, "", None),
    (EN, "4-5", None),
]


@pytest.mark.parametrize(
    ("formats", "text", "value"), TYPED, ids=[f"{each.language} {text[:12]}" for each, text, _ in TYPED]
)
def test_read(formats: Formats, text: str, value: float | None) -> None:
    """A number as people of the language type or paste it; what could be two numbers or none is not guessed."""
    assert formats.read(text) == value


@given(st.floats(-1e9, 1e9).map(lambda value: round(value, 6)), st.sampled_from([PT, EN]))
def test_what_is_written_is_read_back(value: float, formats: Formats) -> None:
    """Written exactly and read again, in either language, a number is the same."""
    assert formats.read(formats.exact(value, 2)) == pytest.approx(value, abs=1e-6)


DAYS = [
    (PT, "31/12/2024", "2024-12-31"),
    (PT, "31122024", "2024-12-31"),
    (PT, "1.2.2024", "2024-02-01"),
    (PT, " 2024-12-31 ", "2024-12-31"),
    (EN, "2024-12-31", "2024-12-31"),
    (EN, "20241231", "2024-12-31"),
    (EN, "31/12/2024", "2024-12-31"),
    (EN, "12/31/2024", "2024-12-31"),
    (EN, "01/02/2024", None),
    (PT, "31/02/2024", None),
    (PT, "12/31/2024", None),
    (PT, "31/12/24", None),
    (EN, "3112", None),
    (PT, "", None),
    (EN, "٢٠٢٤١٢٣١", None),
]


@pytest.mark.parametrize(("formats", "text", "day"), DAYS)
def test_days_as_people_type_them(formats: Formats, text: str, day: str | None) -> None:
    """By the language's order; what could be either of two days is none; what is written is read back."""
    assert formats.read_day(text) == day
    if day is not None:
        assert formats.read_day(formats.day_in_field(day)) == day


def test_moments_are_in_the_readers_zone() -> None:
    """UTC becomes the browser's own time."""
    moment = datetime(2026, 11, 23, 10, 5, tzinfo=UTC)
    zone = zone_of("America/Sao_Paulo")
    assert Formats("pt", zone=zone).moment(moment) == "23/11/2026 07:05"
    assert Formats("en", zone=zone).moment(moment) == "23 Nov 2026, 07:05"


@pytest.mark.parametrize("name", [None, "", "Nowhere/Else", "../../etc/passwd"])
def test_a_zone_nobody_knows_is_utc(name: str | None) -> None:
    """A browser's odd zone breaks nothing."""
    assert zone_of(name) is UTC
