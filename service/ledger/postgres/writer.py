"""The thread that makes answers durable in PostgreSQL: all that wait go in one statement, which is one transaction.

The statement adds to the run's open segment and inserts only if the segment is open still, so that whoever ships can
seal the segment of a worker that died, or was cut off, without a row of it ever coming late. The unique digest of an
Idempotency-Key decides between hosts: whose entry does not get it was not first, and leaves nothing.

Where the connection breaks, nobody knows whether the statement took effect. The thread then looks which entries are
there before it writes the others again. If that cannot be told within `PATIENCE_S`, the requests are refused; what is
found of them later is taken back, but for what a key leads to, which its partner will be given when it asks again.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import queue
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, NamedTuple

from psycopg.types.numeric import Int8

from service.database.session import Link, Session
from service.errors import DatabaseAway, IdempotencyRunning, OutboxFull, ServiceError
from service.ledger.interface import KeyMark
from service.ledger.postgres import partitions

_log = logging.getLogger(__name__)

PATIENCE_S: Final = 3.0
_PAUSE_S: Final = 0.2
_TICK_S: Final = 0.5
_GROUP_BYTES: Final = 8 << 20
_RUN_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
_NO_KEY: Final = b""
KEY_HOURS: Final = 24
"""How long an Idempotency-Key is remembered, as the journal does."""

_DAY: Final = "SELECT (now() AT TIME ZONE 'UTC')::date"
_OPEN: Final = """
INSERT INTO ledger.segment (day, run, first, low, high, rows, bytes, due_at)
VALUES (%s, %s, %s, 9223372036854775807, 0, 0, 0, now() + make_interval(secs => %s))
ON CONFLICT DO NOTHING
"""
_SEAL: Final = "UPDATE ledger.segment SET sealed_at = now() WHERE run = %s AND first = %s AND sealed_at IS NULL"
_ADD: Final = f"""
WITH open AS (
    UPDATE ledger.segment
    SET rows = rows + %(rows)s, bytes = bytes + %(bytes)s, low = least(low, %(low)s), high = greatest(high, %(high)s)
    WHERE run = %(run)s AND first = %(segment)s AND sealed_at IS NULL
    RETURNING day
), given AS (
    SELECT open.day, told.* FROM open, unnest(
        %(firsts)b::bigint[], %(lasts)b::bigint[], %(places)b::bigint[], %(payloads)b::bytea[],
        %(digests)b::bytea[], %(prints)b::bytea[]
    ) AS told (first, last, place, payload, digest, fingerprint)
), taken AS (
    INSERT INTO ledger.idempotency AS known (digest, fingerprint, day, run, first)
    SELECT digest, fingerprint, day, %(run)s, first FROM given WHERE digest <> ''
    ON CONFLICT (digest) DO UPDATE
    SET fingerprint = excluded.fingerprint, day = excluded.day, run = excluded.run, first = excluded.first, at = now()
    WHERE known.at < now() - interval '{KEY_HOURS} hours'
    RETURNING digest
)
INSERT INTO ledger.entry (day, run, first, last, segment, place, payload)
SELECT day, %(run)s, first, last, %(segment)s, place, payload FROM given
WHERE digest = '' OR digest IN (SELECT digest FROM taken)
RETURNING first
"""
_OPEN_STILL: Final = "SELECT 1 FROM ledger.segment WHERE run = %s AND first = %s AND sealed_at IS NULL"
_STORED: Final = "SELECT first FROM ledger.entry WHERE day IN (%s, %s) AND run = %s AND first = ANY (%s)"
_UNSHIPPED: Final = "SELECT 1 FROM ledger.segment WHERE run = %s AND first = %s AND shipped_at IS NULL FOR UPDATE"
_TAKE_BACK: Final = "DELETE FROM ledger.entry WHERE day = %s AND run = %s AND first = ANY (%s)"
_PROOF: Final = """
INSERT INTO ledger.entry (day, run, first, last, segment, place, payload) VALUES (%s, %s, -1, -1, -1, -1, %s)
"""
_PAGE: Final = bytes(7 << 10)  # nearly a page of the table: no free room of an older page takes it
_FEWER: Final = "UPDATE ledger.segment SET rows = rows - %s WHERE run = %s AND first = %s"


class QueuedEntry(NamedTuple):
    """An entry that somebody waits for: its bytes, the numbers of its rows, its key."""

    payload: bytes
    numbers: list[int]
    key: KeyMark | None
    future: asyncio.Future[None]


@dataclass
class WriterCounters:
    """Totals since the start of this process: rows made durable, transactions and their seconds, refusals."""

    rows: int = 0
    commits: int = 0
    seconds: float = 0.0
    failures: int = 0
    refused: int = 0


class _OpenSegment(NamedTuple):
    """The segment that is written to: its day, its number, when it ends by itself."""

    day: date
    first: int
    until: float


class _Doubtful(NamedTuple):
    """Entries that were refused and may be there."""

    day: date
    segment: int
    firsts: list[int]


class DatabaseWriter:
    """One worker's entries on their way; the event loop hands over and reads the plain attributes."""

    def __init__(self, session: Session, *, segment_bytes: int = 16 << 20, segment_age_s: float = 30.0) -> None:
        self.run = "".join(secrets.choice(_RUN_ALPHABET) for _ in range(10))
        self.numbers = itertools.count()
        self.counters = WriterCounters()
        self.refusal = ""
        """Why nothing can be made durable now; empty if it can."""
        self.prefix = ""
        """Day, by the database's clock, and run: the first part of the ids given out now."""
        self.queue: queue.SimpleQueue[list[QueuedEntry] | None] = queue.SimpleQueue()
        self._session = session
        self._bytes, self._age_s = segment_bytes, segment_age_s
        self._day = date.min
        self._segment: _OpenSegment | None = None
        self._segment_bytes = 0
        self._places = itertools.count()
        self._doubtful: list[_Doubtful] = []
        self._deferred: list[QueuedEntry] = []
        self._closing = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="database-writer", daemon=True)

    def start(self) -> None:
        """Learns the day and begins.

        Raises:
            DatabaseAway: it cannot.
        """
        self._session.run(self._learn_day)
        self._thread.start()

    @property
    def full_because(self) -> str:
        """Why nothing can be made durable now, in one line; empty if it can."""
        return "the ledger is closed" if self._ended.is_set() else self.refusal

    def close(self, timeout_s: float = 10.0) -> None:
        """Makes durable what waits, seals the segment and ends; the thread's last word is None in the queue."""
        self.queue.put(None)
        self._thread.join(timeout_s)
        self._session.close()

    def _run(self) -> None:
        try:
            self._work()
        finally:
            self._ended.set()

    def _work(self) -> None:
        look_at = time.monotonic() + _TICK_S
        while not self._closing or self._deferred:
            group = self._take(max(0.0, look_at - time.monotonic()))
            if group:
                self._commit(group)
            if time.monotonic() >= look_at:
                self._look()
                look_at = time.monotonic() + _TICK_S
        try:
            self._session.run(self._end_segment)
        except DatabaseAway as error:  # whoever ships seals it once its time is over
            _log.warning("ledger: the last segment could not be sealed: %s", error)

    def _take(self, timeout_s: float) -> list[QueuedEntry]:
        """All that wait, up to a group's size, each key once."""
        entries, self._deferred = self._deferred, []
        size = 0
        try:
            batch = self.queue.get(timeout=0 if entries else timeout_s)
            while batch is not None and size < _GROUP_BYTES:
                entries += batch
                size += sum(len(one.payload) for one in batch)
                batch = self.queue.get_nowait() if size < _GROUP_BYTES else []
            self._closing |= batch is None
        except queue.Empty:
            pass
        group: list[QueuedEntry] = []
        digests: set[bytes] = set()
        for one in entries:
            if one.future.done():  # its request was cancelled, and nothing was written yet
                continue
            if one.key is not None and one.key.digest in digests:
                self._deferred.append(one)
                continue
            if one.key is not None:
                digests.add(one.key.digest)
            group.append(one)
        return group

    def _commit(self, group: Sequence[QueuedEntry]) -> None:
        outcome: dict[int, ServiceError | None] = {}
        failure: ServiceError = OutboxFull("the ledger failed")  # heard if anything unforeseen ends this thread
        try:
            outcome = self._store(group)
        except OutboxFull as error:
            failure = error
        finally:
            results = [(one, outcome.get(one.numbers[0], failure)) for one in group]
            refused = sum(len(one.numbers) for one, error in results if isinstance(error, OutboxFull))
            self.counters.failures += refused
            try:
                group[0].future.get_loop().call_soon_threadsafe(_wake, results)
            except RuntimeError:
                _log.warning("ledger: the event loop ended before %d answers were acknowledged", len(group))

    def _store(self, group: Sequence[QueuedEntry]) -> dict[int, ServiceError | None]:
        """What became of each entry, by its first number: None where it is durable.

        Raises:
            OutboxFull: of none of them it can be told that it is.
        """
        deadline, doubt, start = time.monotonic() + PATIENCE_S, False, time.perf_counter()
        while True:
            try:
                if doubt:
                    outcome = self._session.run(lambda link: self._settle(link, group))
                else:
                    outcome = self._session.run(lambda link: self._write(link, group))
            except DatabaseAway as error:
                doubt = True
                self._refuse(f"the database cannot be written: {error}")
                if time.monotonic() >= deadline:
                    self._doubt(group)
                    raise OutboxFull(self.refusal) from error
                time.sleep(_PAUSE_S)
                continue
            self._refuse("")
            self.counters.commits += 1
            self.counters.seconds += time.perf_counter() - start
            self.counters.rows += sum(len(one.numbers) for one in group)
            return outcome

    def _settle(self, link: Link, group: Sequence[QueuedEntry]) -> dict[int, ServiceError | None]:
        """After a break: what is there is durable, the rest is written."""
        firsts = [one.numbers[0] for one in group]
        days = (self._day, self._day - timedelta(days=1))
        stored = {row[0] for row in link.execute(_STORED, (*days, self.run, firsts))}
        outcome: dict[int, ServiceError | None] = {first: None for first in stored}
        rest = [one for one in group if one.numbers[0] not in stored]
        return {**outcome, **(self._write(link, rest) if rest else {})}

    def _write(self, link: Link, group: Sequence[QueuedEntry]) -> dict[int, ServiceError | None]:
        self._take_back(link)
        while True:
            segment = self._writable(link)
            firsts = {row[0] for row in link.execute(_ADD, self._parameters(segment, group), binary=True)}
            if firsts or link.execute(_OPEN_STILL, (self.run, segment.first)).fetchone():
                break
            self._segment = None  # somebody sealed it in the meantime: on to the next
        self._segment_bytes += sum(len(one.payload) for one in group)
        late = sum(len(one.numbers) for one in group if one.numbers[0] not in firsts)
        if late:
            link.execute(_FEWER, (late, self.run, segment.first))
        conflict = IdempotencyRunning("another request with this key was answered at the same time")
        return {one.numbers[0]: None if one.numbers[0] in firsts else conflict for one in group}

    def _parameters(self, segment: _OpenSegment, group: Sequence[QueuedEntry]) -> dict[str, object]:
        firsts = [Int8(one.numbers[0]) for one in group]
        return {
            "run": self.run,
            "segment": segment.first,
            "rows": sum(len(one.numbers) for one in group),
            "bytes": sum(len(one.payload) for one in group),
            "low": min(firsts),
            "high": max(firsts),
            "firsts": firsts,
            "lasts": [Int8(one.numbers[-1]) for one in group],
            "places": [Int8(next(self._places)) for _ in group],
            "payloads": [one.payload for one in group],
            "digests": [one.key.digest if one.key else _NO_KEY for one in group],
            "prints": [one.key.fingerprint if one.key else _NO_KEY for one in group],
        }

    def _writable(self, link: Link) -> _OpenSegment:
        """The open segment; a new one where the old is full, aged or of yesterday."""
        segment = self._segment
        if segment is not None:
            over = time.monotonic() >= segment.until or self._segment_bytes >= self._bytes
            if not over and segment.day == self._day:
                return segment
            self._end_segment(link)
        partitions.ensure(link, self._day)
        fresh = _OpenSegment(self._day, next(self.numbers), time.monotonic() + self._age_s)
        link.execute(_OPEN, (fresh.day, self.run, fresh.first, self._age_s))
        self._segment, self._segment_bytes = fresh, 0
        return fresh

    def _end_segment(self, link: Link) -> None:
        if self._segment is not None:
            link.execute(_SEAL, (self.run, self._segment.first))
            self._segment = None

    def _look(self) -> None:
        """Ask the database for its day and if it takes writes; end the open segment if its time is over."""
        try:
            self._session.run(self._learn_day)
            self._session.run(self._take_back)
            if self.refusal:
                self._session.run(self._prove)
            segment = self._segment
            if segment is not None and (time.monotonic() >= segment.until or segment.day != self._day):
                self._session.run(self._end_segment)
        except DatabaseAway as error:
            self._refuse(f"the database cannot be written: {error}")
        else:
            self._refuse("")

    def _prove(self, link: Link) -> None:
        """Writes a row and takes it back: what can be read and not written, its disk full, is away."""
        partitions.ensure(link, self._day)
        with link.transaction(force_rollback=True):
            link.execute(_PROOF, (self._day, self.run, _PAGE))

    def _learn_day(self, link: Link) -> None:
        row = link.execute(_DAY).fetchone()
        if row is not None and row[0] != self._day:
            self._day = row[0]
            self.prefix = f"{self._day:%Y%m%d}-{self.run}-"

    def _refuse(self, reason: str) -> None:
        if reason and reason != self.refusal:  # what ended a connection is seldom what keeps the next from being made
            _log.error("ledger: %s; answers are refused until it is back", reason)
        elif self.refusal and not reason:
            _log.warning("ledger: the database takes records again")
        self.refusal = reason

    def _doubt(self, group: Sequence[QueuedEntry]) -> None:
        """These are refused now: should they be there, they go as soon as the database is back."""
        firsts = [one.numbers[0] for one in group if one.key is None]
        if firsts and self._segment is not None:
            self._doubtful.append(_Doubtful(self._segment.day, self._segment.first, firsts))

    def _take_back(self, link: Link) -> None:
        while self._doubtful:
            doubt = self._doubtful[0]
            with link.transaction():
                if link.execute(_UNSHIPPED, (self.run, doubt.segment)).fetchone():
                    count = link.execute(_TAKE_BACK, (doubt.day, self.run, doubt.firsts)).rowcount
                    link.execute(_FEWER, (count, self.run, doubt.segment))
                else:
                    _log.warning("ledger: up to %d rows of refused answers were shipped", len(doubt.firsts))
            del self._doubtful[0]


def _wake(results: Sequence[tuple[QueuedEntry, ServiceError | None]]) -> None:
    for one, error in results:
        if one.future.done():  # its request was cancelled
            continue
        if error is None:
            one.future.set_result(None)
        else:
            one.future.set_exception(error)
