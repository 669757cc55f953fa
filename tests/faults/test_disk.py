"""A full disk costs answers, never records (R3): on a file system of 16 MiB that is really full."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.errors import OutboxFull
from service.ledger.journal import frames
from service.ledger.journal.idempotency import Idempotency, KeyClaim
from service.ledger.journal.outbox import Outbox
from service.ledger.journal.segments import Folders
from tests.service.rows import entry

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
DISK_MIB = 16
RECOVERY_S = 10.0


@pytest.fixture
def anyio_backend() -> str:
    """The service runs on asyncio alone."""
    return "asyncio"


@pytest.fixture(name="disk")
def _disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system; mounting needs root, without it test_outbox's limit on file size stands in."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(tmp_path)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system needs root")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def durable(folder: Path) -> list[int]:
    """Numbers of all rows on the disk; no file may be damaged."""
    numbers = []
    for path in Folders(folder).paths():
        contents = frames.parse(path.read_bytes())
        assert not contents.gaps
        numbers += [number for _, payload in contents.entries for number in frames.numbers_of(payload)]
    return numbers


async def test_a_full_disk_loses_nothing_and_heals(disk: Path) -> None:
    """Answers stop when the disk is full, no record of an answer is missing, and they go on when there is room."""
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(10 << 20))
    outbox, keys = Outbox.open(disk / "outbox", segment_bytes=1 << 20, min_free_bytes=0), Idempotency(disk / "outbox")
    answered: list[int] = []

    async def ask(key: str) -> None:
        claim = await keys.begin("demo", "batch", key, bytes(16))
        assert isinstance(claim, KeyClaim)
        with claim:
            identifiers = [outbox.next_id() for _ in range(100)]
            await outbox.append(entry(*identifiers, key=claim.mark))
            answered.extend(frames.number_of(identifier) for identifier in identifiers)

    asked = 0
    with pytest.raises(OutboxFull):
        while True:
            await ask(f"key-{asked}")
            asked += 1
    assert asked > 5 and not outbox.writable
    for _ in range(20):  # a crowd that keeps asking changes nothing
        with pytest.raises(OutboxFull):
            await ask(f"key-{asked}")
    assert sorted(durable(disk / "outbox")) == sorted(answered)

    ballast.unlink()
    started = time.monotonic()
    while not outbox.writable:
        assert time.monotonic() - started < RECOVERY_S
        await asyncio.sleep(0.05)
    await ask(f"key-{asked}")
    assert not isinstance(await keys.begin("demo", "batch", f"key-{asked}", bytes(16)), KeyClaim)
    await outbox.aclose()
    keys.close()
    assert sorted(durable(disk / "outbox")) == sorted(answered)
