"""The rows of stored entries: the objects they become in the bucket, and what an erasure leaves of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from service.ledger.journal.frames import FRAME_HEAD_BYTES, JournalEntry, decode, encode, pause_between
from service.ledger.records import RecordKind, cells_of, header, widened


def csv_objects(entries: Sequence[tuple[int, bytes]], pause_s: float = 0.0) -> dict[RecordKind, tuple[bytes, int]]:
    """The CSV object of each kind that the entries hold, and its number of rows: a pure function of the file."""
    lines: dict[RecordKind, list[bytes]] = {}
    for count, (_, payload) in enumerate(entries):
        pause_between(count, pause_s)
        stored = decode(payload)
        lines.setdefault(stored.kind, []).extend(widened(stored.kind, row.line) for row in stored.rows)
    shipped = [kind for kind in sorted(lines) if lines[kind] and kind.shipped]
    return {kind: (header(kind) + b"".join(lines[kind]), len(lines[kind])) for kind in shipped}


def erase(payload: bytes, subjects: frozenset[str]) -> bytes | None:
    """The entry without the rows of these pseudonyms or predictions; unchanged if it has none, None if none is left.

    The answers of erased rows are blanked inside the stored body, and the entry gives its Idempotency-Key up: what
    would be replayed is no longer what was answered.
    """
    stored = decode(payload)
    keep = [row for row in stored.rows if not subjects & _subjects(stored.kind, row.line)]
    if len(keep) == len(stored.rows):
        return payload
    if not keep:
        return None
    body = b"".join(row.answer for row in keep)
    ends = [sum(len(row.answer) for row in keep[: place + 1]) for place in range(len(keep))]
    entry = JournalEntry(
        kind=stored.kind,
        partner=stored.partner,
        body=body,
        ids=(),
        lines=[row.line for row in keep],
        spans=[(end - len(row.answer), end) for row, end in zip(keep, ends, strict=True)],
        status=stored.status,
    )
    return encode(entry, [row.number for row in keep], stored.at_us)[FRAME_HEAD_BYTES:]


def predictions_of(payload: bytes, subjects: frozenset[str]) -> set[str]:
    """Ids of the predictions in an entry that are about these pseudonyms or predictions."""
    stored = decode(payload)
    place = stored.kind.columns.index("prediction_id")
    return {cells_of(row.line)[place] for row in stored.rows if subjects & _subjects(stored.kind, row.line)}


def _subjects(kind: RecordKind, line: bytes) -> set[str]:
    """Whom a row is about: its customer's pseudonym, where it has one, and its prediction."""
    cells = cells_of(line)
    return {cells[kind.columns.index(name)] for name in ("customer_ref", "prediction_id")}
