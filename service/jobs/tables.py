"""Jobs of all hosts in PostgreSQL: ordered at one, run by whichever is free, read at any.

The worker that runs a job holds an advisory lock on it, which dies with its connection. Should the connection break
while the worker lives, two may run one job: a chunk is scored once all the same (its Idempotency-Key), and results are
added only behind as many as the database has, so the slower of the two is told that the job is another's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final, TypeVar

import msgspec

from service.database.migrations import ORDER_LOCKS
from service.database.session import Link, Session
from service.errors import DatabaseAway, IdempotencyRunning, JobEnded, JobsAway
from service.jobs.folders import JobFolders
from service.jobs.store import KEPT_DAYS, JobRecord, is_id

_log = logging.getLogger("service.jobs")
Found = TypeVar("Found")

_LOCK_ORDERS: Final = "SELECT pg_advisory_xact_lock(%s, hashtext(%s))"
_OPEN: Final = "SELECT count(*) FROM ledger.job WHERE account = %s AND NOT ended"
_INSERT: Final = """
INSERT INTO ledger.job (id, account, ended, done, webhook_due, record, rows, ordered_at, ended_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, to_timestamp(%s), to_timestamp(%s)) ON CONFLICT DO NOTHING
"""
_READ: Final = "SELECT record FROM ledger.job WHERE id = %s"
_HOLD: Final = f"{_READ} FOR UPDATE"
_DUE: Final = """
SELECT id FROM ledger.job WHERE NOT ended OR (webhook_due > 0 AND webhook_due <= %s) ORDER BY ordered_at, id
"""
_LOCK: Final = "SELECT pg_try_advisory_lock(%s)"
_UNLOCK: Final = "SELECT pg_advisory_unlock(%s)"
_ROWS: Final = "SELECT rows FROM ledger.job WHERE id = %s AND rows IS NOT NULL"
_ADVANCE: Final = "UPDATE ledger.job SET done = %s, record = %s WHERE id = %s AND done = %s AND NOT ended"
_RESULT: Final = "INSERT INTO ledger.job_result (id, first, rows, lines) VALUES (%s, %s, %s, %s)"
_RESULTS: Final = """
SELECT first, lines FROM ledger.job_result WHERE id = %(id)s AND first < %(end)s
    AND first >= (SELECT max(first) FROM ledger.job_result WHERE id = %(id)s AND first <= %(begin)s) ORDER BY first
"""
_MOVED_ROWS: Final = 200  # of results in one piece, as jobs add them: a page reads the pieces that it touches
_SAVE: Final = "UPDATE ledger.job SET record = %s, webhook_due = %s WHERE id = %s"
_FINISH: Final = """
UPDATE ledger.job SET record = %s, webhook_due = %s, ended = true, ended_at = now(), rows = NULL
WHERE id = %s AND NOT ended
"""
_TIDY: Final = """
DELETE FROM ledger.job WHERE coalesce(ended_at, ordered_at + make_interval(days => %(days)s))
    < now() - make_interval(days => %(days)s)
