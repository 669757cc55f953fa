"""Which column of a file is which field of the contract, and what a cell's text means there.

Names are matched without regard to case and signs; the names of Kaggle's credit-score file and both languages' labels
are known. A cell that cannot be understood is passed on as it is, so that the contract refuses it by its own rule.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from pydantic import ValidationError

from service.contract import RULE_CODES, Applicant
from ui.api.errors import FieldFault
from ui.applicant.fields import Field, FieldKind
from ui.batches.sheet import Sheet
from ui.texts.wording import LANGUAGES, texts

# Kaggle's names where they differ from the contract's by more than case.
_ALIASES: Final = {
    "num_credit_cards": ("Num_Credit_Card",),
    "num_loans": ("Num_of_Loan",),
    "loan_types": ("Type_of_Loan",),
    "num_delayed_payments": ("Num_of_Delayed_Payment",),
    "credit_history_months": ("Credit_History_Age",),
    "customer_ref": ("Customer_ID", "customer", "id_cliente"),
}
# What bureaus and spreadsheets write for "not known"; the odd ones are Kaggle's masks.
_UNKNOWN: Final = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "nm", "!@9#%8", "?"})
_AGE: Final = re.compile(r"(\d+)\s*years?(?:\s*(?:and|,)?\s*(\d+)\s*months?)?", re.IGNORECASE)
_THOUSANDS_POINT: Final = re.compile(r"^-?\d{1,3}(\.\d{3})+$")


@dataclass(frozen=True)
class RowFault:
    """One rule broken in one row; `row` is its number in the file."""

    row: int
    fault: FieldFault


@dataclass(frozen=True)
class CheckedSheet:
    """The rows the contract accepts, with their numbers in the file, and the faults of the others."""

    applicants: tuple[Applicant, ...]
    numbers: tuple[int, ...]
    faults: tuple[RowFault, ...]


def propose(columns: Sequence[str], fields: Sequence[Field]) -> dict[str, str]:
    """By field, the column that most likely holds it; fields without one are absent."""
    by_name = {_plain(column): column for column in reversed(columns) if column}
    found = {}
    for field in fields:
        names = [field.name, *_ALIASES.get(field.name, ()), *(texts(each).label(field.name) for each in LANGUAGES)]
        match = next((by_name[_plain(name)] for name in names if _plain(name) in by_name), None)
        if match is not None:
            found[field.name] = match
    return found


def check(sheet: Sheet, mapped: Mapping[str, str], fields: Sequence[Field]) -> CheckedSheet:
    """Every row as the contract sees it; nothing is sent."""
    places = [(field, sheet.columns.index(mapped[field.name])) for field in fields if field.name in mapped]
    absent: dict[str, Any] = {
        field.name: None for field in fields if field.name not in mapped and field.required and field.nullable
    }
    absent |= {field.name: [] for field in fields if field.name not in mapped and field.kind is FieldKind.CHOICES}
    applicants, numbers, faults = [], [], []
    for number, cells in zip(sheet.numbers, sheet.rows, strict=True):
        row = absent | {field.name: meaning(field, cells[place]) for field, place in places}
        row = {name: value for name, value in row.items() if value is not None or name not in _OPTIONAL}
        try:
            applicants.append(Applicant.model_validate_json(json.dumps(row)))
            numbers.append(number)
        except ValidationError as error:
            faults += [RowFault(number, each) for each in _faults(error)]
    return CheckedSheet(tuple(applicants), tuple(numbers), tuple(faults))


def meaning(field: Field, cell: str) -> Any:
    """A cell's text as JSON for the field; None for "not known"; the text itself where it cannot be understood."""
    if field.kind is FieldKind.CHOICES:
        return _choices(field, cell)
    if field.kind is FieldKind.TEXT:
        return cell or None
    masked = cell.strip("_ ")
    if masked.lower() in _UNKNOWN:
        return None
    if field.kind is FieldKind.CHOICE:
        return _choice(field, masked)
    if field.kind is FieldKind.DATE:
        return masked[:10]  # Excel gives midnight along
    return _number(field, masked)


def template(fields: Sequence[Field], examples: Sequence[Applicant]) -> list[dict[str, Any]]:
    """Rows of a file to start from: the contract's own columns, filled with the examples."""
    rows = []
    for applicant in examples:
        values = applicant.model_dump(mode="json")
        rows.append({field.name: _cell(values[field.name]) for field in fields})
    return rows


_OPTIONAL: Final = frozenset(name for name, info in Applicant.model_fields.items() if not info.is_required())


def _cell(value: Any) -> Any:
    return "|".join(value) if isinstance(value, list) else value


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9à-ÿ]", "", name.lower())


@lru_cache(maxsize=4096)  # few distinct cells, many rows
def _choice(field: Field, text: str) -> str:
    wanted = _plain(text)
    for option in field.options:
        if wanted in (_plain(option), *(_plain(texts(each).option(option)) for each in LANGUAGES)):
            return option
    return text


@lru_cache(maxsize=4096)
def _choices(field: Field, cell: str) -> tuple[str, ...]:
    parts = re.split(r"[|;,]|\band\b|\be\b", cell)
    return tuple(_loan(field, part.strip()) for part in parts if part.strip("_ ").lower() not in _UNKNOWN)


def _loan(field: Field, text: str) -> str:
    known = _choice(field, text)
    return known if known in field.options else _choice(field, re.sub(r"\s*loan$", "", text, flags=re.IGNORECASE))


def _number(field: Field, text: str) -> Any:
    """1234.5, 1.234,5, 1,234.5, R$ 10, 12%, and "10 Years and 9 Months" for a number of months."""
    if (plain := _float(text)) is not None:
        return _as_kind(field, plain, text)
    if field.unit == "months" and (age := _AGE.fullmatch(text)):
        return int(age[1]) * 12 + int(age[2] or 0)
    bare = re.sub(r"(R\$|US\$|\$|€|£|%|\s|\u00a0)", "", text).replace("−", "-")
    if "," in bare and bare.rfind(",") > bare.rfind("."):
        bare = bare.replace(".", "").replace(",", ".") if bare.count(",") == 1 else bare.replace(",", "")
    elif _THOUSANDS_POINT.match(bare) and bare.count(".") > 1:
        bare = bare.replace(".", "")
    else:
        bare = bare.replace(",", "")
    value = _float(bare)
    return text if value is None else _as_kind(field, value, text)


def _float(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _as_kind(field: Field, value: float, text: str) -> Any:
    if field.kind is FieldKind.NUMBER:
        return value
    return int(value) if value.is_integer() else text


def _faults(error: ValidationError) -> list[FieldFault]:
    return [
        FieldFault(tuple(str(step) for step in each["loc"]), RULE_CODES.get(each["type"], "type"))
        for each in error.errors(include_url=False, include_input=False, include_context=False)
    ]
