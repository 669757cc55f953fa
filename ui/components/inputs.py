"""The inputs that a score was computed from, shown beside it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, Final

import streamlit as st

from ui.applicant.fields import Field
from ui.components.form import with_unit
from ui.session import PageContext

_NAMED_FIRST: Final = ("annual_income", "outstanding_debt", "delay_from_due_date")


def show(context: PageContext, fields: tuple[Field, ...], inputs: Mapping[str, Any]) -> None:
    """The three inputs that name an applicant best, and all of them a click away."""
    st.html(
        f'<details class="qf-inputs"><summary>{escape(summary(context, fields, inputs))}</summary>'
        f"{list_of_inputs(context, fields, inputs)}</details>"
    )


def summary(context: PageContext, fields: tuple[Field, ...], inputs: Mapping[str, Any]) -> str:
    """The applicant in a line."""
    phrases = [
        f"{context.texts.label(field.name).lower()} {with_unit(context, field, inputs.get(field.name))}"
        for field in fields
        if field.name in _NAMED_FIRST
    ]
    return context.texts("inputs.title", told="; ".join(phrases))


def list_of_inputs(context: PageContext, fields: tuple[Field, ...], inputs: Mapping[str, Any]) -> str:
    """Every input as a list of names and values (HTML)."""
    rows = "".join(
        f"<div><dt>{escape(context.texts.label(field.name))}</dt>"
        f'<dd data-field="{field.name}">{escape(with_unit(context, field, inputs.get(field.name)))}</dd></div>'
        for field in fields
        if field.always_sent or field.name in inputs
    )
    return f'<dl class="qf-facts">{rows}</dl>'
