"""What happens to an answer afterwards: reading it again, a person's review, the outcome that came later."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from functools import partial
from typing import Final

import msgspec

from service.access.keystore import Scope
from service.contract import Outcome, Receipt, Review, Score
from service.docs.examples import RECEIPT, SCORE
from service.endpoints import set_option
from service.errors import AnswerAway, AnswerNotFound, OutboxFull, ProblemError
from service.ledger.interface import JournalEntry, Ledger, RecordId, StoredAnswer
from service.ledger.records import OutcomeRow, RecordKind, ReviewRow
from service.middleware.admission import Admission
from service.problems import INVALID, NOT_DURABLE, PREDICTION_AWAY, PREDICTION_NOT_FOUND, Fault
from service.score.prediction_sets import PredictionSets
from service.scoring import restored
from service.web import decoding
from service.web.bodies import ONE_BYTES
from service.web.exchange import Call, Reply
from service.web.routes import Price, RequestBody, ResponseBody, Route, answers

_log = logging.getLogger("service.records")
OUTCOME_DAYS: Final = 731
"""How long after an answer its outcome, or a review of it, is taken: credit outcomes take 6 to 24 months to show."""
READ: Final = Route(
    "GET",
    "/v1/predictions/{id}",
    Scope.READ,
    name="prediction",
    summary="Read an answer again",
    summary_pt="Ler uma resposta de novo",
    tag="afterwards",
    price=Price.TOKEN,
    answer=ResponseBody("The answer as it was given.", Score, SCORE),
    query=(set_option.QUERY,),
    example_id=SCORE["prediction_id"],
    problems=(INVALID, PREDICTION_NOT_FOUND, PREDICTION_AWAY),
)
REVIEW: Final = Route(
    "POST",
    "/v1/predictions/{id}/review",
    Scope.READ,
    name="review",
    summary="Record a person's review of an answer (LGPD art. 20)",
    summary_pt="Registrar a revisão de uma resposta por uma pessoa (LGPD art. 20)",
    tag="afterwards",
    price=Price.TOKEN,
    takes=RequestBody(Review, {"verdict": "requested", "reviewer": "analyst-17"}, ONE_BYTES),
    answer=ResponseBody("Recorded.", Receipt, RECEIPT, status=201),
    example_id=SCORE["prediction_id"],
    problems=(PREDICTION_NOT_FOUND, PREDICTION_AWAY),
)
OUTCOME: Final = Route(
    "POST",
    "/v1/outcomes",
    Scope.READ,
    name="outcome",
    summary="Tell how a scored customer turned out",
    summary_pt="Informar o que aconteceu com um cliente pontuado",
    tag="afterwards",
    price=Price.TOKEN,
    takes=RequestBody(
        Outcome,
        {"prediction_id": SCORE["prediction_id"], "observed_class": "Standard", "observed_at": "2026-11-23"},
        ONE_BYTES,
    ),
    answer=ResponseBody("Recorded.", Receipt, RECEIPT, status=201),
    problems=(PREDICTION_NOT_FOUND, PREDICTION_AWAY),
)


class Records:
    """The partner's own predictions, reviews and outcomes; those of others do not exist for it."""

    def __init__(self, ledger: Ledger, admission: Admission, sets: PredictionSets) -> None:
        self._ledger = ledger
        self._sets = sets
        self._admission = admission
        self._throttle = admission.throttle

    @answers(READ)
    async def prediction(self, call: Call) -> Reply:
        """The stored answer, byte for byte as it was given; where its row alone is left, what that says."""
        await self._throttle.charge(call, READ.price.tokens())
        with_set = set_option.wants_sets(call)
        stored = await self._find(call, READ.parameter(call.path), anywhere=True)
        body = restored(stored.row) if stored.body is None else stored.body
        return Reply(200, self._sets.added(body) if with_set else body)

    @answers(REVIEW)
    async def review(self, call: Call) -> Reply:
        """Record a person's review of an answer."""
        review = await self._admission.parsed(call, REVIEW, partial(decoding.document, Review))
        prediction = REVIEW.parameter(call.path)
        stored = await self._about(call, prediction)
        identifier, moment = self._ledger.new_id(call.owner.account), _now()
        row = ReviewRow(
            identifier.public,
            moment,
            call.owner.partner,
            stored.row["customer_ref"] if stored else "",
            prediction,
            review.reviewer,
            review.verdict,
            review.comment or "",
        )
        return await self._keep(call, RecordKind.REVIEW, identifier, prediction, moment, row.line())

    @answers(OUTCOME)
    async def outcome(self, call: Call) -> Reply:
        """Record how a scored customer turned out. Sent again with the same content it is recorded again: rows are
        counted once by prediction when they are read."""
        outcome = await self._admission.parsed(call, OUTCOME, partial(decoding.document, Outcome))
        stored = await self._about(call, outcome.prediction_id)
        scored_on = (stored.row["as_of"] or stored.row["created_at"][:10]) if stored else ""
        if outcome.observed_at.isoformat() < scored_on:
            fault = Fault("/observed_at", "before-prediction", "must not lie before the day the prediction describes")
            raise ProblemError(INVALID.saying("1 rule is broken", fault))
        identifier, moment = self._ledger.new_id(call.owner.account), _now()
        row = OutcomeRow(
            identifier.public,
            moment,
            call.owner.partner,
            stored.row["customer_ref"] if stored else "",
            outcome.prediction_id,
            outcome.observed_class,
            outcome.observed_at.isoformat(),
        )
        return await self._keep(call, RecordKind.OUTCOME, identifier, outcome.prediction_id, moment, row.line())

    async def _about(self, call: Call, identifier: str) -> StoredAnswer | None:
        """The answer that a review or an outcome is about; None if only its id proves that it was given.

        The rows meet in the bucket, where they are joined by the id, so any host may take what came later.

        Raises:
            ProblemError: 404, or 422 where the answer is too old to be spoken about.
        """
        genuine = self._ledger.genuine(identifier, call.owner.account)
        try:
            stored = await self._find(call, identifier, anywhere=not genuine)
        except ProblemError:
            if not genuine:
                raise
            stored = None
        if _age_days(identifier) > OUTCOME_DAYS:
            fault = Fault("/prediction_id", "too-old", "must be of an answer given in the last 24 months")
            raise ProblemError(INVALID.saying("1 rule is broken", fault))
        return stored

    async def _find(self, call: Call, identifier: str, *, anywhere: bool) -> StoredAnswer:
        kind = RecordKind.PREDICTION.of(test=call.owner.test)
        try:
            return await self._ledger.read(identifier, call.owner.account, kind, anywhere=anywhere)
        except AnswerNotFound:
            raise ProblemError(PREDICTION_NOT_FOUND) from None
        except AnswerAway as error:
            _log.warning("older answers cannot be read: %s", error)
            raise ProblemError(PREDICTION_AWAY) from error

    async def _keep(
        self, call: Call, kind: RecordKind, identifier: RecordId, prediction: str, moment: str, line: bytes
    ) -> Reply:
        receipt = msgspec.json.encode({"id": identifier.public, "prediction_id": prediction, "created_at": moment})
        owner, kind = call.owner.account, kind.of(test=call.owner.test)
        entry = JournalEntry(kind, owner, receipt, (identifier.place,), (line,), ((0, len(receipt)),), 201)
        try:
            await self._ledger.append(entry)
        except OutboxFull as error:
            await self._throttle.refund(call, call.tokens)
            raise ProblemError(NOT_DURABLE.with_headers((b"retry-after", b"%d" % error.retry_after_s))) from error
        return Reply(201, receipt)


def _age_days(identifier: str) -> int:
    """Days since the answer was given, which its id opens with."""
    return (datetime.now(UTC).date() - datetime.strptime(identifier[:8], "%Y%m%d").date()).days


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
