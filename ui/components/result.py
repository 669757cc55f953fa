"""One answer of the API, so that it is understood in ten seconds and can be quoted afterwards."""

from __future__ import annotations

from html import escape

import streamlit as st

from service.contract import CreditClass, Score
from ui.components.gauge import BANDS, empty_gauge, probability_bars
from ui.components.gauge import show as show_gauge
from ui.components.printing import print_page
from ui.session import Desk


def idle(desk: Desk) -> None:
    """The place of the result before there is one."""
    st.markdown(empty_gauge(desk), unsafe_allow_html=True)  # st.html drops SVG
    st.markdown(desk.texts("result.idle"))


def show(desk: Desk, score: Score) -> None:
    """Gauge, class, probabilities, reasons, warnings, and what to quote."""
    t = desk.texts
    show_gauge(desk, score)
    st.markdown(band_sentence(desk, score))
    if score.borderline:
        st.info(t("result.borderline"), icon=":material/balance:")
    st.header(t("result.probabilities"), anchor=False)
    st.html(probability_bars(desk, score.probabilities, score.predicted_class))
    if score.predicted_class != score.band:
        st.caption(t("result.band_differs"))
    st.header(t("result.reasons"), anchor=False)
    reasons(desk, score)
    for warning in score.warnings:
        st.warning(warning_sentence(desk, warning), icon=":material/warning:")


def reasons(desk: Desk, score: Score) -> None:
    """The reasons in words, the one that cost most first."""
    if not score.reasons:
        st.markdown(desk.texts("result.no_reasons"))
        return
    items = "".join(f"<li>{escape(getattr(reason.text, desk.texts.language))}</li>" for reason in score.reasons)
    st.html(f'<ol class="qf-list">{items}</ol>')


def quote(desk: Desk, score: Score) -> None:
    """What to quote in a question about this answer, and the page to print."""
    t = desk.texts
    st.caption(
        t(
            "result.quote",
            prediction=score.prediction_id,
            model=score.model.name,
            version=score.model.version,
            moment=desk.formats.moment(score.created_at),
        )
    )
    st.download_button(
        t("result.print"),
        print_page(desk, score),
        file_name=f"score-{score.prediction_id}.html",
        mime="text/html",
        icon=":material/print:",
        help=t("result.print_help"),
        on_click="ignore",
        key="print",
    )


def band_sentence(desk: Desk, score: Score) -> str:
    """The score's band with its limits, in a sentence."""
    low, high = next((low, high) for band, low, high in BANDS if band is score.band)
    meaning = desk.texts(f"result.meaning_{CreditClass(score.band).value.lower()}")
    return desk.texts(
        "result.band",
        band=desk.texts.option(f"band_{score.band}"),
        low=desk.formats.number(low),
        high=desk.formats.number(high),
        meaning=meaning,
    )


def warning_sentence(desk: Desk, code: str) -> str:
    """A warning of the API in words, or its code where it is newer than this page."""
    return desk.texts.get(f"warnings.{code}", desk.texts("warnings.other", code=code))
