"""Numbers, amounts, dates and spans in both languages."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

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
