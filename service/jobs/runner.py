"""Runs jobs in the background of a worker: rows by the hundred, as tokens allow, each scored once whatever dies.

A chunk's rows are scored under an Idempotency-Key of the job's own, so a worker that takes a job up after another died
gets the answers that were already given. A row that breaks a rule has its faults for a result; the others go on.

No job holds another up: each runs for a second before the next has its turn, one without tokens is passed over until
it may have some, and servers that are told of an end are waited for elsewhere, one a partner at a time.

Nor does what else its partner asks for: a chunk is paid in parts, half of what its key has left each time, so that a
bucket that is never full pays for it too.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import msgspec

from service.access.credentials import webhook_secret
from service.access.keystore import ApiKey, KeyStore
from service.access.token_bucket import BURST, Limiter
from service.addresses import Networks
from service.contract import Applicant
from service.errors import IdempotencyRunning, JobEnded, JobsAway, OutboxFull, ProblemError, in_one_line
from service.jobs import webhooks
from service.jobs.store import JobRecord, JobRepository
from service.ledger.interface import Ledger, Replay
from service.scoring import Scoring
from service.web import bounds, decoding

_log = logging.getLogger("service.jobs")
CHUNK_ROWS: Final = 200
"""A chunk holds the event loop for two milliseconds."""
LOOK_S: Final = 1.0
"""Between two looks where nothing was ordered here: another worker's jobs, and webhooks that are due."""
TURN_S: Final = 1.0
"""A job runs for so long, and to the end of its chunk, before the next one has its turn."""
_REST_S: Final = 5.0  # at most, before tokens are asked for again
_TELLERS: Final = 8  # servers that are told something at once, one a partner
_UNNOTED_S: Final = 60.0  # until a webhook is sent again of which nobody noted what became
_TIDY_S: Final = 3600.0


class _Scores(msgspec.Struct):
    scores: list[msgspec.Raw]


