"""What happens to an answer afterwards: reading it again, a person's review, the outcome that came later."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Final

import msgspec

from service.contract import Outcome, Review
from service.errors import AnswerNotFound, OutboxFull, ProblemError
from service.ledger.journal.answers import Answers, StoredAnswer
from service.ledger.journal.outbox import JournalEntry, Outbox
from service.ledger.records import OutcomeRow, RecordKind, ReviewRow
from service.middleware.rate_limit import Throttle
from service.problems import INVALID, NOT_DURABLE, PREDICTION_NOT_FOUND, Fault
from service.web import decoding
from service.web.bodies import ONE_BYTES, Bodies
from service.web.exchange import Call, Reply

PREFIX: Final = "/v1/predictions/"


class Records:
    """The partner's own predictions, reviews and outcomes; everybody else's do not exist for him."""

    def __init__(self, answers: Answers, outbox: Outbox, throttle: Throttle, bodies: Bodies) -> None:
        self._answers = answers
        self._outbox = outbox
        self._throttle = throttle
        self._bodies = bodies

    async def prediction(self, call: Call) -> Reply:
        """The stored answer, byte for byte as it was given."""
        await self._throttle.charge(call, 1)
        stored = await self._find(call, call.path.removeprefix(PREFIX))
        return Reply(200, stored.body)

    async def review(self, call: Call) -> Reply:
        """Record a person's review of an answer."""
        body = await self._bodies.read(call, ONE_BYTES)
        await self._throttle.charge(call, 1)
        review = decoding.document(Review, body)
        stored = await self._find(call, call.path.removeprefix(PREFIX).removesuffix("/review"))
        prediction = stored.row["prediction_id"]
        identifier, moment = self._outbox.next_id(), _now()
        row = ReviewRow(
            identifier,
            moment,
            call.owner.partner,
            stored.customer_ref,
            prediction,
            review.reviewer,
            review.verdict,
            review.comment or "",
        )
        return await self._keep(call, RecordKind.REVIEW, identifier, prediction, moment, row.line())

    async def outcome(self, call: Call) -> Reply:
        """Record how a scored customer turned out. Sent again with the same content it is recorded again: rows are
        counted once by prediction when they are read."""
        body = await self._bodies.read(call, ONE_BYTES)
        await self._throttle.charge(call, 1)
        outcome = decoding.document(Outcome, body)
        stored = await self._find(call, outcome.prediction_id)
        scored_on = stored.row["as_of"] or stored.row["created_at"][:10]
        if outcome.observed_at.isoformat() < scored_on:
            fault = Fault("/observed_at", "before-prediction", "must not lie before the day the prediction describes")
            raise ProblemError(INVALID.saying("1 rule is broken", fault))
        identifier, moment = self._outbox.next_id(), _now()
        row = OutcomeRow(
            identifier,
            moment,
            call.owner.partner,
            stored.customer_ref,
            outcome.prediction_id,
            outcome.observed_class,
            outcome.observed_at.isoformat(),
        )
        return await self._keep(call, RecordKind.OUTCOME, identifier, outcome.prediction_id, moment, row.line())

    async def _find(self, call: Call, identifier: str) -> StoredAnswer:
        try:
            return await asyncio.to_thread(self._answers.read, identifier, call.owner.partner)
        except AnswerNotFound:
            raise ProblemError(PREDICTION_NOT_FOUND) from None

    async def _keep(
        self, call: Call, kind: RecordKind, identifier: str, prediction: str, moment: str, line: bytes
    ) -> Reply:
        receipt = msgspec.json.encode({"id": identifier, "prediction_id": prediction, "created_at": moment})
        entry = JournalEntry(kind, call.owner.partner, receipt, (identifier,), (line,), ((0, len(receipt)),), 201)
        try:
            await self._outbox.append(entry)
        except OutboxFull as error:
            await self._throttle.refund(call, 1)
            raise ProblemError(NOT_DURABLE.with_headers((b"retry-after", b"%d" % error.retry_after_s))) from error
        return Reply(201, receipt)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
