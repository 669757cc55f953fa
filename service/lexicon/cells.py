"""What a cell's text means in a field: the contract's own spelling of it, not known, or unread.

The one reading of text for every reader. A cell that cannot be read is no guess and no gap: it is `UNREAD`, and each
reader decides what follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import lru_cache
from typing import Any, Final

from service.contract import Applicant
from service.lexicon import dates, vocabulary
from service.lexicon.dates import DayOrder
from service.lexicon.numerals import Decimal, bare_text, numeral
from service.lexicon.unknown_texts import is_unknown

MONEY_UNITS: Final = frozenset({"per year", "per month", "currency"})
PERCENT_UNITS: Final = frozenset({"%", "percentage points"})
LOANS_JOINED: Final = "|"


class CellKind(StrEnum):
    """How the text of a field's cells is read."""

    NUMBER = "number"
    HISTORY = "history"  # a number of months, or years and months in words
    CATEGORY = "category"
    LOANS = "loans"
    MONTH = "month"
    DAY = "day"
    TEXT = "text"


class Unread(Enum):
    """The one value that says: this text has no meaning here."""

    UNREAD = "unread"


UNREAD: Final = Unread.UNREAD


@dataclass(frozen=True)
class CellRule:
    """How cells of one field are read; `expected` says it in words."""

    field: str
    kind: CellKind
    money: bool = False
    percent: bool = False

    @property
    def numeric(self) -> bool:
        """True if the cell's value depends on the decimal mark."""
        return self.kind in (CellKind.NUMBER, CellKind.HISTORY)

    @property
    def expected(self) -> str:
        """What a cell should hold, for messages."""
        levels = ", ".join(vocabulary.levels(self.field))
        return {
            CellKind.NUMBER: "a number",
            CellKind.HISTORY: 'months as a number, or "22 Years and 1 Months"',
            CellKind.CATEGORY: f"one of {levels}",
            CellKind.LOANS: f"kinds of loans: {levels}",
            CellKind.MONTH: "a month's name or number",
            CellKind.DAY: "a day as 2026-01-31",
            CellKind.TEXT: "text",
        }[self.kind]


@dataclass(frozen=True)
class ColumnForm:
    """What a column's cells share: the decimal mark, and which of day and month stands first; empty where unknown.

    `currency` is the one in the beginning of a file of which no more was looked at, empty for none; None where all was.
    """

    decimal: Decimal = ""
    days: DayOrder = ""
    currency: str | None = None


def _rule(field: str, schema: Mapping[str, Any]) -> CellRule:
    types = {str(choice.get("type", "")) for choice in schema.get("anyOf", [schema])}
    formats = {str(choice.get("format", "")) for choice in schema.get("anyOf", [schema])}
    unit = str(schema.get("unit", ""))
    if field == "loan_types":
        return CellRule(field, CellKind.LOANS)
    if field in vocabulary.CATEGORIES:
        return CellRule(field, CellKind.CATEGORY)
    if unit == "months":
        return CellRule(field, CellKind.HISTORY)
    if types & {"number", "integer"}:
        return CellRule(field, CellKind.NUMBER, unit in MONEY_UNITS, unit in PERCENT_UNITS)
    return CellRule(field, CellKind.DAY if "date" in formats else CellKind.TEXT)


_SCHEMA: Final = Applicant.model_json_schema()
RULES: Final[Mapping[str, CellRule]] = {
    **{field: _rule(field, schema) for field, schema in _SCHEMA["properties"].items()},
    # Of the training table beside the contract.
    "month": CellRule("month", CellKind.MONTH),
    "age": CellRule("age", CellKind.NUMBER),
    "label": CellRule("label", CellKind.CATEGORY),
}
"""By field; columns of no field are passed on as they are."""


def meaning(rule: CellRule, text: str, form: ColumnForm = ColumnForm()) -> str | None | Unread:
    """The contract's spelling of a cell's text (`1234.5`, `Good`, `auto|payday`), None for not known, or UNREAD."""
    if rule.kind is CellKind.TEXT:
        return text.strip() or None
    if rule.kind is CellKind.LOANS:
        return _loans(text)
    if is_unknown(text):
        return None
    bare = bare_text(text).strip("_").strip()
    if rule.numeric:
        return _number(rule, bare, form.decimal)
    value: str | int | None
    if rule.kind is CellKind.CATEGORY:
        value = vocabulary.category(rule.field, bare)
    elif rule.kind is CellKind.MONTH:
        value = vocabulary.month(bare)
    else:
        value = dates.day(bare, form.days)
    return UNREAD if value is None else str(value)


def _number(rule: CellRule, text: str, decimal: Decimal) -> str | Unread:
    if rule.kind is CellKind.HISTORY and (months := vocabulary.history(text)) is not None:
        return str(months)
    number = numeral(text)
    if number is None or (number.currency and not rule.money) or (number.percent and not rule.percent):
        return UNREAD
    plain = number.read(decimal)
    return UNREAD if plain is None else plain


@lru_cache(maxsize=65_536)  # some thousand distinct lists, in part after part of a file
def _loans(text: str) -> str | Unread:
    kinds = vocabulary.loans(text)
    if None not in kinds:
        return LOANS_JOINED.join(str(kind) for kind in kinds)
    return "" if is_unknown(text) else UNREAD
