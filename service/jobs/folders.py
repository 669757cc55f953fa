"""Jobs of one host as folders. Any worker reads them; one runs each.

jobs/<id>/job.json       state, replaced whole after each step
jobs/<id>/rows.jsonl     the applicants as they came, a line each; gone when the job ends
jobs/<id>/results.jsonl  a line a row, in order: the score, or what is wrong with the row
jobs/<id>/results.ends   where each of these lines ends, 8 bytes a line, so that any page is as cheap as the first; made
                         anew where it does not fit the results
jobs/<id>/lock           held by the worker that runs it, freed by the kernel if that dies
jobs/<id>/state.lock     held for the moment of a step: who runs the job and who cancels it take turns
jobs/open/<id>           an empty file until the job has ended and its end was told: what is looked at every second, so
                         that the jobs of a week cost nothing, however many they are
"""

from __future__ import annotations

import os
import shutil
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from service import files
from service.errors import IdempotencyRunning, JobEnded, JobsAway, in_one_line
from service.jobs.store import KEPT_DAYS, JobRecord, is_id

_END: Final = struct.Struct("<q")
_ENDS: Final = np.dtype("<i8")


class JobFolders:
    """Implements `service.jobs.store.JobRepository` for the workers of one host."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._open = folder, folder / "open"
        self._marked = False

    def create(self, record: JobRecord, rows: Sequence[bytes], most_open: int) -> bool:
        """As `JobRepository.create`; nothing is left of a job that there was no room for.

        Raises:
            JobsAway: no room.
            IdempotencyRunning: as `JobRepository.create`.
        """
        folder = self._of(record.id)
        try:
            with files.locked(self._folder / "orders.lock"):  # no order comes between another's look and its entry
                if sum(one.account == record.account and not one.ended for one in self._open_records()) >= most_open:
                    return False
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # a killed worker may have left it, stateless
                with files.locked(folder / "lock", wait=False):
                    if self.read(record.id) is not None:
                        raise IdempotencyRunning
                    self._keep(folder, record, rows)
        except files.LockHeld:
            raise IdempotencyRunning from None
        except OSError as error:
            with suppress(OSError):
                folder.rmdir()  # if nothing is in it: another request's job may be
            raise JobsAway(f"a job could not be kept ({in_one_line(error)})") from error
        return True

    def _keep(self, folder: Path, record: JobRecord, rows: Sequence[bytes]) -> None:
        """The job's rows, then its state; nothing of either where one does not fit."""
        try:
            files.replace(folder / "rows.jsonl", b"\n".join(rows), files.PRIVATE)
            self.save(record)
        except OSError:
            self.remove(record.id)
            raise

    def save(self, record: JobRecord) -> None:
        """Replace the job's state."""
        if not _is_settled(record):
            self._mark(record.id)
        files.replace(self._of(record.id) / "job.json", msgspec.json.encode(record), files.PRIVATE)
        if _is_settled(record):
            (self._open / record.id).unlink(missing_ok=True)

    def read(self, identifier: str) -> JobRecord | None:
        """The state of a job; None if there is none of this id."""
        if not is_id(identifier):
            return None
        with suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode((self._of(identifier) / "job.json").read_bytes(), type=JobRecord)
        return None

    def due(self, now: float) -> list[str]:
        """As `JobRepository.due`.

        Raises:
            JobsAway: the disk refuses.
        """
        try:
            records = self._open_records()
        except OSError as error:
            raise JobsAway(f"jobs cannot be looked through ({in_one_line(error)})") from error
        return [one.id for one in records if not one.ended or 0 < one.webhook_due <= now]

    def ids(self) -> list[str]:
        """Every job, oldest first."""
        return [record.id for record in self._records()]

    def remove(self, identifier: str) -> None:
        """Forget a job with all that it holds."""
        shutil.rmtree(self._of(identifier), ignore_errors=True)
        (self._open / identifier).unlink(missing_ok=True)

    @contextmanager
    def running(self, identifier: str) -> Iterator[JobRecord | None]:
        """The job for as long as this worker runs it; None if another does, or it is gone."""
        try:
            with files.locked(self._of(identifier) / "lock", wait=False):
                yield self.read(identifier)
        except files.LockHeld:
            yield None

    def rows(self, record: JobRecord) -> list[bytes]:
        """As `JobRepository.rows`."""
        try:
            return (self._of(record.id) / "rows.jsonl").read_bytes().split(b"\n")
        except FileNotFoundError:
            raise JobEnded(f"{record.id} has no rows any more") from None

    def add_results(self, record: JobRecord, lines: Sequence[bytes]) -> None:
        """As `JobRepository.add_results`."""
        with self._step(record.id):
            stored = self.read(record.id)
            if stored is None or stored.ended:
                raise JobEnded(f"{record.id} has ended")
            self._append(record, lines)

    def _append(self, record: JobRecord, lines: Sequence[bytes]) -> None:
        sizes = np.fromiter((len(line) + 1 for line in lines), _ENDS, len(lines))
        ends = np.cumsum(sizes, dtype=_ENDS) + record.results_bytes
        if not self._fits(record):
            self._index(record)
        self._write("results.ends", record, record.done * _END.size, ends.tobytes())
        self._write("results.jsonl", record, record.results_bytes, b"".join(line + b"\n" for line in lines), sync=True)
        record.done += len(lines)
        record.results_bytes += int(sizes.sum())
        self.save(record)

    def _write(self, name: str, record: JobRecord, place: int, data: bytes, *, sync: bool = False) -> None:
        """Write behind what the state knows of; what a killed worker wrote and did not note goes."""
        descriptor = os.open(self._of(record.id) / name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, place)
            offset = 0
            while offset < len(data):
                offset += os.pwrite(descriptor, data[offset:], place + offset)
            if sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def results(self, record: JobRecord, offset: int, count: int) -> list[bytes]:
        """As `JobRepository.results`: no more of the file is read than is asked for.

        Raises:
            JobsAway: the disk refuses.
        """
        count = min(count, record.done - offset)
        if count <= 0:
            return []
        try:
            page = self._page(record, offset, count)
            if page is None:  # of a release that kept no ends, or results were erased
                self._index(record)
                page = self._page(record, offset, count)
        except FileNotFoundError:
            return []  # a week is over
        except OSError as error:
            raise JobsAway(f"results of a job cannot be read ({in_one_line(error)})") from error
        if page is None:
            raise JobsAway(f"results of {record.id} change while they are read")
        return page

    def _page(self, record: JobRecord, offset: int, count: int) -> list[bytes] | None:
        """Lines at the places that the index tells; None if they are not there."""
        if not self._fits(record):
            return None
        first, last = self._end_of(record, offset), self._end_of(record, offset + count)
        if not 0 <= first < last:
            return None
        before = min(first, 1)  # the end of the line before
        data = self._read("results.jsonl", record, first - before, last - first + before)
        lines = data[before:].split(b"\n")
        sound = len(lines) == count + 1 and not lines.pop() and data[:before] in (b"", b"\n")
        return lines if sound else None

    def _fits(self, record: JobRecord) -> bool:
        """True if the index is about these very results."""
        try:
            return self._end_of(record, record.done) == record.results_bytes
        except FileNotFoundError:
            return False

    def _end_of(self, record: JobRecord, lines: int) -> int:
        """The offset at which so many lines end."""
        cell = self._read("results.ends", record, (lines - 1) * _END.size, _END.size) if lines else bytes(_END.size)
        return int(_END.unpack(cell)[0]) if len(cell) == _END.size else -1

    def _read(self, name: str, record: JobRecord, place: int, size: int) -> bytes:
        with open(self._of(record.id) / name, "rb", buffering=0) as file:
            file.seek(place)
            return file.read(size) or b""

    def _index(self, record: JobRecord) -> None:
        """Find the ends of the lines that the state knows of."""
        data = self._read("results.jsonl", record, 0, record.results_bytes) if record.results_bytes else b""
        ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")).astype(_ENDS) + 1
        files.replace(self._of(record.id) / "results.ends", ends.tobytes(), files.PRIVATE)

    def finish(self, record: JobRecord, status: str, because: str = "") -> None:
        """As `JobRepository.finish`."""
        with self._step(record.id):
            self._end(record, status, because)

    def cancel(self, identifier: str) -> JobRecord | None:
        """As `JobRepository.cancel`.

        Raises:
            JobsAway: the disk refuses.
        """
        record = self.read(identifier)
        if record is None or record.ended:
            return record
        try:
            with self._step(identifier):
                self._end(record, "cancelled", "")
        except OSError as error:
            raise JobsAway(f"a job could not be cancelled ({in_one_line(error)})") from error
        return self.read(identifier)

    def _step(self, identifier: str) -> AbstractContextManager[None]:
        return files.locked(self._of(identifier) / "state.lock")

    def _end(self, record: JobRecord, status: str, because: str) -> None:
        """End a job that has not ended, in a step: what it has done by now is what the disk says."""
        stored = self.read(record.id)
        if stored is None or stored.ended:
            return
        record.done, record.results_bytes, record.refused = stored.done, stored.results_bytes, stored.refused
        record.end(status, because)
        self.save(record)
        (self._of(record.id) / "rows.jsonl").unlink(missing_ok=True)

    def tidy(self) -> None:
        """Jobs that ended a week ago, or were ordered two weeks ago, go."""
        now = time.time()
        for record in self._records():
            if now - (record.finished or record.created + KEPT_DAYS * 86400) > KEPT_DAYS * 86400:
                self.remove(record.id)
        self._mark_open()

    def close(self) -> None:
        """Nothing is held open."""

    def _of(self, identifier: str) -> Path:
        return self._folder / identifier

    def _records(self) -> list[JobRecord]:
        with suppress(FileNotFoundError):
            records = [record for name in os.listdir(self._folder) if (record := self.read(name))]
            return sorted(records, key=lambda one: one.created)
        return []

    def _open_records(self) -> list[JobRecord]:
        if not self._marked:
            self._mark_open()
        with suppress(FileNotFoundError):
            records = [record for name in os.listdir(self._open) if (record := self.read(name))]
            return sorted(records, key=lambda one: one.created)
        return []

    def _mark(self, identifier: str) -> None:
        self._open.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self._open / identifier).touch(files.PRIVATE)

    def _mark_open(self) -> None:
        """Make the marks true: a release before them left none, and a worker may die between a state and its mark."""
        for record in self._records():
            if _is_settled(record):
                (self._open / record.id).unlink(missing_ok=True)
            else:
                self._mark(record.id)
        self._marked = True


def _is_settled(record: JobRecord) -> bool:
    """True if nothing is to be done about it any more."""
    return record.ended and not record.webhook_due
