"""Who are you? Asked by the company's own sign-in, where the secrets say which."""

from __future__ import annotations

import streamlit as st

from ui.texts.wording import Texts


def show(t: Texts) -> None:
    """The page."""
    st.title(t("app.title"), anchor=False)
    st.markdown(t("promise.score"))
    st.markdown(t("visitor.sign_in"))
    st.button(t("visitor.go"), type="primary", icon=":material/login:", key="sign.in", on_click=st.login)
