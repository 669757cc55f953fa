"""The frame around every page: style sheet, heading, language switch, foot."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import streamlit as st

from ui.session import LANGUAGE, language
from ui.texts.wording import LANGUAGES, NAMES, Texts

ICON: Final = "📈"  # a named material icon would be fetched from Google by the browser
_STYLE: Final = Path(__file__).parent / "style.css"


def dress() -> None:
    """The style sheet: what theme settings cannot say (print, sticky result, bars)."""
    st.html(_STYLE)


def head(t: Texts, title: str) -> None:
    """The page's heading with the language switch beside it."""
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.title(title, anchor=False, width="content")
        language_switch(t)


def language_switch(t: Texts) -> None:
    """Portuguese or English; the browser's wish is the default."""
    st.session_state.setdefault(LANGUAGE, language())
    st.segmented_control(
        t("app.language"),
        LANGUAGES,
        format_func=lambda name: NAMES[name],
        required=True,
        key=LANGUAGE,
        label_visibility="collapsed",
        persist_state="session",
    )


def foot(t: Texts) -> None:
    """What every page ends with."""
    st.caption(t("app.foot"))
