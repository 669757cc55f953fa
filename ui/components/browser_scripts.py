"""What only the browser can do: grey an answer while somebody types, send by Enter, bring an answer into view."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Final

import streamlit as st

from ui.session import PageContext

_SCRIPT: Final = Path(__file__).with_suffix(".js")
_ARRIVE: Final = "<script>/* {turn} */ window.fieldArrive({field})</script>"


def watch(clicks: int) -> None:
    """The script, once a page, and how many clicks have come; what it does is explained in `browser_scripts.js`."""
    script = f"window.clicksTaken = {clicks};\n{_SCRIPT.read_text(encoding='utf-8')}"
    st.html(f"<script>{script}</script>", unsafe_allow_javascript=True)


def mark(context: PageContext, *, stale: bool) -> None:
    """Says that the answer is another applicant's, and greys it (style.css)."""
    if stale:
        st.html(f'<p class="qf-stale" role="status">{context.texts("result.stale")}</p>')


def arrive(field: str) -> None:
    """Leads eye and focus to the answer, or to the `field` that was refused."""
    # In a block of its own with a script of its own, so that a second answer runs it again.
    st.html(_ARRIVE.format(turn=time.monotonic_ns(), field=json.dumps(field)), unsafe_allow_javascript=True)
