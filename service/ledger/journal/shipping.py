"""Ships sealed journal files to the bucket: each kind of row in one PUT, under a key and with bytes that never vary.

A file is shipped, then moved to where answers are kept; a crash between the two ships the same bytes to the same key
again, so nothing is lost and nothing doubled. Recovery is the same walk over the pending files. Files of dead workers
are mended and shipped by the living worker whose run sorts first. The store may be down for as long as the disk lasts.
"""

from __future__ import annotations

import hashlib
import logging
import random
import sqlite3
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.errors import in_one_line
from service.files import locked_content
from service.ledger.bucket import BucketStore, ObjectStore, StoreConflict, StoreSettings
from service.ledger.interface import Backlog
from service.ledger.journal import entry_rows, frames
from service.ledger.journal.answer_copies import KeptAnswers, KeptLimits
from service.ledger.journal.idempotency import KeyIndex
from service.ledger.journal.segments import Folders, Segment
from service.ledger.records import RecordKind

__all__ = ["KeptLimits", "Shipper", "ShippingCounters", "StoreSettings"]

_log = logging.getLogger(__name__)

_LONGEST_PAUSE_S: Final = 10.0
_HOUSEKEEPING_S: Final = 3600.0
# Handling a file takes milliseconds of Python: requests get the interpreter's lock in between.
_PAUSE_S: Final = 0.0002


@dataclass
class ShippingCounters:
    """Totals since the start of this process; `failing` is how many tries in a row have failed, the last for what."""

    objects: int = 0
    rows: int = 0
    failures: int = 0
    failing: int = 0
    conflicts: int = 0
    torn: int = 0
    damaged: int = 0
    last_error: str = ""

    def note_failure(self, reason: str, log: logging.Logger) -> None:
        """Counts a try that failed; the first, the tenth and every hundredth in a row are logged."""
        self.last_error = reason  # before the count: who sees that it fails sees why
        self.failures += 1
        self.failing += 1
        if self.failing in (1, 10) or self.failing % 100 == 0:
            log.error("shipping: %d tries in a row failed, last %s", self.failing, reason)

    def note_success(self, log: logging.Logger) -> None:
        """Ends a row of failures."""
        if self.failing:
            log.warning("shipping: works again after %d failures", self.failing)
        self.failing, self.last_error = 0, ""

    def pause_s(self) -> float:
        """How long to wait for the next try: longer after each failure, never in step with other workers."""
        return min(_LONGEST_PAUSE_S, 0.25 * 2.0 ** min(self.failing, 10)) * random.uniform(0.5, 1.0)


class FileShipper:
    """Ships one file: mended if need be, object by object, and retired last."""

    def __init__(self, folders: Folders, index: KeyIndex, store: StoreSettings | ObjectStore) -> None:
        self.counters = ShippingCounters()
        self._folders, self._index, self._store = folders, index, store
        self._conflicts: set[str] = set()

    def ship(self, segment: Segment) -> bool:
        """True if the file was retired, False if somebody else holds it or it has no rows.

        Raises:
            StoreConflict: its key holds other bytes; the file stays, a person has to look.
            Exception: the store refused; the file stays for the next time.
        """
        path = self._folders.pending / segment.name
        with locked_content(path) as free:
            if not free:
                return False
            mended = self._folders.mend(segment, _PAUSE_S)
            if mended.torn or mended.damaged:
                self._alarm(segment, damaged=mended.damaged)
            objects = entry_rows.csv_objects(mended.contents.entries, _PAUSE_S)
            if not mended.contents.entries:
                path.unlink()
                return False
            for kind, (data, rows) in objects.items():
                self._put(segment, kind, data, rows, replace=mended.contents.rewritten)
            self._index.catch_up(path)
            self._retire(segment, mended.contents.entries)
            return True

    def _retire(self, segment: Segment, entries: list[tuple[int, bytes]]) -> None:
        """Moves a shipped file to the kept ones; on a disk too full for their folder it goes, if no key is waiting."""
        try:
            self._folders.retire(segment)
        except OSError:
            if any(frames.key_of(payload) for _, payload in entries):
                raise
            (self._folders.pending / segment.name).unlink()
            _log.warning("outbox: no room to keep %s, which is shipped; it is gone", segment.name)

    def _put(self, segment: Segment, kind: RecordKind, data: bytes, rows: int, *, replace: bool) -> None:
        if isinstance(self._store, StoreSettings):
            self._store = BucketStore(self._store)
        key = segment.object_key(kind.folder)
        metadata = {"sha256": hashlib.sha256(data).hexdigest(), "rows": str(rows)}
        try:
            self._store.put(key, data, metadata, replace=replace)
        except StoreConflict:
            if key not in self._conflicts:
                self._conflicts.add(key)
                self.counters.conflicts += 1
                _log.error("shipping: %s already holds other bytes; look at both, then remove one", key)
            raise
        self.counters.objects += 1
        self.counters.rows += rows

    def _alarm(self, segment: Segment, *, damaged: bool) -> None:
        if damaged:
            self.counters.damaged += 1
            _log.error("outbox: %s is damaged; the original is in quarantine, sound rows are shipped", segment.name)
        else:
            self.counters.torn += 1
            _log.warning("outbox: the last write of %s was cut off by a crash and was never answered", segment.name)


