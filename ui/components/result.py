"""One answer of the API, so that it is understood in ten seconds and can be quoted afterwards.

An answer may be older or newer than this page: each part is shown where the answer holds it, nothing is made up.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import streamlit as st

from service.contract import BANDS, Score
from ui.applicant.standing import share_below
from ui.components import waterfall
from ui.components.gauge import empty_gauge, probability_bars
from ui.components.gauge import show as show_gauge
from ui.session import Desk


def idle(desk: Desk) -> None:
    """The place of the result before there is one."""
    st.markdown(empty_gauge(desk), unsafe_allow_html=True)  # st.html drops SVG
    st.markdown(desk.texts("result.idle"))


def show(desk: Desk, score: Score, manifest: Mapping[str, Any]) -> None:
    """Gauge, standing, the bureau's classes, reasons, warnings."""
    t = desk.texts
    show_gauge(desk, score)
    st.markdown(" ".join(standing(desk, score, manifest)))
    if score.borderline:
        st.info(borderline_sentence(desk, score), icon=":material/balance:")
    st.header(t("result.probabilities"), anchor=False)
    st.markdown(similar_sentence(desk, score))
    st.html(probability_bars(desk, score.probabilities, score.predicted_class))
    notes = [t("result.not_default")] + ([t("result.band_differs")] if score.predicted_class != score.band else [])
    st.caption(" ".join(notes))
    _why(desk, score)
    for warning in score.warnings:
        st.warning(warning_sentence(desk, warning), icon=":material/warning:")


def standing(desk: Desk, score: Score, manifest: Mapping[str, Any]) -> list[str]:
    """Where the score stands: its band, among the reference customers, its grade of risk, and on what it rests."""
    t = desk.texts
    lines = [band_sentence(desk, score)]
    below = share_below(score.score, manifest)
    if below is not None:
        lines.append(t("result.percentile", share=desk.formats.percent(below)))
    grade, basis = getattr(score, "risk_grade", None), getattr(score, "basis", None)
    if grade is not None:
        lines.append(t("result.grade", grade=grade))
    if basis is not None:
        lines.append(t.get(f"result.basis_{basis}", ""))
    return lines


def band_sentence(desk: Desk, score: Score) -> str:
    """The score's band with its limits, in a sentence."""
    low, high = next((low, high) for band, low, high in BANDS if band is score.band)
    band, number = desk.texts.option(f"band_{score.band}"), desk.formats.number
    return desk.texts("result.band", band=band, low=number(low), high=number(high))


def similar_sentence(desk: Desk, score: Score) -> str:
    """How the bureau classifies a hundred customers of similar data: a statement of classes, never of payments."""
    t = desk.texts
    hundred = [(band, round(100 * float(getattr(score.probabilities, band.value)))) for band, _, _ in reversed(BANDS)]
    parts = [t("result.share_of", share=count, name=t.option(f"class_{band}")) for band, count in hundred]
    return t("result.similar", shares=f"{', '.join(parts[:-1])} {t('result.and')} {parts[-1]}")


def borderline_sentence(desk: Desk, score: Score) -> str:
    """The classes between which a borderline case stands: the answer's own set, else the two most likely."""
    shares = sorted((float(getattr(score.probabilities, band.value)) for band, _, _ in BANDS), reverse=True)
    likely = [band for band, _, _ in BANDS if float(getattr(score.probabilities, band.value)) >= shares[1]]
    classes = [desk.texts.option(f"class_{band}") for band in getattr(score, "prediction_set", None) or []]
    classes = classes if len(classes) > 1 else [desk.texts.option(f"class_{band}") for band in likely]
    return desk.texts("result.borderline", first=", ".join(classes[:-1]), second=classes[-1])


def _why(desk: Desk, score: Score) -> None:
    """What moved the score: drawn where the answer tells points, and in words."""
    t = desk.texts
    chart = waterfall.of(desk, score)
    if chart:
        st.header(t("result.waterfall"), anchor=False)
        st.html(chart)
    st.header(t("result.reasons"), anchor=False)
    st.html(reasons(desk, score))
    strengths = getattr(score, "strengths", None)
    if strengths:
        st.header(t("result.strengths"), anchor=False)
        st.html(listed(desk, score, strengths))


def reasons(desk: Desk, score: Score) -> str:
    """The reasons in words, the one that cost most first (HTML)."""
    if not score.reasons:
        return f"<p>{escape(desk.texts('result.no_reasons'))}</p>"
    return listed(desk, score, score.reasons)


def listed(desk: Desk, score: Score, entries: Any) -> str:
    """Reasons or strengths as a list, each with its points where the answer tells them (HTML)."""
    figures, items = {id(each): points for each, points in waterfall.moved(score)}, ""
    for each in entries:
        points = figures.get(id(each), 0)
        figure = f" <b>{escape(desk.formats.signed(points))}</b>" if points else ""
        items += f"<li>{escape(getattr(each.text, desk.texts.language))}{figure}</li>"
    return f'<ol class="qf-list">{items}</ol>'


def warning_sentence(desk: Desk, code: str) -> str:
    """A warning of the API in words, or its code where it is newer than this page."""
    return desk.texts.get(f"warnings.{code}", desk.texts("warnings.other", code=code))
