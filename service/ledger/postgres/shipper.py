"""Ships sealed segments of all hosts to the bucket: one worker does it, under keys and with bytes that never vary.

Every worker's thread tries to take one advisory lock; who has it ships, the others look again every `LOOK_S`. Who is
refused by the store again and again lets another try: it may be this host alone that is cut off, or whose clock is so
wrong that its signatures are refused. A segment is marked after its objects are stored, so a death between the two
stores the same bytes under the same keys again. While it is shipped its row is locked: who erases waits for it.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final, NamedTuple

from service.database.migrations import LOCKS, SHIPPING_LOCK
from service.database.session import Link, Session
from service.errors import DatabaseAway, in_one_line
from service.ledger.bucket import BucketStore, ObjectStore, StoreConflict, StoreSettings
from service.ledger.interface import Backlog
from service.ledger.journal import entry_rows
from service.ledger.journal.segments import Segment
from service.ledger.journal.shipping import ShippingCounters
from service.ledger.postgres import partitions
from service.ledger.postgres.writer import KEY_HOURS

_log = logging.getLogger(__name__)

LOOK_S: Final = 2.0
_TRIES: Final = 3
_STAND_BACK_S: Final = 2 * LOOK_S + 1.0  # one look until it lets go, one of the others', and some
_HOUSEKEEPING_S: Final = 3600.0
_PAUSE_S: Final = 0.0002

_LOCK: Final = "SELECT pg_try_advisory_lock(%s, %s)"
_UNLOCK: Final = "SELECT pg_advisory_unlock(%s, %s)"
# Its worker would have ended it by now: it died, or does not reach the database. What it still sends finds it sealed.
_SEAL_OVERDUE: Final = """
UPDATE ledger.segment SET sealed_at = now()
WHERE shipped_at IS NULL AND sealed_at IS NULL AND due_at < now() - interval '2 seconds'
"""
_NEXT: Final = """
SELECT day, run, first, low, high, rewritten FROM ledger.segment
WHERE shipped_at IS NULL AND sealed_at IS NOT NULL AND NOT (run || '-' || first = ANY (%s))
ORDER BY opened_at, run, first LIMIT 1 FOR UPDATE
"""
_ENTRIES: Final = """
SELECT payload FROM ledger.entry
WHERE day = %s AND run = %s AND first BETWEEN %s AND %s AND segment = %s ORDER BY place
"""
_SHIPPED: Final = "UPDATE ledger.segment SET shipped_at = now() WHERE run = %s AND first = %s"
_BACKLOG: Final = """
SELECT coalesce(sum(rows), 0)::float8, coalesce(sum(bytes), 0)::float8,
    coalesce(extract(epoch FROM now() - min(opened_at)), 0)::float8,
    coalesce(sum(rows) FILTER (WHERE due_at < now() - interval '2 seconds' AND sealed_at IS NULL), 0)::float8
FROM ledger.segment WHERE shipped_at IS NULL
"""
# So many at once: whoever uses such a key again meanwhile waits for this statement, and a day's would take minutes.
_KEYS_AT_ONCE: Final = 50_000
_FORGET_KEYS: Final = f"""
DELETE FROM ledger.idempotency WHERE at < now() - interval '{KEY_HOURS} hours' AND ctid = ANY (ARRAY(
    SELECT ctid FROM ledger.idempotency WHERE at < now() - interval '{KEY_HOURS} hours'
    ORDER BY at LIMIT {_KEYS_AT_ONCE}
))
"""
_TODAY: Final = "SELECT (now() AT TIME ZONE 'UTC')::date"


class _SealedSegment(NamedTuple):
    """A segment that is to be shipped, its row locked."""

    day: date
    run: str
    first: int
    low: int
    high: int
    rewritten: bool

    @property
    def segment(self) -> Segment:
        """Its name, which is the journal's."""
        return Segment(f"{self.day:%Y%m%d}", self.run, self.first)


