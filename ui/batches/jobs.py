"""A batch on its way through the API: in parts, at the pace the key's limits allow, kept as it goes.

A job runs in a thread of the server, not in a visitor's page: a page closed or reloaded loses nothing. Each part that
comes back is written at once below the state folder, under a digest of the rows and the key, so the same file sent
again, even after a restart of the server, goes on where it stopped. Answers only: of the applicants no value is kept,
just the row's number in the partner's own file.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter, ValidationError

from service.contract import MAX_BATCH_ROWS, Applicant, RefusedRow, Score
from ui.api.client import Client
from ui.api.errors import ApiError, LimitReached, NoConnection, Unavailable, Unexpected
from ui.api.limits import Limit, largest_batch, wait_for

KEEP_DAYS: Final = 7
_FIRST_PART_ROWS: Final = 100  # small: its answer tells the limits, by which the other parts are cut
_ATTEMPTS: Final = 5
_DAY_S: Final = 86_400


@dataclass(frozen=True)
class JobProgress:
    """Where a job stands. `wait_until` (epoch seconds) is when the limits let it go on; `error` why it stopped."""

    total: int
    done: int
    running: bool
    remaining_s: float
    wait_until: float = 0.0
    error: ApiError | None = None


@dataclass(frozen=True)
class Order:
    """Rows `start` to `start + rows` as one order of the API, by its id there."""

    start: int
    rows: int
    id: str


class _Part(BaseModel):
    scores: list[Score | RefusedRow]


_ORDERS: Final = TypeAdapter(list[Order])


class JobStore:
    """The answers of one job on disk: `index.json` with the rows' numbers, one file a part, readable by us alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def exists(self) -> bool:
        """True if anything is kept of this job."""
        return (self.folder / "index.json").is_file()

    def open(self, numbers: Sequence[int], *, sets: bool = False) -> None:
        """Makes the folder, or takes the one that is there; drops what is older than `KEEP_DAYS`.

        With `sets` each answer is asked for with the classes that it leaves open.
        """
        root = self.folder.parent
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for other in root.iterdir():
            if other != self.folder and time.time() - other.stat().st_mtime > KEEP_DAYS * _DAY_S:
                shutil.rmtree(other, ignore_errors=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self._write("index.json", json.dumps({"numbers": list(numbers), "sets": sets}).encode())

    def numbers(self) -> list[int]:
        """The rows' numbers in the partner's file."""
        numbers: list[int] = self._index()["numbers"]
        return numbers

    def sets(self) -> bool:
        """True if the answers are asked for with the classes that they leave open; nothing opened asks for none."""
        return self.exists and bool(self._index().get("sets"))

    def keep(self, start: int, answer: bytes) -> None:
        """Keeps the API's answer, as it came, to rows `start`, `start` + 1, ..."""
        self._write(f"part-{start:08d}.json", answer)

    def keep_orders(self, orders: Sequence[Order]) -> None:
        """Keeps what was ordered of the API."""
        self._write("orders.json", _ORDERS.dump_json(list(orders)))

    def orders(self) -> list[Order]:
        """The orders sent to the API, in the rows' order."""
        path = self.folder / "orders.json"
        return _ORDERS.validate_json(path.read_bytes()) if path.is_file() else []

    def answers(self) -> dict[int, Score]:
        """Every score kept, by the place of its row; `Unexpected` where a part is no answer of the API."""
        return {place: row for place, row in self._results().items() if isinstance(row, Score)}

    def refused(self) -> dict[int, RefusedRow]:
        """The rows that the API took and then refused by a rule, by place."""
        return {place: row for place, row in self._results().items() if isinstance(row, RefusedRow)}

    def places(self) -> set[int]:
        """The rows that have come back."""
        return set(self._results())

    def _index(self) -> dict[str, Any]:
        index: dict[str, Any] = json.loads((self.folder / "index.json").read_text())
        return index

    def _results(self) -> dict[int, Score | RefusedRow]:
        rows: dict[int, Score | RefusedRow] = {}
        for part in sorted(self.folder.glob("part-*.json")):
            start = int(part.stem.removeprefix("part-"))
            try:
                scores = _Part.model_validate_json(part.read_bytes()).scores
            except ValidationError as error:
                raise Unexpected from error
            rows.update(enumerate(scores, start))
        return rows

    def _write(self, name: str, content: bytes) -> None:
        # Not `service.files`: the page's image holds `service.contract` alone. A lost page is asked for again.
        partial = self.folder / f".{name}.partial"
        partial.touch(mode=0o600)
        partial.write_bytes(content)
        partial.replace(self.folder / name)


class BackgroundJob(ABC):
    """One batch. `start()` begins or goes on, `progress()` tells, the store holds what has come back."""

    def __init__(
        self,
        digest: str,
        applicants: Sequence[Applicant],
        store: JobStore,
        client: Client,
        wait: Callable[[float], None] = time.sleep,
        *,
        limits: tuple[Limit, ...] = (),
    ) -> None:
        self.digest = digest
        self._applicants = applicants
        self._store = store
        self._client = client
        self._wait = wait
        self._total = self._row_count()
        self._lock = threading.Lock()
        self._done = store.places()
        self._sets = store.sets()
        self._thread: threading.Thread | None = None
        self._limits = limits
        self._error: ApiError | None = None
        self._wait_until = 0.0
        self._pace_start = (0.0, 0)  # when it was started (monotonic seconds), and what was done by then

    @abstractmethod
    def _row_count(self) -> int:
        """Rows of the whole batch."""

    @abstractmethod
    def _run(self) -> None:
        """Does what is left to do; `ApiError` stops it."""

    def start(self) -> None:
        """Begins, or goes on after a stop; does nothing while it runs."""
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                return
            self._error = None
            self._pace_start = (time.monotonic(), len(self._done))
            self._thread = threading.Thread(target=self._work, name=f"batch-{self.digest[:8]}", daemon=True)
            self._thread.start()

    def progress(self) -> JobProgress:
        """The job's state now."""
        with self._lock:
            done, total = len(self._done), self._total
            running = self._thread is not None and self._thread.is_alive()
            return JobProgress(total, done, running, self._remaining_s(total - done), self._wait_until, self._error)

    def join(self, timeout_s: float) -> None:
        """Waits until it has ended or stopped."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _remaining_s(self, rows: int) -> float:
        """By the pace so far, but never faster than the limits allow."""
        started, done_before = self._pace_start
        fresh = len(self._done) - done_before
        by_pace = rows * (time.monotonic() - started) / fresh if fresh else 0.0
        return max([by_pace, *((rows - limit.remaining) / limit.rate for limit in self._limits if limit.rate)])

    def _work(self) -> None:
        try:
            self._run()
        except ApiError as error:
            with self._lock:
                self._error = error

    def _pause(self, seconds: float) -> None:
        if seconds > 0:
            self._wait_until = time.time() + seconds
            self._wait(seconds)
            self._wait_until = 0.0


class UploadJob(BackgroundJob):
    """A batch sent in parts, as many rows in each as a request takes under the key's limits."""

    def _row_count(self) -> int:
        return len(self._applicants)

    def _run(self) -> None:
        while (part := self._next_part()) is not None:
            self._send(*part)

    def _next_part(self) -> tuple[int, int] | None:
        """The next rows without an answer, as many as fit into one request under the limits."""
        start = next((place for place in range(len(self._applicants)) if place not in self._done), None)
        if start is None:
            return None
        most = self._most()
        stop = start
        while stop < len(self._applicants) and stop - start < most and stop not in self._done:
            stop += 1
        return start, stop

    def _send(self, start: int, stop: int) -> None:
        """One part, tried again while the trouble passes by itself; a limit told meanwhile cuts the parts anew."""
        rows = self._applicants[start:stop]
        self._pause(wait_for(len(rows), self._limits))
        for attempt in range(_ATTEMPTS):
            try:
                reply = self._client.score_part(rows, f"{self.digest[:48]}-{start}-{stop}", sets=self._sets)
                break
            except LimitReached as error:
                self._limits = error.limits
                self._pause(max(error.retry_after_s, 1.0) if len(rows) <= self._most() else 0.0)
                return
            except (Unavailable, NoConnection) as error:
                if attempt == _ATTEMPTS - 1:
                    raise
                self._pause(max(error.retry_after_s, 2.0**attempt / 2))
        self._store.keep(start, reply.exchange.response)
        with self._lock:
            self._limits = reply.limits
            self._done.update(range(start, stop))

    def _most(self) -> int:
        return largest_batch(self._limits, MAX_BATCH_ROWS) if self._limits else _FIRST_PART_ROWS


def with_sets(digest: str) -> str:
    """The name of the same batch asked for with prediction sets: its answers are other ones."""
    return hashlib.sha256(f"{digest} with sets".encode()).hexdigest()


def digest_of(applicants: Sequence[Applicant], mark: str) -> str:
    """The name of a batch: the same rows under the same key and endpoint (`mark`) give the same one."""
    state = hashlib.sha256(mark.encode())
    for applicant in applicants:
        state.update(applicant.model_dump_json().encode())
    return state.hexdigest()
