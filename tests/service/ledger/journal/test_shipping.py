"""Shipping: every row in the bucket once, under keys and with bytes that never vary, whatever the store does."""

from __future__ import annotations

import hashlib
import io
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber

from service.errors import AnswerNotFound
from service.ledger import records
from service.ledger.bucket import BucketStore, StoreConflict
from service.ledger.journal import frames
from service.ledger.journal.answers import Answers
from service.ledger.journal.frames import JournalEntry
from service.ledger.journal.idempotency import Idempotency, KeyClaim
from service.ledger.journal.outbox import Outbox
from service.ledger.journal.segments import Folders, Segment
from service.ledger.journal.shipping import KeptLimits, Shipper, StoreSettings
from service.ledger.records import OutcomeRow, RecordKind
from tests.conftest import ObjectStore
from tests.faults.chaos import client
from tests.service.ledger.memory_store import MemoryStore
from tests.service.rows import answered, entry

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """The service runs on asyncio alone."""
    return "asyncio"


@pytest.fixture(name="store")
def _store() -> MemoryStore:
    """A store in memory."""
    return MemoryStore()


@pytest.fixture(name="open_outbox")
def _open_outbox(tmp_path: Path) -> Iterator[Callable[[], Outbox]]:
    """Opens workers' outboxes of one host and closes them at the end."""
    opened: list[Outbox] = []

    def open_one() -> Outbox:
        opened.append(Outbox.open(tmp_path, segment_age_s=3600, segment_bytes=8_000, min_free_bytes=0))
        return opened[-1]

    yield open_one
    for outbox in opened:
        outbox.close()


def shipper(outbox: Outbox, store: Any, **options: Any) -> Shipper:
    """The shipper beside an outbox."""
    return Shipper(outbox.folders.root, outbox.run, store, **options)


async def test_rows_ship_once_in_order_and_stay_readable(
    open_outbox: Callable[[], Outbox], store: MemoryStore, tmp_path: Path
) -> None:
    """Every row is in one object, nothing is pending, answers are still there."""
    outbox = open_outbox()
    identifiers = await answered(outbox, 50)
    await outbox.aclose()
    ship = shipper(outbox, store)
    assert ship.ship_now() == len(store.objects) > 1
    assert ship.ship_now() == 0
    assert store.ids() == identifiers and not list(tmp_path.glob("pending/*"))
    assert Answers(tmp_path).read(identifiers[0], "demo").body
    today = datetime.now(UTC).date().isoformat()
    assert {key.rsplit("/", 1)[0] for key in store.objects} == {f"predictions/dt={today}"}
    assert (ship.counters.rows, ship.counters.objects) == (50, len(store.objects))


async def test_outcomes_have_their_own_objects(open_outbox: Callable[[], Outbox], store: MemoryStore) -> None:
    """One file, one object for each kind of row."""
    outbox = open_outbox()
    (prediction,) = await answered(outbox)
    outcome = outbox.next_id()
    line = OutcomeRow(outcome, "t", "demo", "", prediction, "Poor", "2026-11-01").line()
    await outbox.append(JournalEntry(RecordKind.OUTCOME, "demo", b"{}", (outcome,), (line,), ((0, 2),), status=201))
    await outbox.aclose()
    shipper(outbox, store).ship_now()
    assert (store.ids(), store.ids(RecordKind.OUTCOME)) == ([prediction], [outcome])


async def test_an_open_file_is_left_alone(open_outbox: Callable[[], Outbox], store: MemoryStore) -> None:
    """What a worker still writes to is not shipped."""
    outbox = open_outbox()
    await answered(outbox)
    assert shipper(outbox, store).ship_now() == 0 and not store.objects


async def test_lost_acknowledgements_repeat_the_same_bytes(
    open_outbox: Callable[[], Outbox], store: MemoryStore
) -> None:
    """A store that kept the object but said it did not gets the same object again: nothing doubled."""
    outbox = open_outbox()
    identifiers = await answered(outbox, 3)
    await outbox.aclose()
    store.lying = True
    for _ in range(3):
        with pytest.raises(ConnectionResetError):
            shipper(outbox, store).ship_now()
    store.lying = False
    assert shipper(outbox, store).ship_now() == 1
    assert len(store.puts) == 4 and len(set(store.puts)) == 1 and store.ids() == identifiers


