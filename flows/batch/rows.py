"""Rows of a table held against the contract and scored, column by column: no Python object a row.

Pure: an Arrow table in, an Arrow table out. Texts are looked at once a distinct value. A row that breaks the contract
is not guessed at: it gets no score, and `problem` names the first field at fault. Columns that are no contract field
(an id, say) are passed through.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from service.contract import DESCRIBING_FIELDS, PROBABILITY_COLUMNS, Applicant, Basis
from service.engine.packed_model import Arrays, PackedModel
from service.lexicon.cells import RULES, UNREAD, ColumnForm, meaning
from service.lexicon.numerals import evidence
from service.score.features import HISTORY, LOAN_KINDS, Coded, history, matrix
from service.score.observed import from_text
from service.score.policy import CLASSES, GRADES, grade_many, told_many
from service.score.reasons import CATALOGUE

_SCHEMA: Final = Applicant.model_json_schema()
FIELDS: Final = DESCRIBING_FIELDS
PROBABILITIES: Final = PROBABILITY_COLUMNS
ANSWERS: Final = (
    *("score", "band", "predicted_class", *PROBABILITIES),
    *("borderline", "reasons", "problem", "model_digest", "risk_grade", "basis"),
)
PREVIOUS: Final = "previous_classes"
"""An optional column; without it nobody is known."""
_NUMBER: Final = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_NO_NUMBER: Final = "unread"
_CODES: Final = np.array([*(reason.code for reason in CATALOGUE), ""])
Bools = NDArray[np.bool_]


class BatchRefused(RuntimeError):
    """The file cannot be scored as asked; the text says what to change, and holds no value of an applicant."""


def _rule(field: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    choices = field.get("anyOf", [field])
    return next(choice for choice in choices if choice.get("type") != "null"), {"type": "null"} in choices


def _levels(rule: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(_SCHEMA["$defs"][rule["$ref"].rpartition("/")[2]]["enum"])


_RULES: Final = {name: _rule(_SCHEMA["properties"][name]) for name in FIELDS}
CATEGORIES: Final = tuple(name for name, (rule, _) in _RULES.items() if "$ref" in rule or rule.get("type") == "array")
"""Fields whose cells are texts of few distinct values; all others are numbers."""


pa.scalar(0)  # pyarrow looks for pandas at its first conversion: a second of a process's start, not of its first part


def refuse_columns(schema: pa.Schema, name: str) -> None:
    """Nothing, if a file of this schema can be scored.

    Raises:
        BatchRefused: a contract field is missing, stands twice, is of another type, or a column has a name that an
            answer takes.
    """
    if missing := [field for field in FIELDS if field not in schema.names]:
        raise BatchRefused(f"{name} lacks {', '.join(missing)}: one column a contract field is needed")
    if twice := sorted({column for column in schema.names if schema.names.count(column) > 1}):
        raise BatchRefused(f"{name} names {', '.join(twice)} more than once: every column needs a name of its own")
    if taken := [column for column in schema.names if column in ANSWERS]:
        raise BatchRefused(f"{name} has columns named as answers are, {', '.join(taken)}: rename them")
    for field in FIELDS:
        kind = schema.field(field).type
        if not (_is_text(field, kind) if field in CATEGORIES else _is_number(kind)):
            wanted = "text" if field in CATEGORIES else "numbers"
            raise BatchRefused(f"{name}: column {field} is of type {kind}, {wanted} needed")


def _is_number(kind: pa.DataType) -> bool:
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    numeric = pa.types.is_integer(plain) or pa.types.is_floating(plain) or pa.types.is_decimal(plain)
    return bool(numeric or pa.types.is_null(plain) or _is_string(plain))


def _is_text(field: str, kind: pa.DataType) -> bool:
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    listed = field == "loan_types" and (pa.types.is_list(plain) or pa.types.is_large_list(plain))
    return bool(pa.types.is_null(plain) or _is_string(plain.value_type if listed else plain))


def _is_string(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def score_table(model: PackedModel, table: pa.Table, *, reasons: bool) -> pa.Table:
    """The pass-through columns of `table` and `ANSWERS`, row by row as `PackedModel.assess` does, to the last bit."""
    columns, problem = checked(table)
    told, broken = histories(table)
    problem[broken & (problem == 0)] = len(FIELDS) + 1
    answers = model.assess_arrays(matrix(columns | ({} if told is None else {"history": told})), reasons=reasons)
    passed = [name for name in table.column_names if name not in FIELDS]
    known = np.zeros(len(problem), np.bool_) if told is None else ~np.isnan(told[:, 0])
    arrays = [
        *_answer_arrays(answers, problem, model, reasons),
        _dictionary(known.astype(np.int8), [str(name) for name in Basis], problem > 0),
    ]
    return pa.table([*(table.column(name) for name in passed), *arrays], names=[*passed, *ANSWERS])


def _answer_arrays(answers: Arrays, problem: NDArray[np.int8], model: PackedModel, reasons: bool) -> list[pa.Array]:
    """The columns of ANSWERS; texts are dictionaries, which cost a byte or two a row."""
    bad = problem > 0
    classes = [str(name) for name in CLASSES]
    grades = grade_many(told_many(answers.probabilities[:, 0]), model.manifest.grade_borders)
    told = _reason_texts(answers.numbers) if reasons else Coded([""], np.zeros(len(bad), np.intp))
    return [
        pa.array(answers.score, mask=bad),
        _dictionary(answers.band, classes, bad),
        _dictionary(answers.predicted_class, classes, bad),
        *(pa.array(np.ascontiguousarray(answers.probabilities[:, place]), mask=bad) for place in range(len(classes))),
        pa.array(answers.borderline, mask=bad),
        _dictionary(told.codes, told.values, bad),
        _dictionary(problem, ["", *FIELDS, PREVIOUS]),
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
    told, places = np.unique(texts, return_inverse=True)
    return Coded(told.tolist(), places.reshape(-1)[codes.reshape(-1)])


def checked(table: pa.Table) -> tuple[dict[str, Any], NDArray[np.int8]]:
    """Contract fields for `service.score.features.matrix`; per row 0 or 1 + the position in FIELDS of the field at
    fault.

    A broken field is empty in the columns, so that the row's answer can be computed and thrown away.
    """
    columns: dict[str, Any] = {}
    problem = np.zeros(len(table), np.int8)
    for place, name in enumerate(FIELDS):
        rule, nullable = _RULES[name]
        if name in CATEGORIES:
            columns[name], bad = _category(table.column(name), name, rule, nullable)
        else:
            columns[name], bad = _number(table.column(name), name, rule, nullable)
        problem[bad & (problem == 0)] = place + 1
    uneven = _uneven(columns["loan_types"], columns["num_loans"])
    problem[uneven & (problem == 0)] = FIELDS.index("loan_types") + 1
    return columns, problem


def histories(table: pa.Table) -> tuple[NDArray[np.float64] | None, Bools]:
    """What is known of each row's customer, as `matrix` takes it, and which rows break a rule; None if nobody is known.

    Cells are texts as stored rows have them (`service.score.observed`), as of the row's own `as_of` or of today.
    """
    broken = np.zeros(len(table), np.bool_)
    if PREVIOUS not in table.column_names:
        return None, broken
    texts = table.column(PREVIOUS).cast(pa.string()).to_pylist()
    days = table.column("as_of").cast(pa.string()).to_pylist() if "as_of" in table.column_names else [None] * len(texts)
    today = datetime.now(UTC).date()
    told = np.full((len(texts), len(HISTORY)), np.nan)
    for row, (text, day) in enumerate(zip(texts, days, strict=True)):
        if not text:
            continue
        try:
            as_of = date.fromisoformat(day[:10]) if day else today
            told[row] = history(from_text(text, as_of), as_of)
        except ValueError:
            broken[row] = True
    return (told if np.any(~np.isnan(told)) else None), broken


def _uneven(loans: Coded, number: NDArray[np.float64]) -> Bools:
    told = np.array([text.count("|") + 1 if text else 0 for text in loans.values], np.float64)[loans.codes]
    uneven: Bools = (told > 0) & ~(told == number)
    return uneven


def _number(
    cells: pa.ChunkedArray, name: str, rule: Mapping[str, Any], nullable: bool
) -> tuple[NDArray[np.float64], Bools]:
    values, absent = _floats(cells, name)
    with np.errstate(invalid="ignore"):
        bad = ~((values >= rule["minimum"]) & (values <= rule["maximum"]))
        if rule["type"] == "integer":
            bad |= values != np.floor(values)
    bad &= ~absent
    values[bad] = np.nan
    return values, bad if nullable else bad | absent


def _floats(cells: pa.ChunkedArray, name: str) -> tuple[NDArray[np.float64], Bools]:
    """Cells as numbers, NaN where they are none, and which cells are empty; NaN itself is empty if it is no text."""
    if pa.types.is_dictionary(cells.type):
        cells = cells.cast(cells.type.value_type)
    text = _is_string(cells.type)
    try:
        numbers = pc.cast(cells, pa.float64(), safe=False)
    except pa.ArrowInvalid:  # a text that is no number: found, and only then looked for
        cells = _plain_numbers(cells.cast(pa.string()), name)
        plain = pc.utf8_trim_whitespace(cells)
        numeric = pc.match_substring_regex(plain, _NUMBER)
        numbers = pc.cast(pc.utf8_ltrim(pc.if_else(numeric, plain, None), "+"), pa.float64())
    values = np.array(numbers.to_numpy(), np.float64)  # a copy: broken values are emptied in it
    return values, cells.is_null().to_numpy() if text else np.isnan(values)


def _plain_numbers(cells: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Words for "not known" as nulls, and numbers in another dress as plain ones; cells that are neither stay.

    A part of a file is no whole column: only a point that its own cells prove is taken for the decimal mark. Else only
    cells that can be read one way are read; the row of any other is refused, never guessed.
    """
    coded = cells.dictionary_encode().unify_dictionaries().combine_chunks()
    coded = coded.chunk(0) if isinstance(coded, pa.ChunkedArray) else coded
    texts = coded.dictionary.to_pylist()
    found = evidence(texts)
    forms = [ColumnForm("." if found.point else ""), *([ColumnForm("")] if found.contradicts else [])]
    meant = [[meaning(RULES[name], text, form) for form in forms] for text in texts]
    plain = [_NO_NUMBER if UNREAD in told else told[0] for told in meant]
    return pa.chunked_array([pa.array(plain, pa.string()).take(coded.indices)])


