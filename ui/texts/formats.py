"""Numbers, amounts, dates and spans of time as a reader of the language writes them.

The language changes how an amount is written, never which currency it is in: that is a setting of the partner.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from service.lexicon.dates import day
from service.lexicon.numerals import numeral

_SWAP: Final = str.maketrans(",.", ".,")
_SYMBOLS: Final = {"BRL": "R$", "USD": "US$", "EUR": "€", "GBP": "£"}
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
NO_BREAK: Final = "\u00a0"
_MOST_DECIMALS: Final = 6
_DIGITS_OF_A_DAY: Final = 8


@dataclass(frozen=True)
class Formats:
    """Writers of one language ("pt" or "en")."""

    language: str
    currency: str = "BRL"
    zone: tzinfo = UTC

    @property
    def currency_sign(self) -> str:
        """The currency as it is written before an amount."""
        return _SYMBOLS.get(self.currency, self.currency)

    def number(self, value: float, decimals: int = 0) -> str:
        """`1234.5` as 1.234,5 or 1,234.5."""
        text = f"{value:,.{decimals}f}"
        return text.translate(_SWAP) if self.language == "pt" else text

    def plain(self, value: float) -> str:
        """A number with as many decimals (two at most) as it has."""
        decimals = next((places for places in (0, 1) if abs(round(value, places) - value) < 1e-9), 2)
        return self.number(value, decimals)

    def exact(self, value: float, at_least: int = 0) -> str:
        """A number with every decimal it has (six at most), and `at_least` so many."""
        text = f"{value:.{_MOST_DECIMALS}f}".rstrip("0")
        return self.number(value, max(at_least, len(text) - text.index(".") - 1))

    def read(self, text: str) -> float | None:
        """The number that a reader of the language means by `text`; None where it is none.

        The other language's marks are understood where they can mean nothing else (`1,234.56`), never guessed.
        """
        number = numeral(text)
        if number is None:
            return None
        own, other = (",", ".") if self.language == "pt" else (".", ",")
        plain = number.plain(own) or number.plain(other)
        value = float(plain) if plain is not None else math.inf
        return value if math.isfinite(value) else None

    def signed(self, value: int) -> str:
        """A change of points: +42, −7."""
        return ("+" if value > 0 else "−" if value < 0 else "") + self.number(abs(value))

    def percent(self, share: float, decimals: int = 0) -> str:
        """A share (0 to 1) as 73%."""
        return self.number(share * 100, decimals) + "%"

    def amount(self, value: float, decimals: int = 2) -> str:
        """An amount in the partner's currency."""
        sign = "−" if value < 0 else ""
        return f"{sign}{self.currency_sign}{NO_BREAK}{self.number(abs(value), decimals)}"

    def moment(self, value: datetime) -> str:
        """A moment in the reader's own time zone: 23/11/2026 07:10, or 23 Nov 2026, 07:10."""
        local = value.astimezone(self.zone)
        if self.language == "pt":
            return local.strftime("%d/%m/%Y %H:%M")
        return f"{local.day} {_MONTHS[local.month - 1]} {local.year}, {local:%H:%M}"

    def day(self, value: str) -> str:
        """An ISO day as 23/11/2026 or 23 Nov 2026; what is no day stays as it is."""
        try:
            moment = date.fromisoformat(value[:10])
        except ValueError:
            return value
        return (
            f"{moment:%d/%m/%Y}" if self.language == "pt" else f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}"
        )

    def day_in_field(self, value: str) -> str:
        """An ISO day as it stands in a field to type into: 23/11/2026 or 2026-11-23."""
        return f"{date.fromisoformat(value):%d/%m/%Y}" if self.language == "pt" else value

    def read_day(self, text: str) -> str | None:
        """The ISO day that a reader of the language means by `text`; None where it is none, or one of two."""
        plain = text.strip()
        if len(plain) == _DIGITS_OF_A_DAY and plain.isascii() and plain.isdigit():
            cuts = (2, 4) if self.language == "pt" else (4, 6)
            plain = "/".join((plain[: cuts[0]], plain[cuts[0] : cuts[1]], plain[cuts[1] :]))
        return day(plain, "dmy" if self.language == "pt" else "")

    def span(self, seconds: float) -> str:
        """A span of time, rounded up to what a person waits by: 45 s, 3 min 20 s, 1 h 5 min."""
        whole = max(0, -int(-seconds // 1))
        if whole < _MINUTE_S:
            return f"{whole}{NO_BREAK}s"
        if whole < _HOUR_S:
            rest = whole % _MINUTE_S
            return f"{whole // _MINUTE_S}{NO_BREAK}min" + (f" {rest}{NO_BREAK}s" if rest else "")
        rest = whole % _HOUR_S // _MINUTE_S
        return f"{whole // _HOUR_S}{NO_BREAK}h" + (f" {rest}{NO_BREAK}min" if rest else "")


def zone_of(name: str | None) -> tzinfo:
    """The browser's time zone, or UTC where it names none that this machine knows."""
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC
