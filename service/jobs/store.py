"""Jobs of a host as folders: what was ordered, how far it is, what came out. Any worker reads them; one runs each.

    jobs/<id>/job.json       state, replaced whole after each step
    jobs/<id>/rows.jsonl     the applicants as they came, a line each; gone when the job ends
    jobs/<id>/results.jsonl  a line a row, in order: the score, or what is wrong with the row
    jobs/<id>/lock           held by the worker that runs it, freed by the kernel if that dies

An applicant's data lie here until he is scored and no longer; results go after a week.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from service import files

KEPT_DAYS: Final = 7
_ID: Final = re.compile(r"job_[0-9a-f]{32}")


class JobRecord(msgspec.Struct, omit_defaults=True):
    """Where a job stands. `status` is queued, running, done or failed; times in seconds since 1970."""

    id: str
    account: str
    key: str
    rows: int
    created: float
    status: str = "queued"
    done: int = 0
    refused: int = 0
    results_bytes: int = 0
    finished: float = 0.0
    because: str = ""
    webhook: str = ""
    webhook_status: str = ""
    webhook_tries: int = 0
    webhook_due: float = 0.0
    traceparent: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to its rows."""
        return self.status in ("done", "failed")


class JobFolders:
    """The jobs in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create(self, record: JobRecord, rows: Sequence[bytes]) -> None:
        """Keep a new job.

        Raises:
            OSError: no room; nothing is left of it.
        """
        folder = self._of(record.id)
        folder.mkdir(mode=0o700, parents=True)
        try:
            files.replace(folder / "rows.jsonl", b"\n".join(rows), files.PRIVATE)
            self.save(record)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def save(self, record: JobRecord) -> None:
        """Replace the job's state."""
        files.replace(self._of(record.id) / "job.json", msgspec.json.encode(record), files.PRIVATE)

    def read(self, identifier: str) -> JobRecord | None:
        """The state of a job; None if there is none of this id."""
        if not _ID.fullmatch(identifier):
            return None
        with suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode((self._of(identifier) / "job.json").read_bytes(), type=JobRecord)
        return None

    def records(self) -> list[JobRecord]:
        """Every job, oldest first."""
        with suppress(FileNotFoundError):
            found = [record for name in os.listdir(self._folder) if (record := self.read(name))]
            return sorted(found, key=lambda one: one.created)
        return []

    @contextmanager
    def running(self, identifier: str) -> Iterator[JobRecord | None]:
        """The job for as long as this worker runs it; None if another does, or it is gone."""
        try:
            with files.locked(self._of(identifier) / "lock", wait=False):
                yield self.read(identifier)
        except files.LockHeld:
            yield None

    def rows(self, record: JobRecord) -> list[bytes]:
        """The applicants as they came."""
        return (self._of(record.id) / "rows.jsonl").read_bytes().split(b"\n")

    def add_results(self, record: JobRecord, lines: Sequence[bytes]) -> None:
        """Append results behind those that the state knows of; then the state knows of these too."""
        data = b"".join(line + b"\n" for line in lines)
        descriptor = os.open(self._of(record.id) / "results.jsonl", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, record.results_bytes)  # what a killed worker wrote and did not note
            written = 0
            while written < len(data):
                written += os.pwrite(descriptor, data[written:], record.results_bytes + written)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        record.done += len(lines)
        record.results_bytes += len(data)
        self.save(record)

    def results(self, record: JobRecord, offset: int, count: int) -> list[bytes]:
        """Some lines of the results, from the row `offset` on."""
        found: list[bytes] = []
        with suppress(FileNotFoundError), open(self._of(record.id) / "results.jsonl", "rb") as file:
            for place, line in enumerate(file):
                if place >= min(record.done, offset + count):
                    break
                if place >= offset:
                    found.append(line[:-1])
        return found

    def finish(self, record: JobRecord, status: str, because: str = "") -> None:
        """The job ends: the applicants' data go."""
        record.status, record.because, record.finished = status, because, time.time()
        self.save(record)
        (self._of(record.id) / "rows.jsonl").unlink(missing_ok=True)

    def tidy(self) -> None:
        """Jobs that ended a week ago, or were ordered two weeks ago, go."""
        now = time.time()
        for record in self.records():
            if now - (record.finished or record.created + KEPT_DAYS * 86400) > KEPT_DAYS * 86400:
                shutil.rmtree(self._of(record.id), ignore_errors=True)

    def _of(self, identifier: str) -> Path:
        return self._folder / identifier
