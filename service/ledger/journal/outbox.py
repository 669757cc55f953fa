"""The outbox: every answer is durable before it leaves, at the price of a share of one disk write.

Requests hand their entry over and wait; one thread takes all that wait, writes them with one synchronous write
and wakes them together (group commit). The file it writes is the segment that is shipped and the place answers are read
from, so nothing is written twice. Why a journal and no SQLite: one write a group instead of a write-ahead log and
checkpoints, two passes through the interpreter's lock instead of one a row, readers in other processes without locks,
and no way to meet SQLite's WAL-reset bug (3.7.0 to 3.51.2 with two connections; Debian 12 has 3.40.1).

When the disk or the cap is full, nothing is dropped: `append` raises `OutboxFull`, which is a 503, until there is room.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
from pathlib import Path
from typing import Final

from service import files
from service.errors import OutboxFull
from service.ledger.interface import Backlog
from service.ledger.journal import frames, group_commit
from service.ledger.journal.answer_copies import MIN_FREE_BYTES
from service.ledger.journal.frames import JournalEntry
from service.ledger.journal.group_commit import CommitLimits, Counters, GroupCommit, QueuedFrame
from service.ledger.journal.segments import Folders
from service.ledger.journal.written_spans import WrittenSpans

__all__ = ["Backlog", "Counters", "JournalEntry", "Outbox"]

_RUN_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"


class Outbox:
    """One worker's outbox. Make it with `open` in the process that uses it (after any fork)."""

    def __init__(self, folders: Folders, limits: CommitLimits) -> None:
        self.folders = folders
        self.run = "".join(secrets.choice(_RUN_ALPHABET) for _ in range(10))
        self._sign = folders.live / f"{self.run}.lock"
        self._alive = files.hold(self._sign)  # the kernel lets go when this process dies
        self._group = GroupCommit(folders, self.run, limits)
        self._ended = threading.Event()
        self._closed = False
        self._queue: list[QueuedFrame] = []
        self._thread = group_commit.start(self._group, self._ended)

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        cap_bytes: int = 1 << 30,
        segment_bytes: int = 16 << 20,
        segment_age_s: float = 30.0,
        min_free_bytes: int = MIN_FREE_BYTES,
    ) -> Outbox:
        """Starts an outbox in folder `root`, which all workers of the host share.

        `cap_bytes` bounds what waits to be shipped (of all workers); a segment ends at `segment_bytes`, `segment_age_s`
        after its first row, or with the UTC day; below `min_free_bytes` of free disk nothing more is taken.
        """
        folders = Folders(Path(root))
        folders.make()
        return cls(folders, CommitLimits(cap_bytes, segment_bytes, segment_age_s, min_free_bytes))

    @property
    def written_spans(self) -> WrittenSpans:
        """Entries that were made durable, for this process's index of keys."""
        return self._group.written_spans

    @property
    def counters(self) -> Counters:
        """Totals since the start of this process."""
        return self._group.counters

    @property
    def writable(self) -> bool:
        """True if the next `append` is expected to succeed; readiness depends on it."""
        return not self.full_because

    @property
    def full_because(self) -> str:
        """Why it is not writable, in one line; empty if it is."""
        return "the outbox is closed" if self._closed or self._ended.is_set() else self._group.refusal

    def next_id(self) -> str:
        """A new id, unique over all workers, hosts and restarts whatever the clock says.

        Take it right before the answer is rendered: answers are looked for in the file that was open then or in
        the two that follow it.
        """
        return f"{self._group.prefix}{next(self._group.numbers):x}"

    async def append(self, entry: JournalEntry) -> None:
        """Returns when the entry is durable.

        A caller that is cancelled may leave a record behind that nobody was told of; never the other way round.

        Raises:
            OutboxFull: it is not durable and no answer may leave.
        """
        refusal = self.full_because
        if refusal:
            self.counters.refused += 1
            raise OutboxFull(refusal)
        future = asyncio.get_running_loop().create_future()
        numbers = [frames.number_of(identifier) for identifier in entry.ids]
        self._queue.append(QueuedFrame(frames.encode(entry, numbers), numbers, future))
        if len(self._queue) == 1:
            future.get_loop().call_soon(self._hand_over)
        await future

    def _hand_over(self) -> None:
        """Hand over what one turn of the loop gathered, at its end: the thread wakes once and finds a whole group."""
        batch, self._queue = self._queue, []
        if batch:
            self._group.queue.put(batch)

    def backlog(self) -> Backlog:
        """Rows that this worker wrote and nobody has shipped yet."""
        return self._group.backlog()

    def close(self, timeout_s: float = 10.0) -> None:
        """Takes nothing more, makes durable what waits, seals the file; safe to call twice.

        From a coroutine use `aclose`: those that wait are woken by the loop.
        """
        if not self._closed:
            self._closed = True
            self._hand_over()
            self._group.queue.put(None)
        self._thread.join(timeout_s)
        self._sign.unlink(missing_ok=True)
        if self._alive >= 0:
            os.close(self._alive)
            self._alive = -1

    async def aclose(self, timeout_s: float = 10.0) -> None:
        """`close` without holding the event loop up."""
        if not self._closed:
            self._closed = True  # here, where requests hand over: none can slip in behind the end
            self._hand_over()
            self._group.queue.put(None)
        await asyncio.to_thread(self.close, timeout_s)
