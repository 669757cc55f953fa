"""The applicant's form, generated from the contract: groups, units, hints, and a place for an error by each field.

One truth: what stands in the fields is kept as the *draft*, and what is sent is read from the draft. Each filling (an
example, empty, another language, back from another page) gives the widgets new keys, so that nothing which the browser
still holds for the old ones can come back. What a filling begins with is each widget's own default, told again by every
run of the page: a value put into `st.session_state` is told once, and is lost with a run that a second click ends.
There is no `st.form`: a value counts as soon as its field is left, even if the run that it begins is ended early too.
A day is typed as a number is: Streamlit's own field for days can only be emptied where the server writes into it at
every run, which undoes what is typed meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from service.contract import Applicant
from ui.applicant.fields import Field, FieldKind, grouped
from ui.components import records
from ui.components.write_backs import WriteBacks
from ui.session import PageContext
from ui.texts.formats import NO_BREAK, Formats

_FILLING: Final = "applicant.filling"
_NOW: Final = "now"
_REPEATS: Final = 5  # the same kind of loan may be held more than once; a list input offers each kind so many times
_COLUMNS: Final = 2
_MONEY_DECIMALS: Final = 2


@dataclass(frozen=True)
class Filling:
    """One filling of the form: what its widgets start with, and what stands in them by now, as `language` writes it."""

    number: int
    language: str
    start: dict[str, Any]
    draft: dict[str, Any]
    write_backs: WriteBacks = dataclass_field(default_factory=WriteBacks)

    def key_of(self, field: str) -> str:
        """The widget key of a field in this filling."""
        return f"applicant.{self.number}.{field}"


def fill(formats: Formats, fields: tuple[Field, ...], applicant: Applicant | None) -> None:
    """Puts an applicant's values into the form, or empties it."""
    values = applicant.model_dump(mode="json") if applicant is not None else {}
    _begin(formats, {field.name: _to_widget(formats, field, values.get(field.name)) for field in fields})


def resume(formats: Formats, fields: tuple[Field, ...], start: Applicant) -> None:
    """Before the fields are drawn: `start` at first, later what stood here, in today's language."""
    known = _filling()
    if known is None:
        fill(formats, fields, start)
    elif known.language != formats.language:
        old = Formats(known.language, formats.currency)
        _begin(formats, {field.name: _rewritten(field, known.draft.get(field.name), old, formats) for field in fields})
    elif not any(known.key_of(field.name) in st.session_state for field in fields):  # back from another page
        _begin(formats, known.draft)


def has_draft() -> bool:
    """True if this visitor has seen the form."""
    return _filling() is not None


def typed(formats: Formats, fields: tuple[Field, ...]) -> dict[str, Any]:
    """What stands in the form, as JSON for the API. References left empty are left out."""
    known = _filling()
    if known is None:
        return {}
    form_formats = Formats(known.language, formats.currency)  # the language may have been switched on another page
    values = {field.name: _from_widget(form_formats, field, known.draft.get(field.name)) for field in fields}
    return {
        field.name: values[field.name]
        for field in fields
        if field.always_sent or values[field.name] not in (None, "", [])
    }


def show(context: PageContext, fields: tuple[Field, ...]) -> dict[str, DeltaGenerator]:
    """Draws all groups and returns, by field, the place below it: its hint stands there, or its error.

    `resume` comes before it.
    """
    filling = _fillings()[_NOW]
    places: dict[str, DeltaGenerator] = {}
    for group, members in grouped(fields):
        st.header(context.texts.get(f"groups.{group}", group.capitalize()), anchor=False)
        for start in range(0, len(members), _COLUMNS):
            columns = st.columns(_COLUMNS)
            for column, field in zip(columns, members[start : start + _COLUMNS], strict=False):
                with column, st.container(key=f"field-{field.name}", gap="xxsmall"):
                    filling.draft[field.name] = _widget(context, field, filling)
                    places[field.name] = st.empty()
                    places[field.name].caption(_hint(context, field))
    return places


def on_screen(context: PageContext, fields: tuple[Field, ...]) -> dict[str, list[list[str]]]:
    """By field the texts of each of its controls that mean what the server holds: as written back, as it was typed."""
    filling = _fillings()[_NOW]
    return {
        field.name: _controls(context, field, filling)
        for field in fields
        if field.kind is not FieldKind.SWITCH and field.name in filling.draft
    }