class Orphans:
    """The files dead workers left, seen from one worker."""

    def __init__(self, folders: Folders, run: str) -> None:
        self._folders, self._run = folders, run
        self._backlogs: dict[str, Backlog] = {}  # with the time of the last write in the place of an age

    def of(self, pending: list[Segment]) -> list[Segment]:
        """Those among the pending files, if it falls to this worker to look after them."""
        if all(segment.run == self._run for segment in pending):
            return []
        alive = self._alive()
        return [segment for segment in pending if segment.run not in alive] if min(alive) == self._run else []

    def first(self) -> bool:
        """True if this worker is the one that looks after what belongs to no worker."""
        return min(self._alive()) == self._run

    def backlog(self, orphans: list[Segment]) -> Backlog:
        """What they hold; each is read once."""
        now = time.time()
        names = {segment.name for segment in orphans}
        self._backlogs = {name: backlog for name, backlog in self._backlogs.items() if name in names}
        for name in names - self._backlogs.keys():
            with suppress(FileNotFoundError):
                path = self._folders.pending / name
                contents = frames.parse(path.read_bytes(), _PAUSE_S)
                rows = sum(len(frames.numbers_of(payload)) for _, payload in contents.entries)
                self._backlogs[name] = Backlog(rows, contents.end, path.stat().st_mtime)
        parts = self._backlogs.values()
        oldest = min((part.oldest_age_s for part in parts), default=now)
        return Backlog(sum(part.rows for part in parts), sum(part.bytes for part in parts), max(0.0, now - oldest))

    def _alive(self) -> set[str]:
        """Runs whose worker holds its lock; this one always counts. Locks that dead workers left are removed."""
        alive = {self._run}
        for path in self._folders.live.glob("*.lock"):
            with locked_content(path) as free:
                if not free and path.exists():
                    alive.add(path.stem)
                elif free and path.stem != self._run:
                    path.unlink(missing_ok=True)
        return alive


class Shipper:
    """Ships one worker's sealed files, and on one worker of the host those of dead workers too, in its own thread."""

    def __init__(
        self,
        outbox: Path,
        run: str,
        store: StoreSettings | ObjectStore,
        *,
        interval_s: float = 5.0,
        keep: KeptLimits = KeptLimits(),
    ) -> None:
        self.orphans = Backlog(0, 0, 0.0)
        """Rows that dead workers left unshipped; other workers than the first of the host report zero."""
        self._run, self._interval_s = run, interval_s
        self._folders = Folders(Path(outbox))
        self.kept_answers = KeptAnswers(self._folders, keep)
        self._index = KeyIndex(Path(outbox), keep.key_hours)
        self._file_shipper = FileShipper(self._folders, self._index, store)
        self._orphans = Orphans(self._folders, run)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="shipping", daemon=True)
        self._tidied = 0.0

    @property
    def counters(self) -> ShippingCounters:
        """Totals since the start of this process."""
        return self._file_shipper.counters

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Ships what is sealed once more (close the outbox first) and ends; what is left ships at the next start."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def ship_now(self) -> int:
        """Ships everything that is ready, in the caller's thread; how many files were retired.

        Raises:
            Exception: the store's refusal; the rest stays for the next time.
        """
        pending = self._folders.segments(self._folders.pending)
        orphans = self._orphans.of(pending)
        self.orphans = self._orphans.backlog(orphans)
        retired = 0
        for segment in sorted([*(segment for segment in pending if segment.run == self._run), *orphans]):
            try:
                retired += self._file_shipper.ship(segment)
            except StoreConflict:  # told and counted; the others must not wait for a person to look at this one
                continue
        return retired

    def bound_kept(self) -> None:
        """Keeps the copies of shipped answers within their bounds, if it falls to this worker."""
        if self._orphans.first():
            self.kept_answers.bound()
        else:
            self.kept_answers.bytes = 0

    def _work(self) -> None:
        last = False
        while not last:
            last = self._stop.is_set()
            works = self._pass()
            if not last:
                self._stop.wait(self._interval_s if works else self.counters.pause_s())
        self._index.close()

    def _pass(self) -> bool:
        """One walk over what is pending; False if the store refused, which ends the walk."""
        try:
            self.bound_kept()  # first: where the disk is full, that is what lets the store's work go on
            self.ship_now()
            self._tidy()
        except Exception as error:  # pylint: disable=broad-exception-caught
            # Whatever a store, a network or a disk throws, the answer is the same: keep the file and come back.
            self.counters.note_failure(in_one_line(error), _log)
            return False
        self.counters.note_success(_log)
        return True

    def _tidy(self) -> None:
        """Once an hour: old keys go."""
        if self._tidied and time.monotonic() - self._tidied < _HOUSEKEEPING_S:
            return
        self._tidied = time.monotonic()
        with suppress(sqlite3.OperationalError):  # another worker is at it
            self._index.purge()
