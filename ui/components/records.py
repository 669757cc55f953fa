"""A list of records in the form, each a choice and its day: classes that a bureau observed earlier."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import streamlit as st

from ui.applicant.fields import Field
from ui.session import Desk

Row = tuple[str | None, date | None]


def show(desk: Desk, field: Field, label: str, key: str) -> list[Row]:
    """A line for each record and a button for one more; the list as it stands."""
    t = desk.texts
    known: list[Row] = st.session_state.get(key) or []
    lines: int = st.session_state.setdefault(f"{key}.lines", len(known))
    st.markdown(f"**{label}**")
    found: list[Row] = []
    for line in range(lines):
        kind, day = known[line] if line < len(known) else (None, None)
        left, right = st.columns(2)
        st.session_state.setdefault(f"{key}.{line}.kind", kind)
        st.session_state.setdefault(f"{key}.{line}.day", day)
        with left:
            kind = st.selectbox(
                t("form.class_observed"),
                [*field.options],
                index=None,
                format_func=lambda value: t.option(f"class_{value}"),
                placeholder=t("form.choose_one"),
                key=f"{key}.{line}.kind",
            )
        with right:
            shape = "DD/MM/YYYY" if t.language == "pt" else "YYYY-MM-DD"
            day = st.date_input(
                t("form.class_day"),
                value=None,
                max_value=datetime.now(UTC).date(),
                format=shape,
                key=f"{key}.{line}.day",
            )
        found.append((kind, day if isinstance(day, date) else None))
    if lines < (field.most or lines + 1):
        st.button(
            t("form.add_class"), icon=":material/add:", type="tertiary", key=f"{key}.add", on_click=_add, args=(key,)
        )
    st.session_state[key] = found
    return found


def rows(field: Field, value: Sequence[dict[str, Any]] | None) -> list[Row]:
    """Records of the contract as lines of the form."""
    kind, day = field.members
    return [(str(each[kind]), date.fromisoformat(str(each[day]))) for each in value or []]


def as_json(field: Field, value: Sequence[Row] | None) -> list[dict[str, Any]]:
    """Lines of the form as the contract wants them; an empty line is none."""
    kind, day = field.members
    return [
        {kind: chosen, day: when.isoformat() if when else None}
        for chosen, when in value or []
        if chosen is not None or when is not None
    ]


def in_words(desk: Desk, field: Field, value: Sequence[dict[str, Any]]) -> str:
    """Records as a reader of the page writes them."""
    kind, day = field.members
    return "; ".join(
        f"{desk.texts.option(f'class_{each[kind]}')} ({desk.formats.day(str(each[day]))})" for each in value
    )


def _add(key: str) -> None:
    st.session_state[f"{key}.lines"] += 1
