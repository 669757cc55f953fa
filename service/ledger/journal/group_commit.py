"""The thread that makes answers durable: it takes all that wait and writes them with one synchronous write.

It also keeps the file in shape: begins one, seals it when it is large, old or of yesterday, and refuses while the cap
or the disk is full. Refusal is one text, empty while all is well.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import queue
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from service.access.token_bucket import DAY_S
from service.errors import OutboxFull, in_one_line
from service.ledger.interface import Backlog
from service.ledger.journal.segments import Folders, Segment
from service.ledger.journal.writer import JournalWriter
from service.ledger.journal.written_spans import WrittenSpans

_log = logging.getLogger(__name__)

_TICK_S: Final = 0.5
_GROUP_BYTES: Final = 8 << 20


@dataclass(frozen=True)
class CommitLimits:
    """What the outbox may hold, and when a file ends; see `Outbox.open`."""

    cap_bytes: int
    segment_bytes: int
    segment_age_s: float
    min_free_bytes: int


@dataclass
class Counters:
    """Totals since the start of this process: rows made durable, writes, rows that could not be, requests refused."""

    rows: int = 0
    commits: int = 0
    failures: int = 0
    refused: int = 0


class QueuedFrame(NamedTuple):
    """A frame that somebody waits for, with the numbers of its rows."""

    frame: bytes
    numbers: list[int]
    future: asyncio.Future[None]


class _Sealed(NamedTuple):
    rows: int
    bytes: int
    since: float


class GroupCommit:
    """Writes one run's files in its own thread; the event loop hands frames over and reads the plain attributes."""

    def __init__(self, folders: Folders, run: str, limits: CommitLimits) -> None:
        self.counters = Counters()
        self.written_spans = WrittenSpans()
        self.refusal = ""
        self.prefix = ""
        """Day and run, the first part of the ids given out now."""
        # One step is atomic: ids are taken by the event loop, the names of files by the thread.
        self.numbers = itertools.count()
        self.queue: queue.SimpleQueue[list[QueuedFrame] | None] = queue.SimpleQueue()
        self._folders, self._run, self._limits = folders, run, limits
        self._writer: JournalWriter | None = None
        self._sealed: dict[str, _Sealed] = {}
        self._pending_bytes = 0
        self._look_around()

    def backlog(self) -> Backlog:
        """What this run wrote and nobody has shipped yet."""
        waiting = list(self._sealed.values())
        writer = self._writer
        if writer is not None and writer.rows:
            waiting.append(_Sealed(writer.rows, writer.end, writer.first_row_at))
        oldest = min((part.since for part in waiting), default=None)
        age = time.monotonic() - oldest if oldest is not None else 0.0
        return Backlog(sum(part.rows for part in waiting), sum(part.bytes for part in waiting), age)

    def work(self) -> None:
        """Writes until None is handed over, then seals the file; the body of the thread."""
        look_at = time.monotonic() + _TICK_S
        going = True
        while going:
            waiting, going = self._take(max(0.0, look_at - time.monotonic()))
            if waiting:
                self._commit(waiting)
            if time.monotonic() >= look_at:
                self._look_around()
                look_at = time.monotonic() + _TICK_S
            self._roll_if_due()
        self._end()

    def _take(self, timeout_s: float) -> tuple[list[QueuedFrame], bool]:
        """All that wait, up to a group's size, nobody if nobody came in time; and whether more may come."""
        group: list[QueuedFrame] = []
        size = 0
        try:
            batch = self.queue.get(timeout=timeout_s)
            while batch is not None:
                group += batch
                size += sum(len(item.frame) for item in batch)
                if size >= _GROUP_BYTES:
                    return group, True
                batch = self.queue.get_nowait()
        except queue.Empty:
            return group, True
        return group, False

    def _commit(self, group: Sequence[QueuedFrame]) -> None:
        refusal = "the outbox failed"  # what they hear if anything unforeseen ends this thread
        try:
            refusal = self._write(group)
        finally:
            try:
                group[0].future.get_loop().call_soon_threadsafe(_wake, group, refusal)
            except RuntimeError:
                _log.warning("outbox: the event loop ended before %d answers were acknowledged", len(group))

    def _write(self, group: Sequence[QueuedFrame]) -> str:
        """Makes a group durable; returns an empty text, or in one line why it could not."""
        rows = sum(len(item.numbers) for item in group)
        if self._writer is None:
            self.counters.failures += rows
            return self.refusal or "the outbox is closed"
        try:
            self._writer.append([(item.frame, item.numbers) for item in group])
        except OSError as reason:
            self.counters.failures += rows
            self._end()
            self._refuse(f"the outbox cannot be written ({in_one_line(reason)})")
            return self.refusal
        self.written_spans.note(self._writer.segment.name, [item.frame for item in group])
        self.counters.commits += 1
        self.counters.rows += rows
        self._pending_bytes += sum(len(item.frame) for item in group)
        if self._pending_bytes > self._limits.cap_bytes:
            self._look_around()
        return ""

    def _refuse(self, reason: str) -> None:
        """Refuses from now on for this reason, or takes records again if there is none."""
        if reason and not self.refusal:
            _log.error("outbox: %s; answers are refused until it is mended", reason)
        elif self.refusal and not reason:
            _log.warning("outbox: takes records again")
        self.refusal = reason

    def _begin(self) -> None:
        """Begins a file; if that fails, answers are refused until a later try succeeds.

        The file takes a number of its own, so no two files, and no two objects in the bucket, share a name.
        """
        day = _today()
        self.prefix = f"{day}-{self._run}-"
        try:
            writer = JournalWriter(self._folders, Segment(day, self._run, next(self.numbers)))
        except OSError as reason:
            self._refuse(f"the outbox cannot begin a file ({in_one_line(reason)})")
            return
        self.written_spans.begin(writer.segment.name, writer.end)
        self._writer = writer

    def _end(self) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        self.written_spans.finish(writer.segment.name)
        if writer.rows:
            self._sealed[writer.segment.name] = _Sealed(writer.rows, writer.end, writer.first_row_at)
        try:
            writer.seal()
        except OSError as reason:
            _log.error("outbox: %s could not be sealed (%s)", writer.segment.name, in_one_line(reason))

    def _roll_if_due(self) -> None:
        writer, limits = self._writer, self._limits
        if writer is None:
            return
        aged = writer.rows and time.monotonic() - writer.first_row_at >= limits.segment_age_s
        if aged or writer.end >= limits.segment_bytes or writer.segment.day != _today():
            self._end()
            self._begin()

    def _look_around(self) -> None:
        """Measures what waits and what is free, and begins or ends refusal accordingly."""
        pending = self._folders.segments(self._folders.pending)
        sizes = (_stat(self._folders.pending / segment.name) for segment in pending)
        self._pending_bytes = sum(stat.st_size for stat in sizes if stat)
        names = {segment.name for segment in pending}
        self._sealed = {name: sealed for name, sealed in self._sealed.items() if name in names}
        free = shutil.disk_usage(self._folders.root).free
        if self._pending_bytes > self._limits.cap_bytes:
            self._refuse(f"the outbox holds {self._pending_bytes} bytes, allowed are {self._limits.cap_bytes}")
        elif free < self._limits.min_free_bytes:
            self._refuse(f"the disk of the outbox has {free} bytes left, needed are {self._limits.min_free_bytes}")
        elif self._writer is None:
            self._begin()
            if self._writer is not None:
                self._refuse("")
        else:
            self._refuse("")


def start(group: GroupCommit, then: threading.Event) -> threading.Thread:
    """The running thread; sets the event when it has ended."""

    def run() -> None:
        try:
            group.work()
        finally:
            then.set()

    thread = threading.Thread(target=run, name="outbox", daemon=True)
    thread.start()
    return thread


def _today() -> str:
    """The UTC day; asked after every group, so its text is made once a day."""
    return _day(int(time.time() // DAY_S))


@lru_cache(maxsize=1)
def _day(number: int) -> str:
    return f"{datetime.fromtimestamp(number * DAY_S, UTC):%Y%m%d}"


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _wake(group: Sequence[QueuedFrame], refusal: str) -> None:
    for item in group:
        if item.future.done():  # its request was cancelled
            continue
        if refusal:
            item.future.set_exception(OutboxFull(refusal))
        else:
            item.future.set_result(None)
