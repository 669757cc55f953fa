"""The ledger that several hosts share, put together: PostgreSQL, of which each worker holds a few connections."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import Final, Self

from service.access.credentials import Mac
from service.database import migrations
from service.database.session import SETTING, Session
from service.errors import AnswerNotFound, DatabaseAway, Misconfigured, OutboxFull
from service.ledger import figures
from service.ledger.bucket import ObjectStore, StoreSettings
from service.ledger.ids import RecordId, SealedIds
from service.ledger.interface import Claim, Figures, JournalEntry, Replay, StoredAnswer
from service.ledger.journal import frames
from service.ledger.journal.shipped_answers import ShippedAnswers
from service.ledger.postgres.answers import DatabaseAnswers
from service.ledger.postgres.claims import Claims
from service.ledger.postgres.shipper import DatabaseShipper
from service.ledger.postgres.writer import DatabaseWriter, QueuedEntry
from service.ledger.records import RecordKind

_log = logging.getLogger(__name__)
_LOOK_S: Final = 1.0


def check(url: str, pepper: bytes) -> None:
    """Refuse a database that this release, or this pepper, cannot work on; the database keeps the pepper's digest.

    Raises:
        Misconfigured: one line that says what to mend.
    """
    migrations.check(url, Mac(pepper).digest(b"ledger-pepper"))


def await_check(url: str, pepper: bytes, patience_s: float = 120.0) -> None:
    """`check` by a worker that is started anew: it waits for a database that is away instead of dying again and again.

    Raises:
        Misconfigured: as `check`, of what no waiting mends at once.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            check(url, pepper)
            return
        except Misconfigured as error:
            if not isinstance(error.__cause__, DatabaseAway) or time.monotonic() > deadline:
                raise
            _log.warning("%s; waiting for it", error)
            time.sleep(_LOOK_S)


