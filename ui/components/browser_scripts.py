"""What only the browser can do: send no sooner than the server holds what the screen shows, grey an answer while
somebody types, send by Enter, bring an answer into view."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import streamlit as st

from ui.session import PageContext

_SCRIPT: Final = Path(__file__).with_suffix(".js")
_ARRIVE: Final = "<script>/* {turn} */ window.fieldArrive({field})</script>"


def watch(clicks: int, form_texts: Mapping[str, Sequence[Sequence[str]]]) -> None:
    """The script, once a page, how many clicks have come, and by field and control the texts that the server holds.

    What it does is explained in `browser_scripts.js`.
    """
    texts = json.dumps(form_texts, ensure_ascii=False).replace("<", "\\u003c")  # no text of a visitor's ends the script
    news = f"window.clicksTaken = {clicks};\nwindow.formHeld = {texts};"
    script = f"{news}\n{_SCRIPT.read_text(encoding='utf-8')}"
    st.html(f"<script>{script}</script>", unsafe_allow_javascript=True)


def mark(context: PageContext, *, stale: bool) -> None:
    """Says that the answer is another applicant's, and greys it (style.css)."""
    if stale:
        st.html(f'<p class="qf-stale" role="status">{context.texts("result.stale")}</p>')


def arrive(field: str) -> None:
    """Leads eye and focus to the answer, or to the `field` that was refused."""
    # In a block of its own with a script of its own, so that a second answer runs it again.
    st.html(_ARRIVE.format(turn=time.monotonic_ns(), field=json.dumps(field)), unsafe_allow_javascript=True)
