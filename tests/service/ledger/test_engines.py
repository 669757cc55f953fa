"""What every engine of the ledger promises: the same tests, over files of one host and over PostgreSQL of several."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from service.errors import AnswerNotFound, IdempotencyMismatch, IdempotencyRunning, OutboxFull
from service.families import FAMILIES
from service.ledger import records
from service.ledger.interface import Claim, JournalEntry, Ledger, Replay
from service.ledger.records import OutcomeRow, RecordKind, header
from tests.service.ledger.engines import Hosts
from tests.service.rows import entry, line

pytestmark = pytest.mark.anyio
PRINT = hashlib.sha256(b"body").digest()
PREDICTION = RecordKind.PREDICTION


@pytest.fixture
def anyio_backend() -> str:
    """The service runs on asyncio alone."""
    return "asyncio"


@pytest.fixture(name="hosts", params=["journal", "postgres"])
async def _hosts(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Hosts]:
    """Workers of an engine, opened as a test asks for them."""
    place = str(tmp_path) if request.param == "journal" else request.getfixturevalue("database")
    made = Hosts(request.param, place)
    yield made
    await made.aclose()


async def given(ledger: Ledger, owner: str = "demo", *, kind: RecordKind = PREDICTION) -> str:
    """The id of an answer that was made durable; its row carries the id as the service writes it."""
    identifier = ledger.new_id(owner)
    answer = b'{"prediction_id":"%s"}' % identifier.public.encode()
    row = line(identifier.public, partner=owner)
    await ledger.append(JournalEntry(kind, owner, answer, (identifier.place,), (row,), ((0, len(answer)),)))
    return identifier.public


async def soon_first(ledger: Ledger, owner: str = "demo", scope: str = "score") -> Claim:
    """A claim of a key that was let go just now: another host hears of that a moment later."""
    for _ in range(100):
        try:
            begun = await ledger.begin(owner, scope, "k", PRINT)
        except IdempotencyRunning:
            await asyncio.sleep(0.1)
            continue
        assert not isinstance(begun, Replay)
        return begun
    raise AssertionError("the key stays claimed")


async def keyed(ledger: Ledger, name: str = "k") -> bytes:
    """The body of a key's first answer."""
    claim = await ledger.begin("demo", "score", name, PRINT)
    assert not isinstance(claim, Replay)
    with claim:
        record = entry(ledger.new_id("demo").place, key=claim.mark)
        await ledger.append(record)
    return record.body


async def test_an_answer_is_readable_at_once_by_every_worker(hosts: Hosts) -> None:
    """Whoever gave it, to its partner, byte for byte, with its row."""
    first, second = hosts.open(), hosts.open()
    for giver, reader in ((first, second), (second, first), (first, first)):
        identifier = await given(giver)
        stored = await reader.read(identifier, "demo", PREDICTION)
        assert stored.body == b'{"prediction_id":"%s"}' % identifier.encode()
        assert stored.row["prediction_id"] == identifier
        assert reader.genuine(identifier, "demo") and not reader.genuine(identifier, "other")


async def test_a_row_of_a_batch_is_read_alone(hosts: Hosts) -> None:
    """Each id of a batch leads to its own answer."""
    ledger = hosts.open()
    names = [ledger.new_id("demo") for _ in range(3)]
    await ledger.append(entry(*(name.place for name in names)))
    for name in names:
        stored = await ledger.read(name.public, "demo", PREDICTION)
        assert stored.body == b'{"prediction_id":"%s"}' % name.place.encode()


async def test_strangers_and_inventions_look_alike(hosts: Hosts) -> None:
    """Another partner's id, an id never given, another kind and nonsense: the same refusal."""
    ledger = hosts.open()
    identifier, texts = await given(ledger), set()
    place = ledger.new_id("demo").place
    for asked, owner, kind in [
        (identifier, "other", PREDICTION),
        (identifier, "demo", RecordKind.OUTCOME),
        (f"{identifier[:-1]}{'0' if identifier[-1] != '0' else '1'}", "demo", PREDICTION),
        (place, "demo", PREDICTION),
        ("20200101-abcdefghij-1", "demo", PREDICTION),
        ("99999999-abcdefghij-1", "demo", PREDICTION),
        ("../../etc/passwd", "demo", PREDICTION),
        ("' OR true --", "demo", PREDICTION),
        ("", "demo", PREDICTION),
    ]:
        with pytest.raises(AnswerNotFound) as caught:
            await ledger.read(asked, owner, kind)
        texts.add(str(caught.value))
    assert len(texts) == 1


