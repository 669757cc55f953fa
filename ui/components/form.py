"""The applicant's form, generated from the contract: groups, units, hints, and a place for an error by each field.

One truth: what stands in the fields is kept as the *draft*, and what is sent is read from the draft. Each filling (an
example, empty, another language, back from another page) gives the widgets new keys, so that nothing which the browser
still holds for the old ones can come back. There is no `st.form`: a value counts as soon as its field is left.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from service.contract import Applicant
from ui.applicant.fields import Field, FieldKind, grouped
from ui.components import records
from ui.session import Desk
from ui.texts.formats import Formats

_FILLING: Final = "applicant.filling"
_DRAFT: Final = "applicant.draft"
_LANGUAGE: Final = "applicant.language"
_REPEATS: Final = 5  # the same kind of loan may be held more than once; a list input offers each kind so many times
_COLUMNS: Final = 2
_MONEY_DECIMALS: Final = 2


def key_of(field: str) -> str:
    """The widget key of a field in this filling."""
    return f"applicant.{st.session_state.get(_FILLING, 0)}.{field}"


def fill(formats: Formats, fields: tuple[Field, ...], applicant: Applicant | None) -> None:
    """Puts an applicant's values into the form, or empties it."""
    values = applicant.model_dump(mode="json") if applicant is not None else {}
    _begin(formats, {field.name: _to_widget(formats, field, values.get(field.name)) for field in fields})


def resume(formats: Formats, fields: tuple[Field, ...], start: Applicant) -> None:
    """Before the fields are drawn: `start` at first, later what stood here, in today's language."""
    draft: dict[str, Any] | None = st.session_state.get(_DRAFT)
    if draft is None:
        fill(formats, fields, start)
    elif st.session_state[_LANGUAGE] != formats.language:
        old = Formats(st.session_state[_LANGUAGE], formats.currency)
        _begin(formats, {field.name: _rewritten(field, draft.get(field.name), old, formats) for field in fields})
    elif key_of(fields[0].name) not in st.session_state:  # back from another page
        _begin(formats, draft)


def has_draft() -> bool:
    """Whether this visitor has seen the form."""
    return _DRAFT in st.session_state


def typed(formats: Formats, fields: tuple[Field, ...]) -> dict[str, Any]:
    """What stands in the form, as JSON for the API. Optional fields left empty are left out."""
    draft: dict[str, Any] = st.session_state.get(_DRAFT, {})
    values = {field.name: _from_widget(formats, field, draft.get(field.name)) for field in fields}
    return {
        field.name: values[field.name] for field in fields if field.required or values[field.name] not in (None, "", [])
    }


def show(desk: Desk, fields: tuple[Field, ...]) -> dict[str, DeltaGenerator]:
    """Draws all groups and returns, by field, the place below it: its hint stands there, or its error."""
    places: dict[str, DeltaGenerator] = {}
    for group, members in grouped(fields):
        st.header(desk.texts.get(f"groups.{group}", group.capitalize()), anchor=False)
        for start in range(0, len(members), _COLUMNS):
            columns = st.columns(_COLUMNS)
            for column, field in zip(columns, members[start : start + _COLUMNS], strict=False):
                with column, st.container(key=f"field-{field.name}", gap="xxsmall"):
                    st.session_state[_DRAFT][field.name] = _widget(desk, field)
                    places[field.name] = st.empty()
                    places[field.name].caption(_hint(desk, field))
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


def in_words(desk: Desk, field: Field, value: Any) -> str:
    """A value of the field as a reader of the page writes it; what is not known is said to be."""
    if value is None or value in ("", []):
        return desk.texts("form.untold")
    if field.kind is FieldKind.RECORDS:
        return records.in_words(desk, field, value)
    if isinstance(value, list):
        return ", ".join(desk.texts.option(str(each)) for each in value)
    if field.numeric and isinstance(value, int | float):
        text = _text(desk.formats, field, value)
        return f"{text}%" if field.unit == "%" else text
    if field.kind is FieldKind.DATE:
        return desk.formats.day(str(value))
    return desk.texts.option(str(value)) if field.kind is FieldKind.CHOICE else str(value)


def _hint(desk: Desk, field: Field) -> str:
    return desk.texts.get(f"fields.{field.name}.help", field.description)


def _begin(formats: Formats, draft: dict[str, Any]) -> None:
    st.session_state[_FILLING] = st.session_state.get(_FILLING, 0) + 1
    st.session_state[_DRAFT] = dict(draft)
    st.session_state[_LANGUAGE] = formats.language
    for name, value in draft.items():
        st.session_state[key_of(name)] = value  # also of a list of records, whose own widgets read it from there