async def test_the_thread_waits_out_an_outage(
    open_outbox: Callable[[], Outbox], store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    """It keeps trying, says so once, and says when it works again."""
    outbox = open_outbox()
    await answered(outbox, 2)
    await outbox.aclose()
    store.down = True
    ship = shipper(outbox, store, interval_s=0.05)
    with caplog.at_level(logging.WARNING):
        ship.start()
        until(lambda: ship.counters.failing >= 2)
        assert re.fullmatch(r"ConnectionError at ledger/memory_store.py:\d+", ship.counters.last_error)
        store.down = False
        until(lambda: ship.counters.failing == 0)
        ship.stop()
    assert ship.counters.rows == 2 and ship.counters.last_error == ""
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def until(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    """Returns when the condition holds."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


async def test_the_first_living_worker_ships_for_the_dead(
    open_outbox: Callable[[], Outbox], store: MemoryStore, tmp_path: Path
) -> None:
    """Orphans fall to one worker of the host, and are counted by it alone until they are shipped."""
    living = sorted((open_outbox() for _ in range(2)), key=lambda outbox: outbox.run)
    (tmp_path / "live" / "aaaaaaaaaa.lock").touch()
    segment = Segment(datetime.now(UTC).strftime("%Y%m%d"), "aaaaaaaaaa", 0)
    payloads = [frames.encode(entry(f"-{number:x}"), [number])[frames.FRAME_HEAD_BYTES :] for number in (1, 2)]
    (tmp_path / "pending" / segment.name).write_bytes(frames.rebuilt(iter(payloads), rewritten=False)[:-40])
    store.down = True
    first, second = (shipper(outbox, store) for outbox in living)
    assert second.ship_now() == 0 and second.orphans.rows == 0
    with pytest.raises(ConnectionError):
        first.ship_now()
    assert first.orphans.rows == 2 and first.orphans.bytes > 0
    store.down = False
    assert first.ship_now() == 1 and store.ids() == ["-1", "-2"]
    first.ship_now()
    assert first.orphans.rows == 0 and not (tmp_path / "live" / "aaaaaaaaaa.lock").exists()


async def test_a_damaged_file_ships_what_is_sound(
    open_outbox: Callable[[], Outbox], store: MemoryStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The original goes to quarantine, the other rows to the bucket, and an error to the log: file name, no content."""
    outbox = open_outbox()
    await answered(outbox, 3)
    await outbox.aclose()
    (path,) = tmp_path.glob("pending/*")
    data = bytearray(path.read_bytes())
    data[300] ^= 1
    path.write_bytes(data)
    ship = shipper(outbox, store)
    ship.ship_now()
    assert len(store.ids()) == 2 and ship.counters.damaged == 1
    assert (tmp_path / "quarantine" / f"{path.name}.damaged").read_bytes() == bytes(data)
    assert path.name in caplog.text and "19114" not in caplog.text


async def test_other_bytes_under_our_key_stop_that_file_only(
    open_outbox: Callable[[], Outbox], store: MemoryStore, tmp_path: Path
) -> None:
    """A dispute is told once, overwrites nothing, and does not hold the other files up."""
    outbox = open_outbox()
    await answered(outbox, 30)
    await outbox.aclose()
    first, *rest = Folders(tmp_path).segments(tmp_path / "pending")
    store.objects[first.object_key("predictions")] = records.header(RecordKind.PREDICTION)
    ship = shipper(outbox, store)
    assert ship.ship_now() == len(rest) > 0
    assert ship.ship_now() == 0
    assert ship.counters.conflicts == 1
    assert [path.name for path in tmp_path.glob("pending/*")] == [first.name]
    assert store.objects[first.object_key("predictions")] == records.header(RecordKind.PREDICTION)


async def test_a_file_that_rows_were_erased_from_replaces_its_object(
    open_outbox: Callable[[], Outbox], store: MemoryStore, tmp_path: Path
) -> None:
    """Shipped, not yet retired, then erased from: the bucket gets the erased form."""
    outbox = open_outbox()
    await answered(outbox, 1, customer_ref="a" * 32)
    (kept,) = await answered(outbox, 1, customer_ref="b" * 32)
    await outbox.aclose()
    store.lying = True
    with pytest.raises(ConnectionResetError):
        shipper(outbox, store).ship_now()
    store.lying = False
    from service.ledger.journal.segments import remove_customers

    (path,) = tmp_path.glob("pending/*")
    assert remove_customers(path, frozenset({"a" * 32})) == 1
    assert shipper(outbox, store).ship_now() == 1
    assert store.ids() == [kept]


async def test_answers_go_when_they_are_old(
    open_outbox: Callable[[], Outbox], store: MemoryStore, tmp_path: Path
) -> None:
    """After their days they can be read no more; younger ones stay."""
    outbox = open_outbox()
    old = f"{datetime.now(UTC) - timedelta(days=91):%Y%m%d}"
    young = f"{datetime.now(UTC) - timedelta(days=90):%Y%m%d}"
    for number, day in enumerate((old, young)):
        payload = frames.encode(entry(f"{day}-{outbox.run}-{number}"), [number])[frames.FRAME_HEAD_BYTES :]
        (tmp_path / "kept" / day).mkdir()
        path = tmp_path / "kept" / day / Segment(day, outbox.run, number).name
        path.write_bytes(frames.rebuilt(iter([payload]), rewritten=False))
        assert Answers(tmp_path).read(f"{day}-{outbox.run}-{number}", "demo")
    ship = shipper(outbox, store, keep=KeptLimits(days=90, free_bytes=0))
    ship.start()
    until(lambda: not (tmp_path / "kept" / old).exists())
    ship.stop()
    with pytest.raises(AnswerNotFound):
        Answers(tmp_path).read(f"{old}-{outbox.run}-0", "demo")
    assert Answers(tmp_path).read(f"{young}-{outbox.run}-1", "demo")


async def test_kept_answers_stay_below_their_bytes(
    open_outbox: Callable[[], Outbox], store: MemoryStore, tmp_path: Path
) -> None:
    """The oldest shipped files go first, what is kept stays below the cap, and what went is in the bucket."""
    outbox = open_outbox()
    identifiers = await answered(outbox, 200)
    await outbox.aclose()
    keep = KeptLimits(max_bytes=100_000, free_bytes=0, key_hours=0)
    ship = shipper(outbox, store, keep=keep)
    ship.ship_now()
    before = sum(path.stat().st_blocks * 512 for path in tmp_path.glob("kept/*/*"))
    ship.bound_kept()
    left = list(tmp_path.glob("kept/*/*"))
    size = sum(max(path.stat().st_blocks * 512, path.stat().st_size) for path in left)
    assert before > keep.max_bytes >= size > 0
    assert ship.kept_answers.bytes == size and ship.kept_answers.dropped
    answers = Answers(tmp_path)
    assert answers.read(identifiers[-1], "demo").body
    with pytest.raises(AnswerNotFound):
        answers.read(identifiers[0], "demo")
    assert store.ids() == identifiers


async def test_an_answer_that_may_be_repeated_is_kept_whatever_room_it_takes(
    open_outbox: Callable[[], Outbox], store: MemoryStore, tmp_path: Path
) -> None:
    """Of a young file only the entries without an Idempotency-Key go, so a repeat never scores twice."""
    outbox, keys = open_outbox(), Idempotency(tmp_path)
    begun = await keys.begin("demo", "score", "once", bytes(16))
    assert isinstance(begun, KeyClaim)
    with begun:
        identifier = outbox.next_id()
        await outbox.append(entry(identifier, key=begun.mark))
    others = await answered(outbox, 30)
    await outbox.aclose()
    ship = shipper(outbox, store, keep=KeptLimits(max_bytes=1, free_bytes=0))
    ship.ship_now()
    for _ in range(2):
        ship.bound_kept()
        assert await keys.begin("demo", "score", "once", bytes(16)) == Answers(tmp_path).replay(identifier)
    with pytest.raises(AnswerNotFound):
        Answers(tmp_path).read(others[-1], "demo")
    keys.close()


async def test_two_shippers_at_once_do_no_harm(
    open_outbox: Callable[[], Outbox], store: MemoryStore, tmp_path: Path
) -> None:
    """A file is shipped by whoever holds it; the other passes by."""
    outbox = open_outbox()
    identifiers = await answered(outbox, 60)
    await outbox.aclose()
    ships = [shipper(outbox, store) for _ in range(4)]
    threads = [threading.Thread(target=ship.ship_now) for ship in ships]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(store.ids()) == sorted(identifiers) and not list(tmp_path.glob("pending/*"))


async def test_the_real_store_takes_and_gives_back(
    open_outbox: Callable[[], Outbox], object_store: ObjectStore
) -> None:
    """Bytes and type arrive (the embedded gateway keeps no metadata); putting the same again is fine."""
    outbox = open_outbox()
    identifiers = await answered(outbox, 3)
    await outbox.aclose()
    settings = StoreSettings("predictions", object_store.endpoint, object_store.access_key, object_store.secret_key)
    assert shipper(outbox, settings).ship_now() == 1
    (key,) = [
        item["Key"]
        for item in client(object_store).list_objects_v2(Bucket="predictions", Prefix="predictions/")["Contents"]
        if outbox.run in item["Key"]
    ]
    found = client(object_store).get_object(Bucket="predictions", Key=key)
    body = found["Body"].read()
    assert [row["prediction_id"] for row in records.read(body)] == identifiers
    assert found["ContentType"].startswith("text/csv")
    BucketStore(settings).put(key, body, {"sha256": hashlib.sha256(body).hexdigest()}, replace=False)


@pytest.mark.parametrize("same", [True, False], ids=["same bytes", "other bytes"])
def test_a_store_that_honours_conditions(same: bool) -> None:
    """412 over our own bytes is success, over others' a conflict."""
    store = BucketStore(StoreSettings("b", "http://127.0.0.1:9", "id", "secret"))
    with Stubber(store.client) as stub:
        stub.add_client_error("put_object", "PreconditionFailed", http_status_code=412)
        stub.add_response("get_object", {"Body": io.BytesIO(b"ours" if same else b"theirs")})
        if same:
            store.put("k", b"ours", {"sha256": "x"}, replace=False)
        else:
            with pytest.raises(StoreConflict):
                store.put("k", b"ours", {"sha256": "x"}, replace=False)