@dataclass
class JobRunner:
    """Runs the jobs that no other worker runs; one at a time in each worker."""

    jobs: JobRepository
    scoring: Scoring
    ledger: Ledger
    limiter: Limiter
    keys: KeyStore
    pepper: bytes
    webhook_networks: Networks = ()
    news: asyncio.Event = field(default_factory=asyncio.Event)
    """Set where a job was ordered or cancelled in this worker: it looks at once."""
    _tellers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(_TELLERS, "webhooks"))
    # By account: the job and the task that tells its end.
    _webhook_tasks: dict[str, tuple[str, asyncio.Task[None]]] = field(default_factory=dict)
    _resting: dict[str, float] = field(default_factory=dict)  # jobs without tokens or room, or that failed, until when
    _parts: dict[str, tuple[ApiKey, int]] = field(default_factory=dict)  # jobs' tokens for a chunk not yet paid whole
    _tidied: float = 0.0
    _away: str = ""

    async def work(self) -> None:
        """Look for jobs until cancelled."""
        goes_on = False
        try:
            while True:
                if not goes_on:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self.news.wait(), LOOK_S)
                self.news.clear()
                goes_on = False
                try:
                    goes_on = await self.look()
                    self._away = ""
                except JobsAway as error:
                    self._note_away(error)
                except Exception as error:  # pylint: disable=broad-exception-caught  # the next look may find it mended
                    _log.error("jobs: a look failed (%s)", in_one_line(error))
        finally:
            tasks = [task for _, task in self._webhook_tasks.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._give_back(self._parts)
            self._tellers.shutdown(wait=False, cancel_futures=True)

    def _note_away(self, error: JobsAway) -> None:
        if not self._away:  # once an outage
            _log.error("jobs: %s", error)
        self._away = str(error)

    async def look(self) -> bool:
        """Give each job its turn and have due webhooks sent; returns whether some job can go on at once."""
        goes_on, now = False, time.monotonic()
        due = await asyncio.to_thread(self.jobs.due, time.time())
        self._resting = {one: until for one in due if (until := self._resting.get(one, 0.0)) > now}
        await self._give_back(self._parts.keys() - set(due))
        for identifier in due:
            try:
                goes_on |= await self._give_turn(identifier)
            except JobsAway:
                raise
            except Exception as error:  # pylint: disable=broad-exception-caught  # the other jobs have their turns
                _log.error("jobs: %s stopped and is tried again (%s)", identifier, in_one_line(error))
                self._resting[identifier] = time.monotonic() + LOOK_S
        if time.monotonic() - self._tidied > _TIDY_S:
            self._tidied = time.monotonic()
            await asyncio.to_thread(self.jobs.tidy)
        return goes_on

    async def _give_turn(self, identifier: str) -> bool:
        """Run a job, or have its webhook sent; returns whether the job can go on at once."""
        if any(identifier == job for job, _ in self._webhook_tasks.values()):
            return False
        goes_on = False
        async with self._job_lock(identifier) as record:
            if record is not None and not record.ended and identifier not in self._resting:
                with suppress(JobEnded):
                    await self._run(record)
                record = await asyncio.to_thread(self.jobs.read, identifier)
                goes_on = record is not None and not record.ended and identifier not in self._resting
        if record is not None and _webhook_is_due(record):
            self._begin_telling(record)
        return goes_on

    @asynccontextmanager
    async def _job_lock(self, identifier: str) -> AsyncIterator[JobRecord | None]:
        """The job while this worker runs it; taken and let go in a thread, since a database may make either wait."""
        stack = ExitStack()
        try:
            yield await asyncio.to_thread(stack.enter_context, self.jobs.running(identifier))
        finally:
            await asyncio.to_thread(stack.close)

    async def _run(self, record: JobRecord) -> None:
        """Score rows until the job ends, has to rest, or another's turn has come."""
        rows: list[bytes] = []
        record.status = "running"
        until = time.monotonic() + TURN_S
        while record.done < record.rows:
            key = self.keys.holder(record.key, self.keys.now())
            if key is None:
                because = "the key that ordered the job is no longer valid"
                await asyncio.to_thread(self.jobs.finish, record, "failed", because)
                return
            size = min(CHUNK_ROWS, key.burst, key.daily, record.rows - record.done)
            prepaid = min(size, record.prepaid)
            cost = size - prepaid
            if not await self._take_tokens(record, key, cost):
                return
            rows = rows or await self._rows(record, key, cost)
            refused_before = record.refused
            lines = await self._scored(record, key, rows[record.done : record.done + size])
            if lines is None:
                await self.limiter.take(key, -cost)
                return
            record.prepaid -= prepaid
            try:
                await asyncio.to_thread(self.jobs.add_results, record, lines)
            except JobEnded:  # cancelled meanwhile: what is not told is not charged, but for looking for faults
                await self.limiter.take(key, -max(0, cost - (record.refused - refused_before)))
                return
            if record.done < record.rows and time.monotonic() > until:
                return
        await asyncio.to_thread(self.jobs.finish, record, "done")

    async def _rows(self, record: JobRecord, key: ApiKey, tokens: int) -> list[bytes]:
        """The applicants as they came, read when some of them are paid for: a job that waits costs next to nothing."""
        try:
            return await asyncio.to_thread(self.jobs.rows, record)
        except BaseException:
            await self.limiter.take(key, -tokens)
            raise

    async def _take_tokens(self, record: JobRecord, key: ApiKey, size: int) -> bool:
        """True if the bucket has a chunk's tokens now; otherwise a part of them is taken, and the job waits."""
        payer, part = self._parts.pop(record.id, (key, 0))
        if part > size or payer.id != key.id:
            await self.limiter.take(payer, -part)
            part = 0
        decision = await self.limiter.take(key, size - part) if part < size else None
        if decision is None or decision.allowed:
            return True
        if decision.violated == BURST and all(other.id != key.id for other, _ in self._parts.values()):
            more = min(size - part, max(decision.remaining // 2, 1))
            part += more if (await self.limiter.take(key, more)).allowed else 0
        if part:
            self._parts[record.id] = key, part
        self._rest(record, min(decision.retry_after_s or 1, _REST_S))
        return False

    async def _give_back(self, jobs: Collection[str]) -> None:
        """Return what these jobs paid for rows that were not scored."""
        for identifier in tuple(jobs):
            payer, part = self._parts.pop(identifier, (None, 0))
            if payer is not None:
                await self.limiter.take(payer, -part)

    async def _scored(self, record: JobRecord, key: ApiKey, chunk: Sequence[bytes]) -> list[bytes] | None:
        """A result a row; None if there was no room: the job rests."""
        applicants, refused = await _decoded(chunk)
        try:
            scores = await self._once(record, key, chunk, applicants) if applicants else []
        except (OutboxFull, IdempotencyRunning):
            self._rest(record, LOOK_S)
            return None
        record.refused += len(refused)
        answers = iter(scores)
        return [refused[place] if place in refused else next(answers) for place in range(len(chunk))]

    def _rest(self, record: JobRecord, seconds: float) -> None:
        """Others have their turns meanwhile."""
        self._resting[record.id] = time.monotonic() + seconds

    async def _once(
        self, record: JobRecord, key: ApiKey, chunk: Sequence[bytes], applicants: Sequence[Applicant]
    ) -> list[bytes]:
        fingerprint = hashlib.sha256(b"\n".join(chunk)).digest()
        name = f"{record.id}/{record.done}+{len(chunk)}"  # a key's burst, and so a chunk, may change meanwhile
        claim = await self.ledger.begin(record.account, "/v1/jobs", name, fingerprint)
        if isinstance(claim, Replay):
            body = claim.body
        else:
            with claim:
                body = await self.scoring.many(key, applicants, claim.mark)
        return [bytes(one) for one in msgspec.json.decode(body, type=_Scores).scores]

    def _begin_telling(self, record: JobRecord) -> None:
        """Tell the partner's server, unless it is being told of another job, or too many others are."""
        if record.account not in self._webhook_tasks and len(self._webhook_tasks) < _TELLERS:
            task = asyncio.create_task(self._tell(record.id), name="webhook")
            self._webhook_tasks[record.account] = record.id, task
            task.add_done_callback(lambda _: self._webhook_tasks.pop(record.account))

    async def _tell(self, identifier: str) -> None:
        """One try to tell it; the job is held, so that no other worker tells it too."""
        try:
            async with self._job_lock(identifier) as record:
                if record is not None and _webhook_is_due(record):
                    # Noted before it is sent: where nothing can be noted, nothing is sent again and again.
                    record.webhook_due = time.time() + _UNNOTED_S
                    await asyncio.to_thread(self.jobs.save, record)
                    await asyncio.get_running_loop().run_in_executor(self._tellers, self._deliver, record)
                    await asyncio.to_thread(self.jobs.save, record)
        except JobsAway as error:
            self._note_away(error)
        except Exception as error:  # pylint: disable=broad-exception-caught  # the next look tells it again
            _log.error("jobs: %s could not be told (%s)", identifier, in_one_line(error))

    def _deliver(self, record: JobRecord) -> None:
        """One message, and in the record what became of it."""
        summary = {"id": record.id, "status": record.status, "rows": record.rows, "refused": record.refused}
        secret = webhook_secret(self.pepper, record.account)
        body = msgspec.json.encode({"type": "job.ended", "data": summary})
        record.webhook_tries += 1
        try:
            webhooks.deliver(record.webhook, body, secret, record.id, self.webhook_networks, record.traceparent)
            record.webhook_status, record.webhook_due = "delivered", 0.0
        except Exception as error:  # pylint: disable=broad-exception-caught  # whatever a stranger's server brings about
            _log.warning("jobs: the webhook of %s was not taken (%s)", record.id, in_one_line(error))
            last = isinstance(error, webhooks.WebhookRefused) or record.webhook_tries >= len(webhooks.TRIES_AFTER_S)
            record.webhook_status = "failed" if last else "pending"
            record.webhook_due = 0.0 if last else time.time() + webhooks.TRIES_AFTER_S[record.webhook_tries]


def _webhook_is_due(record: JobRecord) -> bool:
    return record.ended and 0 < record.webhook_due <= time.time()


async def _decoded(chunk: Sequence[bytes]) -> tuple[list[Applicant], dict[int, bytes]]:
    """The sound applicants in order, and what is wrong with the others, by place.

    At once where they are as small as sound ones; else a row a turn of the loop, since explaining each takes a while.
    """
    if sum(map(len, chunk)) <= bounds.LARGE_BYTES:
        with suppress(ProblemError):
            return decoding.applicants(b'{"applicants":[' + b",".join(chunk) + b"]}"), {}
    sound: list[Applicant] = []
    refused: dict[int, bytes] = {}
    for place, row in enumerate(chunk):
        await asyncio.sleep(0)
        try:
            sound.append(decoding.applicant(row))
        except ProblemError as error:
            faults = [{"pointer": one.pointer, "code": one.code, "detail": one.detail} for one in error.problem.errors]
            refused[place] = msgspec.json.encode({"errors": faults or [{"pointer": "", "code": error.problem.slug}]})
    return sound, refused