def _widget(desk: Desk, field: Field) -> Any:
    label, key = label_of(desk, field), key_of(field.name)
    if not field.required or field.nullable:
        label = f"{label} · {desk.texts('form.optional')}"
    if field.kind is FieldKind.CHOICE:
        return st.selectbox(
            label,
            [*field.options],
            index=None,
            format_func=desk.texts.option,
            placeholder=desk.texts("form.unknown") if field.nullable else desk.texts("form.choose_one"),
            key=key,
        )
    if field.kind is FieldKind.CHOICES:
        return st.multiselect(
            label,
            slots(field),
            format_func=lambda slot: slot_name(desk, slot),
            placeholder=desk.texts("form.choose"),
            key=key,
            select_all=False,
        )
    if field.kind is FieldKind.DATE:
        shape = "DD/MM/YYYY" if desk.texts.language == "pt" else "YYYY-MM-DD"
        return st.date_input(label, value=None, max_value=datetime.now(UTC).date(), format=shape, key=key)
    if field.kind is FieldKind.SWITCH:
        return st.checkbox(label, key=key)
    if field.kind is FieldKind.RECORDS:
        return records.show(desk, field, label, key)
    return _typed(desk, field, label, key)


def _typed(desk: Desk, field: Field, label: str, key: str) -> str:
    """A field to type into; a number is written back as it was understood."""
    if not field.numeric:
        return st.text_input(label, key=key, autocomplete="off")
    return st.text_input(
        label,
        placeholder=desk.texts("form.unknown") if field.nullable else "",
        key=key,
        on_change=_mask,
        args=(desk.formats, field, key),
        autocomplete="off",
    )


def _mask(formats: Formats, field: Field, key: str) -> None:
    """Writes what was understood where it was typed; what was not understood stays as it is."""
    value = formats.read(st.session_state[key])
    if value is not None:
        st.session_state[key] = _text(formats, field, value)
    st.session_state[_DRAFT][field.name] = st.session_state[key]


def slots(field: Field) -> list[str]:
    """A list field's options, each as often as it may repeat: "auto", ..., "auto#2", ..."""
    return [option if turn == 1 else f"{option}#{turn}" for turn in range(1, _REPEATS + 1) for option in field.options]


def slot_name(desk: Desk, slot: str) -> str:
    """A slot in words: "Car loan", "Car loan (2)"."""
    option, _, turn = slot.partition("#")
    return f"{desk.texts.option(option)} ({turn})" if turn else desk.texts.option(option)


def _text(formats: Formats, field: Field, value: float) -> str:
    if field.money:
        sign = "−" if value < 0 else ""
        return f"{sign}{formats.currency_sign} {formats.exact(abs(value), _MONEY_DECIMALS)}"
    return formats.exact(value)


def _rewritten(field: Field, value: Any, old: Formats, new: Formats) -> Any:
    number = old.read(value) if field.numeric and isinstance(value, str) else None
    return value if number is None else _text(new, field, number)


def _to_widget(formats: Formats, field: Field, value: Any) -> Any:
    if field.kind is FieldKind.CHOICES:
        counts: dict[str, int] = {}
        names = []
        for option in value or []:
            counts[option] = counts.get(option, 0) + 1
            names.append(option if counts[option] == 1 else f"{option}#{counts[option]}")
        return [slot for slot in names if slot in slots(field)]
    if field.kind is FieldKind.DATE:
        return date.fromisoformat(value) if value else None
    if field.kind is FieldKind.SWITCH:
        return bool(value)
    if field.kind is FieldKind.RECORDS:
        return records.rows(field, value)
    if field.numeric:
        return "" if value is None else _text(formats, field, float(value))
    return (value or "") if field.kind is FieldKind.TEXT else value


def _from_widget(formats: Formats, field: Field, value: Any) -> Any:
    if field.kind is FieldKind.CHOICES:
        return [slot.partition("#")[0] for slot in value or []]
    if field.kind is FieldKind.RECORDS:
        return records.as_json(field, value)
    if isinstance(value, date):
        return value.isoformat()
    if field.numeric:
        return _number(formats, field, str(value or "").strip())
    return (value or "").strip() if field.kind is FieldKind.TEXT else value


def _number(formats: Formats, field: Field, text: str) -> Any:
    """The number as JSON; the text itself where it is none, so that the API refuses it by its own rule."""
    value = formats.read(text) if text else None
    if value is None:
        return text or None
    return int(value) if field.kind is FieldKind.INTEGER and value.is_integer() else value
