"""Named counts as bars with whole labels (HTML): they wrap on a phone, and are text for a screen reader."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import streamlit as st

from ui.session import PageContext
from ui.texts.brand import OWN_COLOUR


def show(context: PageContext, counts: Mapping[str, int], total: int, colours: Mapping[str, str] | None = None) -> None:
    """One bar a name, in the order given, as a share of `total`."""
    f, rows = context.formats, []
    for name, count in counts.items():
        share = count / total if total else 0.0
        colour = (colours or {}).get(name, OWN_COLOUR)
        rows.append(
            f'<div class="qf-tally"><span>{escape(name)}</span><b>{f.number(count)} · {f.percent(share)}</b>'
            f'<span class="qf-track"><span style="width:{share * 100:.1f}%;background:{colour}"></span></span></div>'
        )
    st.html("".join(rows))