def _controls(context: PageContext, field: Field, filling: Filling) -> list[list[str]]:
    value, key, typed = filling.draft[field.name], filling.key_of(field.name), filling.write_backs.typed
    if field.kind is FieldKind.CHOICES:
        return [[slot_name(context, slot)] for slot in value or ()]
    if field.kind is FieldKind.RECORDS:
        return records.on_screen(context, key, value, typed)
    if field.kind is FieldKind.CHOICE:
        return [[_choice_name(context, value)]]
    return [[str(value or ""), typed.get(key, str(value or ""))]]


def _choice_name(context: PageContext, option: str | None) -> str:
    if option is None:
        return ""
    return context.texts.option(option) if option else context.texts("form.unknown")


def label_of(context: PageContext, field: Field) -> str:
    """The field's name in words with its unit."""
    unit = unit_of(context, field)
    return f"{context.texts.label(field.name)} ({unit})" if unit else context.texts.label(field.name)


def unit_of(context: PageContext, field: Field) -> str:
    """The unit in words; amounts carry the partner's currency."""
    key = field.unit.replace(" ", "_").replace("%", "percent")
    return (
        context.texts.get(f"units.{key}", field.unit).format(currency=context.formats.currency_sign)
        if field.unit
        else ""
    )


def range_of(context: PageContext, field: Field) -> str:
    """The range in words, "" where the contract sets none."""
    if field.low is None or field.high is None:
        return ""
    return context.texts("form.range", low=context.formats.plain(field.low), high=context.formats.plain(field.high))


def in_words(context: PageContext, field: Field, value: Any) -> str:
    """A value of the field as a reader of the page writes it; what is not known is said to be."""
    if value is None or value in ("", []):
        return context.texts("form.untold")
    if field.kind is FieldKind.RECORDS:
        return records.in_words(context, field, value)
    if isinstance(value, list):
        return ", ".join(context.texts.option(str(each)) for each in value)
    if field.numeric and isinstance(value, int | float):
        # In a text, sign and figure stay on one line; in a field they are typed with a plain space.
        text = _text(context.formats, field, value).replace(" ", NO_BREAK)
        return f"{text}%" if field.unit == "%" else text
    if field.kind is FieldKind.DATE:
        return context.formats.day(str(value))
    return context.texts.option(str(value)) if field.kind is FieldKind.CHOICE else str(value)


def with_unit(context: PageContext, field: Field, value: Any) -> str:
    """`in_words`, and the unit where neither a sign nor the field's name tells it: 210 months."""
    words = in_words(context, field, value)
    if not isinstance(value, int | float):
        return words
    unit = f"counted.{field.unit.replace(' ', '_')}.{'one' if value == 1 else 'other'}"
    return f"{words} {context.texts.get(unit, '')}".rstrip()


def _hint(context: PageContext, field: Field) -> str:
    return context.texts.get(f"fields.{field.name}.help", field.description)


def _filling() -> Filling | None:
    return _fillings().get(_NOW)


def _fillings() -> dict[str, Filling]:
    """What holds this visitor's filling. A callback changes it, which no other run can end: see `pending_question`."""
    fillings: dict[str, Filling] | None = st.session_state.to_dict().get(_FILLING)
    if fillings is None:
        fillings = st.session_state[_FILLING] = {}
    return fillings


def _begin(formats: Formats, values: dict[str, Any]) -> None:
    known = _filling()
    number = 1 if known is None else known.number + 1
    draft = {name: list(value) if isinstance(value, list) else value for name, value in values.items()}
    _fillings()[_NOW] = Filling(number, formats.language, dict(values), draft)


def _widget(context: PageContext, field: Field, filling: Filling) -> Any:
    label, key, value = label_of(context, field), filling.key_of(field.name), filling.start.get(field.name)
    if not field.required or field.nullable:
        label = f"{label} · {context.texts('form.optional')}"
    keep: dict[str, Any] = {"key": key, "on_change": _keep, "args": (filling, field.name)}
    if field.kind is FieldKind.CHOICE:
        # Not known is an option of its own: what begins with a choice has no other way back to none.
        options = ["", *field.options] if field.nullable else [*field.options]
        return st.selectbox(
            label,
            options,
            index=options.index(value) if value in options else None,
            format_func=lambda option: _choice_name(context, option),
            placeholder=context.texts("form.choose_one"),
            **keep,
        )
    if field.kind is FieldKind.CHOICES:
        return st.multiselect(
            label,
            slots(field),
            default=value,
            format_func=lambda slot: slot_name(context, slot),
            placeholder=context.texts("form.choose"),
            select_all=False,
            **keep,
        )
    if field.kind is FieldKind.SWITCH:
        return st.checkbox(label, value=bool(value), **keep)
    if field.kind is FieldKind.RECORDS:
        lines = records.Lines(key, value or (), filling.draft[field.name], filling.write_backs)
        return records.show(context, field, label, lines)
    return _typed(context, field, label, filling)


