"""How a file's columns are read: decimal mark, order of days, unit of a history; from its first bytes or all of it.

The first 256 KiB decide nearly always. Where it leaves a column open, every piece is asked, as the shared reader asks a
whole table; what even all cells leave open is refused with the option that tells it. A piece that contradicts what was
decided ends the job too: earlier cells were read by a mark or an order that is not the column's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flows.batch.contract_columns import plain_type
from flows.batch.cuts import Piece, whole
from flows.batch.layouts import OPEN_DAY, FileLayout, Lane, bare_sample, refusal, settled, without_value
from flows.batch.piece_rows import RowsRead, numeric_texts, rows_of, text_rows
from flows.batch.rows import PROBLEMS, ROW, Checked, ContradictingCell, checked
from service.lexicon.cells import RULES, CellKind, ColumnForm
from service.lexicon.columns import UnitEvidence, column_evidence, unit_evidence
from service.lexicon.dates import day_order, days_read
from service.lexicon.errors import TableRefused, Trouble
from service.lexicon.numerals import DecimalEvidence
from service.lexicon.understanding import (
    decimal_mark,
    open_days,
    open_decimal,
    second_currency,
    two_currencies,
    two_units,
)

SAMPLE_ROWS: Final = 5_000  # of a parquet file whose numbers are texts
DAY_FIELD: Final = "as_of"


@dataclass(frozen=True)
class Proofs:
    """What cells say of their columns' forms: by field evidence and the line of a cell that two readings fit."""

    decimals: Mapping[str, tuple[DecimalEvidence, int]] = field(default_factory=dict)
    days: tuple[str, ...] = ()  # distinct texts that tell of the order of days, a few of each
    day_line: int = 0  # of the first text whose order is open
    units: Mapping[str, UnitEvidence] = field(default_factory=dict)  # of histories

    def plus(self, other: Proofs) -> Proofs:
        """What two pieces say together, this one first."""
        decimals = dict(self.decimals)
        for name, (evidence, line) in other.decimals.items():
            before, first = decimals.get(name, (DecimalEvidence(), 0))
            decimals[name] = (before.plus(evidence), first or line)
        days = tuple(dict.fromkeys(self.days + other.days))
        units = {name: self.units.get(name, UnitEvidence()).plus(evidence) for name, evidence in other.units.items()}
        return Proofs(decimals, days, self.day_line or other.day_line, {**self.units, **units})


def sampled(layout: FileLayout) -> FileLayout | None:
    """The layout with its columns' forms; None if its beginning decides too little.

    Raises:
        BatchRefused: something stays open in all of the file.
    """
    if layout.lane is Lane.WHOLE:
        return layout  # the shared reader has settled it
    try:
        rows = _sample(layout)
        proofs = proofs_of(rows) if rows is not None else Proofs()
    except TableRefused as refused:
        raise refusal(layout.source, refused.trouble) from None
    if layout.complete or not _leaves_open(layout, proofs):
        return decided(layout, proofs)
    return None


def _sample(layout: FileLayout) -> RowsRead | None:
    if layout.lane is not Lane.PARQUET:
        text, line = bare_sample(layout)
        return text_rows(layout, text, line)
    assert layout.schema is not None  # a parquet file has one
    pieces = whole(layout, SAMPLE_ROWS)
    return next(rows_of(pieces[0], SAMPLE_ROWS), None) if pieces else None


def proofs_of(rows: RowsRead) -> Proofs:
    """What these rows say."""
    decimals: dict[str, tuple[DecimalEvidence, int]] = {}
    for name, cells in numeric_texts(rows.table).items():
        texts = cells.to_pandas().astype("str").fillna("").str.strip()
        evidence = column_evidence(texts)
        evidence = replace(evidence, either_point=evidence.either_point[:1], either_comma=evidence.either_comma[:1])
        line = int(rows.lines()[np.flatnonzero(texts == evidence.either[0])[0]]) if evidence.either else 0
        decimals[name] = (evidence, line)
    day_texts, day_line = _days(rows)
    return Proofs(decimals, day_texts, day_line, _units(rows))


def _units(rows: RowsRead) -> dict[str, UnitEvidence]:
    units: dict[str, UnitEvidence] = {}
    for name, rule in RULES.items():
        if rule.kind is not CellKind.HISTORY or name not in rows.fields:
            continue
        cells = rows.file_table.column(rows.fields[name])
        kind = plain_type(cells.type)
        if not pa.types.is_integer(kind):  # those are months
            units[name] = unit_evidence(cells.cast(kind).to_pandas(), rows.lines())
    return units


def _days(rows: RowsRead) -> tuple[tuple[str, ...], int]:
    column = rows.fields.get(DAY_FIELD)
    if column is None:
        return (), 0
    texts = rows.file_table.column(column).cast(pa.string()).to_pandas().astype("str").fillna("")
    open_texts = [text for text in texts.unique() if len(set(days_read(text).values())) > 1]
    orders = [text for text in texts.unique() if day_order([text])]
    line = int(rows.lines()[np.flatnonzero(texts == open_texts[0])[0]]) if open_texts else 0
    # One text of each order, and one that is open, say what all of them do.
    examples = {day_order([text]): text for text in orders}
    return (*examples.values(), *open_texts[:1]), line


