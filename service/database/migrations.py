"""The tables that the service keeps in PostgreSQL, step by step, and the check that a database has them.

A step is never changed once it was released: a change is a further step. Each says which step a release must at least
know to go on working on it, so that two releases of a rollout may use one database.
"""

from __future__ import annotations

import hmac
from typing import Final, NamedTuple

from service.database.session import SETTING, Link, Session
from service.errors import DatabaseAway, Misconfigured

MIGRATE: Final = "python -m service.ledger migrate"
LOCKS: Final = 0x51465343
"""The first half of the advisory locks that are the service's own; the second says of what."""
MIGRATION_LOCK: Final = 1
PARTITION_LOCK: Final = 2
SHIPPING_LOCK: Final = 3
ORDER_LOCKS: Final = 0x51464A4F
"""The first half of the locks of orders; the second is the account's."""


class Migration(NamedTuple):
    """One step. `oldest` is the step that a release must know to work on a database that has this one."""

    version: int
    oldest: int
    statements: str


MIGRATIONS: Final = (
    Migration(
        1,
        1,
        """
        -- Who writes: one run a worker. A segment is what becomes one object a kind of row in the bucket.
        CREATE TABLE ledger.segment (
            day date NOT NULL,
            run text NOT NULL,
            first bigint NOT NULL,
            low bigint NOT NULL,
            high bigint NOT NULL,
            rows bigint NOT NULL,
            bytes bigint NOT NULL,
            opened_at timestamptz NOT NULL DEFAULT now(),
            due_at timestamptz NOT NULL,
            sealed_at timestamptz,
            shipped_at timestamptz,
            rewritten boolean NOT NULL DEFAULT false,
            PRIMARY KEY (run, first)
        ) WITH (fillfactor = 50);
        CREATE INDEX segment_waiting ON ledger.segment (opened_at) WHERE shipped_at IS NULL;
        CREATE INDEX segment_day ON ledger.segment (day);

        -- One answer with its rows, in the bytes of the journal's frames (service/ledger/journal/frames.py).
        CREATE TABLE ledger.entry (
            day date NOT NULL,
            run text NOT NULL,
            first bigint NOT NULL,
            last bigint NOT NULL,
            segment bigint NOT NULL,
            place bigint NOT NULL,
            payload bytea NOT NULL,
            PRIMARY KEY (day, run, first)
        ) PARTITION BY RANGE (day);
        ALTER TABLE ledger.entry ALTER COLUMN payload SET STORAGE EXTERNAL;

        CREATE TABLE ledger.idempotency (
            digest bytea PRIMARY KEY,
            fingerprint bytea NOT NULL,
            day date NOT NULL,
            run text NOT NULL,
            first bigint NOT NULL,
            at timestamptz NOT NULL DEFAULT now()
        );
        CREATE INDEX idempotency_at ON ledger.idempotency (at);
        CREATE INDEX idempotency_entry ON ledger.idempotency (run, first);

        CREATE TABLE ledger.pepper (
            only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
            mark bytea NOT NULL
        );

        CREATE TABLE ledger.api_key (id text PRIMARY KEY, record text NOT NULL);
        CREATE TABLE ledger.api_key_revision (
            only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
            revision bigint NOT NULL
        );
        INSERT INTO ledger.api_key_revision (revision) VALUES (1);
        """,
    ),
    Migration(
        2,
        1,
        """
        -- Files of applicants (service/jobs). `rows` goes when the job ends, the job with its results a week later.
        CREATE TABLE ledger.job (
            id text PRIMARY KEY,
            account text NOT NULL,
            ended boolean NOT NULL DEFAULT false,
            done int NOT NULL DEFAULT 0,
            webhook_due double precision NOT NULL DEFAULT 0,
            record bytea NOT NULL,
            rows bytea,
            ordered_at timestamptz NOT NULL DEFAULT now(),
            ended_at timestamptz
        );
        CREATE INDEX job_waiting ON ledger.job (ordered_at) WHERE NOT ended OR webhook_due > 0;
        CREATE INDEX job_open ON ledger.job (account) WHERE NOT ended;
        CREATE TABLE ledger.job_result (
            id text NOT NULL REFERENCES ledger.job ON DELETE CASCADE,
            first int NOT NULL,
            rows int NOT NULL,
            lines bytea NOT NULL,
            PRIMARY KEY (id, first)
        );
        """,
    ),
)
VERSION: Final = MIGRATIONS[-1].version
"""The step that this release was written for."""

_FOUND: Final = "SELECT to_regclass('ledger.migration') IS NOT NULL"
_STEPS: Final = "SELECT max(version), max(oldest) FROM ledger.migration"


def migrate(url: str) -> list[int]:
    """Takes the steps that a database lacks, each whole or not at all; returns them. Safe to repeat and to run twice.

    Raises:
        Misconfigured: the database cannot be used, or a release that is newer than this one changed it.
    """
    session = Session(url, "migration", statement_timeout_s=600, idle_timeout_s=600)
    try:
        return session.run(_migrate)
    except DatabaseAway as error:
        raise Misconfigured(f"{SETTING}: {error}") from None
    finally:
        session.close()


def check(url: str, pepper_mark: bytes) -> None:
    """Refuse a database that this release, or this pepper, cannot work on; the first host's pepper becomes that of all.

    Raises:
        Misconfigured: one line that says what to mend.
    """
    session = Session(url, "check")
    try:
        session.run(lambda link: _check(link, pepper_mark))
    except DatabaseAway as error:
        raise Misconfigured(f"{SETTING}: {error}") from error
    finally:
        session.close()


def _migrate(link: Link) -> list[int]:
    versions: list[int] = []
    with link.transaction():
        link.execute("SELECT pg_advisory_xact_lock(%s, %s)", (LOCKS, MIGRATION_LOCK))
        link.execute("CREATE SCHEMA IF NOT EXISTS ledger")
        link.execute(
            "CREATE TABLE IF NOT EXISTS ledger.migration (version int PRIMARY KEY, oldest int NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())"
        )
        version, oldest = _steps(link)
        _require_known(version, oldest)
        for step in MIGRATIONS:
            if step.version > version:
                link.execute(step.statements.encode(), prepare=False)
                link.execute("INSERT INTO ledger.migration VALUES (%s, %s)", (step.version, step.oldest))
                versions.append(step.version)
    return versions


def _check(link: Link, pepper_mark: bytes) -> None:
    row = link.execute(_FOUND).fetchone()
    version, oldest = _steps(link) if row and row[0] else (0, 0)
    if version < VERSION:
        had = f"has schema {version}" if version else "has no tables yet"
        raise Misconfigured(f"{SETTING}: the database {had}, this release needs {VERSION}; run {MIGRATE}")
    _require_known(version, oldest)
    link.execute("INSERT INTO ledger.pepper (mark) VALUES (%s) ON CONFLICT DO NOTHING", (pepper_mark,))
    mark = link.execute("SELECT mark FROM ledger.pepper").fetchone()
    if mark is None or not hmac.compare_digest(bytes(mark[0]), pepper_mark):
        raise Misconfigured(
            "QF_SERVICE_DIR: its pepper is another than that of the other hosts of this database; copy theirs"
        )


def _steps(link: Link) -> tuple[int, int]:
    row = link.execute(_STEPS).fetchone()
    return (row[0] or 0, row[1] or 0) if row else (0, 0)


def _require_known(version: int, oldest: int) -> None:
    if oldest > VERSION:
        raise Misconfigured(
            f"{SETTING}: the database has schema {version}, which needs a release that knows {oldest}; "
            f"this one knows {VERSION}"
        )
