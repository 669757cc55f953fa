"""Runs jobs in the background of a worker: rows by the hundred, as tokens allow, each scored once whatever dies.

A chunk's rows are scored under an Idempotency-Key of the job's own, so a worker that takes a job up after another died
gets the answers that were already given. A row that breaks a rule has its faults for a result; the others go on.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import msgspec

from service.access.credentials import webhook_secret
from service.access.keystore import ApiKey, KeyStore
from service.access.token_bucket import Limiter
from service.addresses import Networks
from service.contract import Applicant
from service.errors import IdempotencyRunning, JobEnded, JobsAway, OutboxFull, ProblemError, in_one_line
from service.jobs import webhooks
from service.jobs.store import JobRecord, JobRepository
from service.ledger.interface import Ledger, Replay
from service.scoring import Scoring
from service.web import decoding

_log = logging.getLogger("service.jobs")
CHUNK_ROWS: Final = 200
"""A chunk holds the event loop for two milliseconds."""
LOOK_S: Final = 1.0
"""Between two looks where nothing was ordered here: another worker's jobs, and webhooks that are due."""
_TIDY_S: Final = 3600.0


class _Scores(msgspec.Struct):
    scores: list[msgspec.Raw]


@dataclass
class JobRunner:
    """Takes up whatever job nobody runs; one at a time a worker."""

    jobs: JobRepository
    scoring: Scoring
    ledger: Ledger
    limiter: Limiter
    keys: KeyStore
    pepper: bytes
    webhook_networks: Networks = ()
    news: asyncio.Event = field(default_factory=asyncio.Event)
    """Set where a job was ordered or cancelled in this worker: it looks at once."""
    _tidied: float = 0.0
    _away: str = ""

    async def work(self) -> None:
        """Look for jobs until cancelled."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.news.wait(), LOOK_S)
            self.news.clear()
            try:
                await self.look()
                self._away = ""
            except JobsAway as error:
                if not self._away:  # once an outage
                    _log.error("jobs: %s", error)
                self._away = str(error)
            except Exception as error:  # pylint: disable=broad-exception-caught  # the next look may find it mended
                _log.error("jobs: a look failed (%s)", in_one_line(error))

    async def look(self) -> None:
        """Run what is to be run, tell what is to be told."""
        for identifier in await asyncio.to_thread(self.jobs.due, time.time()):
            async with self._job_lock(identifier) as record:
                if record is not None and not record.ended:
                    with suppress(JobEnded):
                        await self._run(record)
                    record = await asyncio.to_thread(self.jobs.read, identifier)
                if record is not None and record.ended and 0 < record.webhook_due <= time.time():
                    await asyncio.to_thread(self._tell, record)
        if time.monotonic() - self._tidied > _TIDY_S:
            self._tidied = time.monotonic()
            await asyncio.to_thread(self.jobs.tidy)

    @asynccontextmanager
    async def _job_lock(self, identifier: str) -> AsyncIterator[JobRecord | None]:
        """The job while this worker runs it; taken and let go in a thread, since a database may make either wait."""
        stack = ExitStack()
        try:
            yield await asyncio.to_thread(stack.enter_context, self.jobs.running(identifier))
        finally:
            await asyncio.to_thread(stack.close)

    async def _run(self, record: JobRecord) -> None:
        rows = await asyncio.to_thread(self.jobs.rows, record)
        record.status = "running"
        while record.done < record.rows:
            key = self.keys.holder(record.key, self.keys.now())
            if key is None:
                because = "the key that ordered the job is no longer valid"
                await asyncio.to_thread(self.jobs.finish, record, "failed", because)
                return
            chunk = rows[record.done : record.done + min(CHUNK_ROWS, key.burst)]
            lines = await self._scored(record, key, chunk)
            if lines is None:
                if await self._has_ended(record):
                    return
                continue
            try:
                await asyncio.to_thread(self.jobs.add_results, record, lines)
            except JobEnded:  # cancelled meanwhile: what is not told is not charged
                await self.limiter.take(key, -len(lines))
                return
        await asyncio.to_thread(self.jobs.finish, record, "done")

    async def _has_ended(self, record: JobRecord) -> bool:
        kept = await asyncio.to_thread(self.jobs.read, record.id)
        return kept is None or kept.ended

    async def _scored(self, record: JobRecord, key: ApiKey, chunk: Sequence[bytes]) -> list[bytes] | None:
        """A result a row; None after a rest, if there was no token or no room."""
        decision = await self.limiter.take(key, len(chunk))
        if not decision.allowed:
            await asyncio.sleep(min(decision.retry_after_s or 1, 60))
            return None
        applicants, refused = _decoded(chunk)
        try:
            scores = await self._once(record, key, chunk, applicants) if applicants else []
        except (OutboxFull, IdempotencyRunning):
            await self.limiter.take(key, -len(chunk))
            await asyncio.sleep(LOOK_S)
            return None
        record.refused += len(refused)
        answers = iter(scores)
        return [refused[place] if place in refused else next(answers) for place in range(len(chunk))]

    async def _once(
        self, record: JobRecord, key: ApiKey, chunk: Sequence[bytes], applicants: Sequence[Applicant]
    ) -> list[bytes]:
        fingerprint = hashlib.sha256(b"\n".join(chunk)).digest()
        claim = await self.ledger.begin(record.account, "/v1/jobs", f"{record.id}/{record.done}", fingerprint)
        if isinstance(claim, Replay):
            body = claim.body
        else:
            with claim:
                body = await self.scoring.many(key, applicants, claim.mark)
        return [bytes(one) for one in msgspec.json.decode(body, type=_Scores).scores]

    def _tell(self, record: JobRecord) -> None:
        """One try to tell the partner's server."""
        summary = {"id": record.id, "status": record.status, "rows": record.rows, "refused": record.refused}
        secret = webhook_secret(self.pepper, record.account)
        body = msgspec.json.encode({"type": "job.ended", "data": summary})
        record.webhook_tries += 1
        try:
            webhooks.deliver(record.webhook, body, secret, record.id, self.webhook_networks, record.traceparent)
            record.webhook_status, record.webhook_due = "delivered", 0.0
        except (OSError, webhooks.WebhookRefused) as error:
            _log.warning("jobs: the webhook of %s was not taken (%s)", record.id, in_one_line(error))
            last = isinstance(error, webhooks.WebhookRefused) or record.webhook_tries >= len(webhooks.TRIES_AFTER_S)
            record.webhook_status = "failed" if last else "pending"
            record.webhook_due = 0.0 if last else time.time() + webhooks.TRIES_AFTER_S[record.webhook_tries]
        self.jobs.save(record)


def _decoded(chunk: Sequence[bytes]) -> tuple[list[Applicant], dict[int, bytes]]:
    """The sound applicants in order, and what is wrong with the others, by place."""
    try:
        return decoding.applicants(b'{"applicants":[' + b",".join(chunk) + b"]}"), {}
    except ProblemError:
        sound: list[Applicant] = []
        refused: dict[int, bytes] = {}
        for place, row in enumerate(chunk):
            try:
                sound.append(decoding.applicant(row))
            except ProblemError as error:
                faults = [
                    {"pointer": one.pointer, "code": one.code, "detail": one.detail} for one in error.problem.errors
                ]
                refused[place] = msgspec.json.encode(
                    {"errors": faults or [{"pointer": "", "code": error.problem.slug}]}
                )
        return sound, refused
