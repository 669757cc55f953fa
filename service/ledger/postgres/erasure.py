"""Erases customers and predictions from the database: rows, answers, and the Idempotency-Keys that led to them.

Each segment is changed with its row locked, so that whoever ships sees it before or after, never in between. What was
shipped already is erased from the bucket by `flows.predictions.erasure`, and what was not is shipped without the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from functools import partial
from typing import Final, NamedTuple

from service.database.session import Link, Session
from service.ledger.journal import entry_rows, frames
from service.ledger.postgres import partitions

_HOLDING: Final = """
SELECT run, first, segment FROM ledger.entry
WHERE day = %s AND EXISTS (SELECT FROM unnest(%s::bytea[]) AS told WHERE position(told IN payload) > 0)
"""
_LOCK: Final = "SELECT FROM ledger.segment WHERE run = %s AND first = %s FOR UPDATE"
_READ: Final = "SELECT payload FROM ledger.entry WHERE day = %s AND run = %s AND first = %s FOR UPDATE"
_CHANGE: Final = "UPDATE ledger.entry SET payload = %s WHERE day = %s AND run = %s AND first = %s"
_DELETE: Final = "DELETE FROM ledger.entry WHERE day = %s AND run = %s AND first = %s"
_FORGET: Final = "DELETE FROM ledger.idempotency WHERE run = %s AND first = %s"
_MARK: Final = "UPDATE ledger.segment SET rewritten = true, rows = rows - %s WHERE run = %s AND first = %s"


class _Place(NamedTuple):
    """Where an entry lies."""

    day: date
    run: str
    first: int
    segment: int


def erase(url: str, subjects: frozenset[str]) -> tuple[int, int]:
    """Rows that went, and the segments they were in. Reads every stored answer once.

    Raises:
        DatabaseAway: not all of it is done; run it again.
    """
    session = Session(url, "erasure", statement_timeout_s=3600, idle_timeout_s=600)
    try:
        rows, segments = 0, set()
        for place in session.run(lambda link: list(_holding(link, subjects))):
            count = session.run(partial(_erase, place=place, subjects=subjects))
            if count:
                rows += count
                segments.add((place.run, place.segment))
        return rows, len(segments)
    finally:
        session.close()


def _holding(link: Link, subjects: frozenset[str]) -> Iterator[_Place]:
    """Entries that mention one of them."""
    needles = [subject.encode() for subject in subjects]
    for day in partitions.days(link):
        for run, first, segment in link.execute(_HOLDING, (day, needles)).fetchall():
            yield _Place(day, run, first, segment)


def _erase(link: Link, place: _Place, subjects: frozenset[str]) -> int:
    """Rows that went from one entry."""
    where = place.day, place.run, place.first
    with link.transaction():
        link.execute(_LOCK, (place.run, place.segment))
        row = link.execute(_READ, where, binary=True).fetchone()
        if row is None:
            return 0
        payload = bytes(row[0])
        rest = entry_rows.erase(payload, subjects)
        count = len(frames.numbers_of(payload)) - (len(frames.numbers_of(rest)) if rest else 0)
        if not count:
            return 0
        if rest is None:
            link.execute(_DELETE, where)
        else:
            link.execute(_CHANGE, (rest, *where))
        link.execute(_FORGET, (place.run, place.first))
        link.execute(_MARK, (count, place.run, place.segment))
        return count