def _typed(context: PageContext, field: Field, label: str, filling: Filling) -> str:
    """A field to type into; a number or a day is written back as it was understood."""
    masked = field.numeric or field.kind is FieldKind.DATE
    placeholder = context.texts("form.unknown") if field.numeric and field.nullable else ""
    return st.text_input(
        label,
        value=filling.start.get(field.name) or "",
        placeholder=context.texts("form.day_form") if field.kind is FieldKind.DATE else placeholder,
        key=filling.key_of(field.name),
        on_change=_mask if masked else _keep,
        args=(filling, field, context.formats) if masked else (filling, field.name),
        autocomplete="off",
    )


def _keep(filling: Filling, name: str) -> None:
    """Puts a changed value into the draft at once: the run that would read it off its widget may be ended early."""
    # All of the session: a look at one of its entries could be the callback's end, see `pending_question`.
    filling.draft[name] = st.session_state.to_dict()[filling.key_of(name)]


def _mask(filling: Filling, field: Field, formats: Formats) -> None:
    """Writes what was understood where it was typed; what was not understood stays as it is."""
    key = filling.key_of(field.name)
    raw_text = st.session_state.to_dict()[key]  # as in `_keep`
    text = filling.write_backs.take(key, raw_text, lambda typed: _rewritten(field, typed, formats, formats))
    filling.draft[field.name] = text
    if text != raw_text:
        st.session_state[key] = text  # last: it may be the callback's end


def slots(field: Field) -> list[str]:
    """A list field's options, each as often as it may repeat: "auto", ..., "auto#2", ..."""
    return [option if turn == 1 else f"{option}#{turn}" for turn in range(1, _REPEATS + 1) for option in field.options]


def slot_name(context: PageContext, slot: str) -> str:
    """A slot in words: "Car loan", "Car loan (2)"."""
    option, _, turn = slot.partition("#")
    return f"{context.texts.option(option)} ({turn})" if turn else context.texts.option(option)


def _text(formats: Formats, field: Field, value: float) -> str:
    if field.money:
        sign = "−" if value < 0 else ""
        return f"{sign}{formats.currency_sign} {formats.exact(abs(value), _MONEY_DECIMALS)}"
    return formats.exact(value)


def _rewritten(field: Field, value: Any, old: Formats, new: Formats) -> Any:
    """What stands in a field as it is understood, written anew; what is not understood stays as it is."""
    if field.kind is FieldKind.RECORDS:
        return records.rewritten(value, old, new)
    if field.kind is FieldKind.DATE:
        return records.day_rewritten(value or "", old, new)
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
        return formats.day_in_field(value) if value else ""
    if field.kind is FieldKind.SWITCH:
        return bool(value)
    if field.kind is FieldKind.RECORDS:
        return records.rows(formats, field, value)
    if field.numeric:
        return "" if value is None else _text(formats, field, float(value))
    return (value or "") if field.kind in (FieldKind.TEXT, FieldKind.CHOICE) else value


def _from_widget(formats: Formats, field: Field, value: Any) -> Any:
    if field.kind is FieldKind.CHOICES:
        return [slot.partition("#")[0] for slot in value or []]
    if field.kind is FieldKind.RECORDS:
        return records.as_json(formats, field, value)
    if field.kind is FieldKind.DATE:
        return formats.read_day(value or "") or (value or "").strip() or None
    if field.numeric:
        return _number(formats, field, str(value or "").strip())
    if field.kind is FieldKind.CHOICE:
        return value or None
    return (value or "").strip() if field.kind is FieldKind.TEXT else value


def _number(formats: Formats, field: Field, text: str) -> Any:
    """The number as JSON; the text itself where it is none, so that the API refuses it by its own rule."""
    value = formats.read(text) if text else None
    if value is None:
        return text or None
    return int(value) if field.kind is FieldKind.INTEGER and value.is_integer() else value
