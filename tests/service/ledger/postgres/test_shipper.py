"""One worker of all hosts ships: another takes over when it dies, a conflict waits for a person, old days go."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest

from service.ledger.journal import frames
from service.ledger.postgres import partitions
from service.ledger.postgres.host import PostgresLedger
from service.ledger.postgres.shipper import DatabaseShipper
from tests.service.ledger.engines import PATIENCE_S, PEPPER, SHIP_S, Hosts
from tests.service.ledger.memory_store import MemoryStore
from tests.service.rows import entry

pytestmark = pytest.mark.anyio


async def appended(ledger: PostgresLedger) -> str:
    """The place of an answer that is durable."""
    place = ledger.new_id("demo").place
    await ledger.append(entry(place))
    return place


SHIPPING_CHILD = """
import asyncio, sys
from tests.service.ledger.engines import opened
from tests.service.ledger.memory_store import MemoryStore
from tests.service.rows import entry
async def main(engine, place):
    store = MemoryStore()
    store.down = True
    ledger = opened(engine, place, store)
    ledger.start()
    name = ledger.new_id("demo").place
    await ledger.append(entry(name))
    while not ledger.shipper.leads:
        await asyncio.sleep(0.01)
    print(name, flush=True)
    await asyncio.sleep(600)
asyncio.run(main(*sys.argv[1:]))
"""


async def test_another_worker_takes_over_from_a_dead_one(hosts: Hosts) -> None:
    """kill -9 of the one that ships: within ten seconds another does, and ships the dead one's rows too."""
    with hosts.child(SHIPPING_CHILD) as child:
        assert child.stdout is not None
        dead = (await asyncio.to_thread(child.stdout.readline)).strip()
        ledger = hosts.open(ships=True)
        mine = await appended(ledger)
        await asyncio.sleep(0.5)
        assert not ledger.shipper.leads and ledger.shipper.waiting.rows == 0
        child.kill()
        await asyncio.to_thread(child.wait)
    await hosts.shipped(2)
    assert ledger.shipper.leads and sorted(hosts.store.ids()) == sorted([dead, mine])


async def test_one_of_several_ships(hosts: Hosts) -> None:
    """However many workers there are, each object is put once; when the one ends, another goes on."""
    ledgers = [hosts.open(ships=True) for _ in range(3)]
    for ledger in ledgers:
        await appended(ledger)
    await hosts.shipped(3)
    assert sum(ledger.shipper.leads for ledger in ledgers) == 1
    leader = next(ledger for ledger in ledgers if ledger.shipper.leads)
    await leader.aclose()
    hosts.ledgers.remove(leader)
    await appended(hosts.ledgers[0])
    await hosts.shipped(4)
    assert len(hosts.store.puts) == len(hosts.store.objects)


async def test_who_is_refused_by_the_store_lets_another_try(hosts: Hosts) -> None:
    """One host alone does not reach the bucket, or its clock is wrong: the next ships, and the first is well again."""
    cut_off = MemoryStore()
    cut_off.down = True
    first = PostgresLedger.open(hosts.place, PEPPER, cut_off, ship_interval_s=SHIP_S)
    hosts.ledgers.append(first)
    first.start()
    assert first.shipper is not None
    place = await appended(first)
    while not first.shipper.counters.failing:
        await asyncio.sleep(0.02)
    assert first.shipper.leads
    hosts.open(ships=True)
    await hosts.shipped(1)
    assert hosts.store.ids() == [place] and not first.shipper.leads
    deadline = time.monotonic() + PATIENCE_S
    while first.shipper.counters.failing:
        assert time.monotonic() < deadline, "it is not told that another ships"
        await asyncio.sleep(0.05)


async def test_a_conflict_is_told_once_and_holds_nobody_up(hosts: Hosts) -> None:
    """The key holds other bytes: that segment stays for a person, the others are shipped."""
    ledger = hosts.open()
    await appended(ledger)
    with psycopg.connect(hosts.place) as link:
        ((day, run, first),) = link.execute("SELECT day, run, first FROM ledger.segment").fetchall()
    key = f"predictions/dt={day.isoformat()}/{run}-{first:010x}.csv"
    hosts.store.objects[key] = b"other"
    shipping = hosts.open(ships=True)
    await asyncio.sleep(0.5)
    other = hosts.open()
    place = await appended(other)
    while not any(place.split("-")[1] in name for name in hosts.store.objects):
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)
    assert shipping.shipper.counters.conflicts == 1 and hosts.store.objects.pop(key) == b"other"


def segment(url: str, day: date, *, shipped: bool) -> None:
    """A segment of a day with one entry."""
    name = entry(f"{day:%Y%m%d}-abcdefghij-1")
    payload = frames.encode(name, [1])[frames.FRAME_HEAD_BYTES :]
    with psycopg.connect(url) as link:
        partitions.ensure(link, day)
        partitions.ensure(link, day)
        run = f"run{day:%m%d}aaa"
        link.execute(
            "INSERT INTO ledger.segment (day, run, first, low, high, rows, bytes, due_at, sealed_at, shipped_at)"
            " VALUES (%s, %s, 0, 1, 1, 1, 1, now(), now(), CASE WHEN %s THEN now() END)",
            (day, run, shipped),
        )
        link.execute("INSERT INTO ledger.entry VALUES (%s, %s, 1, 1, 0, 0, %s)", (day, run, payload))


async def test_days_that_are_too_old_go_when_they_were_shipped(hosts: Hosts) -> None:
    """A partition a day is dropped; one with a row that waits stays, however old; keys of yesterday go."""
    today = datetime.now(UTC).date()
    days = {age: today - timedelta(days=age) for age in (0, 89, 90, 91, 200)}
    for age, day in days.items():
        segment(hosts.place, day, shipped=age != 200)
    with psycopg.connect(hosts.place) as link:
        link.execute("INSERT INTO ledger.idempotency VALUES ('a', 'b', now(), 'r', 1, now() - interval '25 hours')")
        link.execute("INSERT INTO ledger.idempotency VALUES ('c', 'b', now(), 'r', 1, now())")
    hosts.store.down = True
    ledger = hosts.open(ships=True)
    shipper: DatabaseShipper = ledger.shipper
    while not shipper.leads:
        await asyncio.sleep(0.05)
    shipper.tidy()
    with psycopg.connect(hosts.place) as link:
        assert partitions.days(link) == sorted(days[age] for age in (0, 89, 90, 200))
        assert link.execute("SELECT count(*)::int FROM ledger.segment").fetchone() == (4,)
        assert link.execute("SELECT digest FROM ledger.idempotency").fetchall() == [(b"c",)]
    hosts.store.down = False
    await hosts.shipped(1)
    deadline = time.monotonic() + 60
    while shipper.waiting.rows and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    shipper.tidy()
    with psycopg.connect(hosts.place) as link:
        assert partitions.days(link) == sorted(days[age] for age in (0, 89, 90))
