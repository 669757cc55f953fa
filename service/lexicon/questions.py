"""What a file decides of its columns, and the question to its owner where nothing does."""

from __future__ import annotations

from collections.abc import Mapping

from service.lexicon.numerals import Decimal, DecimalEvidence, decide, numeral
from service.lexicon.understanding import Ambiguity


def decimal_mark(field: str, proofs: Mapping[str, DecimalEvidence], delimiter: str, told: Decimal = "") -> Decimal:
    """The mark of a field's column, by field what each column's cells say; empty where nothing decides."""
    return decide(proofs[field], [proof for other, proof in proofs.items() if other != field], delimiter, told)


def open_decimal(field: str, column: str, proof: DecimalEvidence, line: int) -> Ambiguity:
    """The question about the first cell that two readings fit, which stands on `line`."""
    written = proof.either[0]
    found = numeral(written)
    readings = {mark: str(found.plain(mark)) for mark in ".,"} if found else {}
    return Ambiguity("decimal", column, field, "--decimal", line, written, readings)


def open_days(field: str, column: str, written: str, readings: Mapping[str, str], line: int) -> Ambiguity:
    """The question which of day and month stands first."""
    return Ambiguity("days", column, field, "--days", line, written, readings)


def two_columns(field: str, columns: tuple[str, ...], line: int) -> Ambiguity:
    """The question which of several columns holds the field."""
    both = " and ".join(columns)
    return Ambiguity("field-twice", columns[0], field, "", line, both, {name: name for name in columns})