def _category(cells: pa.ChunkedArray, name: str, rule: Mapping[str, Any], nullable: bool) -> tuple[Coded, Bools]:
    listed = rule.get("type") == "array"
    coded = _encoded(cells)
    texts = [_spelt(name, text) for text in coded.dictionary.to_pylist()]
    allowed = _allowed_loans if listed else _levels(rule).__contains__
    good = [text is None or allowed(text) for text in texts]
    codes = np.where(
        coded.is_null().to_numpy(zero_copy_only=False),
        len(texts),
        pc.fill_null(coded.indices, 0).to_numpy().astype(np.intp),
    )
    absent = np.array([text is None for text in [*texts, None]])[codes]
    nothing = "" if listed else None
    values = [
        *(text if fine and text is not None else nothing for text, fine in zip(texts, good, strict=True)),
        nothing,
    ]
    bad = ~np.array([*good, True])[codes]
    return Coded(values, codes), bad if nullable or listed else bad | absent


def _spelt(name: str, text: str | None) -> str | None:
    """A category in the contract's spelling, null for a word that says it is not known; any other text as it is."""
    if not text:
        return text
    told = meaning(RULES[name], text)
    return text if told is UNREAD else told


def _encoded(cells: pa.ChunkedArray) -> pa.DictionaryArray:
    """The texts as one array of distinct values and positions."""
    if pa.types.is_list(cells.type) or pa.types.is_large_list(cells.type):
        joined = pc.binary_join(cells, "|")  # nothing where an element is: that is no kind of loan
        cells = pc.if_else(pc.and_(pc.is_null(joined), pc.is_valid(cells)), "null", joined)
    if not pa.types.is_dictionary(cells.type):
        cells = cells.cast(pa.string()).dictionary_encode()
    if not cells.num_chunks:
        return pa.array([], pa.string()).dictionary_encode()
    joined = cells.unify_dictionaries().combine_chunks()
    return joined.chunk(0) if isinstance(joined, pa.ChunkedArray) else joined


def _allowed_loans(text: str) -> bool:
    return not text or all(kind in LOAN_KINDS for kind in text.split("|"))
