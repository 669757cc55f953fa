"""Idempotency-Keys over all hosts: one record and one answer a key for 24 hours.

*Running* is an advisory lock of the claims' session on the key's digest: the database frees it when a worker dies.
*Done* is the row that the entry's own transaction wrote (see `service.ledger.postgres.writer`). Should a break of the
session free a lock too early, the row's unique digest still lets one entry through alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from service.database.session import Found, Link, Session
from service.errors import DatabaseAway, IdempotencyMismatch, IdempotencyRunning, OutboxFull
from service.ledger.interface import KeyMark, Replay
from service.ledger.journal import frames
from service.ledger.journal.idempotency import KeyClaim, digest_of
from service.ledger.postgres.writer import KEY_HOURS

_log = logging.getLogger(__name__)
_LOCK: Final = "SELECT pg_try_advisory_lock(%s)"
_UNLOCK: Final = "SELECT pg_advisory_unlock(%s)"
_FIND: Final = f"""
SELECT known.fingerprint, entry.payload FROM ledger.idempotency AS known
LEFT JOIN ledger.entry ON entry.day = known.day AND entry.run = known.run AND entry.first = known.first
WHERE known.digest = %s AND known.at >= now() - interval '{KEY_HOURS} hours'
"""


class Claims:
    """The keys seen from one worker: used from one event loop, asked for by one thread in the order of the calls."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._running: set[bytes] = set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="claims")

    async def begin(self, owner: str, scope: str, key: str, fingerprint: bytes) -> KeyClaim | Replay:
        """A claim if this is the key's first request on any host, or the answer that was given to it.

        Raises:
            IdempotencyRunning, IdempotencyMismatch: as their names say.
            OutboxFull: nobody can tell now, so nothing may be answered.
        """
        mark = KeyMark(digest_of(owner, scope, key), fingerprint[:16])
        if mark.digest in self._running:  # a session takes its own lock twice
            raise IdempotencyRunning("the first request with this key is still running")
        self._running.add(mark.digest)
        claim = KeyClaim(mark, partial(self.free, mark.digest))
        try:
            replay = await self._run(lambda link: _look(link, mark))
        except DatabaseAway as error:
            claim.release()
            raise OutboxFull(f"nobody can tell whether the key was used: {error}") from error
        except BaseException:
            claim.release()
            raise
        if replay is None:
            return claim
        claim.release()
        return replay

    def free(self, digest: bytes) -> None:
        """Frees a claim, if it is still held."""
        if digest in self._running:
            self._running.discard(digest)
            self._thread.submit(self._unlock, digest)

    def close(self) -> None:
        """Ends the thread and frees every claim."""
        self._thread.shutdown(cancel_futures=True)
        self._session.close()
        self._running.clear()

    async def _run(self, work: Callable[[Link], Found]) -> Found:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._session.run, work)

    def _unlock(self, digest: bytes) -> None:
        if not self._session.connected:
            return  # the lock went with the connection
        try:
            self._session.run(lambda link: link.execute(_UNLOCK, (_number(digest),)))
        except DatabaseAway as error:
            _log.warning("ledger: the connection of claims broke, and its locks went with it: %s", error)


def _look(link: Link, mark: KeyMark) -> Replay | None:
    """The answer to a key, None if there is none and the lock is ours now."""
    (locked,) = link.execute(_LOCK, (_number(mark.digest),)).fetchone() or (False,)
    row = link.execute(_FIND, (mark.digest,), binary=True).fetchone()
    if row is None or row[1] is None:
        if not locked:
            raise IdempotencyRunning("the first request with this key is still running")
        return None
    if row[0] != mark.fingerprint:
        raise IdempotencyMismatch("the key was first used with another body")
    entry = frames.decode(row[1])
    return Replay(entry.status, entry.body)


def _number(digest: bytes) -> int:
    return int.from_bytes(digest[:8], signed=True)
