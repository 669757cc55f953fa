"""A host's journal is taken into the database while it serves, as often as one likes, and goes on there."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service import keys
from service.access.credentials import read_pepper
from service.access.keystore import FileKeys, KeyStore
from service.ledger import __main__ as command
from service.ledger.interface import Replay
from service.ledger.journal.host import JournalLedger
from service.ledger.postgres.host import PostgresLedger
from service.ledger.postgres.move import move
from service.ledger.records import RecordKind
from service.settings import settings
from tests.service.ledger.engines import Hosts
from tests.service.ledger.memory_store import MemoryStore
from tests.service.rows import entry

pytestmark = pytest.mark.anyio
PRINT = hashlib.sha256(b"body").digest()


@pytest.fixture(name="hosts")
async def _hosts(tmp_path: Path) -> AsyncIterator[Hosts]:
    """Workers of a host that keeps files."""
    made = Hosts("journal", str(tmp_path / "outbox"))
    yield made
    await made.aclose()


async def test_nothing_is_lost_or_doubled_on_the_way(hosts: Hosts, database: str, tmp_path: Path) -> None:
    """Answers by their ids, a key's answer, rows in the bucket: moved before they are shipped, while, and after."""
    files, names = hosts.open(ships=True), []

    async def given(count: int) -> None:
        for _ in range(count):
            names.append(files.new_id("demo"))
            await files.append(entry(names[-1].place))

    await given(3)
    claim = await files.begin("demo", "score", "k", PRINT)
    assert not isinstance(claim, Replay)
    with claim:
        names.append(files.new_id("demo"))
        record = entry(names[-1].place, key=claim.mark)
        await files.append(record)
    await hosts.shipped(4)
    await given(1)
    first = move(tmp_path / "outbox", database)
    assert first.rows >= 4 and first.keys == 1 and len(first.open) <= 1
    hosts.store.down = True
    await given(2)
    await asyncio.sleep(0.5)
    second = move(tmp_path / "outbox", database)
    assert second.there >= first.files and str(second)
    await given(1)
    await hosts.aclose()  # the store is away, so the last rows are left on this host
    third = move(tmp_path / "outbox", database)
    assert not third.open and first.rows + second.rows + third.rows == len(names) == 8
    assert move(tmp_path / "outbox", database).files == 0

    hosts.store.down = False
    there = Hosts("postgres", database, hosts.store)
    ledger = there.open(ships=True)
    for name in names:
        stored = await ledger.read(name.public, "demo", RecordKind.PREDICTION)
        assert stored.body == b'{"prediction_id":"%s"}' % name.place.encode()
    assert await ledger.begin("demo", "score", "k", PRINT) == Replay(200, record.body)
    await there.shipped(8)
    late = Hosts("journal", hosts.place, hosts.store)
    late.open(ships=True)
    await asyncio.sleep(0.5)
    await late.aclose()
    await there.aclose()
    assert sorted(there.store.ids()) == sorted(name.place for name in names)


async def test_the_command_takes_keys_along(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Partners' keys open on every host afterwards; a folder that is none is said."""
    key = keys.issue(tmp_path, "acme")
    monkeypatch.setenv("QF_DATABASE_URL", database)
    monkeypatch.setenv("QF_SERVICE_DIR", str(tmp_path))
    settings.cache_clear()
    assert command.main(["move"]) == 1
    assert "is not there; QF_SERVICE_DIR must name the folder" in capsys.readouterr().err
    store = MemoryStore()
    ledger = JournalLedger.open(tmp_path / "outbox", read_pepper(tmp_path / "pepper"), store, ship_interval_s=3600)
    await ledger.append(entry(ledger.new_id("demo").place))
    await ledger.aclose()
    told = []
    for _ in range(2):
        assert command.main(["move"]) == 0
        told.append(capsys.readouterr().out)
    settings.cache_clear()
    nothing = "0 files with 0 rows and 0 Idempotency-Keys were moved; 1 were there already"
    assert told == [
        "1 files with 1 rows and 0 Idempotency-Keys were moved; 1 keys of partners were taken in\n",
        f"{nothing}; 0 keys of partners were taken in\n",
    ]
    moved = PostgresLedger.open(database, read_pepper(tmp_path / "pepper"), None)
    await moved.aclose()
    (tmp_path / "keys.json").unlink()
    assert len(KeyStore(FileKeys(tmp_path / "keys.json"), read_pepper(tmp_path / "pepper"))) == 0
    assert [record.partner for record in keys.key_records(tmp_path, database)] == ["acme"]
    assert key
