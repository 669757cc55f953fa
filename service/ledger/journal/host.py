"""The ledger of one host, put together: files that all its workers see, shipped to the bucket."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from service.errors import AnswerNotFound
from service.ledger import figures
from service.ledger.bucket import ObjectStore
from service.ledger.ids import RecordId, SealedIds
from service.ledger.interface import Claim, Figures, JournalEntry, Replay, StoredAnswer
from service.ledger.journal.answers import Answers
from service.ledger.journal.idempotency import Idempotency
from service.ledger.journal.outbox import Outbox
from service.ledger.journal.shipped_answers import ShippedAnswers
from service.ledger.journal.shipping import KeptLimits, Shipper, StoreSettings
from service.ledger.records import RecordKind

SHIP_LOOK_S: Final = 5.0  # between two looks for sealed segments; a shorter interval of sealing them counts


@dataclass
class JournalLedger:
    """Implements `service.ledger.interface.Ledger`; one a worker process."""

    outbox: Outbox
    ids: SealedIds
    answers: Answers
    idempotency: Idempotency
    shipper: Shipper | None = None
    shipped: ShippedAnswers | None = None

    @classmethod
    def open(
        cls,
        folder: Path,
        pepper: bytes,
        store: StoreSettings | ObjectStore | None,
        *,
        cap_bytes: int = 1 << 30,
        ship_interval_s: float = 30.0,
        keep: KeptLimits = KeptLimits(),
    ) -> Self:
        """The ledger in a folder of this host; without a store rows stay in the outbox until its cap."""
        outbox = Outbox.open(folder, cap_bytes=cap_bytes, segment_age_s=ship_interval_s)
        idempotency = Idempotency(folder, written_spans=outbox.written_spans)
        shipper = None
        if store is not None:
            shipper = Shipper(folder, outbox.run, store, interval_s=min(SHIP_LOOK_S, ship_interval_s), keep=keep)
        shipped = ShippedAnswers(store) if isinstance(store, StoreSettings) else None
        return cls(outbox, SealedIds(pepper), Answers(folder), idempotency, shipper, shipped)

    @property
    def full_because(self) -> str:
        """Why nothing can be made durable now, in one line; empty if it can."""
        return self.outbox.full_because

    def new_id(self, owner: str) -> RecordId:
        """A new row's names."""
        return self.ids.of(self.outbox.next_id(), owner)

    async def append(self, entry: JournalEntry) -> None:
        """Returns when the entry is durable."""
        await self.outbox.append(entry)

    async def read(self, identifier: str, owner: str, kind: RecordKind, *, anywhere: bool = False) -> StoredAnswer:
        """The answer that was given to this owner under this id, from this host's files or the bucket."""
        place = self.ids.place(identifier, owner)
        if place is None:
            raise AnswerNotFound("no such prediction")
        try:
            return await asyncio.to_thread(self.answers.read, place, owner, kind)
        except AnswerNotFound:
            if not anywhere or self.shipped is None or not kind.shipped:
                raise
        return await asyncio.to_thread(self.shipped.read, place, identifier, owner)

    def genuine(self, identifier: str, owner: str) -> bool:
        """True if the id alone proves that it was given to this owner."""
        return self.ids.genuine(identifier, owner)

    async def begin(self, owner: str, scope: str, key: str, fingerprint: bytes) -> Claim | Replay:
        """A claim, or the answer that was given to this Idempotency-Key."""
        return await self.idempotency.begin(owner, scope, key, fingerprint)

    async def follow(self) -> None:
        """Takes keys in that were written since the last time."""
        await self.idempotency.follow()

    def figures(self) -> Figures:
        """What waits, what was shipped and what is kept."""
        backlog, totals = self.outbox.backlog(), self.outbox.counters
        gauges = {
            figures.OUTBOX_ROWS_PENDING: float(backlog.rows),
            figures.OUTBOX_BYTES_PENDING: float(backlog.bytes),
            figures.OUTBOX_OLDEST_AGE_SECONDS: backlog.oldest_age_s,
            figures.OUTBOX_WRITABLE: float(self.outbox.writable),
        }
        counters = {figures.OUTBOX_FAILURES: float(totals.failures + totals.refused)}
        if self.shipper is not None:
            shipped, answers = self.shipper.counters, self.shipper.kept_answers
            gauges[figures.SHIPPING_FAILING] = float(shipped.failing)
            gauges[figures.OUTBOX_ORPHAN_ROWS_PENDING] = float(self.shipper.orphans.rows)
            gauges[figures.ANSWERS_KEPT_BYTES] = float(answers.bytes)
            counters[figures.SHIPPED_ROWS] = float(shipped.rows)
            counters[figures.OUTBOX_DAMAGED] = float(shipped.damaged + shipped.conflicts)
            counters[figures.ANSWERS_DROPPED_FILES] = float(answers.dropped)
        return Figures(gauges, counters)

    def start(self) -> None:
        """Begin to ship."""
        if self.shipper is not None:
            self.shipper.start()

    async def aclose(self) -> None:
        """Make durable what waits, ship what is ready, let go."""
        await self.outbox.aclose()
        if self.shipper is not None:
            await asyncio.to_thread(self.shipper.stop)
        self.idempotency.close()
