"""Observed classes as text: how `previous_classes` stand in a stored row, in a file to be scored and in a frame.

`Poor@2026-06-30|Good@2026-05-31`, in the order they were sent; empty where nothing was observed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final

from service.contract import MAX_PREVIOUS_CLASSES, CreditClass, PreviousClass

Observed = list[tuple[str, date]]
_CLASSES: Final = frozenset(CreditClass)


def as_text(previous: Sequence[PreviousClass] | None) -> str:
    """The classes as one text."""
    if not previous:
        return ""
    return "|".join([f"{one.observed_class}@{one.observed_at.isoformat()}" for one in previous])


def from_text(text: str | None, as_of: date) -> Observed:
    """The classes of a text, each with its day.

    Raises:
        ValueError: the text is none of ours or breaks a rule of the contract; it names the rule, never a value.
    """
    if not text:
        return []
    classes = []
    for part in text.split("|"):
        name, _, day = part.partition("@")
        if name not in _CLASSES:
            raise ValueError("a previous class is none of Poor, Standard, Good")
        classes.append((name, date.fromisoformat(day)))
    days = {day for _, day in classes}
    if len(classes) > MAX_PREVIOUS_CLASSES or len(days) < len(classes):
        raise ValueError(f"at most {MAX_PREVIOUS_CLASSES} previous classes, one a day")
    if max(days) >= as_of:
        raise ValueError("a previous class must have been observed before as_of")
    return classes
