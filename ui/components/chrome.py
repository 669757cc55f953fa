"""The frame around every page: style sheet, language, brand, heading, navigation on a phone, foot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import streamlit as st

from ui.session import LANGUAGE, PageContext, language
from ui.texts import brand
from ui.texts.wording import HTML_LANGUAGES, LANGUAGES, NAMES, Texts, texts

_FOLDER: Final = Path(__file__).parent
_OWN_WORDS: Final = "streamlit."


def dress(t: Texts) -> None:
    """The style sheet, the brand's sign, and the page's language for screen readers and Streamlit's own words."""
    st.logo(brand.logo(), size="medium")
    st.html(_FOLDER / "style.css")
    script = (_FOLDER / "own_words.js").read_text(encoding="utf-8")
    arguments = json.dumps([HTML_LANGUAGES[t.language], own_words(t)], ensure_ascii=False)
    st.html(f"<script>{script}\nwindow.pageSpeak(...{arguments});</script>", unsafe_allow_javascript=True)


def own_words(t: Texts) -> list[tuple[str, str]]:
    """What Streamlit says by itself: each sentence in another language, with this page's instead; `{}` is kept."""
    keys = [key for key in t.entries if key.startswith(_OWN_WORDS)]
    return [(texts(other)(key), t(key)) for other in LANGUAGES if other != t.language for key in keys]


def head(t: Texts, page: st.Page, pages: Sequence[st.Page]) -> None:
    """The page's heading with the language switch beside it, and the way to the other pages on a phone."""
    with st.container(horizontal=True, key="phone-pages", gap="xsmall"):
        for each in pages:
            st.page_link(each, label=each.title, disabled=each.url_path == page.url_path)
    script = (_FOLDER / "phone_pages.js").read_text(encoding="utf-8")
    place = [each.url_path for each in pages].index(page.url_path)
    st.html(f"<script>{script}\nwindow.showOpenPage({place});</script>", unsafe_allow_javascript=True)
    heading(t, page.title if page.url_path else t("app.title"))
    st.markdown(t(f"promise.{page.url_path or 'score'}"))


def heading(t: Texts, title: str) -> None:
    """What the page is called, with the language switch beside it."""
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


def foot(t: Texts, context: PageContext) -> None:
    """The foot of every page: what a score is, and who is signed in."""
    st.caption(t("app.foot"))
    if context.visitor.known:
        st.caption(t("visitor.known", name=context.visitor.name))
        if context.settings.visitors.sign_in:
            st.button(t("visitor.out"), icon=":material/logout:", type="tertiary", key="sign.out", on_click=st.logout)
    elif not context.settings.visitors.identifies:
        st.caption(t("visitor.demo" if context.visitor.staff else "visitor.open"))
