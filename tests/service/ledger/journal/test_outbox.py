"""The outbox: durable before the answer, grouped, bounded, and whole again after every crash."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import OutboxFull
from service.files import locked_content
from service.ledger.journal import frames
from service.ledger.journal.outbox import Outbox
from service.ledger.journal.segments import Folders, Segment
from service.ledger.journal.writer import JournalWriter
from tests.service.rows import answered, entry

pytestmark = pytest.mark.anyio
DAY, RUN = "20261123", "abcdefghij"


@pytest.fixture
def anyio_backend() -> str:
    """The service runs on asyncio alone."""
    return "asyncio"


@pytest.fixture(name="outbox")
def _outbox(tmp_path: Path) -> Iterator[Outbox]:
    """An outbox that never ends a file by age."""
    made = Outbox.open(tmp_path, segment_age_s=3600, min_free_bytes=0)
    yield made
    made.close()


def rows_on_disk(folder: Path) -> list[int]:
    """Numbers of all rows in pending files, read as a stranger would."""
    return [
        number
        for path in sorted(folder.glob("pending/*.qfj"))
        for _, payload in frames.parse(path.read_bytes()).entries
        for number in frames.numbers_of(payload)
    ]


async def eventually(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    """Returns when the condition holds."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        await asyncio.sleep(0.02)


async def test_an_answer_is_on_the_disk_when_append_returns(outbox: Outbox, tmp_path: Path) -> None:
    """Whoever reads the file the moment an append returned finds the row."""
    (identifier,) = await answered(outbox)
    assert rows_on_disk(tmp_path) == [frames.number_of(identifier)]
    assert outbox.backlog().rows == 1 and outbox.backlog().oldest_age_s >= 0


async def test_waiting_requests_share_a_write(outbox: Outbox) -> None:
    """Two hundred that come together take a few writes, and all are there."""
    identifiers = [outbox.next_id() for _ in range(200)]
    await asyncio.gather(*(outbox.append(entry(identifier)) for identifier in identifiers))
    assert len(set(identifiers)) == 200 == outbox.counters.rows
    assert outbox.counters.commits < 50


async def test_close_keeps_what_waits_and_seals(tmp_path: Path) -> None:
    """Requests that wait at the end are answered, the file gets its index, later ones are refused."""
    outbox = Outbox.open(tmp_path, min_free_bytes=0)
    waiting = [asyncio.ensure_future(outbox.append(entry(outbox.next_id()))) for _ in range(20)]
    await asyncio.sleep(0)
    await outbox.aclose()
    await asyncio.gather(*waiting)
    (path,) = tmp_path.glob("pending/*.qfj")
    contents = frames.parse(path.read_bytes())
    assert contents.sealed and len(contents.entries) == 20 and not list(tmp_path.glob("live/*"))
    with pytest.raises(OutboxFull, match="closed"):
        await outbox.append(entry(outbox.next_id()))


async def test_an_idle_outbox_leaves_no_file(tmp_path: Path) -> None:
    """No rows, no segment, no object."""
    await Outbox.open(tmp_path, min_free_bytes=0).aclose()
    assert not list(tmp_path.glob("pending/*"))


async def test_files_end_by_size_and_by_age(tmp_path: Path) -> None:
    """A sealed file appears when one is large or old enough; its name is never used again."""
    outbox = Outbox.open(tmp_path, segment_bytes=4000, segment_age_s=0.05, min_free_bytes=0)
    await answered(outbox, 20)
    await eventually(lambda: outbox.backlog().rows == 20 and len(list(tmp_path.glob("pending/*"))) > 2)
    await outbox.aclose()
    names = [path.name for path in tmp_path.glob("pending/*")]
    assert len(names) == len(set(names)) and len(rows_on_disk(tmp_path)) == 20


async def test_a_full_outbox_refuses_and_recovers(tmp_path: Path) -> None:
    """Above the cap answers are refused; when the shipper made room they are taken again. Nothing is dropped."""
    outbox = Outbox.open(tmp_path, cap_bytes=2 << 20, segment_bytes=300_000, min_free_bytes=0)
    taken = 0
    with pytest.raises(OutboxFull, match="allowed are"):
        while True:
            await outbox.append(entry(*[outbox.next_id() for _ in range(200)]))
            taken += 200
    assert not outbox.writable and len(rows_on_disk(tmp_path)) == taken
    for path in tmp_path.glob("pending/*"):
        with locked_content(path) as free:
            if free:
                path.unlink()
    await eventually(lambda: outbox.writable)
    await answered(outbox)
    await outbox.aclose()


async def test_little_free_disk_refuses(tmp_path: Path) -> None:
    """Below the reserve nothing is taken: other parts of the machine need the rest."""
    outbox = Outbox.open(tmp_path, min_free_bytes=1 << 60)
    with pytest.raises(OutboxFull, match="needed are"):
        await outbox.append(entry(outbox.next_id()))
    await outbox.aclose()


@pytest.fixture(name="file_limit")
def _file_limit() -> Iterator[Callable[[int], None]]:
    """Sets how large a file may grow, as a disk that is full would; given back at the end."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_write_that_fails_answers_nobody(
    outbox: Outbox, tmp_path: Path, file_limit: Callable[[int], None]
) -> None:
    """When the disk takes no more, the request is refused, nothing of it is kept, and later ones work again."""
    kept = await answered(outbox, 3)
    file_limit(1000)
    refused = outbox.next_id()
    with pytest.raises(OutboxFull, match=os.strerror(errno.EFBIG)):
        await outbox.append(entry(refused))
    assert not outbox.writable and outbox.counters.failures == 1
    file_limit(resource.RLIM_INFINITY)
    await eventually(lambda: outbox.writable)
    kept += await answered(outbox, 2)
    assert rows_on_disk(tmp_path) == [frames.number_of(identifier) for identifier in kept]


async def test_a_cancelled_request_disturbs_nobody(outbox: Outbox) -> None:
    """A client that goes away does not take its neighbours' answers along."""
    tasks = [asyncio.ensure_future(outbox.append(entry(outbox.next_id()))) for _ in range(10)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results if result is not None] in ([], [asyncio.CancelledError])


