"""What a job is, and where jobs are kept: in folders of one host, or in the database that several hosts share.

An applicant's data are kept until they are scored and no longer; results are deleted after a week.
"""

from __future__ import annotations

import hmac
import re
import secrets
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol

import msgspec

from service.ledger import job_results

KEPT_DAYS: Final = 7
_ID: Final = re.compile(r"job_[0-9a-f]{32}")


def new_id() -> str:
    """An id that nobody can guess."""
    return f"job_{secrets.token_hex(16)}"


def named_id(pepper: bytes, account: str, name: str) -> str:
    """The id that an account's order of this name always has; nobody else can guess it, or make one that meets it."""
    digest = hmac.digest(pepper, b"\0".join((b"job", account.encode(), name.encode())), "sha256")
    return f"job_{digest.hex()[:32]}"


def is_id(text: str) -> bool:
    """True if a text has the form of an id, and may therefore name a folder or ask a database."""
    return _ID.fullmatch(text) is not None


class JobRecord(msgspec.Struct, omit_defaults=True):
    """Where a job stands. `status` is queued, running, done, failed or cancelled; times in seconds since 1970."""

    id: str
    account: str
    key: str
    rows: int
    created: float
    status: str = "queued"
    done: int = 0
    refused: int = 0
    prepaid: int = 0
    """Rows whose tokens its order has paid."""
    results_bytes: int = 0
    finished: float = 0.0
    because: str = ""
    webhook: str = ""
    webhook_status: str = ""
    webhook_tries: int = 0
    webhook_due: float = 0.0
    traceparent: str = ""
    fingerprint: str = ""
    """Of the order's body, where its caller gave the order a name."""

    @property
    def ended(self) -> bool:
        """True if nothing more happens to its rows."""
        return self.status in job_results.ENDED

    def end(self, status: str, because: str) -> None:
        """Note that it ended now, how, and why."""
        self.status, self.because, self.finished = status, because, time.time()
        if self.webhook:
            self.webhook_status, self.webhook_due = "pending", self.finished


class JobRepository(Protocol):
    """Jobs by id. Its methods block: use a thread. Each raises `JobsAway` where the disk or the database refuses."""

    def create(self, record: JobRecord, rows: Sequence[bytes], most_open: int) -> bool:
        """Keep a new job; False if its account has as many that have not ended.

        Raises:
            IdempotencyRunning: another request is making it, or has just made it.
        """

    def read(self, identifier: str) -> JobRecord | None:
        """The state of a job; None if there is none of this id."""

    def due(self, now: float) -> list[str]:
        """Ids of the jobs that have not ended, or whose webhook is due; oldest first."""

    def running(self, identifier: str) -> AbstractContextManager[JobRecord | None]:
        """The job for as long as this worker runs it; None if another does, or it is gone."""

    def rows(self, record: JobRecord) -> list[bytes]:
        """The applicants as they came.

        Raises:
            JobEnded: it ended meanwhile, so they are gone.
        """

    def add_results(self, record: JobRecord, lines: Sequence[bytes]) -> None:
        """Append results behind those that the state knows of; then the state knows of these too.

        Raises:
            JobEnded: it ended meanwhile: nothing is added.
        """

    def results(self, record: JobRecord, offset: int, count: int) -> list[bytes]:
        """Some lines of the results, from the row `offset` on."""

    def save(self, record: JobRecord) -> None:
        """Replace the job's state."""

    def finish(self, record: JobRecord, status: str, because: str = "") -> None:
        """The job ends, and its webhook is due: the applicants' data go. One that has ended already stays as it is."""

    def cancel(self, identifier: str) -> JobRecord | None:
        """The job ends as cancelled, whoever runs it; returns its state. One that has ended already stays as it is.
        None if there is none of this id."""

    def tidy(self) -> None:
        """Jobs that ended a week ago, or were ordered two weeks ago, go."""

    def close(self) -> None:
        """Let go of what is held open."""
