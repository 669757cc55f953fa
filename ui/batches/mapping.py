"""Which column of a file is which field of the contract, and its rows as the contract judges them.

What a name and a cell mean is told by `service.lexicon`, as everywhere. A cell that cannot be understood is passed on
as it is, so that the contract refuses it by its own rule.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from service.contract import RULE_CODES, Applicant
from service.lexicon.cells import LOANS_JOINED, RULES, UNREAD
from service.lexicon.cells import meaning as meaning_of
from service.lexicon.columns import PlainColumn
from service.lexicon.errors import TableRefused
from service.lexicon.headings import fields_of
from service.lexicon.reading import read_as
from ui.api.errors import FieldFault
from ui.applicant.fields import Field, FieldKind
from ui.batches.sheet import Sheet, refusal


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
    candidates = fields_of(columns)
    return {field.name: candidates[field.name][0] for field in fields if field.name in candidates}


def check(sheet: Sheet, mapped: Mapping[str, str], fields: Sequence[Field]) -> CheckedSheet:
    """Every row as the contract sees it; nothing is sent. Rows that the reader set aside are among the faults.

    Raises:
        SheetRefused: these columns do not make one table.
    """
    if sheet.read is None:
        raise ValueError("a sheet is judged as it was read")
    try:
        table = read_as(sheet.read, mapped, sheet.options)
    except TableRefused as refused:
        raise refusal(refused.trouble) from refused
    absent: dict[str, Any] = {
        field.name: [] for field in fields if field.name not in mapped and field.kind is FieldKind.CHOICES
    }
    own_fields = [field for field in fields if field.name in table.plain]
    values = [_values(field, table.plain[field.name], table.frame[mapped[field.name]].tolist()) for field in own_fields]
    applicants, numbers = [], []
    faults = [RowFault(one.line, FieldFault((), one.code)) for one in table.understanding.faults]
    for number, *cells in zip(sheet.numbers, *values, strict=True):
        row = absent | {field.name: cell for field, cell in zip(own_fields, cells, strict=True)}
        row = {name: value for name, value in row.items() if value is not None or name not in _OPTIONAL}
        try:
            applicants.append(Applicant.model_validate_json(json.dumps(row)))
            numbers.append(number)
        except ValidationError as error:
            faults += [RowFault(number, each) for each in _faults(error)]
    return CheckedSheet(tuple(applicants), tuple(numbers), tuple(sorted(faults, key=lambda each: each.row)))


def meaning(field: Field, cell: str) -> Any:
    """A cell's text as JSON for the field; None for "not known"; the text itself where it cannot be understood."""
    plain = meaning_of(RULES[field.name], cell)
    return _value(field, None if plain is UNREAD else plain, cell, plain is UNREAD)


def _values(field: Field, column: PlainColumn, originals: Sequence[Any]) -> list[Any]:
    plain = [None if absent else cell for cell, absent in zip(column.cells.tolist(), column.cells.isna(), strict=True)]
    return [_value(field, *cells) for cells in zip(plain, originals, column.unread.tolist(), strict=True)]


def _value(field: Field, plain: Any, original: Any, unread: bool) -> Any:
    if field.kind is FieldKind.CHOICES:
        return (str(original).strip(),) if unread else tuple(str(plain or "").split(LOANS_JOINED)) if plain else ()
    if unread:
        return str(original)
    if plain is None or not field.numeric:
        return plain
    value = float(plain)
    if not math.isfinite(value) or (field.kind is FieldKind.INTEGER and not value.is_integer()):
        return str(original)
    return int(value) if field.kind is FieldKind.INTEGER else value


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


def _faults(error: ValidationError) -> list[FieldFault]:
    return [
        FieldFault(tuple(str(step) for step in each["loc"]), RULE_CODES.get(each["type"], "type"))
        for each in error.errors(include_url=False, include_input=False, include_context=False)
    ]
