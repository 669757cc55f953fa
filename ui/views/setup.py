"""What to put where, when a secret is missing or wrong. It never shows what the file holds."""

from __future__ import annotations

import streamlit as st

from ui.components import chrome
from ui.errors import SettingsMissing
from ui.texts.wording import Texts

_EXAMPLE = 'endpoint = "http://127.0.0.1:3000"\nkey = "..."'


def show(t: Texts, problem: SettingsMissing) -> None:
    """The page."""
    chrome.heading(t, t("setup.title"))
    st.markdown(t("setup.visitor"))
    st.warning(t(f"setup.{problem.state}", entry=problem.entry), icon=":material/key:")
    st.markdown(t("setup.lead"))
    st.markdown(t("setup.how"))
    st.code(_EXAMPLE, language="toml")
    st.markdown(t("setup.key"))
    st.markdown(t("setup.after"))
    if st.button(t("setup.again"), type="primary", icon=":material/refresh:", key="setup.again"):
        st.rerun()
