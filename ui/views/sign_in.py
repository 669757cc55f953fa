"""Who are you? Asked by the company's own sign-in, where the secrets say which; what waits behind it is told."""

from __future__ import annotations

from typing import Final

import streamlit as st

from ui.components import chrome
from ui.texts import brand
from ui.texts.wording import Texts

_BEHIND: Final = ("score", "batch", "whatif", "model", "developers")  # what every visitor finds, staff or not


def show(t: Texts) -> None:
    """The page."""
    chrome.heading(t, t("app.title"))
    left, right = st.columns([3, 2], gap="large", vertical_alignment="center")
    with left:
        st.markdown(t("visitor.sign_in"))
        st.button(t("visitor.go"), type="primary", icon=":material/login:", key="sign.in", on_click=st.login)
        st.markdown("\n".join(f"- **{t(f'nav.{name}')}**: {t(f'promise.{name}')}" for name in _BEHIND))
    with right:
        st.markdown(f'<div class="qf-picture">{brand.picture()}</div>', unsafe_allow_html=True)  # st.html drops SVG
    st.caption(t("app.foot"))
