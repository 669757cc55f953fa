"""Stored answers in PostgreSQL: readable on every host the moment they were given, by their partner alone."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Final

from service.database.session import Link, Session
from service.errors import AnswerAway, AnswerNotFound, DatabaseAway
from service.ledger.journal import frames
from service.ledger.journal.answers import JournalAnswer
from service.ledger.records import RecordKind

_PLACE: Final = re.compile(r"(\d{8})-([a-z2-7]{10})-([0-9a-f]{1,10})")
# A row lies under the day its segment was begun on, which may be the one after its id was taken. The inner look finds
# the nearest entry by the index, so that a number that nobody was given costs no more than one that somebody was.
_READ: Final = """
SELECT payload FROM (
    SELECT last, payload FROM ledger.entry WHERE day = %s AND run = %s AND first <= %s ORDER BY first DESC LIMIT 1
) AS nearest WHERE last >= %s
"""


class DatabaseAnswers:
    """Reads answers by their place, one after the other."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="answers")

    async def read(self, place: str, owner: str, kind: RecordKind) -> JournalAnswer:
        """The answer of this owner.

        Raises:
            AnswerNotFound: there is none, it is too old, or it belongs to somebody else: nobody can tell which.
            AnswerAway: the database does not answer.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, place, owner, kind)
        except DatabaseAway as error:
            raise AnswerAway(f"the database does not answer: {error}") from error

    def close(self) -> None:
        """Ends the thread."""
        self._thread.shutdown(cancel_futures=True)
        self._session.close()

    def _read(self, place: str, owner: str, kind: RecordKind) -> JournalAnswer:
        parts = _PLACE.fullmatch(place)
        if parts is None:
            raise AnswerNotFound("no such prediction")
        day, run, number = parts[1], parts[2], int(parts[3], 16)
        for payload in self._session.run(lambda link: _payloads(link, day, run, number)):
            entry = frames.decode(payload)
            match = next((row for row in entry.rows if row.number == number), None)
            if match is not None and entry.partner == owner and entry.kind == kind:
                return JournalAnswer(entry, match)
        raise AnswerNotFound("no such prediction")


def _payloads(link: Link, day: str, run: str, number: int) -> list[bytes]:
    """What may hold the row: one entry, as a rule."""
    for one in _days(day):
        row = link.execute(_READ, (one, run, number, number), binary=True).fetchone()
        if row is not None:
            return [bytes(row[0])]
    return []


def _days(text: str) -> tuple[date, ...]:
    with suppress(ValueError, OverflowError):  # no day of the calendar
        first = datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC).date()
        return first, first + timedelta(days=1)
    return ()
