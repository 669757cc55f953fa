"""The CSV rows of bucket `predictions`: the one definition of their columns, their writer and their reader.

A row is rendered once, on the request's own path, so writing it must cost about a microsecond: numbers and closed
enumerations are written by msgspec, whose JSON scalars are RFC 4180 cells too (a quoted string without a backslash, a
number, `true`); anything else takes the slow way through `csv`. Equal records give equal bytes, on every machine.

Text that a spreadsheet would run as a formula (ASVS 1.2.10) gets a leading apostrophe, which the reader takes away
again; numbers keep their minus sign. Rows hold features, and a pseudonym where the partner named a customer, no name.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from enum import IntEnum
from functools import lru_cache
from itertools import repeat
from typing import Final, NamedTuple

import msgspec

from service.contract import DESCRIBING_FIELDS, PROBABILITY_COLUMNS

SCHEMA_VERSION: Final = 1
PREDICTION_VERSION: Final = 2
"""Of prediction rows; the first had no `ADDED_COLUMNS`, and such rows and objects stay readable."""
EOL: Final = b"\r\n"
# What Excel, LibreOffice and Sheets take for the start of a formula, and the apostrophe that guards it.
_FORMULA_STARTS: Final = frozenset("=+-@\t\r\n\0'")

INPUT_COLUMNS: Final = DESCRIBING_FIELDS
"""The applicant's features, in the order `PredictionLines.render` takes them."""

ADDED_COLUMNS: Final = ("risk_grade", "reason_leads", "basis", "previous_classes")
"""Columns that came after the first version; they stand at the end."""

PREDICTION_COLUMNS: Final = (
    "schema_version",
    "prediction_id",
    "created_at",
    "as_of",
    "partner",
    "customer_ref",
    "model_name",
    "model_version",
    "model_digest",
    *INPUT_COLUMNS,
    "score",
    "band",
    "predicted_class",
    *PROBABILITY_COLUMNS,
    "borderline",
    "reasons",
    "warnings",
    *ADDED_COLUMNS,
)
OUTCOME_COLUMNS: Final = (
    "schema_version",
    "outcome_id",
    "created_at",
    "partner",
    "customer_ref",
    "prediction_id",
    "observed_class",
    "observed_at",
)
REVIEW_COLUMNS: Final = (
    "schema_version",
    "review_id",
    "created_at",
    "partner",
    "customer_ref",
    "prediction_id",
    "reviewer",
    "verdict",
    "comment",
)


class RecordKind(IntEnum):
    """What a row records; the numbers are written into journals and never change.

    What a test key leaves is durable and readable like the rest, and never shipped.
    """

    PREDICTION = 1
    OUTCOME = 2
    REVIEW = 3
    TEST_PREDICTION = 4
    TEST_OUTCOME = 5
    TEST_REVIEW = 6

    def of(self, *, test: bool) -> RecordKind:
        """This kind, as a live key or a test key leaves it."""
        return RecordKind(self + RecordKind.REVIEW) if test else self

    @property
    def shipped(self) -> bool:
        """True if its rows go to the bucket, where drift and audits read them."""
        return self <= RecordKind.REVIEW

    @property
    def columns(self) -> tuple[str, ...]:
        """The header of this kind's objects."""
        return _COLUMNS[self]

    @property
    def folder(self) -> str:
        """The first part of this kind's object keys."""
        return f"{self.name.lower()}s"


_COLUMNS: Final = {
    RecordKind.PREDICTION: PREDICTION_COLUMNS,
    RecordKind.OUTCOME: OUTCOME_COLUMNS,
    RecordKind.REVIEW: REVIEW_COLUMNS,
    RecordKind.TEST_PREDICTION: PREDICTION_COLUMNS,
    RecordKind.TEST_OUTCOME: OUTCOME_COLUMNS,
    RecordKind.TEST_REVIEW: REVIEW_COLUMNS,
}


