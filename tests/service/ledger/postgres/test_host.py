"""The database goes, comes back, answers late or never: refused is refused, answered is kept, nothing is doubled."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from service.database.session import Link, Session, refusal_of
from service.errors import AnswerAway, DatabaseAway, IdempotencyRunning, Misconfigured, OutboxFull
from service.ledger.interface import Replay
from service.ledger.journal import frames
from service.ledger.postgres import writer
from service.ledger.postgres.host import PostgresLedger, await_check
from service.ledger.records import RecordKind
from tests.databases import Cluster
from tests.forwarding import Forwarder
from tests.service.ledger.engines import PEPPER, Hosts
from tests.service.rows import entry

pytestmark = pytest.mark.anyio
PRINT = hashlib.sha256(b"body").digest()
PATIENCE_S = 60
SOME_LOOKS_S = 1.5


async def appended(ledger: PostgresLedger) -> str:
    """The place of an answer that is durable."""
    place = ledger.new_id("demo").place
    await ledger.append(entry(place))
    return place


async def until(true: Callable[[], bool]) -> None:
    """Waits for something that the other threads do."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "it never came"
        await asyncio.sleep(0.02)


def rows(url: str, statement: str) -> list[tuple[object, ...]]:
    """What a query finds."""
    with psycopg.connect(url) as link:
        return link.execute(statement.encode()).fetchall()


class Lossy:
    """Stands for a session's `run`: does the work, and loses the word that it was done, as often as told."""

    def __init__(self, session: Session, times: int) -> None:
        self._run, self.times = session.run, times
        session.run = self.run  # type: ignore[method-assign]

    def run(self, work: Callable[[Link], object]) -> object:
        """As `Session.run`."""
        found = self._run(work)
        if self.times:
            self.times -= 1
            raise DatabaseAway("the connection broke after the work")
        return found


async def test_a_commit_whose_word_was_lost_is_found_again(hosts: Hosts) -> None:
    """The statement took effect, the connection broke: it is answered, and recorded once."""
    ledger = hosts.open(ships=True)
    await appended(ledger)
    lossy = Lossy(ledger.writer._session, 0)  # pylint: disable=protected-access
    claim = await ledger.begin("demo", "score", "k", PRINT)
    assert not isinstance(claim, Replay)
    with claim:
        lossy.times = 1
        await asyncio.gather(
            *(ledger.append(entry(ledger.new_id("demo").place)) for _ in range(5)),
            ledger.append(entry(ledger.new_id("demo").place, key=claim.mark)),
        )
    assert not lossy.times
    await hosts.shipped(7)
    assert len(hosts.store.ids()) == len(set(hosts.store.ids())) == 7


