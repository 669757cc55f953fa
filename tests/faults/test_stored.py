"""What is stored grows for months; what reading one of it costs does not."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import date, timedelta

import psycopg
import pytest

from service.ledger.interface import Ledger
from service.ledger.postgres import partitions
from service.ledger.postgres.host import PostgresLedger
from service.ledger.records import RecordKind
from tests.service.ledger.engines import Hosts
from tests.service.rows import entry

pytestmark = [pytest.mark.full, pytest.mark.anyio, pytest.mark.timeout(1800)]
FEW, MANY, DAYS = 10_000, 10_000_000, 10
READ, ROUNDS = 1_000, 5
MOST = 1.5
FILL = """
INSERT INTO ledger.entry (day, run, first, last, segment, place, payload)
SELECT %s, 'filler' || lpad((n %% 100)::text, 4, '2'), n, n, 0, n, decode(repeat('ab', 60), 'hex')
FROM generate_series(1, %s) AS n
"""


async def append_all(ledger: Ledger, count: int) -> list[str]:
    """Places of that many answers, committed in groups as a busy worker's are."""
    places: list[str] = []
    while len(places) < count:
        group = [ledger.new_id("demo").place for _ in range(500)]
        await asyncio.gather(*(ledger.append(entry(place)) for place in group))
        places += group
    return places


async def cost_of_a_read(ledger: Ledger, places: list[str]) -> float:
    """The median's seconds, in the round the machine was least disturbed in."""
    medians = []
    for _ in range(ROUNDS):
        times = []
        for place in random.Random(5).sample(places, READ):
            begun = time.perf_counter()
            assert isinstance(ledger, PostgresLedger)
            await ledger.answers.read(place, "demo", RecordKind.PREDICTION)
            times.append(time.perf_counter() - begun)
        medians.append(sorted(times)[READ // 2])
    return min(medians)


async def test_a_read_costs_the_same_among_ten_million(database: str) -> None:
    """At most 1.5 times what it costs among ten thousand."""
    hosts = Hosts("postgres", database)
    ledger = hosts.open()
    places = await append_all(ledger, FEW)
    before = await cost_of_a_read(ledger, places)
    with psycopg.connect(database, autocommit=True) as link:
        row = link.execute("SELECT (now() AT TIME ZONE 'UTC')::date").fetchone()
        assert row is not None and isinstance(row[0], date)
        for back in range(DAYS):
            day = row[0] - timedelta(days=back)
            partitions.ensure(link, day)
            link.execute(FILL, (day, MANY // DAYS))
        link.execute("ANALYZE ledger.entry")
        count = link.execute("SELECT count(*) FROM ledger.entry").fetchone()
    after = await cost_of_a_read(ledger, places)
    await hosts.aclose()
    print(
        f"\na read among {FEW}: {before * 1e6:.0f} us, among {count}: {after * 1e6:.0f} us, {after / before:.2f} times"
    )
    assert after <= MOST * before
