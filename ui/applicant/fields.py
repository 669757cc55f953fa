"""The form's fields, read from the contract's own JSON schema: a field added there appears here by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Final

from service.contract import Applicant

GROUPS: Final = ("income", "accounts", "loans", "payments", "reference")


class FieldKind(StrEnum):
    """The kind of input that a field takes."""

    INTEGER = "integer"
    NUMBER = "number"
    CHOICE = "choice"
    CHOICES = "choices"
    DATE = "date"
    TEXT = "text"
    SWITCH = "switch"
    RECORDS = "records"  # a list of a choice with a day each


@dataclass(frozen=True)
class Field:
    """One field of the contract as a form shows it."""

    name: str
    kind: FieldKind
    description: str
    unit: str
    group: str
    nullable: bool
    required: bool
    low: float | None = None
    high: float | None = None
    options: tuple[str, ...] = ()
    pattern: str = ""
    members: tuple[str, ...] = ()
    most: int = 0

    @property
    def numeric(self) -> bool:
        """True if its values can be moved along an axis."""
        return self.kind in (FieldKind.INTEGER, FieldKind.NUMBER)

    @property
    def always_sent(self) -> bool:
        """True if it is sent also where nothing is known: what describes the applicant's month."""
        return self.required or (self.nullable and self.group != "reference")

    @property
    def money(self) -> bool:
        """True if its values are amounts of the partner's currency."""
        return self.unit in ("currency", "per month", "per year")


@cache
def contract_fields() -> tuple[Field, ...]:
    """The fields of an applicant, in the contract's order."""
    return read_fields(Applicant.model_json_schema())


def read_fields(schema: Mapping[str, Any]) -> tuple[Field, ...]:
    """The fields of a JSON schema of one flat object."""
    required = set(schema.get("required", ()))
    definitions = schema.get("$defs", {})
    return tuple(_field(name, raw, definitions, name in required) for name, raw in schema["properties"].items())


def grouped(fields: tuple[Field, ...]) -> list[tuple[str, list[Field]]]:
    """Fields by group: the known groups in the order people think of them, then any the contract has added."""
    names = [*GROUPS, *dict.fromkeys(field.group for field in fields if field.group not in GROUPS)]
    groups = [(name, [field for field in fields if field.group == name]) for name in names]
    return [(name, members) for name, members in groups if members]


def _field(name: str, raw: Mapping[str, Any], definitions: Mapping[str, Any], required: bool) -> Field:
    variants = [_resolved(variant, definitions) for variant in raw.get("anyOf", [raw])]
    nullable = any(variant.get("type") == "null" for variant in variants)
    rule = {**raw, **next(variant for variant in variants if variant.get("type") != "null")}
    items = _resolved(rule.get("items", {}), definitions)
    members = tuple(items.get("properties", ()))
    if members:
        items = _resolved(items["properties"][members[0]], definitions) | {"members": members}
    return Field(
        name=name,
        kind=_kind(rule, items),
        description=str(raw.get("description", "")),
        unit=str(raw.get("unit", "")),
        group=str(raw.get("group", "other")),
        nullable=nullable,
        required=required,
        low=rule.get("minimum"),
        high=rule.get("maximum"),
        options=tuple(rule.get("enum", items.get("enum", ()))),
        pattern=str(rule.get("pattern", "")),
        members=members,
        most=int(rule.get("maxItems", 0)),
    )


def _resolved(rule: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in rule:
        target = definitions[str(rule["$ref"]).rsplit("/", 1)[-1]]
        return {**target, **{key: value for key, value in rule.items() if key != "$ref"}}
    return dict(rule)


def _kind(rule: Mapping[str, Any], items: Mapping[str, Any]) -> FieldKind:
    if "enum" in rule:
        return FieldKind.CHOICE
    if rule.get("type") == "array" and "members" in items:
        return FieldKind.RECORDS
    if rule.get("type") == "array" and "enum" in items:
        return FieldKind.CHOICES
    by_type = {"integer": FieldKind.INTEGER, "number": FieldKind.NUMBER, "boolean": FieldKind.SWITCH}
    if rule.get("format") == "date":
        return FieldKind.DATE
    return by_type.get(str(rule.get("type")), FieldKind.TEXT)
