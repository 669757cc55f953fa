"""Stored answers and idempotency keys: found at once by every process, by their partner alone, once a key."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.errors import AnswerNotFound, IdempotencyMismatch, IdempotencyRunning, OutboxFull
from service.ledger.journal import frames, idempotency
from service.ledger.journal.answers import Answers, Replay
from service.ledger.journal.idempotency import Idempotency, KeyClaim, KeyIndex
from service.ledger.journal.outbox import Outbox
from service.ledger.journal.segments import Folders
from service.ledger.records import INPUT_COLUMNS, RecordKind
from tests.service.rows import answered, entry

pytestmark = pytest.mark.anyio
PRINT = hashlib.sha256(b"body").digest()


@pytest.fixture
def anyio_backend() -> str:
    """The service runs on asyncio alone."""
    return "asyncio"


@pytest.fixture(name="outbox")
def _outbox(tmp_path: Path) -> Iterator[Outbox]:
    """An outbox that never ends a file by age."""
    made = Outbox.open(tmp_path, segment_age_s=3600, segment_bytes=8_000, min_free_bytes=0)
    yield made
    made.close()


@pytest.fixture(name="keys", params=["of this process", "of another"])
def _keys(request: pytest.FixtureRequest, tmp_path: Path, outbox: Outbox) -> Iterator[Idempotency]:
    """The keys of the same host: the process that writes knows what it wrote, any other reads it."""
    assert outbox.writable
    made = Idempotency(tmp_path, written_spans=outbox.written_spans if request.param == "of this process" else None)
    yield made
    made.close()


def retire_all(folder: Path) -> None:
    """Moves every sealed file as the shipper does."""
    folders = Folders(folder)
    index = KeyIndex(folder, 24.0)
    for segment in folders.segments(folders.pending):
        index.catch_up(folders.pending / segment.name)
        folders.retire(segment)
    index.close()


async def test_an_answer_is_readable_wherever_its_file_is(outbox: Outbox, tmp_path: Path) -> None:
    """While its file is written, when it is sealed, and after it was shipped."""
    identifiers = await answered(outbox, 60)
    answers = Answers(tmp_path)
    assert len(list(tmp_path.glob("pending/*"))) > 2
    for _ in range(2):
        for identifier in identifiers:
            assert answers.read(identifier, "demo").body == b'{"prediction_id":"%s"}' % identifier.encode()
        await outbox.aclose()
        retire_all(tmp_path)


async def test_a_row_of_a_batch_is_read_alone(outbox: Outbox, tmp_path: Path) -> None:
    """Each id of a batch leads to its own answer and its own row."""
    identifiers = [outbox.next_id() for _ in range(3)]
    await outbox.append(entry(*identifiers, customer_ref="f" * 32))
    stored = Answers(tmp_path).read(identifiers[1], "demo")
    assert stored.body == b'{"prediction_id":"%s"}' % identifiers[1].encode()
    assert (stored.row["prediction_id"], stored.customer_ref) == (identifiers[1], "f" * 32)
    assert set(INPUT_COLUMNS) < set(stored.row)


async def test_strangers_and_inventions_look_alike(outbox: Outbox, tmp_path: Path) -> None:
    """Another partner's id, an id never given, another kind and nonsense: the same refusal."""
    (identifier,) = await answered(outbox)
    answers, texts = Answers(tmp_path), set()
    for asked, partner, kind in [
        (identifier, "other", RecordKind.PREDICTION),
        (identifier, "demo", RecordKind.OUTCOME),
        (f"{identifier}0", "demo", RecordKind.PREDICTION),
        ("20200101-abcdefghij-1", "demo", RecordKind.PREDICTION),
        ("99999999-abcdefghij-1", "demo", RecordKind.PREDICTION),
        ("../../etc/passwd", "demo", RecordKind.PREDICTION),
        ("", "demo", RecordKind.PREDICTION),
    ]:
        with pytest.raises(AnswerNotFound) as caught:
            answers.read(asked, partner, kind)
        texts.add(str(caught.value))
    assert len(texts) == 1


