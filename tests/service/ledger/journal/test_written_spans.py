"""An index of keys that is told what its own process wrote is the index that reading makes, and reads none of it."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from service.ledger.journal import frames
from service.ledger.journal.frames import KeyMark
from service.ledger.journal.idempotency import KeyIndex
from service.ledger.journal.outbox import Outbox
from tests.service.rows import entry

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """The service runs on asyncio alone."""
    return "asyncio"


def _content(folder: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(folder / "keys.sqlite") as connection:
        return connection.execute("SELECT * FROM keys ORDER BY digest").fetchall()


async def _append(outbox: Outbox, key: KeyMark | None, rows: int = 1) -> None:
    await outbox.append(entry(*(outbox.next_id() for _ in range(rows)), key=key))


async def test_what_this_process_wrote_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its keys are found without a look at a file that is open here."""
    read, real = [], frames.keyed_entries

    def counted(data: bytes) -> object:
        read.append(len(data))
        return real(data)

    monkeypatch.setattr(frames, "keyed_entries", counted)
    outbox = Outbox.open(tmp_path, min_free_bytes=0)
    index = KeyIndex(tmp_path, 24.0, outbox.written_spans)
    marks = [KeyMark(bytes([number]) * 16, b"f" * 16) for number in range(1, 5)]
    index.follow()
    read.clear()  # an index is built from whatever there is
    for mark in marks:
        await _append(outbox, None, 3)
        await _append(outbox, mark)
        assert index.find(mark.digest) is not None
        index.follow()
    assert not read
    await outbox.aclose()
    index.follow()
    assert len(read) == 1 and all(index.find(mark.digest) for mark in marks)
    index.close()


@pytest.mark.parametrize("seed", range(8))
async def test_it_is_the_index_that_reading_makes(tmp_path: Path, seed: int) -> None:
    """However writing, looking, other workers, the end of files and the loss of the index come about."""
    draw, used = random.Random(seed), 0
    outbox = Outbox.open(tmp_path, segment_bytes=6_000, min_free_bytes=0)
    own, other = KeyIndex(tmp_path, 24.0, outbox.written_spans), KeyIndex(tmp_path, 24.0)
    for _ in range(120):
        step = draw.random()
        if step < 0.6:
            used += 1
            key = KeyMark(used.to_bytes(16), b"f" * 16) if draw.random() < 0.5 else None
            await _append(outbox, key, draw.choice((1, 1, 4)))
            if key is not None and draw.random() < 0.5:
                assert own.find(key.digest) is not None
        elif step < 0.8:
            own.follow()
        elif step < 0.95:
            other.follow()
        else:
            (tmp_path / "keys.sqlite").unlink(missing_ok=True)
    own.follow()
    found = _content(tmp_path)
    await outbox.aclose()
    (tmp_path / "keys.sqlite").unlink()
    other.follow()
    assert found == _content(tmp_path) and found
    own.close()
    other.close()
