"""Rows of a table held against the contract and scored, column by column: no Python object a row.

Pure: an Arrow table in, an Arrow table out. Texts are looked at once a distinct value, numbers in an unusual dress by
the shared reader. A row that breaks the contract is not guessed at: it gets no score, and `problem` names the first
field at fault. Columns that are no contract field (an id, say) are passed through.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from flows.batch.categories import category
from flows.batch.contract_columns import (
    ANSWERS,
    CATEGORIES,
    CONTRACT,
    FIELDS,
    PREVIOUS,
    SET_COLUMN,
    CellFault,
    is_string,
    plain_type,
)
from service.contract import Basis
from service.engine.packed_model import Arrays, PackedModel
from service.lexicon.cells import RULES, UNREAD, ColumnForm, meaning
from service.lexicon.columns import plain_column
from service.lexicon.numerals import currency_name, evidence, numeral
from service.lexicon.typed_tables import exact_decimals
from service.score.features import HISTORY, Coded, history, matrix
from service.score.observed_classes import from_text
from service.score.policy import CLASSES, GRADES, grade_many, prediction_sets_many, rounded_many
from service.score.reasons import CATALOGUE

ROW: Final = "(row)"
"""What `problem` says of a row that has not as many cells as the header names columns."""
PROBLEMS: Final = ("", *FIELDS, PREVIOUS, ROW)
DAY_FIELD: Final = "as_of"
POINT: Final = ColumnForm(decimal=".")
_CODES: Final = np.array([*(reason.code for reason in CATALOGUE), ""])
_UNDRESSED: Final = r"[0-9.,+\-_]*"  # a number without a currency
Bools = NDArray[np.bool_]
Forms = Mapping[str, ColumnForm]


class ContradictingCell(Exception):
    """A number of the decimal mark that the column's other cells were found not to have."""

    def __init__(self, field: str, place: int) -> None:
        super().__init__(field, place)
        self.field, self.place = field, place


@dataclass(frozen=True)
class Checked:
    """A table held against the contract.

    `columns` for `service.score.features.matrix`; per row its position in PROBLEMS, and the CellFault of the field
    there. A broken field is empty in the columns, so that the row's answer can be computed and thrown away.
    """

    columns: dict[str, Any]
    problem: NDArray[np.int8]
    fault: NDArray[np.int8]
    history: NDArray[np.float64] | None

    def features(self) -> Iterator[NDArray[np.float64]]:
        """The features of the rows, shape (block's rows, features), a block at a time; one empty block of no rows.

        A block's memory is used again for the next. For all rows at once the system would give fresh pages, and
        those cost half as much a row as the trees do.
        """
        columns = self.columns | ({} if self.history is None else {"history": self.history})
        for start in range(0, max(len(self.problem), 1), _BLOCK_ROWS):
            part = slice(start, start + _BLOCK_ROWS)
            yield matrix({name: _cut(cells, part) for name, cells in columns.items()})


_BLOCK_ROWS: Final = 20_000
pa.scalar(0)  # pyarrow looks for pandas at its first conversion: a second of a process's start, not of its first part


def reason(problem: int, fault: int) -> str:
    """Why a row is refused, in words; what it holds is not told."""
    if PROBLEMS[problem] == PREVIOUS:
        return "expected classes such as Poor@2026-06-30|Good@2026-05-31, observed before the row's own day"
    field = PROBLEMS[problem]
    rule = CONTRACT[field][0]
    return {
        CellFault.UNREAD: f"this text has no meaning here; expected {RULES[field].expected}",
        CellFault.UNKNOWN: f"not known, and needed; expected {RULES[field].expected}",
        CellFault.RANGE: f"out of range; expected {rule.get('minimum', 0):,} to {rule.get('maximum', 0):,}",
        CellFault.WHOLE: "expected a whole number",
        CellFault.KINDS: "expected as many kinds of loans as num_loans says, or none",
    }[CellFault(fault)]


def score_table(model: PackedModel, table: pa.Table, check: Checked, *, reasons: bool, sets: bool = False) -> pa.Table:
    """The pass-through columns of `table` and `ANSWERS`, row by row as `PackedModel.assess` does, to the last bit.

    With `sets` also the prediction sets, classes joined by `|`: null where the model tells no thresholds.
    """
    known_history, problem = check.history, check.problem
    blocks = [model.assess_arrays(features, reasons=reasons) for features in check.features()]
    answers = Arrays(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))
    passed = [name for name in table.column_names if name not in FIELDS]
    known = np.zeros(len(problem), np.bool_) if known_history is None else ~np.isnan(known_history[:, 0])
    arrays = [
        *_answer_arrays(answers, problem, model, reasons),
        _dictionary(known.astype(np.int8), [str(name) for name in Basis], problem > 0),
    ]
    names = [*passed, *ANSWERS]
    if sets:
        arrays.append(_sets(answers, known, model, problem > 0))
        names.append(SET_COLUMN)
    return pa.table([*(table.column(name) for name in passed), *arrays], names=names)


def _cut(cells: Any, part: slice) -> Any:
    return Coded(cells.values, cells.codes[part]) if isinstance(cells, Coded) else cells[part]


