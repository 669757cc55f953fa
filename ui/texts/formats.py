"""Numbers, amounts, dates and spans of time as a reader of the language writes them.

The language changes how an amount is written, never which currency it is in: that is a setting of the partner.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_SWAP: Final = str.maketrans(",.", ".,")
_SYMBOLS: Final = {"BRL": "R$", "USD": "US$", "EUR": "€", "GBP": "£"}
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_NO_BREAK: Final = "\u00a0"


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

    def signed(self, value: int) -> str:
        """A change of points: +42, −7."""
        return ("+" if value > 0 else "−" if value < 0 else "") + self.number(abs(value))

    def percent(self, share: float, decimals: int = 0) -> str:
        """A share (0 to 1) as 73%."""
        return self.number(share * 100, decimals) + "%"

    def amount(self, value: float, decimals: int = 2) -> str:
        """An amount in the partner's currency."""
        sign = "−" if value < 0 else ""
        return f"{sign}{self.currency_sign}{_NO_BREAK}{self.number(abs(value), decimals)}"

    def moment(self, value: datetime) -> str:
        """A moment in the reader's own time zone: 23/11/2026 07:10, or 23 Nov 2026, 07:10."""
        local = value.astimezone(self.zone)
        if self.language == "pt":
            return local.strftime("%d/%m/%Y %H:%M")
        month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[local.month - 1]
        return f"{local.day} {month} {local.year}, {local:%H:%M}"

    def span(self, seconds: float) -> str:
        """A span of time, rounded up to what a person waits by: 45 s, 3 min 20 s, 1 h 5 min."""
        whole = max(0, -int(-seconds // 1))
        if whole < _MINUTE_S:
            return f"{whole}{_NO_BREAK}s"
        if whole < _HOUR_S:
            rest = whole % _MINUTE_S
            return f"{whole // _MINUTE_S}{_NO_BREAK}min" + (f" {rest}{_NO_BREAK}s" if rest else "")
        rest = whole % _HOUR_S // _MINUTE_S
        return f"{whole // _HOUR_S}{_NO_BREAK}h" + (f" {rest}{_NO_BREAK}min" if rest else "")


def zone_of(name: str | None) -> tzinfo:
    """The browser's time zone, or UTC where it names none that this machine knows."""
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC
