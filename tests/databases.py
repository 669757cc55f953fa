"""Debian's PostgreSQL for the tests: a cluster of its own on a free port, which a test may stop, start and kill."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
import pytest

from bentos.processes import free_port
from infra.settings import HOST

USER: Final = "postgres"
PASSWORD: Final = "cluster-test-password"  # of a cluster that this machine alone reaches
# Found before PostgreSQL's own by every session that begins afterwards.
_CLOCK: Final = """
CREATE SCHEMA IF NOT EXISTS clock;
CREATE OR REPLACE FUNCTION clock.now() RETURNS timestamptz STABLE PARALLEL SAFE LANGUAGE sql
    AS 'SELECT pg_catalog.now() + make_interval(secs => {})';
ALTER DATABASE {} SET search_path = clock, pg_catalog;
"""


def postgres_program(name: str) -> str:
    """Path of one of PostgreSQL's programs; skips where they are absent, fails where QF_REQUIRE_ALL=1 promises them."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if found:
        return str(found[-1])
    reason = "Debian's postgresql is not installed"
    if os.environ.get("QF_REQUIRE_ALL") == "1":
        raise pytest.fail.Exception(f"{reason}, and QF_REQUIRE_ALL=1 allows no skip")
    raise pytest.skip.Exception(reason)


def as_database_user() -> list[str]:
    """What stands before a command of PostgreSQL's, which refuses root."""
    return ["runuser", "-u", USER, "--"] if os.getuid() == 0 else []


class Cluster:
    """One PostgreSQL server with databases of the tests' own; `synced` where what a commit costs is measured."""

    def __init__(self, home: Path, *, synced: bool = False) -> None:
        self.home, self.port = home, free_port()
        self._names = itertools.count()
        if as_database_user():
            shutil.chown(home, USER)
        secret = home / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._program(
            "initdb",
            "-D",
            str(home / "data"),
            "-U",
            USER,
            f"--pwfile={secret}",
            "--no-sync",
            "-N",
            "-A",
            "scram-sha-256",
        )
        # A test ends servers, not the machine: what was written outlives that without a sync.
        sync = "on" if synced else "off"
        settings = (
            f"-p {self.port} -h {HOST} -k {home} -c fsync={sync} -c max_connections=200 -c log_min_messages=fatal"
        )
        self._start = ("-o", settings, "-l", str(home / "log"), "-w", "-t", "60", "start")

    def start(self) -> None:
        """Starts the server; on return it takes connections."""
        self._program("pg_ctl", "-D", str(self.home / "data"), *self._start)

    def stop(self, mode: str = "fast") -> None:
        """Stops it: `fast` ends every session, `immediate` as a crash would."""
        self._program("pg_ctl", "-D", str(self.home / "data"), "-m", mode, "-w", "-t", "60", "stop")

    def url(self, database: str, *, user: str = USER, password: str = PASSWORD, port: int | None = None) -> str:
        """Address of a database of it."""
        return f"postgresql://{user}:{password}@{HOST}:{port or self.port}/{database}"

    def new_database(self) -> str:
        """Address of a new, empty database."""
        name = f"test_{os.getpid()}_{next(self._names)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as link:
            link.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def _program(self, name: str, *arguments: str) -> None:
        subprocess.run(
            [*as_database_user(), postgres_program(name), *arguments],
            check=True,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=120,
        )


def set_clock(url: str, ahead_s: float) -> None:
    """What time it is by a database: so far ahead of this machine's clock. The first time before it has tables."""
    with psycopg.connect(url, autocommit=True) as link:
        link.execute(_CLOCK.format(ahead_s, url.rpartition("/")[2]).encode())


@contextmanager
def cluster(*, synced: bool = False) -> Iterator[Cluster]:
    """A running cluster for as long as the block lasts; its folder is not pytest's, which is closed to others."""
    postgres_program("initdb")
    home = Path(tempfile.mkdtemp(prefix="qf-cluster-"))
    made = Cluster(home, synced=synced)
    made.start()
    try:
        yield made
    finally:
        made.stop("immediate")
        shutil.rmtree(home, ignore_errors=True)