CHILD = """
import asyncio, sys
from pathlib import Path
from service.ledger.journal.outbox import Outbox
from tests.service.rows import answered
async def main():
    outbox = Outbox.open(Path(sys.argv[1]), min_free_bytes=0)
    while True:
        print(*await answered(outbox), flush=True)
asyncio.run(main())
"""


def test_what_a_killed_worker_answered_is_there(tmp_path: Path) -> None:
    """kill -9 in full flight: every id that was given out is in the file, which needs no more than its index."""
    with subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        told = [child.stdout.readline() for _ in range(50)]
        child.send_signal(signal.SIGKILL)
        told += child.stdout.readlines()
    numbers = {frames.number_of(identifier.strip()) for identifier in told if identifier.endswith("\n")}
    assert numbers <= set(rows_on_disk(tmp_path))
    (segment,) = Folders(tmp_path).segments(tmp_path / "pending")
    mended = Folders(tmp_path).mend(segment)
    assert mended.contents.sealed and not mended.damaged


def written(folder: Path, count: int = 5) -> Segment:
    """A sealed file of so many entries."""
    folders = Folders(folder)
    folders.make()
    segment = Segment(DAY, RUN, 0)
    writer = JournalWriter(folders, segment, fill_bytes=4096)
    for number in range(1, count + 1):
        writer.append([(frames.encode(entry(f"{DAY}-{RUN}-{number:x}"), [number]), [number])])
    writer.seal()
    return segment


@pytest.mark.parametrize("place", [0, 5, 30, 700, 2500, -3, -20, -60], ids=lambda place: f"byte {place}")
def test_flipped_bytes_are_found_kept_and_told(tmp_path: Path, place: int) -> None:
    """Damage anywhere sends the original to quarantine; all rows but those hit go on."""
    segment = written(tmp_path)
    path = tmp_path / "pending" / segment.name
    data = bytearray(path.read_bytes())
    data[place] ^= 0x40
    path.write_bytes(data)
    mended = Folders(tmp_path).mend(segment)
    left = [number for _, payload in mended.contents.entries for number in frames.numbers_of(payload)]
    assert len(left) >= 4 and set(left) <= {1, 2, 3, 4, 5}
    harmless = len(left) == 5 and not mended.damaged  # the trailer: the file counts as not sealed
    assert harmless or (tmp_path / "quarantine" / f"{segment.name}.damaged").read_bytes() == bytes(data)
    assert not Folders(tmp_path).mend(segment).contents.gaps


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_every_cut_leaves_whole_entries(data: st.DataObject) -> None:
    """A file cut off anywhere gives back exactly the entries that were whole, and calls the rest torn."""
    raw = frames.rebuilt(
        (frames.encode(entry(f"-{number:x}"), [number])[frames.FRAME_HEAD_BYTES :] for number in (1, 2, 3)),
        rewritten=False,
    )
    whole = frames.parse(raw)
    cut = data.draw(st.integers(len(frames.header_frame()), whole.end))
    contents = frames.parse(raw[:cut])
    starts = [offset for offset, _ in whole.entries] + [whole.end]
    assert len(contents.entries) == sum(end <= cut for end in starts[1:])
    assert not contents.damaged and contents.torn == (cut not in starts)


def test_a_batch_is_one_entry() -> None:
    """All rows of a batch become durable together or not at all, each with its own answer."""
    stored = frames.decode(frames.encode(entry("-1", "-2", "-3"), [1, 2, 3], 7)[frames.FRAME_HEAD_BYTES :])
    assert [row.answer for row in stored.rows] == [b'{"prediction_id":"-%d"}' % number for number in (1, 2, 3)]
    assert stored.at_us == 7 and stored.partner == "demo"


async def test_a_loop_that_ended_does_not_end_the_outbox(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Rows of a request whose loop is gone are kept; the thread goes on for the next loop."""
    outbox = Outbox.open(tmp_path, min_free_bytes=0)

    def in_a_loop_that_ends() -> None:
        loop = asyncio.new_event_loop()
        task = loop.create_task(outbox.append(entry(outbox.next_id())))
        loop.run_until_complete(asyncio.sleep(0))
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.close()

    await asyncio.to_thread(in_a_loop_that_ends)
    await eventually(lambda: outbox.counters.rows == 1)
    await answered(outbox)
    assert len(rows_on_disk(tmp_path)) == 2 and "Traceback" not in caplog.text
    await outbox.aclose()


def test_a_file_that_cannot_begin_leaves_nothing(tmp_path: Path, file_limit: Callable[[int], None]) -> None:
    """No room for a file: an error, no half file, and an outbox that says so."""
    folders = Folders(tmp_path)
    folders.make()
    file_limit(100)
    with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        JournalWriter(folders, Segment(DAY, RUN, 0))
    assert not list(folders.pending.iterdir())
    outbox = Outbox.open(tmp_path, min_free_bytes=0)
    assert "cannot begin a file" in outbox.full_because
    file_limit(resource.RLIM_INFINITY)
    outbox.close()
