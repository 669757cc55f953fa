"""`POST /v1/score`, `/v1/score/batch` and `/v1/score/advice`."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from service.access.keystore import Scope
from service.contract import Advice, AdviceRequest, Applicant, Batch, Score, Scores
from service.docs.examples import ADVICE, APPLICANT, SCORE
from service.endpoints import set_option
from service.endpoints.repeats import REPLAYED, idempotency_key
from service.errors import IdempotencyMismatch, IdempotencyRunning, OutboxFull, ProblemError
from service.ledger.interface import KeyMark, Ledger, Replay
from service.middleware.admission import BYTES_PER_TOKEN, Admission
from service.problems import IDEMPOTENCY_MISMATCH, IDEMPOTENCY_RUNNING, NOT_DURABLE
from service.score.prediction_sets import PredictionSets
from service.scoring import Scoring
from service.web import decoding
from service.web.bodies import BATCH_BYTES, ONE_BYTES
from service.web.exchange import Call, Reply
from service.web.routes import Price, RequestBody, ResponseBody, Route, answers

ONE: Final = Route(
    "POST",
    "/v1/score",
    Scope.SCORE,
    name="score",
    summary="Score one applicant",
    summary_pt="Pontuar um solicitante",
    tag="scores",
    price=Price.TOKEN,
    takes=RequestBody(Applicant, APPLICANT, ONE_BYTES),
    answer=ResponseBody("The score, durable before it is sent.", Score, SCORE, headers=("Idempotent-Replayed",)),
    query=(set_option.QUERY,),
    idempotent=True,
    code_samples=True,
)
MANY: Final = Route(
    "POST",
    "/v1/score/batch",
    Scope.SCORE,
    name="scoreBatch",
    summary="Score up to 1,000 applicants",
    summary_pt="Pontuar até 1.000 solicitantes",
    tag="scores",
    text="All rows are scored, or none. Rows padded to more than 16 KiB each cost a token for each 16 KiB.",
    price=Price.ROWS,
    takes=RequestBody(Batch, {"applicants": [APPLICANT]}, BATCH_BYTES),
    answer=ResponseBody("The scores, in order.", Scores, {"scores": [SCORE]}, headers=("Idempotent-Replayed",)),
    query=(set_option.QUERY,),
    idempotent=True,
)
CHANGES: Final = Route(
    "POST",
    "/v1/score/advice",
    Scope.SCORE,
    name="advice",
    summary="The smallest set of changes that reaches a target",
    summary_pt="O menor conjunto de mudanças que alcança um alvo",
    tag="scores",
    text="Nothing is stored; it is no prediction. Only what a person can change.",
    price=Price.TOKEN,
    takes=RequestBody(AdviceRequest, {"applicant": APPLICANT, "target": {"score": 700}}, ONE_BYTES),
    answer=ResponseBody("The changes, or that none reaches it.", Advice, ADVICE),
)

Work = Callable[[KeyMark | None], Awaitable[bytes]]
Through = Callable[[Call, bytes], Awaitable[Reply]]


class ScoreEndpoints:
    """Admits, reads, scores, answers. `through`, if given, has BentoML's own API do the scoring."""

    def __init__(
        self,
        scoring: Scoring,
        admission: Admission,
        ledger: Ledger,
        sets: PredictionSets,
        through: Through | None = None,
    ) -> None:
        self._scoring = scoring
        self._admission = admission
        self._throttle = admission.throttle
        self._ledger = ledger
        self._sets = sets
        self.through = through

    @answers(ONE)
    async def score(self, call: Call) -> Reply:
        """One applicant; costs one token."""
        if not set_option.wants_sets(call):
            return await self._score(call)
        reply = await self._score(call)
        return replace(reply, body=self._sets.added(reply.body))

    async def _score(self, call: Call) -> Reply:
        body = await self._admission.read(call, ONE.max_bytes)
        self._throttle.enter(call)
        try:
            applicant = decoding.applicant(body)
            await self._admission.settle(call, ONE.price.tokens())
            if self.through:
                return await self.through(call, body)
            name = idempotency_key(call)
            if name is not None:
                return await self._once(call, name, body, lambda mark: self._scoring.one(call.owner, applicant, mark))
            return Reply(200, await self._scoring.one(call.owner, applicant))
        except OutboxFull as error:
            raise await self._not_durable(call, error, ONE.price.tokens()) from error
        finally:
            self._throttle.leave(call)

    @answers(MANY)
    async def batch(self, call: Call) -> Reply:
        """Up to 1,000 applicants; costs a token a row. A body that is refused, or mostly blanks, costs what its bytes
        do, since they are read at the same cost."""
        if not set_option.wants_sets(call):
            return await self._batch(call)
        reply = await self._batch(call)
        return replace(reply, body=await asyncio.to_thread(self._sets.added_to_each, reply.body))

    async def _batch(self, call: Call) -> Reply:
        body = await self._admission.read(call, MANY.max_bytes)
        self._throttle.enter(call)
        try:
            applicants = decoding.applicants(body)
            price = max(MANY.price.tokens(len(applicants)), len(body) // BYTES_PER_TOKEN)
            await self._admission.settle(call, price)
            if self.through:
                return await self.through(call, body)
            name = idempotency_key(call)
            if name is not None:
                return await self._once(call, name, body, lambda mark: self._scoring.many(call.owner, applicants, mark))
            return Reply(200, await self._scoring.many(call.owner, applicants))
        except OutboxFull as error:
            raise await self._not_durable(call, error, price) from error
        finally:
            self._throttle.leave(call)

    @answers(CHANGES)
    async def advice(self, call: Call) -> Reply:
        """What would bring one applicant to a target; costs one token, is no prediction and is stored nowhere."""
        body = await self._admission.read(call, CHANGES.max_bytes)
        self._throttle.enter(call)
        try:
            request = decoding.document(AdviceRequest, body)
            await self._admission.settle(call, CHANGES.price.tokens())
            return Reply(200, await self._scoring.advise(request.applicant, request.target))
        finally:
            self._throttle.leave(call)

    async def _once(self, call: Call, name: str, body: bytes, work: Work) -> Reply:
        """Do the work unless this Idempotency-Key was answered before: then that answer again, word for word."""
        fingerprint = hashlib.sha256(body).digest()
        try:
            claim = await self._ledger.begin(call.owner.account, call.route, name, fingerprint)
        except IdempotencyRunning:
            raise ProblemError(IDEMPOTENCY_RUNNING) from None
        except IdempotencyMismatch:
            raise ProblemError(IDEMPOTENCY_MISMATCH) from None
        if isinstance(claim, Replay):
            return Reply(claim.status, claim.body, headers=REPLAYED)
        with claim:
            try:
                return Reply(200, await work(claim.mark))
            except IdempotencyRunning:  # another host was quicker to make its answer durable
                raise ProblemError(IDEMPOTENCY_RUNNING) from None

    async def _not_durable(self, call: Call, error: OutboxFull, cost: int) -> ProblemError:
        await self._throttle.refund(call, cost)
        return ProblemError(NOT_DURABLE.with_headers((b"retry-after", b"%d" % error.retry_after_s)))
