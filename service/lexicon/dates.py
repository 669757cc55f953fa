"""Days as people write them; which of day and month stands first is a property of the column."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from typing import Final, Literal

from service.lexicon import vocabulary

DayOrder = Literal["dmy", "mdy", ""]
_ISO: Final = re.compile(r"([0-9]{4})[-/.]([0-9]{1,2})[-/.]([0-9]{1,2})(?:[T ][0-9:.]+(?:Z|[+-][0-9:]+)?)?")
_SHORT: Final = re.compile(r"([0-9]{1,2})[-/.]([0-9]{1,2})[-/.]([0-9]{4})(?: [0-9:.]+)?")
_ORDINAL: Final = r"([0-9]{1,2})(?:st|nd|rd|th|er|\.?[ºª])?"
_BETWEEN: Final = r"(?:[-/., ]| de | del )+"
_NAMED: Final = re.compile(rf"{_ORDINAL}{_BETWEEN}([^\W\d_]{{3,}}){_BETWEEN}([0-9]{{4}})", re.IGNORECASE)
_NAME_FIRST: Final = re.compile(rf"([^\W\d_]{{3,}}){_BETWEEN}{_ORDINAL}{_BETWEEN}([0-9]{{4}})", re.IGNORECASE)


def day(text: str, order: DayOrder) -> str | None:
    """The day as `2026-01-31`; None where it is none, or the order is open and both readings fit."""
    bare = text.strip()
    if match := _ISO.fullmatch(bare):
        return _day(*map(int, match.groups()))
    match = _SHORT.fullmatch(bare)
    if match is None:
        return _named_day(bare)
    first, second, year = map(int, match.groups())
    if order:
        return _day(year, second, first) if order == "dmy" else _day(year, first, second)
    fitting = set(days_read(text).values())
    return fitting.pop() if len(fitting) == 1 else None


def _named_day(text: str) -> str | None:
    """A day whose month is a name, which leaves no order open: `31 de dezembro de 2025`, `Dec 31, 2025`."""
    if match := _NAMED.fullmatch(text):
        number, name, year = match.groups()
    elif match := _NAME_FIRST.fullmatch(text):
        name, number, year = match.groups()
    else:
        return None
    month = vocabulary.month(name)
    return None if month is None else _day(int(year), month, int(number))


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