async def test_what_was_refused_is_not_recorded(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Committed after all, but its request was refused: the row goes, unless a key leads to it, which is replayed."""
    monkeypatch.setattr(writer, "PATIENCE_S", 0.0)
    ledger, other = hosts.open(), hosts.open()
    kept = await appended(ledger)
    lossy = Lossy(ledger.writer._session, 0)  # pylint: disable=protected-access
    lossy.times = 1
    with pytest.raises(OutboxFull):
        await ledger.append(entry(ledger.new_id("demo").place))
    await until(lambda: not ledger.full_because)
    claim = await ledger.begin("demo", "score", "k", PRINT)
    assert not isinstance(claim, Replay)
    with claim:
        record = entry(ledger.new_id("demo").place, key=claim.mark)
        lossy.times = 1
        with pytest.raises(OutboxFull):
            await ledger.append(record)
    await until(lambda: not ledger.full_because)
    again = await appended(ledger)
    assert await other.begin("demo", "score", "k", PRINT) == Replay(200, record.body)
    await hosts.aclose()
    hosts.open(ships=True)
    await hosts.shipped(3)
    assert sorted(hosts.store.ids()) == sorted([kept, record.ids[0], again])
    assert rows(hosts.place, "SELECT sum(rows)::int FROM ledger.segment") == [(3,)]


async def test_a_restart_loses_nothing_and_is_over_by_itself(hosts: Hosts, database_cluster: Cluster) -> None:
    """While it is away 503 with a time to come back, and unready; then ready without anybody's help."""
    ledger = hosts.open(ships=True)
    kept = [await appended(ledger)]
    database_cluster.stop()
    try:
        await until(lambda: bool(ledger.full_because))
        with pytest.raises(OutboxFull) as caught:
            await appended(ledger)
        assert caught.value.retry_after_s >= 1 and "\n" not in ledger.full_because
        with pytest.raises(OutboxFull):
            await ledger.begin("demo", "score", "k", PRINT)
        with pytest.raises(AnswerAway):
            await ledger.answers.read(kept[0], "demo", RecordKind.PREDICTION)
    finally:
        database_cluster.start()
    await until(lambda: not ledger.full_because)
    kept.append(await appended(ledger))
    for place in kept:
        assert (await ledger.answers.read(place, "demo", RecordKind.PREDICTION)).body
    claim = await ledger.begin("demo", "score", "k", PRINT)
    assert not isinstance(claim, Replay)
    with claim:
        pass
    await hosts.shipped(2)


# The parent first, as a host's statements take their locks: otherwise the two may wait for one another.
LOCKED = "BEGIN; LOCK TABLE ledger.entry IN ACCESS EXCLUSIVE MODE; {}; COMMIT"
FULL = LOCKED.format(
    """
CREATE FUNCTION ledger.full() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON ledger.entry FOR EACH ROW EXECUTE FUNCTION ledger.full()
"""
)
READ_ONLY = """
ALTER DATABASE {name} SET default_transaction_read_only = on;
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()
"""
WRITABLE = "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE; ALTER DATABASE {name} RESET ALL"


@pytest.mark.parametrize(
    ("broken", "mended", "told"),
    [
        (FULL, LOCKED.format("DROP TRIGGER full_disk ON ledger.entry"), "the database's disk is full (DiskFull 53100)"),
        (READ_ONLY, WRITABLE, "session is read-only"),
    ],
    ids=["full disk", "read-only"],
)
async def test_a_database_that_is_only_read_refuses_until_it_is_written(  # pylint: disable=too-many-arguments, too-many-positional-arguments
    hosts: Hosts, broken: str, mended: str, told: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One line that says why, no answer and no flapping meanwhile; then it goes on by itself, nothing doubled."""
    monkeypatch.setattr(writer, "PATIENCE_S", 0.0)
    ledger = hosts.open(ships=True)
    kept = [await appended(ledger)]
    with psycopg.connect(hosts.place, autocommit=True) as operator:
        name = hosts.place.rpartition("/")[2]
        operator.execute(broken.format(name=name).encode())
        with pytest.raises(OutboxFull) as caught:
            while True:  # the break may be heard of a moment later
                kept.append(await appended(ledger))
        assert "\n" not in str(caught.value) and caught.value.retry_after_s >= 1
        await until(lambda: told in ledger.full_because)
        await asyncio.sleep(SOME_LOOKS_S)
        assert told in ledger.full_because
        operator.execute(mended.format(name=name).encode())
    await until(lambda: not ledger.full_because)
    kept.append(await appended(ledger))
    await hosts.shipped(len(kept))
    assert sorted(hosts.store.ids()) == sorted(kept)
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("ledger: ")]
    assert told in lines[-2] and ["takes records again" in line for line in lines] == [False] * (len(lines) - 1) + [
        True
    ]


async def test_a_worker_that_starts_while_it_is_away_waits(hosts: Hosts, database_cluster: Cluster) -> None:
    """It dies of what waiting does not mend, and of nothing else."""
    hosts.open()
    database_cluster.stop()
    try:
        waiting = asyncio.create_task(asyncio.to_thread(await_check, hosts.place, PEPPER))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        with pytest.raises(Misconfigured, match="refused"):
            await asyncio.to_thread(await_check, hosts.place, PEPPER, 0.0)
    finally:
        database_cluster.start()
    await waiting
    with pytest.raises(Misconfigured, match="its pepper is another"):
        await_check(hosts.place, b"q" * 32)


async def test_a_sealed_segment_takes_no_late_row(hosts: Hosts) -> None:
    """Whoever ships sealed it for a worker that seemed dead: what comes late goes into the next, and all is shipped."""
    ledger = hosts.open()
    kept = []
    for _ in range(3):
        kept.append(await appended(ledger))
        with psycopg.connect(hosts.place) as link:
            link.execute("UPDATE ledger.segment SET sealed_at = now() WHERE sealed_at IS NULL")
    hosts.open(ships=True)
    await hosts.shipped(3)
    assert sorted(hosts.store.ids()) == sorted(kept) and len(hosts.store.objects) == 3


async def test_the_quicker_of_two_hosts_keeps_the_key(hosts: Hosts) -> None:
    """Both hold a claim, since a lock was lost with its connection: one entry is recorded, the other hears of it."""
    first, second = hosts.open(), hosts.open()
    claim = await first.begin("demo", "score", "k", PRINT)
    first.claims._session._drop()  # pylint: disable=protected-access  # the lock goes with it
    rival = await second.begin("demo", "score", "k", PRINT)
    assert not isinstance(claim, Replay) and not isinstance(rival, Replay)
    record = entry(second.new_id("demo").place, key=rival.mark)
    await second.append(record)
    with pytest.raises(IdempotencyRunning):
        await first.append(entry(first.new_id("demo").place, key=claim.mark))
    for held in (claim, rival):
        with held:
            pass
    assert await first.begin("demo", "score", "k", PRINT) == Replay(200, record.body)
    assert rows(hosts.place, "SELECT count(*)::int, sum(last - first + 1)::int FROM ledger.entry") == [(1, 1)]
    assert rows(hosts.place, "SELECT sum(rows)::int FROM ledger.segment") == [(1,)]


async def test_a_key_is_forgotten_by_the_clock_of_the_database(hosts: Hosts) -> None:
    """After its 24 hours it is free; what it led to stays readable."""
    ledger = hosts.open()
    places = []
    for _ in range(2):
        claim = await ledger.begin("demo", "score", "k", PRINT)
        assert not isinstance(claim, Replay)
        with claim:
            places.append(ledger.new_id("demo").place)
            await ledger.append(entry(places[-1], key=claim.mark))
        with psycopg.connect(hosts.place) as link:
            link.execute("UPDATE ledger.idempotency SET at = at - interval '25 hours'")
    for place in places:
        assert (await ledger.answers.read(place, "demo", RecordKind.PREDICTION)).body


async def test_a_host_whose_clock_is_wrong_does_no_harm(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Days ahead: ids and objects carry the database's day, keys are replayed, rows are shipped."""
    ahead = time.time_ns() + int(timedelta(days=3).total_seconds() * 1e9)
    monkeypatch.setattr(frames.time, "time_ns", lambda: ahead)
    ledger, other = hosts.open(ships=True), hosts.open()
    claim = await ledger.begin("demo", "score", "k", PRINT)
    assert not isinstance(claim, Replay)
    with claim:
        record = entry(ledger.new_id("demo").place, key=claim.mark)
        await ledger.append(record)
    assert await other.begin("demo", "score", "k", PRINT) == Replay(200, record.body)
    await hosts.shipped(1)
    assert record.ids[0].startswith(f"{datetime.now(UTC):%Y%m%d}-")
    assert f"dt={datetime.now(UTC):%Y-%m-%d}/" in next(iter(hosts.store.objects))


@pytest.mark.parametrize("cuts", [25, pytest.param(1000, marks=[pytest.mark.full, pytest.mark.timeout(900)])])
async def test_cut_connections_lose_nothing_and_leak_none(cuts: int, database: str, database_cluster: Cluster) -> None:
    """A proxy in between that fails over again and again: every row once, and never more connections than jobs."""
    with Forwarder(database_cluster.port) as proxy:
        hosts = Hosts("postgres", database.replace(str(database_cluster.port), str(proxy.port)))
        ledger, answered = hosts.open(ships=True), 0
        name = database.rpartition("/")[2]
        for _ in range(cuts):
            proxy.cut()
            for _ in range(4):
                try:
                    await appended(ledger)
                except OutboxFull:
                    await until(lambda: not ledger.full_because)
                else:
                    answered += 1
        await hosts.shipped(answered)
        held = f"SELECT count(*)::int FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
        await until(lambda: int(str(rows(database, held)[0][0])) <= len(ledger.sessions))
        await hosts.aclose()
    assert answered > cuts
    assert len(hosts.store.ids()) == len(set(hosts.store.ids())) == answered


async def test_a_host_that_is_cut_off_alone_refuses_and_the_others_go_on(
    database: str, database_cluster: Cluster
) -> None:
    """What it sends is swallowed: it says so within the seconds of its limits, and comes back by itself."""
    with Forwarder(database_cluster.port) as proxy:
        alone = Hosts("postgres", database.replace(str(database_cluster.port), str(proxy.port)))
        others = Hosts("postgres", database)
        cut_off, well = alone.open(), others.open()
        await appended(cut_off)
        proxy.silent = proxy.down = True
        await until(lambda: bool(cut_off.full_because))
        await appended(well)
        proxy.cut()
        proxy.silent = proxy.down = False
        await until(lambda: not cut_off.full_because)
        await appended(cut_off)
        await alone.aclose()
        await others.aclose()


def test_what_the_database_refuses_is_said_in_plain_words() -> None:
    """A full disk, a replica, a statement that took too long; never a value."""
    for error, told in (
        (psycopg.errors.DiskFull("could not extend file"), "disk is full"),
        (psycopg.errors.ReadOnlySqlTransaction("x"), "read-only"),
        (psycopg.errors.QueryCanceled("x"), "took too long"),
        (psycopg.errors.NotNullViolation("Failing row contains (secret)"), "refused (NotNullViolation 23502)"),
        (psycopg.OperationalError("connection failed: no route\nhint"), "connection failed: no route"),
        (psycopg.OperationalError(""), "OperationalError"),
    ):
        assert told in refusal_of(error) and "secret" not in refusal_of(error) and "\n" not in refusal_of(error)
