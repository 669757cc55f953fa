"""`POST /v1/jobs`, `GET /v1/jobs/{id}`, `POST /v1/jobs/{id}/cancel`: a file of applicants, scored in its own time."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from service.access.keystore import Scope
from service.addresses import Networks
from service.contract import MAX_JOB_ROWS, MAX_WEBHOOK_LENGTH, JobOrder, JobState
from service.docs.examples import APPLICANT, JOB, SCORE
from service.endpoints import set_option
from service.endpoints.repeats import REPLAYED, idempotency_key
from service.errors import IdempotencyRunning, JobsAway, ProblemError
from service.jobs import webhooks
from service.jobs.store import KEPT_DAYS, JobRecord, JobRepository, named_id, new_id
from service.middleware.admission import BYTES_PER_TOKEN, Admission
from service.problems import (
    DUPLICATE_KEY,
    IDEMPOTENCY_MISMATCH,
    IDEMPOTENCY_RUNNING,
    INVALID,
    JOB_ENDED,
    JOB_NOT_FOUND,
    JOBS_AWAY,
    MALFORMED,
    NOT_DURABLE,
    QUOTA,
    Fault,
)
from service.score.prediction_sets import PredictionSets
from service.web import bounds
from service.web.exchange import Call, Headers, Reply
from service.web.query import option_values
from service.web.routes import Price, RequestBody, ResponseBody, Route, answers
from service.web.traces import trace_of

_log = logging.getLogger("service.jobs")
JOB_BYTES: Final = 8 << 20
OPEN_JOBS: Final = 10
"""Of an account at once."""
PAGE_ROWS: Final = 1_000
_KEYS_DEPTH: Final = 1
_ROWS_DEPTH: Final = 2  # {"applicants": [ROW, ...]}
_GONE: Final = f"No job of yours has this id; results go {KEPT_DAYS} days after a job has ended"

ORDER: Final = Route(
    "POST",
    "/v1/jobs",
    Scope.SCORE,
    name="orderJob",
    summary=f"Order a job: up to {MAX_JOB_ROWS:,} applicants, scored in their own time",
    summary_pt=f"Encomendar um trabalho: até {MAX_JOB_ROWS} solicitantes, pontuados a seu tempo",
    tag="scores",
    text="Of the rows' tokens one for each 16 KiB is paid at once, also where it is an order that was taken before. "
    "A row that breaks a rule has its faults for a result. A webhook is signed as standardwebhooks.com says.",
    price=Price.ORDER,
    takes=RequestBody(JobOrder, {"applicants": [APPLICANT], "webhook": "https://example.com/scored"}, JOB_BYTES),
    answer=ResponseBody(
        "Taken; `Location` says where it is.", JobState, JOB, status=202, headers=("Location", "Idempotent-Replayed")
    ),
    idempotent=True,
)
STATE: Final = Route(
    "GET",
    "/v1/jobs/{id}",
    Scope.SCORE,
    name="job",
    summary="How far a job is, and its results",
    summary_pt="Em que ponto está um trabalho, e seus resultados",
    tag="scores",
    text="Results are told once the job has ended, before that from the row `offset` on.",
    price=Price.RESULTS,
    answer=ResponseBody("The job; results are kept for a week.", JobState, {**JOB, "results": [SCORE], "next": None}),
    query=(
        {"name": "offset", "schema": {"type": "integer", "minimum": 0, "maximum": MAX_JOB_ROWS - 1}},
        set_option.QUERY,
    ),
    example_id=JOB["id"],
    more_turns=2,
    problems=(INVALID, JOB_NOT_FOUND, JOBS_AWAY),
)
CANCEL: Final = Route(
    "POST",
    "/v1/jobs/{id}/cancel",
    Scope.SCORE,
    name="cancelJob",
    summary="Cancel a job that has not ended",
    summary_pt="Cancelar um trabalho que não terminou",
    tag="scores",
    text="Takes no body. Results of the rows done by then stay; the others are neither scored nor charged. Cancelling "
    "twice is cancelling once; a job that is done or failed is 409.",
    answer=ResponseBody(
        "The job, cancelled.",
        JobState,
        {**JOB, "status": "cancelled", "finished_at": "2026-11-23T12:00:02.000Z", "webhook": "pending"},
    ),
    example_id=JOB["id"],
    more_turns=2,
    problems=(JOB_ENDED, JOB_NOT_FOUND, JOBS_AWAY),
)


class _Order(msgspec.Struct, forbid_unknown_fields=True):
    applicants: list[msgspec.Raw]
    webhook: str | None | msgspec.UnsetType = msgspec.UNSET


class Jobs:
    """Orders and their results; a job belongs to the account that ordered it."""

    def __init__(
        self,
        jobs: JobRepository,
        admission: Admission,
        webhook_networks: Networks,
        pepper: bytes,
        sets: PredictionSets,
        news: asyncio.Event,
    ) -> None:
        """`news` is set where there is something to run or to tell: see `JobRunner`."""
        self._jobs = jobs
        self._news = news
        self._sets = sets
        self._admission = admission
        self._networks = webhook_networks
        self._pepper = pepper

    @answers(ORDER)
    async def order(self, call: Call) -> Reply:
        """Take a file. It costs one token and one for each 16 KiB, kept also where no job comes of it, since reading
        them costs as much; a token a row as the rows are scored, of which the first are paid by then.

        An order with an Idempotency-Key has an id that follows from it, so it is found again for as long as it is kept.
        """
        body = await self._admission.read(call, ORDER.max_bytes)
        order = await asyncio.to_thread(_order, body, self._networks)
        bytes_price = len(body) // BYTES_PER_TOKEN
        await self._admission.settle(call, ORDER.price.tokens() + bytes_price)
        record = await asyncio.to_thread(self._record, call, body, order)
        record.prepaid = min(bytes_price, record.rows)
        rows = await asyncio.to_thread(_lines, order.applicants)
        try:
            first = await asyncio.to_thread(self._jobs.read, record.id) if record.fingerprint else None
            if first is not None:
                if first.fingerprint != record.fingerprint:
                    raise ProblemError(IDEMPOTENCY_MISMATCH)
                return _order_reply(first, REPLAYED)
            has_room = await asyncio.to_thread(self._jobs.create, record, rows, OPEN_JOBS)
        except IdempotencyRunning:
            raise ProblemError(IDEMPOTENCY_RUNNING) from None
        except JobsAway as error:
            _log.warning("jobs: %s", error)
            await self._admission.throttle.refund(call, call.tokens)
            raise ProblemError(NOT_DURABLE.with_headers((b"retry-after", b"5"))) from error
        if not has_room:
            detail = f"At most {OPEN_JOBS} jobs wait or run at once; come back when one has ended"
            raise ProblemError(QUOTA.saying(detail).with_headers((b"retry-after", b"30")))
        self._news.set()
        return _order_reply(record)

    @answers(CANCEL)
    async def cancel(self, call: Call) -> Reply:
        """End a job before its rows are done; the worker that runs it finds out with its next step.

        It costs nothing, since the job itself may have taken all tokens.
        """
        await self._admission.throttle.tell(call)
        try:
            own = await self._own(call, CANCEL)
            record = await asyncio.to_thread(self._jobs.cancel, own.id)
        except JobsAway as error:
            _log.warning("jobs: %s", error)
            raise ProblemError(JOBS_AWAY) from error
        if record is None:  # gone in this moment
            raise ProblemError(JOB_NOT_FOUND.saying(_GONE))
        if record.status != "cancelled":
            raise ProblemError(JOB_ENDED.saying(f"The job is {record.status} already"))
        self._news.set()
        return Reply(200, msgspec.json.encode(_state_of(record)))

    @answers(STATE)
    async def state(self, call: Call) -> Reply:
        """How far a job is, and up to 1,000 of its results from row `offset` on.

        How far it is costs nothing, so that who asks does not spend what the job waits for; nor does who reads results
        before it has ended take the last token.
        """
        await self._admission.throttle.tell(call)
        offset, with_sets = _offset(call.query), set_option.wants_sets(call)
        try:
            record = await self._own(call, STATE)
            asks = record.ended or offset is not None
            place = offset or 0
            if asks and place < record.done:
                spare = 0 if record.ended or call.owner.burst == 1 else 1
                await self._admission.throttle.charge(call, STATE.price.tokens(), leaves=spare)
                lines = await asyncio.to_thread(self._jobs.results, record, place, PAGE_ROWS)
            else:
                lines = []
        except JobsAway as error:
            _log.warning("jobs: %s", error)
            raise ProblemError(JOBS_AWAY) from error
        if with_sets:
            lines = await asyncio.to_thread(self._sets.added_to_all, lines)
        following = place + len(lines)
        option = f"&{set_option.QUERY['name']}=true" if with_sets else ""
        more = bool(lines) and following < record.rows or not asks and record.done > 0
        link = f"{STATE.at(record.id)}?offset={following}{option}" if more else None
        page = _state_of(record) | {"results": [msgspec.Raw(line) for line in lines], "next": link}
        return Reply(200, msgspec.json.encode(page))

    async def _own(self, call: Call, route: Route) -> JobRecord:
        """The job that a path names.

        Raises:
            ProblemError: 404, at the price of a token: there is none, or it is another account's.
        """
        record = await asyncio.to_thread(self._jobs.read, route.parameter(call.path))
        if record is None or record.account != call.owner.account:
            await self._admission.throttle.charge(call, 1)
            raise ProblemError(JOB_NOT_FOUND.saying(_GONE))
        return record

    def _record(self, call: Call, body: bytes, order: _Order) -> JobRecord:
        account, name, trace = call.owner.account, idempotency_key(call), trace_of(call.headers)
        return JobRecord(
            id=new_id() if name is None else named_id(self._pepper, account, name),
            account=account,
            key=call.owner.id,
            rows=len(order.applicants),
            created=time.time(),
            webhook=order.webhook or "",
            traceparent=trace.header().decode() if trace else "",
            fingerprint="" if name is None else hashlib.sha256(body).hexdigest(),
        )


def _order_reply(record: JobRecord, headers: Headers = ()) -> Reply:
    """The answer to an order, the same whatever has become of it since."""
    ordered = JobRecord(record.id, record.account, record.key, record.rows, record.created, webhook=record.webhook)
    place = (b"location", STATE.at(record.id).encode())
    return Reply(202, msgspec.json.encode(_state_of(ordered)), headers=(place, *headers))


def _order(body: bytes, allowed: Networks) -> _Order:
    """What is ordered; the rows themselves are looked at when they are scored."""
    bounds.check_large(body, MAX_JOB_ROWS)
    if len(body) > 2 * MAX_JOB_ROWS and bounds.elements(body, _ROWS_DEPTH) > MAX_JOB_ROWS:
        raise _too_many_rows()
    try:
        order = msgspec.json.decode(body, type=_Order)
    except msgspec.ValidationError:
        fault = Fault("", "job", 'must be an object with "applicants", a list, and perhaps "webhook", a text')
        raise ProblemError(INVALID.saying("1 rule is broken", fault)) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ProblemError(MALFORMED) from None
    if bounds.members(body, _KEYS_DEPTH) != 1 + (order.webhook is not msgspec.UNSET):
        raise ProblemError(DUPLICATE_KEY)
    if not 1 <= len(order.applicants) <= MAX_JOB_ROWS:
        raise _too_many_rows()
    if isinstance(order.webhook, str):
        _check_webhook(order.webhook, allowed)
    return order


def _check_webhook(url: str, allowed: Networks) -> None:
    if len(url) > MAX_WEBHOOK_LENGTH:
        fault = Fault("/webhook", "too-long", f"must have at most {MAX_WEBHOOK_LENGTH} characters")
        raise ProblemError(INVALID.saying("1 rule is broken", fault))
    try:
        webhooks.checked(url, allowed)
    except webhooks.WebhookRefused as error:
        raise ProblemError(INVALID.saying("1 rule is broken", Fault("/webhook", "address", str(error)))) from None


def _lines(rows: list[msgspec.Raw]) -> list[bytes]:
    """Each row without a line feed; JSON text has none but between its tokens."""
    return [bytes(one).replace(b"\n", b" ") for one in rows]


def _too_many_rows() -> ProblemError:
    fault = Fault("/applicants", "length", f"must have 1 to {MAX_JOB_ROWS} rows")
    return ProblemError(INVALID.saying("1 rule is broken", fault))


def _state_of(record: JobRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "status": record.status,
        "rows": record.rows,
        "done": record.done,
        "refused": record.refused,
        "because": record.because or None,
        "created_at": _moment(record.created),
        "finished_at": _moment(record.finished) if record.finished else None,
        "webhook": record.webhook_status or ("waiting" if record.webhook else None),
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def _offset(query: bytes) -> int | None:
    text = next(iter(option_values(query, "offset")), "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()) or len(text) > 9:
        raise ProblemError(INVALID.saying("1 rule is broken", Fault("", "offset", "offset must be a row's number")))
    return int(text)
