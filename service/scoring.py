"""The one function that scores: from an applicant to the bytes of the answer, durable before they are returned.

BentoML's API and the route in front of it both end here. The answer is rendered once, as bytes, and these very bytes
are sent, stored for `GET /v1/predictions/{id}` and replayed for a repeated Idempotency-Key.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Final, NamedTuple

import msgspec
import numpy as np

from service.contract import Applicant, CreditClass, ModelRef
from service.features import row
from service.journal import KeyMark
from service.keystore import ApiKey
from service.metrics import Metrics
from service.model import Assessment, Model
from service.oddities import warnings_of
from service.outbox import Entry, Outbox
from service.pseudonyms import Pseudonyms
from service.reasons import CATALOGUE, FRAGMENTS
from service.records import INPUT_COLUMNS, Cells, Kind, PredictionLines

CHUNK_ROWS: Final = 100  # scored before other requests get their turn
_INPUTS: Final = attrgetter(*INPUT_COLUMNS)
_LOANS: Final = INPUT_COLUMNS.index("loan_types")
_encode: Final = msgspec.json.Encoder().encode
_encode_lines: Final = msgspec.json.Encoder().encode_lines
_BEGIN: Final = b'{"scores":['
_MILLION: Final = 1e6  # probabilities are told to six decimals
CODES: Final = tuple(reason.code for reason in CATALOGUE)


class _Probabilities(msgspec.Struct, gc=False):
    """As `contract.Score` has them, by class."""

    Poor: float  # pylint: disable=invalid-name  # names of classes, as they are sent
    Standard: float  # pylint: disable=invalid-name
    Good: float  # pylint: disable=invalid-name


class _Answer(msgspec.Struct, gc=False):
    """`contract.Score` as it is written: msgspec takes a fifth of the time of formatted text."""

    prediction_id: str
    score: int
    band: CreditClass
    predicted_class: CreditClass
    probabilities: _Probabilities
    borderline: bool
    reasons: msgspec.Raw
    warnings: tuple[str, ...]
    model: msgspec.Raw
    created_at: str


class _Told(NamedTuple):
    """A score on its way: the answer, and the parts of its row in the log."""

    answer: _Answer
    subject: Cells
    inputs: Cells
    decision: Cells


class Scoring:
    """Scores applicants of partners."""

    def __init__(self, model: Model, ref: ModelRef, outbox: Outbox, pseudonyms: Pseudonyms, metrics: Metrics) -> None:
        self._model = model
        self._outbox = outbox
        self._pseudonyms = pseudonyms
        self._metrics = metrics
        self._lines = PredictionLines(ref.name, ref.version, ref.digest)
        self._ref = msgspec.Raw(ref.model_dump_json().encode())

    async def one(self, key: ApiKey, applicant: Applicant, mark: KeyMark | None = None) -> bytes:
        """The answer to one applicant as JSON; on return it is durable.

        Raises:
            OutboxFull: it could not be made durable, so there is no answer.
        """
        assessment = self._model.assess(row(applicant))
        moment = _now()
        identifier, answer, line = self.render(key, applicant, assessment, moment)
        await self._outbox.append(
            Entry(Kind.PREDICTION, key.partner, answer, (identifier,), (line,), ((0, len(answer)),), 200, mark)
        )
        self._metrics.scored(applicant, assessment.score, assessment.band)
        return answer

    async def many(self, key: ApiKey, applicants: Sequence[Applicant], mark: KeyMark | None = None) -> bytes:
        """The answers to a batch, in order, as one JSON document and one durable entry: all or nothing.

        Raises:
            OutboxFull: as `one`.
        """
        told: list[_Told] = []
        assessments: list[Assessment] = []
        moment = _now()
        for start in range(0, len(applicants), CHUNK_ROWS):
            chunk = applicants[start : start + CHUNK_ROWS]
            found = self._model.assess_many(np.array([row(one) for one in chunk], dtype=np.float64))
            told += [self._tell(key, *pair, moment) for pair in zip(chunk, found, strict=True)]
            assessments += found
            await asyncio.sleep(0)
        answers = _encode_lines([one.answer for one in told]).split(b"\n")[:-1]  # no line end stands inside an answer
        await asyncio.sleep(0)
        lines = [self._lines.render(*one[1:]) for one in told]
        body = b"".join((_BEGIN, b",".join(answers), b"]}"))
        identifiers = [one.answer.prediction_id for one in told]
        await self._outbox.append(
            Entry(Kind.PREDICTION, key.partner, body, identifiers, lines, _spans(answers), 200, mark)
        )
        self._metrics.scored_many(applicants, assessments)
        return body

    def render(
        self, key: ApiKey, applicant: Applicant, assessment: Assessment, moment: str
    ) -> tuple[str, bytes, bytes]:
        """Id, answer and log line of one score."""
        answer, *parts = self._tell(key, applicant, assessment, moment)
        return answer.prediction_id, _encode(answer), self._lines.render(*parts)

    def _tell(  # pylint: disable=too-many-locals  # one pass over everything an answer holds, on the hot path
        self, key: ApiKey, applicant: Applicant, assessment: Assessment, moment: str
    ) -> _Told:
        odd = warnings_of(applicant)
        probabilities, points, band, best, borderline, numbers = assessment
        poor, standard, good = [round(value * _MILLION) / _MILLION for value in probabilities]
        identifier = self._outbox.next_id()
        reasons, codes = _reasons(numbers)
        answer = _Answer(
            identifier,
            points,
            band,
            best,
            _Probabilities(poor, standard, good),
            borderline,
            reasons,
            odd,
            self._ref,
            moment,
        )
        as_of = applicant.as_of.isoformat() if applicant.as_of else moment[:10]
        subject = (identifier, moment, as_of, key.partner, self._pseudonyms.of(key.partner, applicant.customer_ref))
        decision = (points, band, best, poor, standard, good, borderline, codes, "|".join(odd))
        return _Told(answer, subject, _inputs(applicant), decision)


@lru_cache(maxsize=4096)
def _reasons(numbers: tuple[int, ...]) -> tuple[msgspec.Raw, str]:
    """Reasons as a JSON array, and their codes; a few thousand of these are nearly all that are ever given."""
    fragments = b",".join([FRAGMENTS[number] for number in numbers])
    return msgspec.Raw(b"[" + fragments + b"]"), "|".join([CODES[number] for number in numbers])


def _inputs(applicant: Applicant) -> Cells:
    values = list(_INPUTS(applicant))
    values[_LOANS] = "|".join(values[_LOANS])
    return values


def _now() -> str:
    """This moment in ISO 8601, UTC, to the millisecond."""
    second, millisecond = divmod(time.time_ns() // 1_000_000, 1000)
    return f"{_second(second)}.{millisecond:03d}Z"


@lru_cache(maxsize=2)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _spans(answers: Sequence[bytes]) -> list[tuple[int, int]]:
    spans, start = [], len(_BEGIN)
    for answer in answers:
        spans.append((start, start + len(answer)))
        start += len(answer) + 1
    return spans
