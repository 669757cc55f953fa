"""Metric families: each is declared once, beside where it is counted, with its kind, its text and its labels.

The declaration is the key that counts are kept under, so what is not declared cannot be counted, and what is counted is
exposed without a second list.
"""

from __future__ import annotations

from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]


class Family(str):
    """A family's name, which knows the rest."""

    __slots__ = ("kind", "labels", "text")

    kind: Kind
    text: str
    labels: tuple[str, ...]


FAMILIES: Final[dict[str, Family]] = {}
"""By name, in the order of their modules' imports."""


def _declared(kind: Kind, name: str, text: str, labels: tuple[str, ...]) -> Family:
    if name in FAMILIES:
        raise ValueError(f"{name} is declared twice")
    if kind == "gauge" and "le" in labels:
        raise ValueError(f"{name}: le belongs to histograms alone")
    family = Family(name)
    family.kind, family.text, family.labels = kind, text, labels
    FAMILIES[name] = family
    return family


def counter(name: str, text: str, *labels: str) -> Family:
    """Something that only rises; Prometheus reads it as `name`_total."""
    return _declared("counter", name, text, labels)


def gauge(name: str, text: str, *labels: str) -> Family:
    """Something that rises and falls."""
    return _declared("gauge", name, text, labels)


def histogram(name: str, text: str, *labels: str) -> Family:
    """A distribution in bins."""
    return _declared("histogram", name, text, labels)