def decided(layout: FileLayout, proofs: Proofs) -> FileLayout:
    """The layout with the forms that all cells, or those that were looked at, tell.

    Raises:
        BatchRefused: a cell can be read in two ways, and nothing tells which; or amounts are in two currencies.
    """
    for name, unit in proofs.units.items():
        if unit.open_line:
            raise layout.refused(two_units(layout.fields[name], unit.open_line))
    evidence = {name: one for name, (one, _) in proofs.decimals.items()}
    if currencies := second_currency(evidence):
        both, field_of_second, _ = currencies
        raise layout.refused(two_currencies(both, layout.fields[field_of_second]))
    currencies_there = [currency for proof in evidence.values() for currency, _ in proof.currencies]
    currency = None if layout.complete else next(iter(currencies_there), "")
    forms: dict[str, ColumnForm] = {}
    for name, (proof, line) in proofs.decimals.items():
        mark = decimal_mark(name, evidence, layout.dialect.delimiter, layout.options.decimal)
        if not mark and proof.either:
            trouble = open_decimal(name, layout.fields[name], proof, line).trouble
            raise layout.refused(without_value(trouble))
        forms[name] = ColumnForm(decimal=mark, currency=currency)
    order = layout.options.days or day_order(proofs.days)
    if not order and proofs.day_line:
        trouble = open_days(DAY_FIELD, layout.fields[DAY_FIELD], "", {}, proofs.day_line).trouble
        raise layout.refused(without_value(trouble))
    return settled(layout, {**forms, DAY_FIELD: ColumnForm(days=order)})


def _leaves_open(layout: FileLayout, proofs: Proofs) -> bool:
    """True if the rest of the file could change the decision, or make one."""
    if any(unit.fits for unit in proofs.units.values()):
        return True
    if proofs.day_line and not (layout.options.days or day_order(proofs.days)):
        return True
    if layout.options.decimal:
        return False
    evidence = {name: one for name, (one, _) in proofs.decimals.items()}
    for name, proof in evidence.items():
        mark = decimal_mark(name, evidence, layout.dialect.delimiter)
        by_others_alone = mark == "." and layout.dialect.delimiter == ";" and not proof.decimal
        if not mark or by_others_alone:
            return True
    return False


def piece_proofs(piece: Piece, rows: int) -> Proofs:
    """What a piece's cells say of their columns' forms."""
    return together(proofs_of(part) for part in rows_of(piece, rows))


def together(proofs: Iterable[Proofs]) -> Proofs:
    """What pieces in order say together."""
    total = Proofs()
    for one in proofs:
        total = total.plus(one)
    return total


def checked_rows(layout: FileLayout, rows: RowsRead) -> Checked:
    """The rows of a file held against the contract.

    Raises:
        BatchRefused: cells contradict the decimal mark or the order of days that the file's beginning decided.
    """
    # Read whole, the shared reader has judged all cells; what is told is the caller's word.
    sure = layout.complete or layout.lane is Lane.WHOLE
    if not sure and not layout.options.days:
        _refuse_days(layout, rows)
    try:
        check = checked(rows.table, rows.forms, rows.fields, sure=sure or bool(layout.options.decimal))
    except ContradictingCell as cell:
        mark, usual = ("comma", "point") if rows.forms[cell.field].decimal == "." else ("point", "comma")
        what = f"a number with a decimal {mark}, where the beginning of the file shows a decimal {usual}"
        line, column = int(rows.lines()[cell.place]), rows.fields[cell.field]
        advice = "mend it, or say which: --decimal"
        raise layout.refused(Trouble("decimal", what, _ONE_FORM, advice, line, column)) from None
    check.problem[list(rows.aside)] = PROBLEMS.index(ROW)
    return check


_ONE_FORM: Final = "one way of writing in all of the column"


def _refuse_days(layout: FileLayout, rows: RowsRead) -> None:
    """Make sure that these days fit the order that the file's beginning showed, or are plain where it showed none."""
    column, order = rows.fields.get(DAY_FIELD), rows.forms.get(DAY_FIELD, ColumnForm()).days
    if column is None:
        return
    cells = rows.file_table.column(column).cast(pa.string())
    for text in cells.unique().drop_null().to_pylist():
        readings = days_read(text)
        if order and readings and order not in readings:
            what, expected = "a day in another order than the beginning of the file shows", _ONE_FORM
        elif not order and len(set(readings.values())) > 1:
            what, expected = OPEN_DAY, "an option, or a cell in the first rows that decides"
        else:
            continue
        line = int(rows.lines()[pc.index(cells, pa.scalar(text, cells.type)).as_py()])
        raise layout.refused(Trouble("days", what, expected, "say which: --days", line, column))
