"""An hour of a busy service on one PostgreSQL: what it left lies there already, and its last minutes are lived through.

Hosts append at a steady rate, one of them ships to the object store and keeps house, and the database's midnight comes
meanwhile: its clock is a `now()` of its own that every session finds before PostgreSQL's.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple

import psycopg

from service.database import migrations
from service.ledger.bucket import StoreSettings
from service.ledger.interface import KeyMark, Ledger
from service.ledger.journal.idempotency import digest_of
from service.ledger.postgres import partitions
from service.ledger.postgres.host import PostgresLedger
from tests.databases import Cluster, set_clock
from tests.service.ledger.engines import PEPPER
from tests.service.rows import PARTNER, entry

HOSTS: Final = 2
DAYS: Final = 90
SEGMENTS_A_DAY: Final = 2 * 24 * 60 * HOSTS
_TURN_S: Final = 0.005
_LOOK_S: Final = 0.5
_ROW_BYTES: Final = 600
_ROWS: Final = """
INSERT INTO ledger.entry (day, run, first, last, segment, place, payload)
SELECT %s, 'filler' || lpad((n %% 100)::text, 4, '2'), n, n, 0, n, decode(repeat('ab', %s), 'hex')
FROM generate_series(1, %s) AS n
"""
_SEGMENTS: Final = """
INSERT INTO ledger.segment (day, run, first, low, high, rows, bytes, opened_at, due_at, sealed_at, shipped_at)
SELECT %(day)s, 'filler' || to_char(%(day)s, 'MMDD'), n, n, n, 1, 1, at, at, at, at
FROM generate_series(1, %(count)s) AS n, (SELECT %(day)s::timestamptz AS at) AS told
"""
# In the order of the digests, which makes their index in one walk.
_KEYS: Final = """
INSERT INTO ledger.idempotency (digest, fingerprint, day, run, first, at)
SELECT decode(md5(%(name)s || n), 'hex'), decode(repeat('ab', 16), 'hex'), %(day)s, 'filler', n, now() - %(age)s
FROM generate_series(1, %(count)s) AS n ORDER BY 1
"""
_WAITING: Final = "SELECT coalesce(sum(rows), 0)::int FROM ledger.segment WHERE shipped_at IS NULL"
_OLD_KEYS: Final = "SELECT EXISTS (SELECT FROM ledger.idempotency WHERE at < now() - interval '24 hours')"


@dataclass(frozen=True)
class Plan:
    """Rows a second for so many seconds, midnight among them; the rows that lie there are the rest of the hour's."""

    rate: int
    seconds: float
    midnight_s: float
    rows_before: int
    segments_a_day: int
    ship_interval_s: float

    @property
    def rows(self) -> int:
        """What is appended."""
        return int(self.rate * self.seconds)


class Append(NamedTuple):
    """When an append began, in seconds after the start, and how long it took."""

    at_s: float
    took_s: float


class Waiting(NamedTuple):
    """How many rows waited for the bucket at a moment."""

    at_s: float
    rows: int


@dataclass
class Told:
    """What came of it."""

    places: list[str] = field(default_factory=list)
    appends: list[Append] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    keys_gone_s: float = 0.0
    """When the keys that were too old were gone."""
    tidied: tuple[float, float] = (0.0, 0.0)
    """From when to when the house was kept after midnight."""
    closed_s: float = 0.0
    """How long the last rows took after the last append."""
    days: list[date] = field(default_factory=list)


