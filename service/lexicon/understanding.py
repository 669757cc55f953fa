"""What a reader understood of a table, said before anything is sent, trained or scored; and what it asks its owner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from service.lexicon.cells import CellKind, ColumnForm
from service.lexicon.columns import PlainColumn
from service.lexicon.errors import TableRefused, Trouble
from service.lexicon.numerals import Decimal, DecimalEvidence, decide, numeral

SHOWN: Final = 3
SHOWN_LETTERS: Final = 40


@dataclass(frozen=True)
class Example:
    """A cell as written, and as understood (None: not known), with its line."""

    line: int
    text: str
    meaning: str | None


@dataclass(frozen=True)
class UnreadText:
    """A text that has no meaning in its column, how many cells hold it, and the line of the first."""

    text: str
    cells: int
    line: int


@dataclass(frozen=True)
class ColumnUnderstood:
    """One column that holds a field: how its cells are read, with examples."""

    name: str
    field: str
    kind: CellKind
    form: ColumnForm
    expected: str
    examples: tuple[Example, ...]
    unknown_cells: int
    unread_cells: int
    commonest_unread: tuple[UnreadText, ...]


@dataclass(frozen=True)
class Ambiguity:
    """What the file itself does not tell: ask, or take it by `option`; `readings` are the choices with an example."""

    code: str  # decimal, days, field-twice
    column: str
    field: str
    option: str
    line: int
    text: str
    readings: Mapping[str, str]

    @property
    def trouble(self) -> Trouble:
        """The same as a refusal."""
        if self.code == "field-twice":
            return Trouble(
                "field-twice",
                f"{self.text} both name {self.field}",
                "one column a field",
                "rename or remove one",
                self.line,
            )
        choices = " or ".join(f"{reading} ({self.option} '{choice}')" for choice, reading in self.readings.items())
        what = f"{self.text!r} can be read as {choices}"
        return Trouble(
            self.code,
            what,
            "an option, or a cell in the file that decides",
            f"say which: {self.option}",
            self.line,
            self.column,
        )


@dataclass(frozen=True)
class SetAside:
    """A row that is set aside: its line, the column at fault where one is, why, and what the row held."""

    line: int
    code: str
    what: str
    cells: tuple[str, ...]
    column: str = ""


_SPOKEN: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", ".": "point"}


@dataclass(frozen=True)
class Layout:
    """How a file is laid out; as text, in words."""

    kind: str
    packing: tuple[str, ...] = ()
    encoding: str = ""
    delimiter: str = ""
    decimal: str = ""
    header_line: int = 0

    def __str__(self) -> str:
        parts = [self.kind, *(f"in {one}" for one in self.packing), *filter(None, (self.encoding,))]
        if self.delimiter:
            parts.append(f"columns cut at {_SPOKEN.get(self.delimiter, self.delimiter)}")
        if self.decimal:
            parts.append(f"decimal {_SPOKEN[self.decimal]}")
        if self.header_line:
            parts.append(f"header on line {self.header_line:,}")
        return ", ".join(parts)


@dataclass(frozen=True)
class Understanding:
    """What was understood of one file: its layout, its columns, what stays open, and the rows that are set aside."""

    name: str
    kind: str
    packing: tuple[str, ...]
    encoding: str
    delimiter: str
    decimal: str
    header_line: int
    rows: int
    columns: tuple[ColumnUnderstood, ...]
    passed_on: tuple[str, ...]
    ambiguities: tuple[Ambiguity, ...]
    faults: tuple[SetAside, ...]
    notes: tuple[str, ...] = ()

    @property
    def rows_read(self) -> int:
        """The rows that stand below the header; those that are set aside are among them."""
        return self.rows + len(self.faults)

    def settled(self) -> None:
        """Make sure that nothing stays open.

        Raises:
            TableRefused: the first thing that the file does not tell, with the option that does.
        """
        if self.ambiguities:
            raise TableRefused(self.ambiguities[0].trouble, self.name)

    def sentence(self) -> str:
        """The layout in one line."""
        laid = Layout(self.kind, self.packing, self.encoding, self.delimiter, self.decimal, self.header_line)
        return f"{self.name}: {laid}; {self.rows:,} rows, {len(self.columns)} columns understood"


@dataclass(frozen=True)
class TableRead:
    """A table as read: cells as written, in `frame` by column; their plain twins, in `plain` by field.

    `lines` has each row's line in the file (row in a sheet or parquet). Frame and twins share one index, 0 to n - 1.
    """

    frame: pd.DataFrame
    lines: NDArray[np.int64]
    plain: Mapping[str, PlainColumn]
    understanding: Understanding
    columns: Mapping[str, str] = field(default_factory=dict)  # by field its column

    def cells_of(self, place: int) -> tuple[str, ...]:
        """A row's cells as written."""
        return tuple("" if pd.isna(cell) else str(cell) for cell in self.frame.iloc[place])


def decimal_mark(field: str, proofs: Mapping[str, DecimalEvidence], delimiter: str, option: Decimal = "") -> Decimal:
    """The mark of a field's column, by field what each column's cells say; empty where nothing decides."""
    return decide(proofs[field], [proof for other, proof in proofs.items() if other != field], delimiter, option)


def open_decimal(field: str, column: str, proof: DecimalEvidence, line: int) -> Ambiguity:
    """The question about the first cell that two readings fit, which stands on `line`."""
    text = proof.either[0]
    number = numeral(text)
    readings = {mark: str(number.plain(mark)) for mark in ".,"} if number else {}
    return Ambiguity("decimal", column, field, "--decimal", line, text, readings)


def open_days(field: str, column: str, text: str, readings: Mapping[str, str], line: int) -> Ambiguity:
    """The question which of day and month stands first."""
    return Ambiguity("days", column, field, "--days", line, text, readings)


def second_currency(proofs: Mapping[str, DecimalEvidence]) -> tuple[str, str, str] | None:
    """Where amounts are in two currencies: both in words, the field of the second, and a cell in it; None for one."""
    firsts: dict[str, tuple[str, str]] = {}
    for name, proof in proofs.items():
        for currency, cell in proof.currencies:
            firsts.setdefault(currency, (name, cell))
    if len(firsts) < 2:
        return None
    name, cell = list(firsts.values())[1]
    return " and in ".join(firsts), name, cell


def two_currencies(both: str, column: str, line: int = 0) -> Trouble:
    """The trouble of amounts in two currencies: what they are worth in one, the file does not tell."""
    return Trouble("two_currencies", f"amounts in {both}", "one currency in all of the file", "convert", line, column)


def two_units(column: str, line: int) -> Trouble:
    """The trouble of a history such as 5.03: months, or years and months, the file does not tell."""
    return Trouble(
        "history_unit",
        "a history can be read as months or as years and months",
        'months as whole numbers, or "5 Years and 3 Months"',
        "write one of these",
        line,
        column,
    )


def two_columns(field: str, columns: tuple[str, ...], line: int) -> Ambiguity:
    """The question which of several columns holds the field."""
    both = " and ".join(columns)
    return Ambiguity("field-twice", columns[0], field, "", line, both, {name: name for name in columns})
