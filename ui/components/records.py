"""A list of records in the form, each a choice and its day: classes that a bureau observed earlier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, Final

import streamlit as st

from ui.applicant.fields import Field
from ui.session import PageContext

Row = tuple[str | None, date | None]
# Wide, so that the browser takes every day and the API judges it: a day outside is shown but never sent.
_FIRST_DAY: Final = date(1900, 1, 1)
_LAST_DAY: Final = date(2199, 12, 31)


def show(context: PageContext, field: Field, label: str, key: str, start: Sequence[Row], draft: list[Row]) -> list[Row]:
    """A line for each record of `draft` and a button for one more; the draft as it stands, `start` as it began."""
    t = context.texts
    st.markdown(f"**{label}**")
    rows = [*start, *[(None, None)] * len(draft)]
    for line, (kind, day) in enumerate(rows[: len(draft)]):
        left, right = st.columns(2)
        with left:
            # No class is an option of its own: what begins with a choice has no other way back to none.
            chosen = st.selectbox(
                t("form.class_observed"),
                ["", *field.options],
                index=1 + field.options.index(kind) if kind in field.options else None,
                format_func=lambda value: t.option(f"class_{value}") if value else t("form.no_class"),
                placeholder=t("form.choose_one"),
                key=f"{key}.{line}.kind",
                on_change=_changed,
                args=(draft, line, key),
            )
        with right:
            when = day_input(
                context,
                t("form.class_day"),
                day,
                draft[line][1],
                key=f"{key}.{line}.day",
                on_change=_changed,
                args=(draft, line, key),
            )
        draft[line] = (chosen or None, when)
    if len(draft) < (field.most or len(draft) + 1):
        st.button(
            t("form.add_class"), icon=":material/add:", type="tertiary", key=f"{key}.add", on_click=_add, args=(draft,)
        )
    return draft


def day_input(
    context: PageContext,
    label: str,
    start: date | None,
    now: date | None,
    *,
    key: str,
    on_change: Callable[..., None],
    args: tuple[Any, ...],
) -> date | None:
    """A day as the page's language writes it, or none: `start` in this filling, `now` what stands there."""
    if start is not None:
        # No default of the widget's: a field that has one cannot be emptied. Told by every run, as a default would be.
        st.session_state[key] = now
    day = st.date_input(
        label,
        value=None,
        min_value=_FIRST_DAY,
        max_value=_LAST_DAY,
        format="DD/MM/YYYY" if context.texts.language == "pt" else "YYYY-MM-DD",
        key=key,
        on_change=on_change,
        args=args,
    )
    return day if isinstance(day, date) else None


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


def in_words(context: PageContext, field: Field, value: Sequence[dict[str, Any]]) -> str:
    """Records as a reader of the page writes them."""
    kind, day = field.members
    return "; ".join(
        f"{context.texts.option(f'class_{each[kind]}')} ({context.formats.day(str(each[day]))})" for each in value
    )


def _changed(draft: list[Row], line: int, key: str) -> None:
    """Puts a changed line into the draft at once: the run that would read it off its widgets may be ended early."""
    now = st.session_state.to_dict()  # a look at one of its entries could be the callback's end: see `pending_question`
    draft[line] = (now.get(f"{key}.{line}.kind") or None, now.get(f"{key}.{line}.day"))


def _add(draft: list[Row]) -> None:
    draft.append((None, None))
