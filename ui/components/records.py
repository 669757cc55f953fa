"""A list of records in the form, each a choice and its day: classes that a bureau observed earlier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import streamlit as st

from ui.applicant.fields import Field
from ui.components.write_backs import WriteBacks
from ui.session import PageContext
from ui.texts.formats import Formats

Row = tuple[str | None, str]  # a choice, "" for none of them, None where none was made; a day as it is typed
EMPTY: Final[Row] = (None, "")


@dataclass(frozen=True)
class Lines:
    """The lines of one field: the key of their widgets, what they began with, and what stands in them by now."""

    key: str
    start: Sequence[Row]
    draft: list[Row]
    write_backs: WriteBacks


def show(context: PageContext, field: Field, label: str, lines: Lines) -> list[Row]:
    """A line for each record of the draft and a button for one more; the draft as it stands."""
    t, key, draft = context.texts, lines.key, lines.draft
    st.markdown(f"**{label}**")
    rows = [*lines.start, *[EMPTY] * len(draft)]
    for line, (kind, day) in enumerate(rows[: len(draft)]):
        changed: dict[str, Any] = {"on_change": _changed, "args": (lines, line, context.formats)}
        left, right = st.columns(2)
        with left:
            # No class is an option of its own: what begins with a choice has no other way back to none.
            chosen = st.selectbox(
                t("form.class_observed"),
                ["", *field.options],
                index=1 + field.options.index(kind) if kind in field.options else None,
                format_func=lambda value: kind_name(context, value),
                placeholder=t("form.choose_one"),
                key=f"{key}.{line}.kind",
                **changed,
            )
        with right:
            when = st.text_input(
                t("form.class_day"),
                value=day,
                placeholder=t("form.day_form"),
                key=f"{key}.{line}.day",
                autocomplete="off",
                **changed,
            )
        draft[line] = (chosen, when)
    if len(draft) < (field.most or len(draft) + 1):
        st.button(
            t("form.add_class"), icon=":material/add:", type="tertiary", key=f"{key}.add", on_click=_add, args=(draft,)
        )
    return draft


def on_screen(context: PageContext, key: str, draft: Sequence[Row], typed: Mapping[str, str]) -> list[list[str]]:
    """The texts that mean what stands in each control: as written back, as it was typed."""
    return [
        texts
        for line, (kind, day) in enumerate(draft)
        for texts in ([kind_name(context, kind)], [day, typed.get(f"{key}.{line}.day", day)])
    ]


def kind_name(context: PageContext, kind: str | None) -> str:
    """A choice in words."""
    if kind is None:
        return ""
    return context.texts.option(f"class_{kind}") if kind else context.texts("form.no_class")


def day_rewritten(text: str, old: Formats, new: Formats) -> str:
    """A day typed as `old` reads it, as `new` writes it; what is no day stays as it is."""
    day = old.read_day(text)
    return text if day is None else new.day_in_field(day)


def rewritten(rows_typed: Sequence[Row], old: Formats, new: Formats) -> list[Row]:
    """The same lines with their days as another language writes them."""
    return [(kind, day_rewritten(day, old, new)) for kind, day in rows_typed]


def rows(formats: Formats, field: Field, value: Sequence[dict[str, Any]] | None) -> list[Row]:
    """Records of the contract as lines of the form."""
    kind, day = field.members
    return [(str(each[kind]), formats.day_in_field(str(each[day]))) for each in value or []]


def as_json(formats: Formats, field: Field, value: Sequence[Row] | None) -> list[dict[str, Any]]:
    """Lines of the form as the contract wants them; an empty line is none."""
    kind, day = field.members
    return [
        {kind: chosen or None, day: formats.read_day(when) or when.strip() or None}
        for chosen, when in value or []
        if chosen or when.strip()
    ]


def in_words(context: PageContext, field: Field, value: Sequence[dict[str, Any]]) -> str:
    """Records as a reader of the page writes them."""
    kind, day = field.members
    return "; ".join(
        f"{context.texts.option(f'class_{each[kind]}')} ({context.formats.day(str(each[day]))})" for each in value
    )


def _changed(lines: Lines, line: int, formats: Formats) -> None:
    """Puts a changed line into the draft at once: the run that would read it off its widgets may be ended early."""
    now = st.session_state.to_dict()  # a look at one of its entries could be the callback's end: see `pending_question`
    key = f"{lines.key}.{line}.day"
    raw_text = now.get(key) or ""
    day = lines.write_backs.take(key, raw_text, lambda typed: day_rewritten(typed, formats, formats))
    lines.draft[line] = (now.get(f"{lines.key}.{line}.kind"), day)
    if day != raw_text:
        st.session_state[key] = day  # last: it may be the callback's end


def _add(draft: list[Row]) -> None:
    draft.append(EMPTY)
