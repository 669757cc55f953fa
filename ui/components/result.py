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
from ui.session import PageContext


def idle(context: PageContext) -> None:
    """The place of the result before there is one."""
    st.markdown(empty_gauge(context), unsafe_allow_html=True)  # st.html drops SVG
    st.markdown(context.texts("result.idle"))


def show(context: PageContext, score: Score, manifest: Mapping[str, Any]) -> None:
    """Gauge, standing, the bureau's classes, reasons, warnings."""
    t = context.texts
    show_gauge(context, score)
    st.markdown(" ".join(standing(context, score, manifest)))
    if score.borderline:
        st.info(borderline_sentence(context, score), icon=":material/balance:")
    st.header(t("result.probabilities"), anchor=False)
    st.markdown(similar_sentence(context, score))
    st.html(probability_bars(context, score.probabilities, score.predicted_class))
    notes = [t("result.not_default")] + ([t("result.band_differs")] if score.predicted_class != score.band else [])
    st.caption(" ".join(notes))
    _show_reasons(context, score)
    for warning in score.warnings:
        st.warning(warning_sentence(context, warning), icon=":material/warning:")


def standing(context: PageContext, score: Score, manifest: Mapping[str, Any]) -> list[str]:
    """Where the score stands: its band, among the reference customers, its grade of risk, and on what it rests."""
    t = context.texts
    lines = [band_sentence(context, score)]
    below = share_below(score.score, manifest)
    if below is not None:
        lines.append(t("result.percentile", share=context.formats.percent(below)))
    grade, basis = getattr(score, "risk_grade", None), getattr(score, "basis", None)
    if grade is not None:
        lines.append(t("result.grade", grade=grade))
    if basis is not None:
        lines.append(t.get(f"result.basis_{basis}", ""))
    if score.prediction_set:
        key = "result.certain_many" if len(score.prediction_set) > 1 else "result.certain_one"
        lines.append(t(key, classes=t.either([f"class_{name}" for name in score.prediction_set])))
    return lines


def band_sentence(context: PageContext, score: Score) -> str:
    """The score's band with its limits, in a sentence."""
    low, high = next((low, high) for band, low, high in BANDS if band is score.band)
    band, number = context.texts.option(f"band_{score.band}"), context.formats.number
    return context.texts("result.band", band=band, low=number(low), high=number(high))


def similar_sentence(context: PageContext, score: Score) -> str:
    """How the bureau classifies a hundred customers of similar data: a statement of classes, never of payments."""
    t = context.texts
    hundred = [(band, round(100 * float(getattr(score.probabilities, band.value)))) for band, _, _ in reversed(BANDS)]
    parts = [t("result.share_of", share=count, name=t.option(f"class_{band}")) for band, count in hundred]
    return t("result.similar", shares=f"{', '.join(parts[:-1])} {t('result.and')} {parts[-1]}")


def borderline_sentence(context: PageContext, score: Score) -> str:
    """The classes between which a borderline case stands: the two most likely."""
    shares = sorted((float(getattr(score.probabilities, band.value)) for band, _, _ in BANDS), reverse=True)
    likely = [band for band, _, _ in BANDS if float(getattr(score.probabilities, band.value)) >= shares[1]]
    classes = [context.texts.option(f"class_{band}") for band in likely]
    return context.texts("result.borderline", first=", ".join(classes[:-1]), second=classes[-1])


def _show_reasons(context: PageContext, score: Score) -> None:
    """Each part of `score_reasons` below its heading."""
    for title, body in score_reasons(context, score):
        st.header(title, anchor=False)
        st.html(body)


def score_reasons(context: PageContext, score: Score) -> list[tuple[str, str]]:
    """What moved the score, as headings with HTML: one list with points and bars where the answer tells points."""
    t = context.texts
    chart = waterfall.of(context, score)
    if chart:
        return [(t("result.waterfall"), chart)]
    strengths = getattr(score, "strengths", None)
    sections = [
        (t("result.reasons"), _ordered_list(context, score.reasons) or f"<p>{escape(t('result.no_reasons'))}</p>")
    ]
    return sections + ([(t("result.strengths"), _ordered_list(context, strengths))] if strengths else [])


def _ordered_list(context: PageContext, entries: Any) -> str:
    """Reasons or strengths in words as a list, "" where there are none."""
    items = "".join(f"<li>{escape(getattr(each.text, context.texts.language))}</li>" for each in entries)
    return f'<ol class="qf-list">{items}</ol>' if items else ""


def warning_sentence(context: PageContext, code: str) -> str:
    """A warning of the API in words, or its code where it is newer than this page."""
    return context.texts.get(f"warnings.{code}", context.texts("warnings.other", code=code))