async def test_the_first_request_claims_and_later_ones_replay(hosts: Hosts) -> None:
    """Running: 409, everywhere. Done: the stored answer. Another body: 422. Another scope or partner: another key."""
    first, second = hosts.open(), hosts.another()
    claim = await first.begin("demo", "score", "k", PRINT)
    assert not isinstance(claim, Replay)
    for ledger in (first, second):
        with pytest.raises(IdempotencyRunning):
            await ledger.begin("demo", "score", "k", PRINT)
    with claim:
        record = entry(first.new_id("demo").place, key=claim.mark)
        await first.append(record)
    for ledger in (second, first):
        assert await ledger.begin("demo", "score", "k", PRINT) == Replay(200, record.body)
        with pytest.raises(IdempotencyMismatch):
            await ledger.begin("demo", "score", "k", hashlib.sha256(b"changed").digest())
        for owner, scope in (("demo", "batch"), ("other", "score")):
            with await soon_first(ledger, owner, scope):
                pass


async def test_a_request_that_failed_frees_its_key(hosts: Hosts) -> None:
    """Nothing was recorded, so the next request of the key is a first one again, wherever it arrives."""
    for ledger in (hosts.open(), hosts.another()):
        with pytest.raises(ZeroDivisionError):
            with await soon_first(ledger):
                raise ZeroDivisionError


CHILD = """
import asyncio, sys
from service.ledger.interface import Replay
from tests.service.ledger.engines import opened
from tests.service.ledger.test_engines import PRINT
from tests.service.rows import entry
async def main(engine, place, committed):
    ledger = opened(engine, place)
    claim = await ledger.begin("demo", "score", "k", PRINT)
    record = entry(ledger.new_id("demo").place, key=claim.mark)
    if committed == "yes":
        await ledger.append(record)
    print(record.body.decode(), flush=True)
    await asyncio.sleep(600)
asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("committed", ["yes", "no"])
async def test_a_worker_killed_before_it_answered_gives_one_answer(hosts: Hosts, committed: str) -> None:
    """Between commit and answer: the next request is told what was recorded. Before the commit: it is a first one."""
    other = hosts.open(ships=True)
    with hosts.child(CHILD, committed) as child:
        assert child.stdout is not None
        told = (await asyncio.to_thread(child.stdout.readline)).strip().encode()
        if committed == "no":
            with pytest.raises(IdempotencyRunning):
                await other.begin("demo", "score", "k", PRINT)
        child.kill()
        await asyncio.to_thread(child.wait)
    if committed == "yes":
        assert await other.begin("demo", "score", "k", PRINT) == Replay(200, told)
    else:
        assert await _soon_first(other) != told
    await hosts.shipped(1)
    assert len(hosts.store.ids()) == 1


async def _soon_first(ledger: Ledger) -> bytes:
    """The key's first answer, once its dead holder's lock is gone."""
    for _ in range(100):
        try:
            return await keyed(ledger)
        except IdempotencyRunning:
            await asyncio.sleep(0.1)
    raise AssertionError("the lock of a dead worker stays")


MANY = """
import asyncio, hashlib, random, sys
from service.errors import IdempotencyRunning
from service.ledger.interface import Replay
from tests.service.ledger.engines import opened
from tests.service.rows import entry
async def main(engine, place, count, seed):
    ledger = opened(engine, place)
    async def ask(name):
        while True:
            try:
                begun = await ledger.begin("demo", "score", name, hashlib.sha256(name.encode()).digest())
                if isinstance(begun, Replay):
                    body = begun.body
                else:
                    with begun:
                        record = entry(ledger.new_id("demo").place, key=begun.mark)
                        await ledger.append(record)
                        body = record.body
            except IdempotencyRunning:
                await asyncio.sleep(0.01)
                continue
            print(name, body.decode(), flush=True)
            return
    names = [f"key-{number}" for number in range(int(count))]
    random.Random(seed).shuffle(names)
    for start in range(0, len(names), 20):
        await asyncio.gather(*(ask(name) for name in names[start:start + 20]))
    await ledger.aclose()
