"""The keys of all hosts in PostgreSQL: changed once, obeyed everywhere within two seconds.

A change tells its listeners (NOTIFY), and each host looks every second all the same, since a message that was sent
while a connection was broken is lost. While the database is away the last good set stays, as with a broken file.

Lives of keys go by the database's clock, which each look reads and the host's monotonic one carries on: a key that was
issued where a clock goes an hour ahead opens hosts that go an hour behind at once, and ends on all of them together.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from pydantic import ValidationError

from service.access.keystore import KeyFile, KeyRecord
from service.database.session import Link, Session
from service.errors import DatabaseAway, KeyStoreBroken

CHANNEL: Final = "qf_keys"
POLL_S: Final = 1.0
_REVISION: Final = "SELECT revision, extract(epoch FROM now())::float8 FROM ledger.api_key_revision"
_RECORDS: Final = "SELECT record FROM ledger.api_key ORDER BY id"
_KEEP: Final = """
INSERT INTO ledger.api_key (id, record) VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET record = excluded.record
"""


class DatabaseKeys:
    """The records in a database; `start` follows their changes in a thread."""

    def __init__(self, url: str) -> None:
        self._session = Session(url, "keys")
        self._key_file = KeyFile()
        self._revision = 0
        self._ahead_s = 0.0  # of the monotonic clock, once the database was asked
        self._fault = ""
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def load(self) -> KeyFile:
        """The records as they are now.

        Raises:
            KeyStoreBroken: the database cannot be read.
        """
        try:
            self._session.run(self._look)
        except DatabaseAway as error:
            raise KeyStoreBroken(str(error)) from error
        return self._key_file

    def start(self) -> None:
        """Reads the records and begins to follow them.

        Raises:
            KeyStoreBroken: as `load`.
        """
        self.load()
        self._thread = threading.Thread(target=self._work, name="keys", daemon=True)
        self._thread.start()

    def stamp(self) -> tuple[int, str]:
        """A mark that changes when the records may have changed, or can no longer be read."""
        return self._revision, self._fault

    def read(self) -> KeyFile:
        """The records as they were last read.

        Raises:
            KeyStoreBroken: the database does not answer, so they may have changed.
        """
        if self._fault:
            raise KeyStoreBroken(self._fault)
        return self._key_file

    def now(self) -> float:
        """Seconds since 1970 by the database's clock, once the records were read."""
        return time.monotonic() + self._ahead_s

    @contextmanager
    def changing(self) -> Iterator[list[KeyRecord]]:
        """The records to change in place; written back and told when the block ends well. One writer at a time.

        Raises:
            DatabaseAway: nothing was changed.
        """
        with self._session.connection() as link, link.transaction():
            link.execute("LOCK TABLE ledger.api_key IN EXCLUSIVE MODE")
            self._look(link)
            before = self._key_file.keys
            records = list(before)
            yield records
            changed = [record for record in records if record not in before]
            for record in changed:
                link.execute(_KEEP, (record.id, record.model_dump_json()))
            if changed:
                link.execute("UPDATE ledger.api_key_revision SET revision = revision + 1")
                link.execute("SELECT pg_notify(%s, '')", (CHANNEL,))

    def adopt(self, records: Sequence[KeyRecord]) -> int:
        """Adds a host's keys to the database; returns how many were new. A key that is there already stays as it is.

        Raises:
            DatabaseAway: none was taken.
        """
        with self.changing() as keys:
            ids = {record.id for record in keys}
            new = [record for record in records if record.id not in ids]
            keys.extend(new)
        return len(new)

    def close(self) -> None:
        """Ends the thread and lets the connection go."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(2 * POLL_S)
        self._session.close()

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                self._session.run(self._wait)
                self._fault = ""
            except (DatabaseAway, KeyStoreBroken) as error:
                self._fault = str(error)
                self._stop.wait(POLL_S)

    def _wait(self, link: Link) -> None:
        """Looks, then waits for a message, or a second; the next look follows at once."""
        link.execute(f"LISTEN {CHANNEL}".encode())  # before the look: what is told from here on is heard
        self._look(link)
        self._fault = ""
        list(link.notifies(timeout=POLL_S, stop_after=1))

    def _look(self, link: Link) -> None:
        row = link.execute(_REVISION).fetchone()
        if row is None:
            raise KeyStoreBroken("the database: the revision of the keys is gone; restore it from your backup")
        revision, self._ahead_s = int(row[0]), row[1] - time.monotonic()
        if revision != self._revision:
            self._key_file, self._revision = _records(link), revision


def _records(link: Link) -> KeyFile:
    try:
        return KeyFile(keys=tuple(KeyRecord.model_validate_json(row[0]) for row in link.execute(_RECORDS)))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = "/".join(str(part) for part in first["loc"]) or "a record"
        raise KeyStoreBroken(f"the database: {where}: {first['msg']}; restore it from your backup") from None
