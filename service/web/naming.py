"""Finds the field name nearest to a misspelt one (camelCase, Kaggle's columns, a letter left out), in microseconds."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Final

_LONGEST: Final = 64  # a longer name is none of ours
_ALIKE: Final = 0.6  # of all pairs of neighbouring letters, found in both


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The known name that a name is most like, if any is like it."""
    if len(name) > _LONGEST:
        return None
    pairs = _pairs(name)
    best, likeness = None, _ALIKE
    for one, own in _name_pairs(tuple(names)):
        alike = 2 * len(pairs & own) / (len(pairs) + len(own)) if pairs else 0.0
        if alike > likeness:
            best, likeness = one, alike
    return best


@cache
def _name_pairs(names: tuple[str, ...]) -> tuple[tuple[str, frozenset[str]], ...]:
    return tuple((name, _pairs(name)) for name in names)


def _pairs(name: str) -> frozenset[str]:
    letters = "".join(letter for letter in name.casefold() if letter.isalnum())
    return frozenset(map(str.__add__, letters, letters[1:]))
