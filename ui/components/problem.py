"""Errors in words, each with a way on."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any, Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ui.api.errors import ApiError, FieldFault, Invalid, LimitReached
from ui.applicant.fields import Field
from ui.components.form import range_of
from ui.session import PageContext

_OUT_OF_RANGE: Final = frozenset({"too-small", "too-large"})


def sentence(context: PageContext, error: ApiError, entry: str = "key") -> str:
    """The error as one or two sentences: what happened, and what to do; `entry` names the key that was shown."""
    return context.texts(
        f"problem.{error.code}",
        endpoint=context.settings.endpoint,
        wait=context.formats.span(error.retry_after_s),
        entry=entry,
    )


def show(context: PageContext, error: ApiError, entry: str = "key") -> None:
    """The error as a box; the request's id is given where support would ask for it."""
    text = sentence(context, error, entry)
    if error.request_id:
        text += "\n\n" + context.texts("problem.request_id", request_id=error.request_id)
    if isinstance(error, LimitReached | Invalid):
        st.warning(text, icon=":material/hourglass_top:" if isinstance(error, LimitReached) else ":material/edit:")
    else:
        st.error(text, icon=":material/error:")


def countdown(context: PageContext, until: float) -> None:
    """Counts down to `until` (epoch seconds) by itself, then says that it goes on."""

    @st.fragment(run_every=1)
    def tick() -> None:
        wait_s = until - time.time()
        if wait_s > 0:
            st.info(context.texts("problem.countdown", wait=context.formats.span(wait_s)), icon=":material/timer:")
        else:
            st.success(context.texts("problem.go_on"), icon=":material/play_arrow:")

    tick()


def fault_sentence(context: PageContext, fault: FieldFault, field: Field | None, empty: bool = False) -> str:
    """What the rule wants of the field, never what was typed; `empty` where nothing was."""
    t = context.texts
    if field is not None and empty and fault.code in ("type", "missing"):
        return t("faults.required", field=t.label(field.name))
    if field is not None and fault.code in _OUT_OF_RANGE and range_of(context, field):
        return range_of(context, field)
    if fault.code == "type" and field is not None:
        return t(f"faults.type_{field.kind}")
    return t.get(f"faults.{fault.code}", t("faults.other", code=fault.code or "?"))


def beside(
    context: PageContext,
    error: Invalid,
    fields: tuple[Field, ...],
    places: Mapping[str, DeltaGenerator],
    body: Mapping[str, Any],
    unchanged: Collection[str],
) -> None:
    """Writes each fault below the field that caused it, while it holds what was refused; the rest below the form."""
    by_name = {field.name: field for field in fields}
    for fault in error.faults:
        empty = body.get(fault.field) in (None, "")
        text = fault_sentence(context, fault, by_name.get(fault.field), empty)
        place = places.get(fault.field)
        if place is None:
            st.warning(f"{fault.field}: {text}" if fault.field else text)
        elif fault.field in unchanged:
            place.markdown(f":red[:material/error: {text}]")