class RecordsDamaged(ValueError):
    """The bytes are not an object that this module wrote; the text names the line, never a cell."""


Cell = str | int | float | bool | None
Cells = Sequence[Cell]
Columns = Sequence[Iterable[Cell]]
_encode: Final = msgspec.json.Encoder().encode
_encode_lines: Final = msgspec.json.Encoder().encode_lines
_EMPTY: Final = msgspec.Raw(b"")


@lru_cache(maxsize=4096)
def guarded(text: str) -> str:
    """The text as a cell that no spreadsheet runs; `unguarded` gives it back."""
    return "'" + text if text[:1] in _FORMULA_STARTS else text


def unguarded(cell: str) -> str:
    """The text that `guarded` was given."""
    return cell[1:] if cell[:1] == "'" else cell


def csv_line(cells: Sequence[Cell]) -> bytes:
    """One line of CSV from any cells: text guarded and quoted where needed, None empty, truth as `true` and `false`."""
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\r\n").writerow([_cell(value) for value in cells])
    return line.getvalue().encode()


def _cell(value: Cell) -> Cell:
    if isinstance(value, bool):
        return "true" if value else "false"
    return guarded(str(value)) if isinstance(value, str) else value


def header(kind: RecordKind) -> bytes:
    """The first line of this kind's objects."""
    return ",".join(kind.columns).encode() + EOL


_FIRST_HEADER: Final = ",".join(PREDICTION_COLUMNS[: -len(ADDED_COLUMNS)]).encode()
_FIRST_START: Final = b"1,"
_START: Final = b"%d," % PREDICTION_VERSION


def widened(kind: RecordKind, line: bytes) -> bytes:
    """A row as today's header wants it: one of a journal that the first version wrote gets empty cells at its end."""
    if kind is not RecordKind.PREDICTION or not line.startswith(_FIRST_START):
        return line
    return line.removesuffix(EOL) + b"," * len(ADDED_COLUMNS) + EOL


class PredictionLines:
    """Renders prediction rows of one model; make it once when the model is loaded.

    A row comes in three parts, in the order of the columns. Its subject: id, when it was made (ISO 8601 with `Z`), the
    day it is as of, partner, pseudonym. Its inputs, the values of `INPUT_COLUMNS`: numbers as numbers, categories as
    their contract text, `loan_types` joined by `|`, None where unknown. Its decision: what was answered, reasons and
    warnings as codes joined by `|`.
    """

    __slots__ = ("_model", "_model_cells", "_raw")

    def __init__(self, name: str, version: str, digest: str) -> None:
        self._model = (name, version, digest)
        self._model_cells = b"," + _encode([guarded(cell) for cell in self._model])[1:-1] + b","
        self._raw = msgspec.Raw(self._model_cells[1:-1])

    def render(self, subject: Cells, inputs: Cells, decision: Cells) -> bytes:
        """The row as CSV bytes with its line end."""
        identifier, created_at, as_of, partner, customer_ref = subject
        head = _encode((identifier, created_at, as_of, guarded(str(partner)), customer_ref))
        cells = _encode(inputs).replace(b"null", b"")  # no category of the contract contains the word
        line = b"".join((_START, head[1:-1], self._model_cells, cells[1:-1], b",", _encode(decision)[1:-1], EOL))
        if b"\\" in line:  # JSON escaped something, and CSV escapes otherwise
            return csv_line((PREDICTION_VERSION, *subject, *self._model, *inputs, *decision))
        return line

    def render_many(self, subject: Columns, inputs: Sequence[Cells], decision: Columns) -> list[bytes]:
        """`render` of many rows, the same parts by columns (partners by names that need no guard), in half the time."""
        cells = [[_EMPTY if cell is None else cell for cell in one] if None in one else one for one in inputs]
        rows = list(zip(repeat(PREDICTION_VERSION), *subject, repeat(self._raw), *cells, *decision))
        text = _encode_lines(rows)[1:-2]
        if b"\\" in text:  # as in `render`
            first, last = len(subject) + 1, -len(decision)
            input_rows = zip(*inputs, strict=True)
            return [self.render(row[1:first], own, row[last:]) for row, own in zip(rows, input_rows, strict=True)]
        return [line + EOL for line in text.split(b"]\n[")]