asyncio.run(main(*sys.argv[1:]))
"""


async def test_four_processes_give_one_answer_a_key(hosts: Hosts) -> None:
    """Each key asked for by four processes at once: one record, one answer, told to all four."""
    count = 60
    children = [hosts.child(MANY, str(count), str(seed)) for seed in range(4)]
    told: dict[str, list[str]] = {}
    for child in children:
        for text in (await asyncio.to_thread(child.communicate, timeout=200))[0].splitlines():
            name, answer = text.split(" ", 1)
            told.setdefault(name, []).append(answer)
        assert child.returncode == 0
    assert len(told) == count and {len(answers) for answers in told.values()} == {4}
    assert {len(set(answers)) for answers in told.values()} == {1}
    hosts.open(ships=True)
    await hosts.shipped(count)
    assert len(hosts.store.ids()) == len(set(hosts.store.ids())) == count


async def test_rows_of_all_workers_reach_the_bucket_once(hosts: Hosts) -> None:
    """Predictions and outcomes, an object a kind and segment, under the journal's keys; a test key's rows never."""
    first, second = hosts.open(ships=True), hosts.open(ships=True)
    identifiers = [await given(ledger) for ledger in (first, second) for _ in range(5)]
    await given(first, "demo:test", kind=RecordKind.TEST_PREDICTION)
    outcome = first.new_id("demo")
    row = OutcomeRow(outcome.public, "2026-11-26T00:00:00.000Z", "demo", "", identifiers[0], "Good", "2026-11-25")
    await first.append(JournalEntry(RecordKind.OUTCOME, "demo", b"{}", (outcome.place,), (row.line(),), ((0, 2),), 201))
    await hosts.shipped(10)
    await hosts.aclose()
    objects = hosts.store.objects
    assert sorted(hosts.store.ids()) == sorted(identifiers)
    assert hosts.store.ids(RecordKind.OUTCOME) == [outcome.public]
    for key, data in objects.items():
        assert re.fullmatch(r"(predictions|outcomes)/dt=\d{4}-\d\d-\d\d/[a-z2-7]{10}-[0-9a-f]{10}\.csv", key)
        assert data.startswith(header(records.kind_of(data)))
    assert dict(hosts.store.puts) == objects and len(hosts.store.puts) == len(objects)


async def test_a_store_that_lies_gets_the_same_bytes_again(hosts: Hosts) -> None:
    """It stored and said it did not: the second try is of the same key and bytes, and nothing is doubled."""
    hosts.store.lying = True
    ledger = hosts.open(ships=True)
    identifiers = [await given(ledger) for _ in range(5)]
    while len(hosts.store.puts) < 3:
        await asyncio.sleep(0.05)
    hosts.store.lying = False
    await hosts.shipped(5)
    await hosts.aclose()
    assert dict(hosts.store.puts) == hosts.store.objects
    assert sorted(hosts.store.ids()) == sorted(identifiers)


async def test_what_waits_is_told_and_then_shipped(hosts: Hosts) -> None:
    """Rows, bytes and the age of the oldest, while the store is away; nothing after it came back."""
    hosts.store.down = True
    ledger = hosts.open(ships=True)
    await given(ledger)
    told = await _figure(ledger, "qf_outbox_rows_pending", 1.0)
    assert told["qf_outbox_bytes_pending"] > 100 and told["qf_outbox_oldest_age_seconds"] >= 0
    await _figure(ledger, "qf_shipping_failing", 3.0)
    hosts.store.down = False
    await _figure(ledger, "qf_outbox_rows_pending", 0.0)
    assert ledger.figures().counters[FAMILIES["qf_shipped_rows"]] == 1


async def _figure(ledger: Ledger, name: str, least: float) -> dict[str, float]:
    """The gauges once one of them is there: at least so much, or zero."""
    for _ in range(600):
        told = {str(family): value for family, value in ledger.figures().gauges.items()}
        if told[name] >= least if least else told[name] == 0:
            return told
        await asyncio.sleep(0.05)
    raise AssertionError(f"{name} is {told[name]}")


async def test_a_closed_ledger_takes_nothing(hosts: Hosts) -> None:
    """What comes after the end is refused, never lost."""
    ledger = hosts.open()
    record = entry(ledger.new_id("demo").place)
    await hosts.aclose()
    assert ledger.full_because
    with pytest.raises(OutboxFull):
        await ledger.append(replace(record))


async def test_an_answer_that_left_the_engine_is_read_from_another_start(hosts: Hosts) -> None:
    """A restart keeps what was answered: ids and keys."""
    ledger = hosts.open()
    identifier, body = await given(ledger), await keyed(ledger)
    await hosts.aclose()
    again = hosts.open()
    assert (await again.read(identifier, "demo", PREDICTION)).body
    assert await again.begin("demo", "score", "k", PRINT) == Replay(200, body)