def _sets(answers: Arrays, known: Bools, model: PackedModel, bad: Bools) -> pa.Array:
    """The prediction set of each row, by what was known of its customer."""
    probabilities = rounded_many(answers.probabilities)
    codes, absent = np.zeros(len(bad), np.int8), bad.copy()
    bits = 1 << np.arange(len(CLASSES))
    for basis, chosen in ((Basis.APPLICANT, ~known), (Basis.KNOWN_CUSTOMER, known)):
        thresholds = model.manifest.set_thresholds.get(basis)
        if thresholds is None:
            absent |= chosen
        elif chosen.any():
            codes[chosen] = prediction_sets_many(probabilities[chosen], thresholds) @ bits
    texts = [
        "|".join(name for place, name in enumerate(CLASSES) if code >> place & 1) for code in range(1 << len(CLASSES))
    ]
    return _dictionary(codes, texts, absent)


def _answer_arrays(answers: Arrays, problem: NDArray[np.int8], model: PackedModel, reasons: bool) -> list[pa.Array]:
    """The columns of ANSWERS; texts are dictionaries, which cost a byte or two a row."""
    bad = problem > 0
    classes = [str(name) for name in CLASSES]
    grades = grade_many(rounded_many(answers.probabilities[:, 0]), model.manifest.grade_borders)
    texts = _reason_texts(answers.numbers) if reasons else Coded([""], np.zeros(len(bad), np.intp))
    return [
        pa.array(answers.score, mask=bad),
        _dictionary(answers.band, classes, bad),
        _dictionary(answers.predicted_class, classes, bad),
        *(pa.array(np.ascontiguousarray(answers.probabilities[:, place]), mask=bad) for place in range(len(classes))),
        pa.array(answers.borderline, mask=bad),
        _dictionary(texts.codes, texts.values, bad),
        _dictionary(problem, list(PROBLEMS)),
        _dictionary(np.zeros(len(bad), np.int8), [model.ref.digest]),
        _dictionary(grades, [str(name) for name in GRADES], bad),
    ]


def _dictionary(codes: NDArray[Any], values: list[str], mask: Bools | None = None) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32), mask=mask), pa.array(values, pa.string()))


def _reason_texts(numbers: NDArray[np.int16]) -> Coded:
    """Codes joined by `|`; thousands of rows share one of a few lists."""
    packed = np.ascontiguousarray(numbers).view(np.int64).ravel()  # four numbers of 16 bits are one of 64
    _, first, codes = np.unique(packed, return_index=True, return_inverse=True)
    texts = ["|".join(code for code in row if code) for row in _CODES[numbers[first]]]
    if not texts:
        return Coded([""], np.zeros(0, np.intp))
    # What stands for no reason may differ from call to call: each text once and in order, for the same bytes again.
    distinct, places = np.unique(texts, return_inverse=True)
    return Coded(distinct.tolist(), places.reshape(-1)[codes.reshape(-1)])


def checked(
    table: pa.Table, forms: Forms | None = None, columns: Mapping[str, str] | None = None, *, sure: bool = True
) -> Checked:
    """The table, its columns named by field, held against the contract.

    Args:
        table: one column a field, and others.
        forms: by field how its texts are read; with a decimal point if left out.
        columns: by field the column that holds what is known of a customer, and the row's day; by their own names else.
        sure: whether the forms are those of all cells, or the caller's word.

    Raises:
        ContradictingCell: a text contradicts its column's form, which is not sure.
    """
    forms = dict.fromkeys(FIELDS, POINT) if forms is None else forms
    values: dict[str, Any] = {}
    problem, fault = np.zeros(len(table), np.int8), np.zeros(len(table), np.int8)

    def blame(name: str, faults: NDArray[np.int8]) -> None:
        first = (faults > 0) & (problem == 0)
        problem[first], fault[first] = PROBLEMS.index(name), faults[first]

    for name in FIELDS:
        rule, nullable = CONTRACT[name]
        if name in CATEGORIES:
            values[name], faults = category(table.column(name), name, rule, nullable)
        else:
            values[name], faults = _number(table.column(name), name, rule, nullable, forms.get(name, POINT), sure)
        blame(name, faults)
    blame(
        "loan_types", np.where(_uneven(values["loan_types"], values["num_loans"]), CellFault.KINDS, 0).astype(np.int8)
    )
    known_history, broken = histories(table, forms.get(DAY_FIELD, ColumnForm()), columns or {})
    blame(PREVIOUS, np.where(broken, CellFault.UNREAD, 0).astype(np.int8))
    return Checked(values, problem, fault, known_history)