class OutcomeRow(NamedTuple):
    """A label that came later, as it is recorded."""

    outcome_id: str
    created_at: str
    partner: str
    customer_ref: str
    prediction_id: str
    observed_class: str
    observed_at: str

    def line(self) -> bytes:
        """The row as CSV bytes with its line end."""
        return csv_line((SCHEMA_VERSION, *self))


class ReviewRow(NamedTuple):
    """A person's review of a prediction, as it is recorded."""

    review_id: str
    created_at: str
    partner: str
    customer_ref: str
    prediction_id: str
    reviewer: str
    verdict: str
    comment: str

    def line(self) -> bytes:
        """The row as CSV bytes with its line end."""
        return csv_line((SCHEMA_VERSION, *self))


def cells_of(line: bytes) -> list[str]:
    """The texts of one row's cells, guards taken away.

    Raises:
        RecordsDamaged: the bytes are not one CSV row.
    """
    try:
        (row,) = csv.reader(io.StringIO(line.decode(), newline=""), strict=True)
    except (csv.Error, UnicodeDecodeError, ValueError):
        raise RecordsDamaged("not one CSV row") from None
    return [unguarded(cell) for cell in row]


def kind_of(data: bytes) -> RecordKind:
    """The kind of record that an object holds, by its header.

    Raises:
        RecordsDamaged: the header is none of ours.
    """
    first = data.partition(EOL)[0]
    for kind in RecordKind:
        if first == header(kind)[: -len(EOL)]:
            return kind
    if first == _FIRST_HEADER:
        return RecordKind.PREDICTION
    raise RecordsDamaged("the first line is not the header of predictions, outcomes or reviews")


def read(data: bytes) -> Iterator[dict[str, str]]:
    """The rows of an object as column to text ('' = null), in order; what its version did not have yet is null.

    Raises:
        RecordsDamaged: wrong header, broken CSV or a row of another width.
    """
    columns = kind_of(data).columns
    first, _, rest = data.partition(EOL)
    lacking = [""] * (len(ADDED_COLUMNS) if first == _FIRST_HEADER else 0)
    width = len(columns) - len(lacking)
    try:
        for number, row in enumerate(csv.reader(io.StringIO(rest.decode(), newline=""), strict=True), start=2):
            if len(row) != width:
                raise RecordsDamaged(f"row {number} has {len(row)} cells, not {width}")
            yield {column: unguarded(cell) for column, cell in zip(columns, row + lacking, strict=True)}
    except (csv.Error, UnicodeDecodeError) as error:
        raise RecordsDamaged(f"not CSV in UTF-8 ({type(error).__name__})") from None


def _rewritten(data: bytes, rows: Iterator[dict[str, str]]) -> bytes:
    return header(kind_of(data)) + b"".join(csv_line(tuple(row.values())) for row in rows)


def without_customers(data: bytes, refs: Collection[str], predictions: Collection[str] = ()) -> tuple[bytes, list[str]]:
    """The object without the rows of these pseudonyms or predictions, and the ids (second column) of what went."""

    def is_erased(row: dict[str, str]) -> bool:
        return row["customer_ref"] in refs or row["prediction_id"] in predictions

    ids = [row[kind_of(data).columns[1]] for row in read(data) if is_erased(row)]
    return (_rewritten(data, (row for row in read(data) if not is_erased(row))), ids) if ids else (data, [])


def without_inputs(data: bytes) -> bytes:
    """The object of predictions with the features emptied: the decision stays, what it was made from goes."""
    blanks = dict.fromkeys((*INPUT_COLUMNS, "previous_classes"), "")
    return _rewritten(data, ({**row, **blanks} for row in read(data)))
