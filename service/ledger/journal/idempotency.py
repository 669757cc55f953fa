"""Idempotency-Key: one record and one answer a key for 24 hours, over all workers of a host and through any crash.

Two parts, and neither is a second truth beside the journal:

* *Running* is a lock on one byte of a file, chosen by the key's digest. The kernel frees it when a worker dies, so
  a killed request leaves nothing behind that anybody has to clear.
* *Done* is the entry in the journal itself, which carries the key. An index in SQLite finds it; it is brought
  up to date from the journal files under the key's lock (`written_spans` notes what this process wrote). So an entry
  written before the lock was freed, even by a worker that died in the next instruction, is always seen. The index can
  be deleted at any time: it is built again.

The index uses a rollback journal: its readers and writers are several processes, and SQLite's WAL mode has a
corruption bug with two connections (3.7.0 to 3.51.2; Debian 12 has 3.40.1). It need not be synced: it is
built anew after a restart of the machine.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from service import files
from service.errors import AnswerNotFound, IdempotencyMismatch, IdempotencyRunning, OutboxFull
from service.ledger.interface import Replay
from service.ledger.journal import frames
from service.ledger.journal.answers import Answers
from service.ledger.journal.frames import KeyMark
from service.ledger.journal.segments import Folders
from service.ledger.journal.written_spans import WrittenSpan, WrittenSpans

__all__ = ["KeyClaim", "Idempotency", "Replay"]

Found = TypeVar("Found")

log = logging.getLogger(__name__)

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS boot (id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS files (name TEXT PRIMARY KEY, indexed INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS keys (
    digest BLOB PRIMARY KEY, fingerprint BLOB NOT NULL, answer TEXT NOT NULL, at_us INTEGER NOT NULL
) WITHOUT ROWID;
"""
_LOCK_BYTES: Final = 1 << 62
_READ_BYTES: Final = 1 << 20
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
BUSY_TIMEOUT_S: Final = 5.0
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class KeyClaim:
    """The right to answer a key's first request. Use it as a context manager around the work and the `append`."""

    def __init__(self, mark: KeyMark, free: Callable[[], None]) -> None:
        self.mark = mark
        self._free = free

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Lets the next request of this key in; safe to call twice."""
        self._free()


class Idempotency:
    """The keys of one host, seen from one worker: one a process, used from one event loop."""

    def __init__(self, outbox: Path, hours: float = 24.0, written_spans: WrittenSpans | None = None) -> None:
        """`written_spans` is this process's own writer's, if it has one here."""
        self._index = KeyIndex(Path(outbox), hours, written_spans)
        self._answers = Answers(Path(outbox))
        self._locks = os.open(Path(outbox) / "keys.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._running: set[int] = set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="idempotency")

    async def follow(self) -> None:
        """Takes in what was written since the last time, so that no request has to.

        Done before the first one and once a second, it leaves a request the last second's entries to read.

        Raises:
            OutboxFull: the index can be neither read nor built now.
        """
        await asyncio.get_running_loop().run_in_executor(self._thread, self._index.follow)

    async def begin(self, partner: str, scope: str, key: str, fingerprint: bytes) -> KeyClaim | Replay:
        """A claim if this is the key's first request, or the answer that was given to it.

        `scope` keeps routes apart; `fingerprint` is a digest of the body (at least 16 bytes).

        Raises:
            IdempotencyRunning: the first request has not been answered yet.
            IdempotencyMismatch: the key was used with another body.
            OutboxFull: nobody can tell now (disk full or broken), so nothing may be answered.
        """
        mark = KeyMark(digest_of(partner, scope, key), fingerprint[:16])
        byte = int.from_bytes(mark.digest[:8]) % _LOCK_BYTES
        self._take(byte)
        claim = KeyClaim(mark, partial(self.free, byte))
        try:
            replay = await asyncio.get_running_loop().run_in_executor(self._thread, self._find, mark)
        except BaseException:
            claim.release()
            raise
        if replay is None:
            return claim
        claim.release()
        return replay

    def close(self) -> None:
        """Ends the thread and frees every claim."""
        self._thread.shutdown(cancel_futures=True)
        os.close(self._locks)
        self._running.clear()

    def free(self, byte: int) -> None:
        """Frees a claim's lock, if it is still held."""
        if byte in self._running:
            self._running.discard(byte)
            files.free_byte(self._locks, byte)

    def _take(self, byte: int) -> None:
        # The kernel's lock tells processes apart, the set tells requests of this process apart.
        if byte in self._running:
            raise IdempotencyRunning("the first request with this key is still running")
        if not files.lock_byte(self._locks, byte, wait=False):
            raise IdempotencyRunning("the first request with this key is still running")
        self._running.add(byte)

    def _find(self, mark: KeyMark) -> Replay | None:
        entry = self._index.find(mark.digest)
        if entry is None:
            return None
        if entry[0] != mark.fingerprint:
            raise IdempotencyMismatch("the key was first used with another body")
        try:
            return self._answers.replay(entry[1])
        except AnswerNotFound:  # erased on request: what was answered is gone, so the key is free
            return None


