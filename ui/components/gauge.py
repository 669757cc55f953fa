"""The score drawn: a half circle with its three bands, and bars of probability. SVG: it prints, and needs no script."""

from __future__ import annotations

import math
from html import escape
from typing import Final

import streamlit as st

from service.contract import BANDS, SCORE_MAX, CreditClass, Probabilities, Score
from ui.session import PageContext
from ui.texts.brand import BAND_COLOURS

_TICKS: Final = (0, *(high for *_, high in BANDS))
COLOURS: Final = dict(zip(CreditClass, BAND_COLOURS, strict=True))
_CENTRE_X: Final = 160.0
_CENTRE_Y: Final = 150.0
_RADIUS: Final = 118.0
_GAP: Final = 4  # points left open between two bands, so that they are told apart without colour


def gauge(context: PageContext, score: Score) -> str:
    """The gauge as SVG with its own description for screen readers."""
    t, f = context.texts, context.formats
    description = t("gauge.alt", score=f.number(score.score), band=t.option(f"band_{score.band}"))
    arcs = "".join(_arc(band, low, high, band is score.band) for band, low, high in BANDS)
    ticks = "".join(_tick(context, value) for value in _TICKS)
    return (
        f'<svg class="qf-gauge" viewBox="0 0 320 186" role="img" aria-label="{escape(description)}">{arcs}{ticks}'
        f"{_needle(score.score)}"
        f'<text x="160" y="128" class="qf-score" text-anchor="middle">{f.number(score.score)}</text>'
        f'<text x="160" y="150" class="qf-of" text-anchor="middle">{escape(t("gauge.of"))}</text>'
        f'<text x="160" y="180" class="qf-band" text-anchor="middle">'
        f"{escape(t.option(f'band_{score.band}'))}</text></svg>"
    )


def empty_gauge(context: PageContext) -> str:
    """The gauge before there is a score: the bands and what they are called."""
    arcs = "".join(_arc(band, low, high, True) for band, low, high in BANDS)
    ticks = "".join(_tick(context, value) for value in _TICKS)
    return (
        f'<svg class="qf-gauge" viewBox="0 0 320 170" role="img" aria-label="{escape(context.texts("gauge.idle"))}">'
        f'{arcs}{ticks}<text x="160" y="128" class="qf-score" text-anchor="middle">–</text></svg>'
    )


def probability_bars(context: PageContext, probabilities: Probabilities, predicted: CreditClass) -> str:
    """One row a class: name, bar, share; the predicted one in bold."""
    rows = []
    for band, _, _ in reversed(BANDS):
        share = float(getattr(probabilities, band.value))
        strong = " qf-strong" if band is predicted else ""
        rows.append(
            f'<div class="qf-bar{strong}"><span>{escape(context.texts.option(f"class_{band}"))}</span>'
            f'<span class="qf-track"><span style="width:{share * 100:.1f}%;background:{COLOURS[band]}"></span></span>'
            f"<span>{context.formats.percent(share, 1)}</span></div>"
        )
    return f'<div class="qf-bars">{"".join(rows)}</div>'


def show(context: PageContext, score: Score) -> None:
    """Draws the gauge on the page."""
    st.markdown(gauge(context, score), unsafe_allow_html=True)  # st.html drops SVG


def _point(points: float, radius: float) -> tuple[float, float]:
    angle = math.pi * (1 - points / SCORE_MAX)
    return _CENTRE_X + radius * math.cos(angle), _CENTRE_Y - radius * math.sin(angle)


def _arc(band: CreditClass, low: int, high: int, lit: bool) -> str:
    x0, y0 = _point(low + (_GAP if low else 0), _RADIUS)
    x1, y1 = _point(high - (_GAP if high < SCORE_MAX else 0), _RADIUS)
    return (
        f'<path d="M{x0:.1f} {y0:.1f}A{_RADIUS} {_RADIUS} 0 0 1 {x1:.1f} {y1:.1f}" fill="none" '
        f'stroke="{COLOURS[band]}" stroke-width="{24 if lit else 12}"/>'
    )


def _tick(context: PageContext, value: int) -> str:
    x, y = _point(value, _RADIUS + 22)
    anchor = "middle" if value not in (0, SCORE_MAX) else "start" if value == 0 else "end"
    if value in (0, SCORE_MAX):
        x, y = _point(value, _RADIUS + 14)
        y += 17
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" class="qf-tick" text-anchor="{anchor}">{context.formats.number(value)}</text>'
    )


def _needle(points: int) -> str:
    x0, y0 = _point(points, _RADIUS - 22)
    x1, y1 = _point(points, _RADIUS + 15)
    return (
        f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" class="qf-needle-halo"/>'
        f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" class="qf-needle"/>'
    )
