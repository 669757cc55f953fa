"""The brand's marks: the sign, the name beside it, and the picture that says what this is before anything is loaded.

Drawn, not loaded: no request, sharp at any size, and in both themes readable (3:1 and more against either ground).
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

NAME: Final = "QuantumFinance"
# Worst band first; each keeps 3:1 against the light and the dark page (WCAG 1.4.11); text is never set in them.
BAND_COLOURS: Final = ("#D92D20", "#B7791F", "#0B8F63")
# The same bands as grounds of cells with a figure on them, in both themes.
BAND_TINTS: Final = ("#F9C6C1", "#F3DDB0", "#B7E4D0")
ON_TINT: Final = "#101828"
GROUND: Final = {"light": "#FFFFFF", "dark": "#0E1420"}
INK: Final = {"light": "#101828", "dark": "#F2F4F8"}
OWN_COLOUR: Final = "#3B72F0"
_ARCS: Final = (
    ("M16 84A64 64 0 0 1 44.7 30.4", BAND_COLOURS[0]),
    ("M49.6 27.4A64 64 0 0 1 110.4 27.4", BAND_COLOURS[1]),
    ("M115.3 30.4A64 64 0 0 1 144 84", BAND_COLOURS[2]),
)
_SIGN: Final = (
    f'<rect width="32" height="32" rx="8" fill="{OWN_COLOUR}"/>'
    '<path d="M7 21a9 9 0 1 1 18 0" fill="none" stroke="#fff" stroke-width="3.4" stroke-linecap="round"/>'
    '<path d="M16 21l5-6.5" stroke="#fff" stroke-width="2.6" stroke-linecap="round"/>'
)


def _data_url(svg: str) -> str:
    return "data:image/svg+xml," + quote(svg)


def logo() -> str:
    """Sign and name in one line, as SVG; its blue is readable on the light and on the dark page."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 176 32" width="176" height="32">'
        f'{_SIGN}<text x="40" y="22" textLength="132" font-family="system-ui,sans-serif" font-size="17" '
        'font-weight="700" '
        f'fill="{OWN_COLOUR}">{NAME}</text></svg>'
    )


def picture() -> str:
    """An applicant goes in, a place on the scale comes out: the gauge with its three bands and a needle."""
    arcs = "".join(f'<path d="{path}" stroke="{colour}"/>' for path, colour in _ARCS)
    return (
        '<svg viewBox="0 0 160 96" aria-hidden="true" fill="none" stroke-width="14">'
        f'{arcs}<path d="M80 84L112 46" stroke="currentColor" stroke-width="5" stroke-linecap="round"/>'
        '<circle cx="80" cy="84" r="6" fill="currentColor"/></svg>'
    )


ICON_SVG: Final = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">{_SIGN}</svg>'
ICON: Final = _data_url(ICON_SVG)