"""


class JobTables:
    """Implements `service.jobs.store.JobRepository` for any number of hosts; one a worker."""

    def __init__(self, url: str) -> None:
        self._reading = Session(url, "jobs", statement_timeout_s=30)
        self._holding = Session(url, "running jobs")

    def create(self, record: JobRecord, rows: Sequence[bytes], most_open: int) -> bool:
        """As `JobRepository.create`; the limit is exact over all hosts."""

        def ordered(link: Link) -> bool:
            with link.transaction():
                link.execute(_LOCK_ORDERS, (ORDER_LOCKS, record.account))
                (waiting,) = link.execute(_OPEN, (record.account,)).fetchone() or (0,)
                if waiting >= most_open:
                    return False
                if not _insert(link, record, b"\n".join(rows)):
                    raise IdempotencyRunning
                return True

        return self._run(ordered)

    def take_over(self, folders: JobFolders) -> int:
        """Moves the jobs of a host that had no database before, those that another worker holds left out; how many."""
        moved = 0
        for identifier in folders.ids():
            with folders.running(identifier) as record:
                if record is None:
                    continue
                rows = None if record.ended else b"\n".join(folders.rows(record))
                lines = folders.results(record, 0, record.rows)
                self._run(partial(_move, record=record, rows=rows, lines=lines))
                folders.remove(identifier)
                moved += 1
        return moved

    def read(self, identifier: str) -> JobRecord | None:
        """As `JobRepository.read`."""
        if not is_id(identifier):
            return None
        row = self._run(lambda link: link.execute(_READ, (identifier,), binary=True).fetchone())
        return msgspec.json.decode(row[0], type=JobRecord) if row else None

    def due(self, now: float) -> list[str]:
        """As `JobRepository.due`."""
        return self._run(lambda link: [row[0] for row in link.execute(_DUE, (now,))])

    @contextmanager
    def running(self, identifier: str) -> Iterator[JobRecord | None]:
        """As `JobRepository.running`."""
        number = int.from_bytes(bytes.fromhex(identifier.removeprefix("job_"))[:8], signed=True)
        row = self._run(lambda link: link.execute(_LOCK, (number,)).fetchone(), self._holding)
        if row is None or not row[0]:
            yield None
            return
        try:
            yield self.read(identifier)
        finally:
            if self._holding.connected:  # else the lock went with the connection
                try:
                    self._holding.run(lambda link: link.execute(_UNLOCK, (number,)))
                except DatabaseAway as error:
                    _log.warning("jobs: the connection of running jobs broke, and its locks went with it: %s", error)

    def rows(self, record: JobRecord) -> list[bytes]:
        """As `JobRepository.rows`."""
        row = self._run(lambda link: link.execute(_ROWS, (record.id,), binary=True).fetchone())
        if row is None:
            raise JobEnded(f"{record.id} has no rows any more")
        return bytes(row[0]).split(b"\n")

    def add_results(self, record: JobRecord, lines: Sequence[bytes]) -> None:
        """As `JobRepository.add_results`.

        Raises:
            JobsAway: also where another worker added some meanwhile.
        """
        first, advanced = record.done, msgspec.structs.replace(record, done=record.done + len(lines))

        def add(link: Link) -> int:
            with link.transaction():
                changed = link.execute(_ADVANCE, (advanced.done, msgspec.json.encode(advanced), record.id, first))
                if changed.rowcount:
                    link.execute(_RESULT, (record.id, first, len(lines), b"\n".join(lines)))
                return changed.rowcount

        if not self._run(add):
            stored = self.read(record.id)
            if stored is None or stored.ended:
                raise JobEnded(f"{record.id} has ended")
            raise JobsAway(f"another worker runs {record.id}")
        record.done = advanced.done

    def results(self, record: JobRecord, offset: int, count: int) -> list[bytes]:
        """As `JobRepository.results`."""
        parameters = {"id": record.id, "begin": offset, "end": offset + count}
        chunks = self._run(lambda link: link.execute(_RESULTS, parameters, binary=True).fetchall())
        lines = [line for _, chunk in chunks for line in bytes(chunk).split(b"\n")]
        start = offset - chunks[0][0] if chunks else 0
        return lines[start : start + count]

    def save(self, record: JobRecord) -> None:
        """As `JobRepository.save`."""
        parameters = (msgspec.json.encode(record), record.webhook_due, record.id)
        self._run(lambda link: link.execute(_SAVE, parameters))

    def finish(self, record: JobRecord, status: str, because: str = "") -> None:
        """As `JobRepository.finish`."""
        record.end(status, because)
        parameters = (msgspec.json.encode(record), record.webhook_due, record.id)
        self._run(lambda link: link.execute(_FINISH, parameters))

    def cancel(self, identifier: str) -> JobRecord | None:
        """As `JobRepository.cancel`; the row is held, so a worker's step comes before or after."""

        def cancelled(link: Link) -> JobRecord | None:
            with link.transaction():
                row = link.execute(_HOLD, (identifier,), binary=True).fetchone()
                record = msgspec.json.decode(row[0], type=JobRecord) if row else None
                if record is not None and not record.ended:
                    record.end("cancelled", "")
                    link.execute(_FINISH, (msgspec.json.encode(record), record.webhook_due, record.id))
                return record

        return self._run(cancelled) if is_id(identifier) else None

    def tidy(self) -> None:
        """As `JobRepository.tidy`."""
        self._run(lambda link: link.execute(_TIDY, {"days": KEPT_DAYS}))

    def close(self) -> None:
        """Lets both connections go."""
        self._reading.close()
        self._holding.close()

    def _run(self, work: Callable[[Link], Found], session: Session | None = None) -> Found:
        try:
            return (session or self._reading).run(work)
        except DatabaseAway as error:
            raise JobsAway(f"the database does not answer: {error}") from error


def _insert(link: Link, record: JobRecord, rows: bytes | None) -> int:
    ended_at = record.finished if record.ended else None
    about = (record.id, record.account, record.ended, record.done, record.webhook_due)
    return link.execute(_INSERT, (*about, msgspec.json.encode(record), rows, record.created, ended_at)).rowcount


def _move(link: Link, record: JobRecord, rows: bytes | None, lines: Sequence[bytes]) -> None:
    with link.transaction():
        if not _insert(link, record, rows):
            return
        for first in range(0, len(lines), _MOVED_ROWS):
            piece = lines[first : first + _MOVED_ROWS]
            link.execute(_RESULT, (record.id, first, len(piece), b"\n".join(piece)))
