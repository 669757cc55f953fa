"""Erases customers and predictions from the database: rows, answers, results of jobs, and the Idempotency-Keys that led
to them.

Each segment is changed with its row locked, so that whoever ships sees it before or after, never in between. What was
shipped already is erased from the bucket by `flows.predictions.erasure`, and what was not is shipped without the rows.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from functools import partial
from typing import Final, NamedTuple

from service.database.session import Link, Session
from service.ledger import job_results
from service.ledger.journal import entry_rows, frames
from service.ledger.postgres import partitions

_HOLDING: Final = """
SELECT run, first, segment FROM ledger.entry
WHERE day = %s AND EXISTS (SELECT FROM unnest(%s::bytea[]) AS told WHERE position(told IN payload) > 0)
"""
_LOCK: Final = "SELECT FROM ledger.segment WHERE run = %s AND first = %s FOR UPDATE"
_READ: Final = "SELECT payload FROM ledger.entry WHERE day = %s AND run = %s AND first = %s FOR UPDATE"
_LOOK: Final = _READ.removesuffix(" FOR UPDATE")
_CHANGE: Final = "UPDATE ledger.entry SET payload = %s WHERE day = %s AND run = %s AND first = %s"
_DELETE: Final = "DELETE FROM ledger.entry WHERE day = %s AND run = %s AND first = %s"
_FORGET: Final = "DELETE FROM ledger.idempotency WHERE run = %s AND first = %s"
_MARK: Final = "UPDATE ledger.segment SET rewritten = true, rows = rows - %s WHERE run = %s AND first = %s"
_OPEN_JOBS: Final = "SELECT id FROM ledger.job WHERE NOT ended"
_RESULTS: Final = """
SELECT id, first, lines FROM ledger.job_result
WHERE EXISTS (SELECT FROM unnest(%s::bytea[]) AS needle WHERE position(needle IN lines) > 0) FOR UPDATE
"""
_CHANGE_RESULTS: Final = "UPDATE ledger.job_result SET lines = %s WHERE id = %s AND first = %s"


class _Place(NamedTuple):
    """Where an entry lies."""

    day: date
    run: str
    first: int
    segment: int


def erase(url: str, subjects: frozenset[str]) -> tuple[int, int, int]:
    """Rows that went, the segments they were in, and results of jobs. Reads all stored answers until a look finds none.

    Raises:
        DatabaseAway: not all of it is done; run it again.
    """
    session = Session(url, "erasure", statement_timeout_s=3600, idle_timeout_s=600)
    try:
        rows, results, segments, every = 0, 0, set(), subjects
        while True:
            predictions = session.run(partial(_predictions, subjects=every))
            # Outcomes and reviews may name the prediction alone.
            every |= predictions
            results += session.run(partial(_erase_results, predictions=every))
            places = session.run(partial(_holding, subjects=every))
            counts = [session.run(partial(_erase, place=place, subjects=every)) for place in places]
            segments |= {(place.run, place.segment) for place, count in zip(places, counts, strict=True) if count}
            rows += sum(counts)
            if not sum(counts):
                return rows, len(segments), results
    finally:
        session.close()


def open_jobs(url: str) -> set[str]:
    """Ids of the jobs that run or wait.

    Raises:
        DatabaseAway: nobody can tell.
    """
    session = Session(url, "erasure", statement_timeout_s=60)
    try:
        return session.run(lambda link: {row[0] for row in link.execute(_OPEN_JOBS)})
    finally:
        session.close()


def _erase_results(link: Link, predictions: Collection[str]) -> int:
    """Results of jobs that went; a note stands in their place."""
    rows = 0
    needles = [prediction.encode() for prediction in predictions]
    with link.transaction():
        for identifier, first, content in link.execute(_RESULTS, (needles,), binary=True).fetchall():
            lines, count = job_results.without(bytes(content).split(b"\n"), predictions)
            if count:
                link.execute(_CHANGE_RESULTS, (b"\n".join(lines), identifier, first))
                rows += count
    return rows


def _predictions(link: Link, subjects: frozenset[str]) -> frozenset[str]:
    """Ids of the predictions that are about them."""
    predictions: set[str] = set()
    for place in _holding(link, subjects):
        row = link.execute(_LOOK, (place.day, place.run, place.first), binary=True).fetchone()
        predictions |= entry_rows.predictions_of(bytes(row[0]), subjects) if row else set()
    return frozenset(predictions)


def _holding(link: Link, subjects: frozenset[str]) -> list[_Place]:
    """Entries that mention one of them."""
    places = []
    needles = [subject.encode() for subject in subjects]
    for day in partitions.days(link):
        for run, first, segment in link.execute(_HOLDING, (day, needles)).fetchall():
            places.append(_Place(day, run, first, segment))
    return places


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
