"""A customer, or a prediction, is erased from the database while its hosts go on."""

from __future__ import annotations

import hashlib
import sys

import psycopg
import pytest

from service import erasure
from service.errors import AnswerNotFound
from service.ledger import job_results
from service.ledger.interface import JournalEntry, Replay
from service.ledger.records import OutcomeRow, RecordKind
from service.settings import settings
from tests.service.ledger.engines import Hosts
from tests.service.rows import entry

pytestmark = pytest.mark.anyio
ANA, BRUNO = "a" * 32, "b" * 32
PRINT = hashlib.sha256(b"body").digest()


async def test_a_customer_leaves_no_row_no_answer_and_no_key(hosts: Hosts) -> None:
    """Shipped or not, in a batch or alone; what other customers were answered stays, byte for byte."""
    ledger = hosts.open()
    claim = await ledger.begin("demo", "score", "k", PRINT)
    assert not isinstance(claim, Replay)
    with claim:
        alone = ledger.new_id("demo")
        await ledger.append(entry(alone.place, customer_ref=ANA, key=claim.mark))
    kept = ledger.new_id("demo")
    await ledger.append(entry(kept.place, customer_ref=BRUNO))
    outcome = ledger.new_id("demo")
    row = OutcomeRow(outcome.public, "2026-11-26T00:00:00.000Z", "demo", ANA, alone.public, "Good", "2026-11-25")
    await ledger.append(
        JournalEntry(RecordKind.OUTCOME, "demo", b"{}", (outcome.place,), (row.line(),), ((0, 2),), 201)
    )
    done = erasure.erase_database(hosts.place, [ANA])
    assert (done.rows, done.files, done.quarantined) == (2, 1, 0)
    assert erasure.erase_database(hosts.place, [ANA]).rows == 0
    with pytest.raises(AnswerNotFound):
        await ledger.read(alone.public, "demo", RecordKind.PREDICTION)
    assert (await ledger.read(kept.public, "demo", RecordKind.PREDICTION)).body
    again = await ledger.begin("demo", "score", "k", PRINT)
    assert not isinstance(again, Replay)
    with again:
        await ledger.append(entry(ledger.new_id("demo").place, customer_ref=BRUNO, key=again.mark))
    hosts.open(ships=True)
    await hosts.shipped(2)
    assert not any(ANA.encode() in data for data in hosts.store.objects.values())
    assert kept.place in hosts.store.ids() and hosts.store.ids(RecordKind.OUTCOME) == []
    with psycopg.connect(hosts.place) as link:
        assert link.execute("SELECT sum(rows)::int FROM ledger.segment").fetchone() == (2,)


async def test_a_row_of_a_batch_goes_and_the_others_stay(hosts: Hosts) -> None:
    """By the prediction's id; each other row is read as it was answered."""
    ledger = hosts.open()
    names = [ledger.new_id("demo") for _ in range(3)]
    await ledger.append(entry(*(name.place for name in names)))
    assert erasure.erase_database(hosts.place, [names[1].place]).rows == 1
    for name in (names[0], names[2]):
        stored = await ledger.read(name.public, "demo", RecordKind.PREDICTION)
        assert stored.body == b'{"prediction_id":"%s"}' % name.place.encode()
    with pytest.raises(AnswerNotFound):
        await ledger.read(names[1].public, "demo", RecordKind.PREDICTION)


async def test_the_command_takes_the_database_that_is_set(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From any host, whatever its own folder holds; nonsense is refused without being shown."""
    ledger = hosts.open()
    await ledger.append(entry(ledger.new_id("demo").place, customer_ref=ANA))
    monkeypatch.setenv("QF_DATABASE_URL", hosts.place)
    for subject, code, told in (
        (ANA, 0, "1 rows erased from 1 files, 0 results of jobs; 0 quarantined files removed\n"),
        ("Maria-1234", 1, ""),
    ):
        settings.cache_clear()
        monkeypatch.setattr(sys, "argv", ["erasure", subject])
        assert (erasure.main(), capsys.readouterr().out) == (code, told)
    settings.cache_clear()


def _job(place: str, identifier: str, ended: bool, lines: list[bytes]) -> None:
    """A job in the database with these results."""
    with psycopg.connect(place) as link:
        link.execute(
            "INSERT INTO ledger.job (id, account, ended, record) VALUES (%s, 'demo', %s, '')", (identifier, ended)
        )
        content = b"\n".join(lines)
        link.execute("INSERT INTO ledger.job_result VALUES (%s, 0, %s, %s)", (identifier, len(lines), content))


async def test_results_of_jobs_lose_the_customers_predictions(hosts: Hosts) -> None:
    """Known by the ledger's rows; every other row keeps its place. A job under way holds the erasure up."""
    ledger = hosts.open()
    names = [ledger.new_id("demo").place for _ in range(2)]
    for name, ref in zip(names, (ANA, BRUNO), strict=True):
        await ledger.append(entry(name, customer_ref=ref))
    lines = [b'{"prediction_id":"%s"}' % name.encode() for name in names]
    _job(hosts.place, "job_1", True, lines)
    _job(hosts.place, "job_2", False, lines[:1])
    with pytest.raises(erasure.FileBusy, match="1 jobs run or wait"):
        erasure.erase_database(hosts.place, [ANA], patience_s=0.1)
    with psycopg.connect(hosts.place) as link:
        link.execute("UPDATE ledger.job SET ended = true")
    done = erasure.erase_database(hosts.place, [ANA])
    assert (done.rows, done.job_rows) == (1, 2)
    with psycopg.connect(hosts.place) as link:
        (kept,) = link.execute("SELECT lines FROM ledger.job_result WHERE id = 'job_1'").fetchone() or ()
    assert bytes(kept).split(b"\n") == [job_results.ERASED, lines[1]]
