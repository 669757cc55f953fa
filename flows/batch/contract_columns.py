"""Which columns a file must have to be scored, of which types, and how a cell may break their rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, Final

import pyarrow as pa

from flows.batch.errors import BatchRefused
from service.contract import DESCRIBING_FIELDS, PROBABILITY_COLUMNS, Applicant
from service.lexicon.headings import near
from service.score import prediction_sets

SCHEMA: Final = Applicant.model_json_schema()
FIELDS: Final = DESCRIBING_FIELDS
PREVIOUS: Final = "previous_classes"
"""An optional column; without it nobody is known."""
PROBABILITIES: Final = PROBABILITY_COLUMNS
ANSWERS: Final = (
    *("score", "band", "predicted_class", *PROBABILITIES),
    *("borderline", "reasons", "problem", "model_digest", "risk_grade", "basis"),
)
SET_COLUMN: Final = prediction_sets.NAME
"""The answers' column of a job that asks for prediction sets."""


class CellFault(IntEnum):
    """Why a cell breaks the contract."""

    NONE = 0
    UNREAD = 1
    UNKNOWN = 2
    RANGE = 3
    WHOLE = 4
    KINDS = 5


def _rule(field: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    choices = field.get("anyOf", [field])
    return next(choice for choice in choices if choice.get("type") != "null"), {"type": "null"} in choices


CONTRACT: Final = {name: _rule(SCHEMA["properties"][name]) for name in FIELDS}
"""By field its rule in the schema, and whether it may be null."""
MAY_LACK: Final = frozenset(
    name for name, (rule, nullable) in CONTRACT.items() if nullable or rule.get("type") == "array"
)
"""Fields whose cells may be empty, so a file may lack their column: it means that all of them are."""
CATEGORIES: Final = tuple(name for name, (rule, _) in CONTRACT.items() if "$ref" in rule or rule.get("type") == "array")
"""Fields whose cells are texts of few distinct values; all others are numbers."""


def require_fields(name: str, layout: str, fields: Mapping[str, str], columns: Sequence[str]) -> None:
    """Make sure that `fields` (by field its column) has all that a score needs.

    Args:
        name: of the file, `layout` how it was understood: both for the message.
        layout: see there.
        fields: by field its column.
        columns: of the file.

    Raises:
        BatchRefused: a field that is needed has no column, or a column's name is an answer's, or stands twice.
    """
    spare = [column for column in columns if column not in fields.values()]
    if missing := [near(field, spare) for field in FIELDS if field not in fields and field not in MAY_LACK]:
        raise BatchRefused(
            f"{name} lacks {', '.join(missing)}: a column for each of these is needed; read as {layout} with columns "
            f"{', '.join(columns[:5])}{', ...' if len(columns) > 5 else ''}; rename or add columns, or say --delimiter"
        )
    if twice := sorted({column for column in columns if columns.count(column) > 1}):
        raise BatchRefused(f"{name} names {', '.join(twice)} more than once: every column needs a name of its own")
    if clashes := [column for column in spare if column in (*ANSWERS, SET_COLUMN)]:
        raise BatchRefused(f"{name} has columns named as answers are, {', '.join(clashes)}: rename them")


def untold(fields: Mapping[str, str], columns: Sequence[str]) -> str:
    """The fields of which a file with these columns tells nothing, in words; empty where it has them all."""
    spare = [column for column in columns if column not in fields.values()]
    missing = [near(field, spare) for field in FIELDS if field not in fields]
    return f"no column for {', '.join(missing)}: not known in any row" if missing else ""


def refuse_types(schema: pa.Schema, fields: Mapping[str, str], name: str) -> None:
    """Make sure that the columns of a file with types of its own can hold their fields.

    Raises:
        BatchRefused: one cannot; it is named.
    """
    for field in [name for name in FIELDS if name in fields]:
        kind = schema.field(fields[field]).type
        if not (_is_text(field, kind) if field in CATEGORIES else _is_number(kind)):
            right_type = "text" if field in CATEGORIES else "numbers"
            raise BatchRefused(
                f"{name}: column {fields[field]} is of type {kind}, {right_type} needed; write it as such"
            )


def is_string(kind: pa.DataType) -> bool:
    """True if Arrow's type is one of text, whatever its layout."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type of a column's values, out of a dictionary."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_number(kind: pa.DataType) -> bool:
    plain = plain_type(kind)
    numeric = pa.types.is_integer(plain) or pa.types.is_floating(plain) or pa.types.is_decimal(plain)
    return bool(numeric or pa.types.is_null(plain) or is_string(plain))


def _is_text(field: str, kind: pa.DataType) -> bool:
    plain = plain_type(kind)
    is_list = field == "loan_types" and (pa.types.is_list(plain) or pa.types.is_large_list(plain))
    flag = field == "payment_of_min_amount" and pa.types.is_boolean(plain)
    return bool(flag or pa.types.is_null(plain) or is_string(plain.value_type if is_list else plain))
