"""What an erasure leaves of a job's results, which have a line a row: a note in the place of an erased one. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

ERASED: Final = b'{"errors":[{"pointer":"","code":"erased"}]}'

ENDED: Final = frozenset({"done", "failed", "cancelled"})
"""The states of a job in which nothing more happens to its rows, so that its results may be worked on."""


def without(lines: Sequence[bytes], predictions: Collection[str]) -> tuple[list[bytes], int]:
    """The lines with a note in the place of these predictions' answers, and how many that were."""
    needles = [f'"{prediction}"'.encode() for prediction in predictions]
    cleared = [ERASED if any(needle in line for needle in needles) else line for line in lines]
    return cleared, sum(before is not after for before, after in zip(lines, cleared, strict=True))
