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
    understanding = table.understanding
    layout = LaidOut(table.frame, table.lines, understanding.header_line)
    layout.kind, layout.packing, layout.encoding, layout.delimiter = (
        understanding.kind,
        understanding.packing,
        understanding.encoding,
        understanding.delimiter,
    )
    layout.faults, layout.notes = [*understanding.faults], [*understanding.notes]
    return _understood(understanding.name, layout, options, fields)


def _understood(name: str, layout: LaidOut, options: ReadOptions, mapping: Mapping[str, str] | None) -> TableRead:
    frame = layout.frame
    names_by_field = fields_of([str(column) for column in frame.columns])
    columns = dict(mapping) if mapping is not None else {field: names[0] for field, names in names_by_field.items()}
    ambiguities = (
        []
        if mapping is not None
        else [
            two_columns(field, names, layout.header_line) for field, names in names_by_field.items() if len(names) > 1
        ]
    )
    rules = {field: RULES[field] for field in columns if field in RULES}
    proofs = {field: column_evidence(frame[columns[field]]) for field, rule in rules.items() if rule.numeric}
    _refuse_currencies(proofs, columns, layout)
    plain, understood = {}, []
    for field, rule in rules.items():
        cells = frame[columns[field]]
        if rule.kind is CellKind.HISTORY and (line := unit_evidence(cells, layout.lines).open_line):
            raise TableRefused(two_units(columns[field], line), name)
        form = _form(rule, cells, proofs, layout, options)
        plain[field] = plain_column(cells, rule, form)
        ambiguities += _open(rule, columns[field], cells, form, proofs.get(field, DecimalEvidence()), layout)
        understood.append(_column(columns[field], rule, form, cells, plain[field], layout))
    understanding = _understanding(name, layout, understood, ambiguities)
    return TableRead(frame, layout.lines, plain, understanding, columns)


def _refuse_currencies(proofs: Mapping[str, DecimalEvidence], columns: Mapping[str, str], layout: LaidOut) -> None:
    if second := second_currency(proofs):
        both, field, cell = second
        column = columns[field]
        raise TableRefused(two_currencies(both, column, _line(layout.frame[column], cell, layout)))


def _understanding(
    name: str, layout: LaidOut, columns: list[ColumnUnderstood], ambiguities: list[Ambiguity]
) -> Understanding:
    marks = {one.form.decimal for one in columns if one.form.decimal}
    names = {one.name for one in columns}
    return Understanding(
        name=name,
        kind=layout.kind,
        packing=layout.packing,
        encoding=layout.encoding,
        delimiter=layout.delimiter,
        decimal=marks.pop() if len(marks) == 1 else "",
        header_line=layout.header_line,
        rows=len(layout.frame),
        columns=tuple(columns),
        passed_on=tuple(column for column in layout.frame.columns if column not in names),
        ambiguities=tuple(ambiguities),
        faults=tuple(layout.faults),
        notes=tuple(layout.notes),
    )


def _form(
    rule: CellRule, cells: pd.Series, proofs: Mapping[str, DecimalEvidence], layout: LaidOut, options: ReadOptions
) -> ColumnForm:
    if rule.numeric:
        return ColumnForm(decimal=decimal_mark(rule.field, proofs, layout.delimiter, options.decimal))
    if rule.kind is CellKind.DAY:
        return ColumnForm(days=options.days or day_order(texts_of(cells).unique()))
    return ColumnForm()


def _open(
    rule: CellRule, column: str, cells: pd.Series, form: ColumnForm, proof: DecimalEvidence, layout: LaidOut
) -> list[Ambiguity]:
    """What the column leaves open: cells that two readings fit, with no mark decided."""
    if rule.numeric and not form.decimal and proof.either:
        return [open_decimal(rule.field, column, proof, _line(cells, proof.either[0], layout))]
    if rule.kind is CellKind.DAY and not form.days:
        for text in texts_of(cells).unique():
            readings = days_read(text)
            if len(set(readings.values())) > 1:
                return [open_days(rule.field, column, text, readings, _line(cells, text, layout))]
    return []


def _line(cells: pd.Series, text: str, layout: LaidOut) -> int:
    return int(layout.lines[(cells == text).to_numpy(dtype=np.bool_)][0])


def _column(
    column: str, rule: CellRule, form: ColumnForm, cells: pd.Series, plain: PlainColumn, layout: LaidOut
) -> ColumnUnderstood:
    return ColumnUnderstood(
        name=column,
        field=rule.field,
        kind=rule.kind,
        form=form,
        expected=rule.expected,
        examples=_examples(cells, plain, layout),
        unknown_cells=int(plain.unknown.sum()),
        unread_cells=int(plain.unread.sum()),
        commonest_unread=_unread(cells, plain, layout),
    )


def _examples(cells: pd.Series, plain: PlainColumn, layout: LaidOut) -> tuple[Example, ...]:
    """Distinct cells that say something, those first whose meaning is written otherwise."""
    places = np.flatnonzero(~plain.unread & ~plain.unknown)[:LOOKED_AT]
    pairs = zip(places.tolist(), cells.iloc[places].tolist(), plain.cells.iloc[places].tolist(), strict=True)
    meanings = [(place, str(cell), str(value)) for place, cell, value in pairs]
    examples: dict[str, Example] = {}
    for place, cell, value in [*(one for one in meanings if one[1] != one[2]), *meanings[:SHOWN]]:
        text = _excerpt(cell)
        examples.setdefault(text, Example(int(layout.lines[place]), text, _excerpt(value)))
        if len(examples) == SHOWN:
            break
    return tuple(examples.values())


def _unread(cells: pd.Series, plain: PlainColumn, layout: LaidOut) -> tuple[UnreadText, ...]:
    if not plain.unread.any():
        return ()
    texts = cells[plain.unread].astype("str")
    lines = layout.lines[plain.unread]
    counts = texts.value_counts().head(SHOWN)
    return tuple(
        UnreadText(_excerpt(text), int(count), int(lines[(texts == text).to_numpy()][0]))
        for text, count in counts.items()
    )


def _excerpt(cell: object) -> str:
    text = str(cell)
    return text if len(text) <= SHOWN_LETTERS else text[:SHOWN_LETTERS] + "…"