async def test_a_damaged_index_is_read_around(outbox: Outbox, tmp_path: Path) -> None:
    """An answer is found by reading the file through when its index is broken."""
    (identifier,) = await answered(outbox)
    await outbox.aclose()
    (path,) = tmp_path.glob("pending/*")
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    assert Answers(tmp_path).read(identifier, "demo").body


async def test_the_first_request_claims_and_later_ones_replay(outbox: Outbox, keys: Idempotency) -> None:
    """Running: 409. Done: the stored answer. Another body: 422. Another scope or partner: another key."""
    claim = await keys.begin("demo", "score", "k", PRINT)
    assert isinstance(claim, KeyClaim)
    with pytest.raises(IdempotencyRunning):
        await keys.begin("demo", "score", "k", PRINT)
    with claim:
        record = entry(outbox.next_id(), key=claim.mark)
        await outbox.append(record)
    assert await keys.begin("demo", "score", "k", PRINT) == Replay(200, record.body)
    with pytest.raises(IdempotencyMismatch):
        await keys.begin("demo", "score", "k", hashlib.sha256(b"changed").digest())
    for partner, scope in (("demo", "batch"), ("other", "score")):
        other = await keys.begin(partner, scope, "k", PRINT)
        assert isinstance(other, KeyClaim)
        other.release()


async def test_a_request_that_failed_frees_its_key(keys: Idempotency) -> None:
    """Nothing was recorded, so the next request of the key is a first one again."""
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            with await keys.begin("demo", "score", "k", PRINT):  # type: ignore[union-attr]
                raise ZeroDivisionError


async def test_keys_outlive_restart_shipping_and_index(outbox: Outbox, keys: Idempotency, tmp_path: Path) -> None:
    """A replay needs the journal only: not the process, not the pending folder, not the index file."""
    with await keys.begin("demo", "score", "k", PRINT) as claim:  # type: ignore[union-attr]
        await outbox.append(entry(outbox.next_id(), key=claim.mark))
    await outbox.aclose()
    retire_all(tmp_path)
    for damage in (None, b"", b"no database at all, but long enough to be read as one" * 20):
        if damage is not None:
            (tmp_path / "keys.sqlite").write_bytes(damage)
        again = Idempotency(tmp_path)
        assert isinstance(await again.begin("demo", "score", "k", PRINT), Replay)
        again.close()


async def test_an_index_that_breaks_in_use_is_made_again(outbox: Outbox, keys: Idempotency, tmp_path: Path) -> None:
    """Damage under a running worker costs one rebuild and no key."""
    with await keys.begin("demo", "score", "k", PRINT) as claim:  # type: ignore[union-attr]
        await outbox.append(entry(outbox.next_id(), key=claim.mark))
    (tmp_path / "keys.sqlite").write_bytes(b"x" * 8192)
    assert isinstance(await keys.begin("demo", "score", "k", PRINT), Replay)


