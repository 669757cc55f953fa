"""PostgreSQL as the threads of a worker use it: one connection a job, bounded in time, made again when it broke.

A worker has as many connections as it has sessions, however often the database comes and goes: a session holds one or
none. Whatever psycopg raises becomes `DatabaseAway` and closes the connection, since nobody can say what state it has.

The limits are the connection's own. The server gives a statement up after some seconds, and a dead client after seven
(keepalives), so that what a lost host held, a lock above all, is free for the others within ten. Where a proxy in
between lives and the database behind it does not answer, neither helps: one thread of the process ends such waits.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from service.errors import DatabaseAway, Misconfigured

Link = psycopg.Connection[TupleRow]
Found = TypeVar("Found")

SETTING: Final = "QF_DATABASE_URL"
CONNECT_TIMEOUT_S: Final = 3
WATCH_S: Final = 0.5
GRACE_S: Final = 2.0
"""What the server's own limits are given first."""
_CLIENT: Final = {
    "connect_timeout": str(CONNECT_TIMEOUT_S),
    "target_session_attrs": "read-write",  # a replica is of no use, and of several hosts the one that writes is taken
    "tcp_user_timeout": "5000",
    "keepalives_idle": "2",
    "keepalives_interval": "1",
    "keepalives_count": "3",
}
_SERVER: Final = {
    "TimeZone": "UTC",
    "synchronous_commit": "on",  # whatever the role's default is: what was committed is on the disk
    "lock_timeout": "3s",
    "tcp_keepalives_idle": "3",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "2",
}
_SAID: Final[Mapping[str, str]] = {
    "53100": "the database's disk is full",
    "53300": "the database has no connection left",
    "25006": "the database is read-only: a replica, or locked",
    "57014": "a statement took too long",
    "55P03": "a lock was not to be had in time",
    "42P01": "a table is missing, python -m service.ledger migrate makes it",
    "42501": "the role may not do this",
}


def parameters(url: str, name: str, statement_timeout_s: float, idle_timeout_s: float) -> str:
    """The connection string of a session; what the address itself says wins.

    Raises:
        Misconfigured: it is no address of PostgreSQL.
    """
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        parts = {}
    if not parts:  # an empty address would be that of whatever runs on this machine
        raise Misconfigured(f"{SETTING}: is no address such as postgresql://user:password@host:5432/name")
    server = {
        **_SERVER,
        "statement_timeout": f"{statement_timeout_s * 1000:.0f}ms",
        "idle_in_transaction_session_timeout": f"{idle_timeout_s * 1000:.0f}ms",
    }
    options = " ".join(f"-c {setting}={value}" for setting, value in server.items())
    mine = {**_CLIENT, "application_name": f"credit-score {name}", "options": options}
    return make_conninfo(**{**mine, **{key: str(value) for key, value in parts.items() if value is not None}})


def refusal_of(error: psycopg.Error) -> str:
    """What the database refused, in one line without a value of a row: for logs and operators."""
    if error.sqlstate:
        return f"{_SAID.get(error.sqlstate, 'the database refused')} ({type(error).__name__} {error.sqlstate})"
    first = str(error).strip().partition("\n")[0]
    return first[:300] or type(error).__name__


class _Watch:
    """The sessions of this process, and the thread that ends waits which nothing else would."""

    def __init__(self) -> None:
        self._sessions: weakref.WeakSet[Session] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._process_id = 0

    def add(self, session: Session) -> None:
        """One more; the first starts the thread, in a forked process anew."""
        with self._lock:
            self._sessions.add(session)
            if self._process_id != os.getpid():
                self._process_id = os.getpid()
                threading.Thread(target=self._work, name="database-watch", daemon=True).start()

    def _work(self) -> None:
        while True:
            time.sleep(WATCH_S)
            with self._lock:
                sessions = list(self._sessions)
            for session in sessions:
                session.end_wait(time.monotonic())


_WATCH: Final = _Watch()


class Session:
    """One connection, for one thread at a time, made when it is needed."""

    def __init__(self, url: str, name: str, *, statement_timeout_s: float = 5.0, idle_timeout_s: float = 10.0) -> None:
        self.opened = 0
        """Connections that were made since the start; one more for each time it broke."""
        self._parameters = parameters(url, name, statement_timeout_s, idle_timeout_s)
        self._lock = threading.Lock()
        self._connection: Link | None = None
        self._closed = False
        self._patience_s = max(statement_timeout_s, idle_timeout_s) + GRACE_S
        self._due = float("inf")
        self._guard = threading.Lock()  # so that nobody ends a connection that took a closed one's number
        _WATCH.add(self)

    @property
    def connected(self) -> bool:
        """True if it holds a connection."""
        return self._connection is not None

    @contextmanager
    def connection(self) -> Iterator[Link]:
        """The connection for as long as the block lasts.

        Raises:
            DatabaseAway: the database did not take part to the end; what was sent last may have been done.
        """
        with self._lock:
            try:
                link = self._connected()
                self._due = time.monotonic() + self._patience_s
                yield link
            except psycopg.Error as error:
                self._drop()
                raise DatabaseAway(refusal_of(error)) from error
            finally:
                self._due = float("inf")

    def end_wait(self, now: float) -> None:
        """Ends a connection whose work takes longer than the server would allow; the waiting thread hears of it."""
        if now < self._due:
            return
        with self._guard:
            if self._connection is not None and not self._connection.closed:
                with socket.socket(fileno=os.dup(self._connection.fileno())) as wire, suppress(OSError):
                    wire.shutdown(socket.SHUT_RDWR)

    def run(self, work: Callable[[Link], Found]) -> Found:
        """The result of the work; every statement of it is its own transaction, unless it begins one.

        Raises:
            DatabaseAway: as `held`.
        """
        with self.connection() as link:
            return work(link)

    def close(self) -> None:
        """Closes the connection for good."""
        with self._lock:
            self._closed = True
            self._drop()

    def _connected(self) -> Link:
        if self._closed:
            raise DatabaseAway("this worker is ending")
        if self._connection is None:
            self._connection = psycopg.connect(self._parameters, autocommit=True, prepare_threshold=0)
            self.opened += 1
        return self._connection

    def _drop(self) -> None:
        with self._guard:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()