@dataclass
class PostgresLedger:
    """Implements `service.ledger.interface.Ledger`; one a worker process."""

    writer: DatabaseWriter
    ids: SealedIds
    answers: DatabaseAnswers
    claims: Claims
    sessions: tuple[Session, ...]
    shipper: DatabaseShipper | None = None
    shipped: ShippedAnswers | None = None
    _queue: list[QueuedEntry] = field(default_factory=list)
    _closed: bool = False

    @classmethod
    def open(
        cls,
        url: str,
        pepper: bytes,
        store: StoreSettings | ObjectStore | None,
        *,
        ship_interval_s: float = 30.0,
        answers_days: int = 90,
    ) -> Self:
        """The ledger of a database that has its tables; without a store rows stay in it.

        Raises:
            Misconfigured: one line that says what is wrong with the database, or the pepper.
        """
        check(url, pepper)
        writing, claiming, reading = (Session(url, name, idle_timeout_s=5) for name in ("writer", "claims", "answers"))
        writer = DatabaseWriter(writing, segment_age_s=ship_interval_s)
        try:
            writer.start()
        except DatabaseAway as error:
            raise Misconfigured(f"{SETTING}: {error}") from None
        sessions, shipper = [writing, claiming, reading], None
        if store is not None:
            sessions.append(Session(url, "shipper", statement_timeout_s=60, idle_timeout_s=60))
            shipper = DatabaseShipper(sessions[-1], store, min(5.0, ship_interval_s), answers_days)
        return cls(
            writer,
            SealedIds(pepper),
            DatabaseAnswers(reading),
            Claims(claiming),
            tuple(sessions),
            shipper,
            ShippedAnswers(store) if isinstance(store, StoreSettings) else None,
        )

    @property
    def full_because(self) -> str:
        """Why nothing can be made durable now, in one line; empty if it can."""
        return "the ledger is closed" if self._closed else self.writer.full_because

    def new_id(self, owner: str) -> RecordId:
        """A new row's names."""
        return self.ids.of(f"{self.writer.prefix}{next(self.writer.numbers):x}", owner)

    async def append(self, entry: JournalEntry) -> None:
        """Returns when the entry is committed; one of several rows has taken its ids one right after the other.

        Raises:
            OutboxFull: it is not, and no answer may leave.
            IdempotencyRunning: a request of another host with the same key was quicker.
        """
        refusal = self.full_because
        if refusal:
            self.writer.counters.refused += 1
            raise OutboxFull(refusal)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        numbers = [frames.number_of(identifier) for identifier in entry.ids]
        payload = frames.encode(entry, numbers)[frames.FRAME_HEAD_BYTES :]
        self._queue.append(QueuedEntry(payload, numbers, entry.key, future))
        if len(self._queue) == 1:
            future.get_loop().call_soon(self._hand_over)
        await future

    def _hand_over(self) -> None:
        """What one turn of the loop gathered goes over at its end, as in the journal."""
        batch, self._queue = self._queue, []
        if batch:
            self.writer.queue.put(batch)

    async def read(self, identifier: str, owner: str, kind: RecordKind, *, anywhere: bool = False) -> StoredAnswer:
        """The answer that was given to this owner under this id, from the database or the bucket."""
        place = self.ids.place(identifier, owner)
        if place is None:
            raise AnswerNotFound("no such prediction")
        try:
            return await self.answers.read(place, owner, kind)
        except AnswerNotFound:
            if not anywhere or self.shipped is None or not kind.shipped:
                raise
        return await asyncio.to_thread(self.shipped.read, place, identifier, owner)

    def genuine(self, identifier: str, owner: str) -> bool:
        """True if the id alone proves that it was given to this owner."""
        return self.ids.genuine(identifier, owner)

    async def begin(self, owner: str, scope: str, key: str, fingerprint: bytes) -> Claim | Replay:
        """A claim, or the answer that was given to this Idempotency-Key, on whichever host."""
        return await self.claims.begin(owner, scope, key, fingerprint)

    async def follow(self) -> None:
        """Nothing: the database keeps its indexes itself."""

    def figures(self) -> Figures:
        """What waits on all hosts, told by the worker that ships; and this worker's share of the database."""
        totals, away = self.writer.counters, bool(self.full_because)
        gauges = {
            figures.OUTBOX_WRITABLE: float(not away),
            figures.DATABASE_AWAY: float(away),
            figures.DATABASE_CONNECTIONS: float(sum(session.connected for session in self.sessions)),
        }
        counters = {
            figures.OUTBOX_FAILURES: float(totals.failures + totals.refused),
            figures.DATABASE_COMMITS: float(totals.commits),
            figures.DATABASE_COMMIT_SECONDS: totals.seconds,
            figures.DATABASE_RECONNECTIONS: float(sum(max(0, session.opened - 1) for session in self.sessions)),
        }
        if self.shipper is not None:
            waiting, shipped = self.shipper.waiting, self.shipper.counters
            gauges[figures.OUTBOX_ROWS_PENDING] = float(waiting.rows)
            gauges[figures.OUTBOX_BYTES_PENDING] = float(waiting.bytes)
            gauges[figures.OUTBOX_OLDEST_AGE_SECONDS] = waiting.oldest_age_s
            gauges[figures.OUTBOX_ORPHAN_ROWS_PENDING] = float(self.shipper.overdue_rows)
            gauges[figures.SHIPPING_FAILING] = float(shipped.failing)
            gauges[figures.DATABASE_SHIPPER] = float(self.shipper.leads)
            counters[figures.SHIPPED_ROWS] = float(shipped.rows)
            counters[figures.OUTBOX_DAMAGED] = float(shipped.conflicts)
        return Figures(gauges, counters)

    def start(self) -> None:
        """Begin to ship, if it falls to this worker."""
        if self.shipper is not None:
            self.shipper.start()

    async def aclose(self) -> None:
        """Commit what waits, seal the segment, ship what is ready, let go."""
        self._closed = True  # here, where requests hand over: none can slip in behind the end
        self._hand_over()
        await asyncio.to_thread(self.writer.close)
        if self.shipper is not None:
            await asyncio.to_thread(self.shipper.stop)
        await asyncio.to_thread(self.answers.close)
        await asyncio.to_thread(self.claims.close)