class Hour:
    """One run of a plan in a database and a bucket of its own."""

    def __init__(self, plan: Plan, cluster: Cluster, store: StoreSettings) -> None:
        self.plan, self.store, self.told = plan, store, Told()
        self.today = datetime.now(UTC).date()
        self.url = cluster.new_database()
        self._set_clock()
        migrations.migrate(self.url)

    @property
    def oldest(self) -> date:
        """The day that is dropped after midnight."""
        return self.today - timedelta(days=DAYS)

    def fill(self) -> None:
        """What the hour, its day and the days before left."""
        with psycopg.connect(self.url, autocommit=True) as link:
            for back in range(DAYS + 1):
                day = self.today - timedelta(days=back)
                partitions.ensure(link, day)
                link.execute(_SEGMENTS, {"day": day, "count": self.plan.segments_a_day})
            for day in (self.oldest, self.today):
                link.execute(_ROWS, (day, _ROW_BYTES, self.plan.rows_before))
            for name, age in (("old", timedelta(hours=25)), ("young", timedelta(minutes=30))):
                told = {"name": name, "day": self.today, "age": age, "count": self.plan.rows_before}
                link.execute(_KEYS, told)
            link.execute("VACUUM ANALYZE")
            link.execute("CHECKPOINT")

    def run(self) -> Told:
        """Lives through it; everything that was appended is in the bucket then, or the store has failed."""
        self._set_clock()
        asyncio.run(self._run())
        with psycopg.connect(self.url) as link:
            self.told.days = partitions.days(link)
        return self.told

    def _set_clock(self) -> None:
        """Midnight by the database comes as the plan says."""
        midnight = datetime.combine(self.today + timedelta(days=1), datetime.min.time(), UTC)
        set_clock(self.url, (midnight - datetime.now(UTC)).total_seconds() - self.plan.midnight_s)

    async def _run(self) -> None:
        ledgers = [
            PostgresLedger.open(
                self.url, PEPPER, self.store, ship_interval_s=self.plan.ship_interval_s, answers_days=DAYS
            )
            for _ in range(HOSTS)
        ]
        begun = time.monotonic()
        try:
            for ledger in ledgers:
                ledger.start()
            looking = asyncio.create_task(self._look(begun))
            await asyncio.gather(self._feed(ledgers, begun), self._keep_house(ledgers, begun))
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
        finally:
            ended = time.monotonic()
            for ledger in sorted(ledgers, key=_leads):  # who ships ends last
                await ledger.aclose()
            self.told.closed_s = time.monotonic() - ended

    async def _feed(self, ledgers: list[PostgresLedger], begun: float) -> None:
        """Appends when they are due, whether or not those before are done; a refused one ends the run."""
        given = 0
        async with asyncio.TaskGroup() as group:
            while given < self.plan.rows:
                due = min(self.plan.rows, int((time.monotonic() - begun) * self.plan.rate))
                for number in range(given, due):
                    group.create_task(self._append(ledgers[number % HOSTS], number, begun))
                given = due
                await asyncio.sleep(_TURN_S)

    async def _append(self, ledger: Ledger, number: int, begun: float) -> None:
        place = ledger.new_id(PARTNER).place
        key = KeyMark(digest_of(PARTNER, "score", str(number)), bytes(16))
        asked = time.monotonic()
        await ledger.append(entry(place, key=key))
        self.told.appends.append(Append(asked - begun, time.monotonic() - asked))
        self.told.places.append(place)

    async def _keep_house(self, ledgers: list[PostgresLedger], begun: float) -> None:
        """What is kept every hour, once more in the middle of what follows midnight."""
        await asyncio.sleep((self.plan.midnight_s + self.plan.seconds) / 2)
        shippers = [ledger.shipper for ledger in ledgers if ledger.shipper is not None]
        since = time.monotonic() - begun
        for shipper in shippers:
            await asyncio.to_thread(shipper.tidy)
        self.told.tidied = since, time.monotonic() - begun

    async def _look(self, begun: float) -> None:
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as link:
            while True:
                row = await (await link.execute(_WAITING)).fetchone()
                at = time.monotonic() - begun
                self.told.waiting.append(Waiting(at, row[0] if row else 0))
                if not self.told.keys_gone_s and await (await link.execute(_OLD_KEYS)).fetchone() == (False,):
                    self.told.keys_gone_s = at
                await asyncio.sleep(_LOOK_S)


def _leads(ledger: PostgresLedger) -> bool:
    return ledger.shipper is not None and ledger.shipper.leads