def histories(
    table: pa.Table, form: ColumnForm = ColumnForm(), columns: Mapping[str, str] | None = None
) -> tuple[NDArray[np.float64] | None, Bools]:
    """What is known of each row's customer, as `matrix` takes it, and which rows break a rule; None if nobody is known.

    Texts as stored rows have them (`service.score.observed_classes`), by the row's own `as_of` or of today.
    """
    broken = np.zeros(len(table), np.bool_)
    previous, day_column = ((columns or {}).get(name, name) for name in (PREVIOUS, DAY_FIELD))
    if previous not in table.column_names:
        return None, broken
    texts = table.column(previous).cast(pa.string()).to_pylist()
    has_days = day_column in table.column_names
    days = table.column(day_column).cast(pa.string()).to_pylist() if has_days else [None] * len(texts)
    today = datetime.now(UTC).date()
    result = np.full((len(texts), len(HISTORY)), np.nan)
    for row, (text, day) in enumerate(zip(texts, days, strict=True)):
        if not text:
            continue
        as_of = day_of(day, form, today)
        try:
            if as_of is None:
                raise ValueError("no day")
            result[row] = history(from_text(text, as_of), as_of)
        except ValueError:
            broken[row] = True
    return (result if np.any(~np.isnan(result)) else None), broken


def day_of(text: str | None, form: ColumnForm, today: date) -> date | None:
    """The row's day, today where it has none; None for a text that is no day."""
    day = meaning(RULES[DAY_FIELD], text or "", form)
    if day is None:
        return today
    return None if day is UNREAD else date.fromisoformat(str(day))


def _uneven(loans: Coded, number: NDArray[np.float64]) -> Bools:
    counts = np.array([text.count("|") + 1 if text else 0 for text in loans.values], np.float64)[loans.codes]
    uneven: Bools = (counts > 0) & ~(counts == number)
    return uneven


def _number(  # pylint: disable=too-many-arguments,too-many-positional-arguments  # a column and its rules
    cells: pa.ChunkedArray, name: str, rule: Mapping[str, Any], nullable: bool, form: ColumnForm, sure: bool
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    values, absent, unread = _floats(cells, name, form, sure)
    with np.errstate(invalid="ignore"):
        bad = ~((values >= rule["minimum"]) & (values <= rule["maximum"]))
        parts = values != np.floor(values) if rule["type"] == "integer" else np.zeros(len(values), np.bool_)
    bad &= ~absent
    faults = np.zeros(len(values), np.int8)
    if not nullable:
        faults[absent] = CellFault.UNKNOWN
    faults[bad] = CellFault.RANGE
    faults[parts & ~bad & ~absent] = CellFault.WHOLE
    faults[unread] = CellFault.UNREAD
    values[(faults > 0) | absent] = np.nan
    return values, faults


def _floats(
    cells: pa.ChunkedArray, name: str, form: ColumnForm, sure: bool
) -> tuple[NDArray[np.float64], Bools, Bools]:
    """Cells as numbers, NaN where they are none; which are not known; and which are texts without a meaning.

    NaN itself is not known if it is no text.
    """
    kind = plain_type(cells.type)
    cells = cells.cast(kind)
    if pa.types.is_decimal(kind):
        cells, kind = exact_decimals(cells), pa.float64()
    if not is_string(kind):
        values = np.array(pc.cast(cells, pa.float64(), safe=False).to_numpy(), np.float64)
        return values, np.isnan(values), np.zeros(len(values), np.bool_)
    if form.decimal != ",":
        try:
            values = np.array(pc.cast(cells, pa.float64()).to_numpy(), np.float64)  # a copy: broken ones are emptied
            absent = cells.is_null().to_numpy()
            if np.isfinite(values[~absent]).all():  # Arrow takes "nan" and "inf" for numbers
                return values, absent, np.zeros(len(values), np.bool_)
        except pa.ArrowInvalid:  # a text that is no plain number: found, and only then looked for
            pass
    return _dressed(cells, name, form, sure)


def _dressed(
    cells: pa.ChunkedArray, name: str, form: ColumnForm, sure: bool
) -> tuple[NDArray[np.float64], Bools, Bools]:
    """Numbers in whatever dress, and words for "not known", as the shared reader reads them."""
    texts = pc.fill_null(pc.utf8_trim_whitespace(cells.cast(pa.string())), "").to_pandas().astype("str")
    plain = plain_column(texts, RULES[name], form)
    unread = plain.unread
    if not sure and form.decimal and unread.any():
        for text in texts[unread].unique():
            proof = evidence([text])
            if proof.comma if form.decimal == "." else proof.point:
                raise ContradictingCell(name, int(np.flatnonzero(texts == text)[0]))
    if form.currency is not None:
        unread = unread | _in_others(texts, form.currency)
    missing = plain.unknown | (texts == "").to_numpy(dtype=np.bool_)
    numerals = plain.cells.mask(missing | unread)
    numbers = pc.cast(pa.array(numerals, pa.string(), from_pandas=True), pa.float64())
    return np.array(numbers.to_numpy(zero_copy_only=False), np.float64), missing, unread


def _in_others(texts: pd.Series, currency: str) -> Bools:
    """Amounts in another currency than the file's beginning told: what they are worth, nothing says."""
    dressed = ~texts.str.fullmatch(_UNDRESSED).to_numpy(dtype=np.bool_)
    codes, words = pd.factorize(texts[dressed])
    currencies = [amount.currency if (amount := numeral(word)) is not None else "" for word in words]
    others = np.zeros(len(texts), np.bool_)
    others[dressed] = np.array([currency_name(one) not in ("", currency) for one in currencies], np.bool_)[codes]
    return others