def digest_of(partner: str, scope: str, key: str) -> bytes:
    """16 bytes that stand for a partner's key in a scope."""
    return hashlib.blake2b("\0".join((partner, scope, key)).encode(), digest_size=16).digest()


class KeyIndex:
    """The answers of keys, brought up to date from the journal before each look. One thread at a time."""

    def __init__(self, outbox: Path, hours: float, written_spans: WrittenSpans | None = None) -> None:
        self._written_spans = written_spans or WrittenSpans()
        self._folders = Folders(outbox)
        self._folders.make()
        self._path = outbox / "keys.sqlite"
        self._guard = outbox / "keys.make.lock"
        self._life_us = int(hours * 3600e6)
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._settled: set[str] = set()

    def find(self, digest: bytes) -> tuple[bytes, str] | None:
        """(fingerprint, id of a row of the answer) of a key that is not too old.

        Raises:
            OutboxFull: the index can be neither read nor built now.
        """
        return self._sound(lambda: self._find(digest))

    def follow(self) -> None:
        """Catches up with every file that is written to, and builds the index where there is none.

        Raises:
            OutboxFull: as `find`.
        """
        self._sound(self._follow)

    def _sound(self, work: Callable[[], Found]) -> Found:
        """The work's result, on a new index if this one is damaged."""
        try:
            return work()
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode not in _DAMAGED:
                raise OutboxFull("the index of idempotency keys cannot be used now", retry_after_s=1) from error
        log.error("idempotency: the index is damaged and is built again")
        try:
            self._discard()
            return work()
        except sqlite3.DatabaseError as error:
            raise OutboxFull("the index of idempotency keys cannot be built") from error

    def catch_up(self, path: Path) -> None:
        """Reads one file to its end: before it moves out of sight, and before rows are erased from it."""
        with self._open() as connection:
            _index_file(connection, path)

    def purge(self) -> None:
        """Forgets keys that are too old, and files that are no longer pending."""
        names = {segment.name for segment in self._folders.segments(self._folders.pending)}
        with self._open() as connection, _transaction(connection):
            connection.execute("DELETE FROM keys WHERE at_us < ?", (time.time_ns() // 1000 - self._life_us,))
            removals = [(name,) for (name,) in connection.execute("SELECT name FROM files") if name not in names]
            connection.executemany("DELETE FROM files WHERE name = ?", removals)

    def close(self) -> None:
        """Closes the connection; the next use opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _follow(self) -> None:
        spans = self._written_spans.take()  # first: whatever is begun or retired after it is read, or was
        names = [segment.name for segment in self._folders.segments(self._folders.pending)]
        with self._open() as connection:
            for name in names:
                if name not in self._settled and _index_file(connection, self._folders.pending / name, spans.get(name)):
                    self._settled.add(name)
            if len(self._settled) > 2 * len(names):
                self._settled.intersection_update(names)

    def _find(self, digest: bytes) -> tuple[bytes, str] | None:
        self._follow()
        with self._open() as connection:
            row = connection.execute(
                "SELECT fingerprint, answer FROM keys WHERE digest = ? AND at_us >= ?",
                (digest, time.time_ns() // 1000 - self._life_us),
            ).fetchone()
        return (row[0], row[1]) if row else None

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The connection, made anew if another worker replaced the file."""
        if self._connection is not None and self._inode != _inode(self._path):
            self.close()
        if self._connection is None:
            self._settled.clear()
            with files.locked(self._guard):
                self._connection = self._make()
            self._inode = _inode(self._path)
        yield self._connection

    def _make(self) -> sqlite3.Connection:
        boot = _BOOT_ID.read_text(encoding="ascii").strip() if _BOOT_ID.exists() else ""
        try:
            connection = self._connect()
            if connection.execute("SELECT id FROM boot").fetchone() == (boot,):
                return connection
            connection.close()
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode not in (sqlite3.SQLITE_ERROR, *_DAMAGED):
                raise
        self._remove()
        connection = self._connect()
        connection.executescript(_SCHEMA)
        since = time.strftime("%Y%m%d", time.gmtime(time.time() - self._life_us / 1e6 - 86400))
        for path in list(self._folders.paths(since)):
            _index_file(connection, path)
        with _transaction(connection):
            connection.execute("INSERT INTO boot VALUES (?)", (boot,))  # last: an index without it is not whole
        return connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=BUSY_TIMEOUT_S, isolation_level="IMMEDIATE", check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode=TRUNCATE")
        connection.execute("PRAGMA synchronous=OFF")
        return connection

    def _discard(self) -> None:
        """Drops a damaged index, unless another worker already made a new one."""
        with files.locked(self._guard):
            stale = self._inode == _inode(self._path)
            self.close()
            if stale:
                self._remove()

    def _remove(self) -> None:
        for suffix in ("", "-journal"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)


def _index_file(connection: sqlite3.Connection, path: Path, own: WrittenSpan | None = None) -> bool:
    """Adds the keys of the entries that were written since the last look; True if nothing can follow any more."""
    row = connection.execute("SELECT indexed FROM files WHERE name = ?", (path.name,)).fetchone()
    start = end = row[0] if row else frames.HEADER_BYTES
    marks: list[frames.KeyedEntry] = []
    sealed = False
    if own is not None and own.start <= start <= own.end:
        marks, end = [entry for offset, entry in own.keys if offset >= start], own.end
    if own is None or not own.open or end != own.end:
        end, read, sealed = _marks_from(path, end)
        marks += read
    if end > start:
        name = path.name.rpartition("-")[0]
        rows = [(*mark.key, f"{name}-{mark.number:x}", mark.at_us) for mark in marks]
        with _transaction(connection):
            # A key is used again only after its first use was forgotten, so the later entry is the one that counts.
            connection.executemany("INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?)", rows)
            connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?)", (path.name, end))
    return sealed


def _marks_from(path: Path, start: int) -> tuple[int, list[frames.KeyedEntry], bool]:
    """End of the whole entries behind an offset, those with a key, and True if the file was sealed behind them."""
    with suppress(FileNotFoundError), open(path, "rb") as file:  # a file that moved was caught up before
        marks: list[frames.KeyedEntry] = []
        while True:
            file.seek(start)
            data = file.read(_READ_BYTES)
            length = frames.payload_length(data[: frames.FRAME_HEAD_BYTES]) or 0
            if length + frames.FRAME_HEAD_BYTES > len(data):  # a large batch
                data += file.read(length + frames.FRAME_HEAD_BYTES - len(data))
            end, entries = frames.keyed_entries(data)
            marks += entries
            start += end
            if not end:
                return start, marks, frames.is_index(data)
    return start, [], False


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All statements inside, or none."""
    with connection:
        yield


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0
