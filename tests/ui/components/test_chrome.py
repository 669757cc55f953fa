"""The frame around every page."""

from __future__ import annotations

import pytest

from ui.components.chrome import own_words
from ui.texts import brand
from ui.texts.wording import LANGUAGES, texts

GROUNDS = {"light": "#FFFFFF", "dark": "#0E1420"}


def luminance(colour: str) -> float:
    """WCAG's relative luminance."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """WCAG's ratio of contrast."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("language", LANGUAGES)
def test_streamlits_own_words_are_the_pages(language: str) -> None:
    """Each sentence of Streamlit has one of this language, and keeps its place for a name."""
    pairs = own_words(texts(language))
    assert len(pairs) == len(dict(pairs)) > 20
    assert all(other.count("{}") == own.count("{}") for other, own in pairs)


@pytest.mark.parametrize("ground", GROUNDS.values(), ids=GROUNDS)
@pytest.mark.parametrize("colour", [*brand.BAND_COLOURS, brand.OWN_COLOUR])
def test_marks_stand_out(colour: str, ground: str) -> None:
    """Every colour of the brand and the bands keeps 3:1 on either ground (WCAG 1.4.11)."""
    assert contrast(colour, ground) >= 3
