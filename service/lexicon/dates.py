"""Days as people write them; which of day and month stands first is a property of the column."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from typing import Final, Literal

DayOrder = Literal["dmy", "mdy", ""]
_ISO: Final = re.compile(r"([0-9]{4})[-/.]([0-9]{1,2})[-/.]([0-9]{1,2})(?:[T ][0-9:.]+(?:Z|[+-][0-9:]+)?)?")
_SHORT: Final = re.compile(r"([0-9]{1,2})[-/.]([0-9]{1,2})[-/.]([0-9]{4})(?: [0-9:.]+)?")


def day(text: str, order: DayOrder) -> str | None:
    """The day as `2026-01-31`; None where it is none, or the order is open and both readings fit."""
    bare = text.strip()
    if match := _ISO.fullmatch(bare):
        return _day(*map(int, match.groups()))
    match = _SHORT.fullmatch(bare)
    if match is None:
        return None
    first, second, year = map(int, match.groups())
    if order:
        return _day(year, second, first) if order == "dmy" else _day(year, first, second)
    fitting = set(days_read(text).values())
    return fitting.pop() if len(fitting) == 1 else None


def days_read(text: str) -> dict[str, str]:
    """By order the day that a text is then; empty for a text whose year stands first, or that is no day."""
    match = _SHORT.fullmatch(text.strip())
    if match is None:
        return {}
    first, second, year = map(int, match.groups())
    readings = {"dmy": _day(year, second, first), "mdy": _day(year, first, second)}
    return {order: reading for order, reading in readings.items() if reading is not None}


def day_order(texts: Iterable[str]) -> DayOrder:
    """What the column's cells tell of the order; empty if nothing does, or they contradict each other."""
    orders = set()
    for text in texts:
        if (match := _SHORT.fullmatch(text.strip())) is None:
            continue
        first, second, _ = map(int, match.groups())
        if first > 12 >= second:
            orders.add("dmy")
        if second > 12 >= first:
            orders.add("mdy")
    if len(orders) != 1:
        return ""
    return "dmy" if "dmy" in orders else "mdy"


def _day(year: int, month: int, day_of_month: int) -> str | None:
    try:
        return date(year, month, day_of_month).isoformat()
    except ValueError:
        return None