@dataclass
class DatabaseShipper:
    """Ships for all hosts if it falls to this worker, in its own thread."""

    session: Session
    store: StoreSettings | ObjectStore
    interval_s: float = 5.0
    answers_days: int = 90
    counters: ShippingCounters = field(default_factory=ShippingCounters)
    waiting: Backlog = Backlog(0, 0, 0.0)
    """What waits on all hosts; nothing where another worker ships."""
    overdue_rows: int = 0
    leads: bool = False
    _conflicts: set[str] = field(default_factory=set)
    _opened: int = 0
    _tidied: float = 0.0
    _stands_back_until: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread."""
        self._thread = threading.Thread(target=self._work, name="database-shipper", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Ships what is sealed once more, if it falls to this worker, and lets the lock go."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        self.session.close()

    def ship_now(self) -> int:
        """Ships all that is sealed, in the caller's thread; how many segments. None where another worker ships.

        Raises:
            DatabaseAway: the database does not answer.
            Exception: the store's refusal; the rest stays for the next time.
        """
        shipped = 0
        if self.session.run(self._lead):
            self.session.run(lambda link: link.execute(_SEAL_OVERDUE))
            while (rows := self.session.run(self._ship_next)) is not None:
                shipped += rows
        self._look_at_backlog()
        return shipped

    def tidy(self) -> None:
        """Drops keys and days that are too old, if it falls to this worker."""
        if self.leads:
            while self.session.run(_forget_keys) == _KEYS_AT_ONCE and not self._stop.is_set():
                pass
            self.session.run(self._drop_days)

    def _lead(self, link: Link) -> bool:
        """True if the lock is held by this session; a lock dies with the connection that took it."""
        if self._stands_back():
            if self.leads:
                self.leads = False
                link.execute(_UNLOCK, (LOCKS, SHIPPING_LOCK))
            return False
        if not self.leads or self._opened != self.session.opened:
            row = link.execute(_LOCK, (LOCKS, SHIPPING_LOCK)).fetchone()
            self.leads, self._opened = bool(row and row[0]), self.session.opened
            if self.leads:
                _log.info("shipping: this worker ships for all hosts")
        return self.leads

    def _stands_back(self) -> bool:
        """True if another worker is to try, if there is one."""
        return time.monotonic() < self._stands_back_until

    def _ship_next(self, link: Link) -> bool | None:
        """True if the next segment was shipped, False if not, None if there is none."""
        with link.transaction():
            row = link.execute(_NEXT, (sorted(self._conflicts),)).fetchone()
            if row is None:
                return None
            ready = _SealedSegment(*row)
            place = (ready.day, ready.run, ready.low, ready.high, ready.first)
            entries = [(0, bytes(one[0])) for one in link.execute(_ENTRIES, place, binary=True)]
            try:
                for kind, (data, rows) in entry_rows.csv_objects(entries, _PAUSE_S).items():
                    self._put(ready.segment.object_key(kind.folder), data, rows, replace=ready.rewritten)
            except StoreConflict as error:  # told and counted; the others must not wait for a person to look at it
                self._conflicts.add(f"{ready.run}-{ready.first}")
                self.counters.conflicts += 1
                _log.error("shipping: %s already holds other bytes; look at both, then remove one", error)
                return False
            link.execute(_SHIPPED, (ready.run, ready.first))
        return True

    def _put(self, key: str, data: bytes, rows: int, *, replace: bool) -> None:
        if isinstance(self.store, StoreSettings):
            self.store = BucketStore(self.store)
        metadata = {"sha256": hashlib.sha256(data).hexdigest(), "rows": str(rows)}
        self.store.put(key, data, metadata, replace=replace)
        self.counters.objects += 1
        self.counters.rows += rows

    def _look_at_backlog(self) -> None:
        if not self.leads:
            if not self._stands_back():  # where it does nobody else may tell yet
                self.waiting, self.overdue_rows = Backlog(0, 0, 0.0), 0
            return
        row = self.session.run(lambda link: link.execute(_BACKLOG).fetchone())
        if row is not None:
            self.waiting, self.overdue_rows = Backlog(int(row[0]), int(row[1]), max(0.0, row[2])), int(row[3])

    def _drop_days(self, link: Link) -> None:
        (today,) = link.execute(_TODAY).fetchone() or (None,)
        dates = partitions.drop_before(link, today - timedelta(days=self.answers_days)) if today else []
        if dates:
            _log.info("ledger: %d days of shipped answers were dropped, up to %s", len(dates), dates[-1])

    def _work(self) -> None:
        last = False
        while not last:
            last = self._stop.is_set()
            works = self._pass()
            if not last:
                self._stop.wait(min(LOOK_S, self.interval_s) if works else self.counters.pause_s())

    def _pass(self) -> bool:
        """One walk over what is sealed; False if the store or the database refused and this worker tries again."""
        try:
            self.ship_now()
            if not self._tidied or time.monotonic() - self._tidied > _HOUSEKEEPING_S:
                self.tidy()
                self._tidied = time.monotonic()
        except Exception as error:  # pylint: disable=broad-exception-caught
            # Whatever a store, a network or a database throws, the answer is the same: keep the segment and come back.
            away = isinstance(error, DatabaseAway)
            self.leads = self.leads and not away
            self.counters.note_failure(str(error) if away else in_one_line(error), _log)
            if away or self.counters.failing % _TRIES:
                return False
            self._stands_back_until = time.monotonic() + _STAND_BACK_S
            return True
        if self.leads:
            self.counters.note_success(_log)
        elif not self._stands_back():  # another ships
            self.counters.failing, self.counters.last_error = 0, ""
        return True


def _forget_keys(link: Link) -> int:
    """How many of the keys that are too old went."""
    return link.execute(_FORGET_KEYS).rowcount