async def test_an_index_that_is_locked_is_no_first_request(
    outbox: Outbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who cannot tell whether a key was used answers 503, and does not score again."""
    assert outbox.writable
    monkeypatch.setattr(idempotency, "BUSY_TIMEOUT_S", 0.05)
    keys = Idempotency(tmp_path)
    (await keys.begin("demo", "score", "other", PRINT)).release()  # type: ignore[union-attr]
    with sqlite3.connect(tmp_path / "keys.sqlite") as blocker:
        blocker.execute("BEGIN EXCLUSIVE")
        with pytest.raises(OutboxFull, match="cannot be used now"):
            await keys.begin("demo", "score", "k", PRINT)
    blocker.close()
    (await keys.begin("demo", "score", "k", PRINT)).release()  # type: ignore[union-attr]
    keys.close()


async def test_keys_are_forgotten_after_their_time(outbox: Outbox, tmp_path: Path) -> None:
    """A key is free again once its hours have passed."""
    keys = Idempotency(tmp_path, hours=0)
    for _ in range(2):
        with await keys.begin("demo", "score", "k", PRINT) as claim:  # type: ignore[union-attr]
            await outbox.append(entry(outbox.next_id(), key=claim.mark))
    keys.close()


CHILD = """
import asyncio, hashlib, random, sys
from pathlib import Path
from service.errors import IdempotencyRunning
from service.ledger.journal.idempotency import KeyClaim, Idempotency, KeyIndex
from service.ledger.journal.outbox import Outbox
from tests.service.rows import entry
async def main(folder, count, seed):
    outbox, keys = Outbox.open(folder, min_free_bytes=0), Idempotency(folder)
    async def ask(name):
        while True:
            try:
                begun = await keys.begin("demo", "score", name, hashlib.sha256(name.encode()).digest())
            except IdempotencyRunning:
                await asyncio.sleep(0.01)
                continue
            if isinstance(begun, KeyClaim):
                with begun:
                    record = entry(outbox.next_id(), key=begun.mark)
                    await outbox.append(record)
                print(name, record.body.decode(), flush=True)
            else:
                print(name, begun.body.decode(), flush=True)
            return
    names = [f"key-{number}" for number in range(count)]
    random.Random(seed).shuffle(names)
    for start in range(0, count, 20):
        await asyncio.gather(*(ask(name) for name in names[start:start + 20]))
    await outbox.aclose()
    keys.close()
asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
"""


@pytest.mark.parametrize("count", [120, pytest.param(1000, marks=pytest.mark.full)])
def test_five_processes_give_one_answer_a_key(tmp_path: Path, count: int) -> None:
    """Each key asked for by five processes at once: one record, one answer, told to all five (R17)."""
    children = [
        subprocess.Popen(  # pylint: disable=consider-using-with
            [sys.executable, "-c", CHILD, str(tmp_path), str(count), str(seed)], stdout=subprocess.PIPE, text=True
        )
        for seed in range(5)
    ]
    told: dict[str, list[str]] = {}
    for child in children:
        for line in child.communicate(timeout=200)[0].splitlines():
            name, answer = line.split(" ", 1)
            told.setdefault(name, []).append(answer)
        assert child.returncode == 0
    assert len(told) == count and {len(answers) for answers in told.values()} == {5}
    assert {len(set(answers)) for answers in told.values()} == {1}
    assert len(list(Folders(tmp_path).paths())) > 0
    records = [payload for path in Folders(tmp_path).paths() for payload in _entries(path)]
    assert len(records) == count


def _entries(path: Path) -> list[bytes]:
    from service.ledger.journal.frames import parse

    return [payload for _, payload in parse(path.read_bytes()).entries]


async def test_claims_of_a_dead_process_are_free(tmp_path: Path) -> None:
    """A worker killed while it answered leaves no key locked."""
    script = CHILD.replace("record = entry", "print(name, flush=True); await asyncio.sleep(60); record = entry")
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path), "1", "0"], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None and child.stdout.readline() == "key-0\n"
        keys = Idempotency(tmp_path)
        mark = hashlib.sha256(b"key-0").digest()
        with pytest.raises(IdempotencyRunning):
            await keys.begin("demo", "score", "key-0", mark)
        child.kill()
        await asyncio.to_thread(child.wait)
    assert isinstance(await keys.begin("demo", "score", "key-0", mark), KeyClaim)
    keys.close()


async def test_a_number_nobody_was_given_costs_no_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the file that is written, reading an unknown row of it reads what was added since, and no more."""
    outbox = Outbox.open(tmp_path, segment_age_s=3600, min_free_bytes=0)
    identifiers, answers, read = await answered(outbox, 3_000), Answers(tmp_path), 0
    prefix = identifiers[0].rpartition("-")[0]
    with pytest.raises(AnswerNotFound):
        answers.read(f"{prefix}-fffff", "demo")

    def counted(data: bytes, offset: int = 0) -> bytes | None:
        nonlocal read
        read += 1
        return whole(data, offset)

    whole = frames.entry_at
    monkeypatch.setattr(frames, "entry_at", counted)
    for place in range(100):
        with pytest.raises(AnswerNotFound):
            answers.read(f"{prefix}-{0xFFFFF - place:x}", "demo")
    assert read <= 200
    (late,) = await answered(outbox)
    assert answers.read(late, "demo").body == b'{"prediction_id":"%s"}' % late.encode()
    outbox.close()
