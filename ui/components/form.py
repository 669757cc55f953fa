"""The applicant's form, generated from the contract: groups, units, help, ranges, and a place for an error by each."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from service.contract import Applicant
from ui.applicant.fields import Field, FieldKind, grouped
from ui.session import Desk

_PREFIX: Final = "applicant."
_REPEATS: Final = 5  # the same kind of loan may be held more than once; a list input offers each kind so many times
_COLUMNS: Final = 2
_SHARE_STEP: Final = 1.0
_AMOUNT_STEP: Final = 100.0
_WIDE_RANGE: Final = 1e4


def key_of(field: str) -> str:
    """The widget key of a field."""
    return _PREFIX + field


def fill(fields: tuple[Field, ...], applicant: Applicant | None) -> None:
    """Puts an applicant's values into the form, or empties it. Callbacks only: before the widgets of the run exist."""
    values = applicant.model_dump(mode="json") if applicant is not None else {}
    for field in fields:
        st.session_state[key_of(field.name)] = _to_widget(field, values.get(field.name))


def typed(fields: tuple[Field, ...]) -> dict[str, Any]:
    """What stands in the form, as JSON for the API. Optional fields left empty are left out."""
    values = {field.name: _from_widget(field, st.session_state.get(key_of(field.name))) for field in fields}
    return {
        field.name: values[field.name] for field in fields if field.required or values[field.name] not in (None, "")
    }


def show(desk: Desk, fields: tuple[Field, ...]) -> dict[str, DeltaGenerator]:
    """Draws all groups and returns, by field, the empty place below it where its error goes."""
    places: dict[str, DeltaGenerator] = {}
    for group, members in grouped(fields):
        st.header(desk.texts.get(f"groups.{group}", group.capitalize()), anchor=False)
        for start in range(0, len(members), _COLUMNS):
            columns = st.columns(_COLUMNS)
            for column, field in zip(columns, members[start : start + _COLUMNS], strict=False):
                with column:
                    _widget(desk, field)
                    places[field.name] = st.empty()
    return places


def label_of(desk: Desk, field: Field) -> str:
    """The field's name in words with its unit."""
    unit = unit_of(desk, field)
    return f"{desk.texts.label(field.name)} ({unit})" if unit else desk.texts.label(field.name)


def unit_of(desk: Desk, field: Field) -> str:
    """The unit in words; amounts carry the partner's currency."""
    key = field.unit.replace(" ", "_").replace("%", "percent")
    return desk.texts.get(f"units.{key}", field.unit).format(currency=desk.formats.currency_sign) if field.unit else ""


def range_of(desk: Desk, field: Field) -> str:
    """The range in words, "" where the contract sets none."""
    if field.low is None or field.high is None:
        return ""
    return desk.texts("form.range", low=desk.formats.plain(field.low), high=desk.formats.plain(field.high))


def _help(desk: Desk, field: Field) -> str:
    parts = [desk.texts.get(f"fields.{field.name}.help", field.description), range_of(desk, field)]
    if field.nullable and field.required:
        parts.append(desk.texts("form.may_be_empty"))
    return " ".join(part for part in parts if part)


def _widget(desk: Desk, field: Field) -> None:
    label, key, hint = label_of(desk, field), key_of(field.name), _help(desk, field)
    if field.numeric:
        _number(desk, field, label, hint)
    elif field.kind is FieldKind.CHOICE:
        choices: list[str | None] = [*field.options]
        st.selectbox(
            label,
            choices,
            index=None,
            format_func=lambda value: desk.texts.option(str(value)),
            placeholder=desk.texts("form.unknown"),
            key=key,
            help=hint,
            persist_state="session",
        )
    elif field.kind is FieldKind.CHOICES:
        st.multiselect(
            label,
            slots(field),
            format_func=lambda slot: slot_name(desk, slot),
            placeholder=desk.texts("form.choose"),
            key=key,
            help=hint,
            select_all=False,
            persist_state="session",
        )
    elif field.kind is FieldKind.DATE:
        st.date_input(
            label,
            value=None,
            max_value=datetime.now(UTC).date(),
            format="DD/MM/YYYY" if desk.texts.language == "pt" else "YYYY-MM-DD",
            key=key,
            help=hint,
            persist_state="session",
        )
    elif field.kind is FieldKind.SWITCH:
        st.checkbox(label, key=key, help=hint, persist_state="session")
    else:
        st.text_input(label, key=key, help=hint, persist_state="session")


def _number(desk: Desk, field: Field, label: str, hint: str) -> None:
    whole = field.kind is FieldKind.INTEGER
    cast = int if whole else float
    wide = (field.high or 0.0) > _WIDE_RANGE
    st.number_input(
        label,
        min_value=cast(field.low) if field.low is not None else None,
        max_value=cast(field.high) if field.high is not None else None,
        value=None,
        step=1 if whole else _AMOUNT_STEP if wide else _SHARE_STEP,
        format="%d" if whole else "%.2f",
        placeholder=desk.texts("form.unknown") if field.nullable else desk.texts("form.number"),
        key=key_of(field.name),
        help=hint,
        persist_state="session",
    )


def slots(field: Field) -> list[str]:
    """A list field's options, each as often as it may repeat: "auto", ..., "auto#2", ..."""
    return [option if turn == 1 else f"{option}#{turn}" for turn in range(1, _REPEATS + 1) for option in field.options]


def slot_name(desk: Desk, slot: str) -> str:
    """A slot in words: "Car loan", "Car loan (2)"."""
    option, _, turn = slot.partition("#")
    return f"{desk.texts.option(option)} ({turn})" if turn else desk.texts.option(option)


def _to_widget(field: Field, value: Any) -> Any:
    if field.kind is FieldKind.CHOICES:
        seen: dict[str, int] = {}
        chosen = []
        for option in value or []:
            seen[option] = seen.get(option, 0) + 1
            chosen.append(option if seen[option] == 1 else f"{option}#{seen[option]}")
        return [slot for slot in chosen if slot in slots(field)]
    if field.kind is FieldKind.DATE:
        return date.fromisoformat(value) if value else None
    if field.kind is FieldKind.TEXT:
        return value or ""
    if field.kind is FieldKind.SWITCH:
        return bool(value)
    if field.kind is FieldKind.NUMBER and value is not None:
        return float(value)
    return value


def _from_widget(field: Field, value: Any) -> Any:
    if field.kind is FieldKind.CHOICES:
        return [slot.partition("#")[0] for slot in value or []]
    if isinstance(value, date):
        return value.isoformat()
    if field.kind is FieldKind.TEXT:
        return (value or "").strip()
    return value
