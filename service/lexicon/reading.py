"""One way to read the tables people have, for training, batch and demo.

    from service.lexicon.limits import UPLOAD, ReadOptions
    from service.lexicon.reading import read_table

    table = read_table(content_or_path, ReadOptions(limits=UPLOAD), name="clients.csv")
    table.understanding                    # layout, columns with examples, ambiguities, faults with line numbers
    table.plain["annual_income"].cells     # the contract's spelling: "34000.5", "Good", "auto|payday"; null: not known
    table.plain["annual_income"].unread    # true where the text has no meaning in the field
    table.frame, table.lines               # the cells as written, and each row's line
    table.understanding.settled()          # raises TableRefused while something stays open (training, batch)

An ambiguity (`2,900` alone) is asked of the caller: call again with `replace(options, decimal=",")`. Every refusal is a
`TableRefused` whose `trouble` has code, line, column, what was expected and what to do next.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from service.lexicon.cells import RULES, CellKind, CellRule, ColumnForm
from service.lexicon.columns import PlainColumn, column_evidence, plain_column, texts_of, unit_evidence
from service.lexicon.dates import day_order, days_read
from service.lexicon.errors import TableRefused
from service.lexicon.headings import fields_of
from service.lexicon.layout import LaidOut, laid_out
from service.lexicon.limits import ReadOptions
from service.lexicon.numerals import DecimalEvidence
from service.lexicon.understanding import (
    SHOWN,
    SHOWN_LETTERS,
    Ambiguity,
    ColumnUnderstood,
    Example,
    TableRead,
    Understanding,
    UnreadText,
    decimal_mark,
    open_days,
    open_decimal,
    second_currency,
    two_columns,
    two_currencies,
    two_units,
)
from service.lexicon.unpacking import unpacked

LOOKED_AT: Final = 2_000  # cells of a column among which examples are found


def read_table(
    source: bytes | Path,
    options: ReadOptions = ReadOptions(),
    *,
    name: str = "",
    fields: Mapping[str, str] | None = None,
) -> TableRead:
    """The one table in a file, and what was understood of it; `fields` says which column is which field, by name else.

    Raises:
        TableRefused: it cannot be read, in one sentence.
    """
    content = source if isinstance(source, bytes) else source.read_bytes()
    known_as = name or (source.name if isinstance(source, Path) else "the file")
    try:
        return _understood(known_as, laid_out(unpacked(content, known_as, options), options), options, fields)
    except TableRefused as refused:
        raise TableRefused(refused.trouble, known_as) from None


def read_as(table: TableRead, fields: Mapping[str, str], options: ReadOptions = ReadOptions()) -> TableRead:
    """The same table with other columns for its fields, or other options for its cells; the file is not read again.

    Raises:
        TableRefused: the columns are not of one table, in one sentence.
    """
    told = table.understanding
    laid = LaidOut(table.frame, table.lines, told.header_line)
    laid.kind, laid.packing, laid.encoding, laid.delimiter = told.kind, told.packing, told.encoding, told.delimiter
    laid.faults, laid.notes = [*told.faults], [*told.notes]
    return _understood(told.name, laid, options, fields)


def _understood(name: str, laid: LaidOut, options: ReadOptions, told: Mapping[str, str] | None) -> TableRead:
    frame = laid.frame
    named = fields_of([str(column) for column in frame.columns])
    columns = dict(told) if told is not None else {field: found[0] for field, found in named.items()}
    ambiguities = (
        []
        if told is not None
        else [two_columns(field, found, laid.header_line) for field, found in named.items() if len(found) > 1]
    )
    rules = {field: RULES[field] for field in columns if field in RULES}
    proofs = {field: column_evidence(frame[columns[field]]) for field, rule in rules.items() if rule.numeric}
    _refuse_currencies(proofs, columns, laid)
    plain, understood = {}, []
    for field, rule in rules.items():
        cells = frame[columns[field]]
        if rule.kind is CellKind.HISTORY and (line := unit_evidence(cells, laid.lines).open_line):
            raise TableRefused(two_units(columns[field], line), name)
        form = _form(rule, cells, proofs, laid, options)
        plain[field] = plain_column(cells, rule, form)
        ambiguities += _open(rule, columns[field], cells, form, proofs.get(field, DecimalEvidence()), laid)
        understood.append(_column(columns[field], rule, form, cells, plain[field], laid))
    understanding = _understanding(name, laid, understood, ambiguities)
    return TableRead(frame, laid.lines, plain, understanding, columns)


def _refuse_currencies(proofs: Mapping[str, DecimalEvidence], columns: Mapping[str, str], laid: LaidOut) -> None:
    if found := second_currency(proofs):
        both, field, written = found
        column = columns[field]
        raise TableRefused(two_currencies(both, column, _line(laid.frame[column], written, laid)))


def _understanding(
    name: str, laid: LaidOut, columns: list[ColumnUnderstood], ambiguities: list[Ambiguity]
) -> Understanding:
    marks = {one.form.decimal for one in columns if one.form.decimal}
    used = {one.name for one in columns}
    return Understanding(
        name=name,
        kind=laid.kind,
        packing=laid.packing,
        encoding=laid.encoding,
        delimiter=laid.delimiter,
        decimal=marks.pop() if len(marks) == 1 else "",
        header_line=laid.header_line,
        rows=len(laid.frame),
        columns=tuple(columns),
        passed_on=tuple(column for column in laid.frame.columns if column not in used),
        ambiguities=tuple(ambiguities),
        faults=tuple(laid.faults),
        notes=tuple(laid.notes),
    )


def _form(
    rule: CellRule, cells: pd.Series, proofs: Mapping[str, DecimalEvidence], laid: LaidOut, options: ReadOptions
) -> ColumnForm:
    if rule.numeric:
        return ColumnForm(decimal=decimal_mark(rule.field, proofs, laid.delimiter, options.decimal))
    if rule.kind is CellKind.DAY:
        return ColumnForm(days=options.days or day_order(texts_of(cells).unique()))
    return ColumnForm()


def _open(
    rule: CellRule, column: str, cells: pd.Series, form: ColumnForm, proof: DecimalEvidence, laid: LaidOut
) -> list[Ambiguity]:
    """What the column leaves open: cells that two readings fit, with no mark decided."""
    if rule.numeric and not form.decimal and proof.either:
        return [open_decimal(rule.field, column, proof, _line(cells, proof.either[0], laid))]
    if rule.kind is CellKind.DAY and not form.days:
        for written in texts_of(cells).unique():
            readings = days_read(written)
            if len(set(readings.values())) > 1:
                return [open_days(rule.field, column, written, readings, _line(cells, written, laid))]
    return []


def _line(cells: pd.Series, written: str, laid: LaidOut) -> int:
    return int(laid.lines[(cells == written).to_numpy(dtype=np.bool_)][0])


def _column(
    column: str, rule: CellRule, form: ColumnForm, cells: pd.Series, plain: PlainColumn, laid: LaidOut
) -> ColumnUnderstood:
    return ColumnUnderstood(
        name=column,
        field=rule.field,
        kind=rule.kind,
        form=form,
        expected=rule.expected,
        examples=_examples(cells, plain, laid),
        unknown_cells=int(plain.unknown.sum()),
        unread_cells=int(plain.unread.sum()),
        commonest_unread=_unread(cells, plain, laid),
    )


def _examples(cells: pd.Series, plain: PlainColumn, laid: LaidOut) -> tuple[Example, ...]:
    """Distinct cells that say something, those first whose meaning is written otherwise."""
    read = np.flatnonzero(~plain.unread & ~plain.unknown)[:LOOKED_AT]
    pairs = zip(read.tolist(), cells.iloc[read].tolist(), plain.cells.iloc[read].tolist(), strict=True)
    told = [(place, str(cell), str(meant)) for place, cell, meant in pairs]
    chosen: dict[str, Example] = {}
    for place, cell, meant in [*(one for one in told if one[1] != one[2]), *told[:SHOWN]]:
        written = _shown(cell)
        chosen.setdefault(written, Example(int(laid.lines[place]), written, _shown(meant)))
        if len(chosen) == SHOWN:
            break
    return tuple(chosen.values())


def _unread(cells: pd.Series, plain: PlainColumn, laid: LaidOut) -> tuple[UnreadText, ...]:
    if not plain.unread.any():
        return ()
    texts = cells[plain.unread].astype("str")
    lines = laid.lines[plain.unread]
    counts = texts.value_counts().head(SHOWN)
    return tuple(
        UnreadText(_shown(text), int(count), int(lines[(texts == text).to_numpy()][0]))
        for text, count in counts.items()
    )


def _shown(cell: object) -> str:
    text = str(cell)
    return text if len(text) <= SHOWN_LETTERS else text[:SHOWN_LETTERS] + "…"
