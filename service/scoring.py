"""The one function that scores: from an applicant to the bytes of the answer, durable before they are returned.

BentoML's API and the route in front of it both end here. The answer is rendered once, as bytes, and these very bytes
are sent, stored for `GET /v1/predictions/{id}` and replayed for a repeated Idempotency-Key.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import accumulate, chain, pairwise, repeat
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from service.access.keystore import ApiKey
from service.access.pseudonyms import Pseudonyms
from service.contract import (
    PROBABILITY_COLUMNS,
    AdviceTarget,
    Applicant,
    Basis,
    CreditClass,
    ModelRef,
    PreviousClass,
    RiskGrade,
)
from service.engine.advice import advise
from service.engine.packed_model import Arrays, Assessment, PackedModel
from service.engine.portable import Portable
from service.ledger.interface import JournalEntry, KeyMark, Ledger
from service.ledger.records import INPUT_COLUMNS, Cells, PredictionLines, RecordKind
from service.metrics import Metrics
from service.score import features, observed_classes
from service.score.input_warnings import InputCheck
from service.score.points import ReasonRenderer
from service.score.policy import CLASSES, GRADES, grade, grade_many, rounded, rounded_many
from service.score.reasons import CATALOGUE, FRAGMENTS

_INPUTS: Final = attrgetter(*INPUT_COLUMNS)
_LOANS: Final = INPUT_COLUMNS.index("loan_types")
_encode: Final = msgspec.json.Encoder().encode
_PIECE_ROWS: Final = 100  # of a batch, rendered in one go: about a millisecond; of 250 a batch costs as much
_BEGIN: Final = b'{"scores":['
_END: Final = b"]}"
CODES: Final = tuple(reason.code for reason in CATALOGUE)
LEADS: Final = tuple(f"{reason.feature}:{reason.direction}" for reason in CATALOGUE)
_FRAGMENT_OF: Final = dict(zip(zip(CODES, LEADS, strict=True), FRAGMENTS, strict=True))


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
    risk_grade: RiskGrade
    basis: Basis
    reasons: msgspec.Raw
    strengths: msgspec.Raw
    reference: msgspec.Raw
    warnings: tuple[str, ...]
    model: msgspec.Raw
    created_at: str


class _ScoredRows(NamedTuple):
    """Applicants of a batch in order, their columns by name, what the engine said of them, their warnings."""

    applicants: Sequence[Applicant]
    columns: Mapping[str, Any]
    assessments: Arrays
    warning_codes: Sequence[tuple[str, ...]]

    def piece(self, rows: slice) -> _ScoredRows:
        """Some of the rows, in order."""
        return _ScoredRows(
            self.applicants[rows],
            {name: column[rows] for name, column in self.columns.items()},
            self.assessments.rows(rows),
            self.warning_codes[rows],
        )


class _LoopBatch:
    """Evaluates, one after the other, what one turn of the event loop gathered.

    The portable engine's many small steps take half the time when its code and tables are still in the caches.
    """

    def __init__(self, assess: Callable[[list[float]], Assessment]) -> None:
        self._assess = assess
        self._queue: list[tuple[list[float], asyncio.Future[Assessment]]] = []

    def assess(self, values: list[float]) -> asyncio.Future[Assessment]:
        """The answer to one row of features, at the end of this turn."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Assessment] = loop.create_future()
        self._queue.append((values, answer))
        if len(self._queue) == 1:
            loop.call_soon(self._work)
        return answer

    def _work(self) -> None:
        batch, self._queue = self._queue, []
        for values, answer in batch:
            if answer.done():  # its request was cancelled
                continue
            try:
                answer.set_result(self._assess(values))
            except Exception as error:  # pylint: disable=broad-exception-caught  # raised where it is waited for
                answer.set_exception(error)


class Scoring:
    """Scores applicants of partners."""

    def __init__(
        self, model: PackedModel, ref: ModelRef, ledger: Ledger, pseudonyms: Pseudonyms, metrics: Metrics
    ) -> None:
        self._model = model
        self._borders = model.manifest.grade_borders
        self._check = InputCheck(model.manifest.ranges)
        self._loop_batch = _LoopBatch(model.assess) if model.engine.name == Portable.name else None
        self._ledger = ledger
        self._pseudonyms = pseudonyms
        self._metrics = metrics
        self._lines = PredictionLines(ref.name, ref.version, ref.digest)
        self._ref = msgspec.Raw(ref.model_dump_json().encode())

    @cached_property
    def _reasons(self) -> ReasonRenderer:
        """What points are counted against: the model's reference applicant."""
        typical = self._model.manifest.reference.applicant
        return ReasonRenderer(typical, self._model.assess(features.row(typical)).score)

    async def one(self, key: ApiKey, applicant: Applicant, mark: KeyMark | None = None) -> bytes:
        """The answer to one applicant as JSON; on return it is durable.

        Raises:
            OutboxFull: it could not be made durable, so there is no answer.
        """
        values = features.row(applicant)
        assessment = self._model.assess(values) if self._loop_batch is None else await self._loop_batch.assess(values)
        moment = _now()
        place, answer, line = self.render(key, applicant, assessment, moment)
        kind = RecordKind.PREDICTION.of(test=key.test)
        await self._ledger.append(
            JournalEntry(kind, key.account, answer, (place,), (line,), ((0, len(answer)),), 200, mark)
        )
        if not key.test:
            self._metrics.count_score(applicant, assessment.score, assessment.band)
            if applicant.previous_classes:
                self._metrics.count_known((values[features.AGE],))
        return answer

    async def many(self, key: ApiKey, applicants: Sequence[Applicant], mark: KeyMark | None = None) -> bytes:
        """The answers to a batch, in order, as one JSON document and one durable entry: all or nothing.

        It goes by columns, which takes half the time of going by rows. The engine runs in a thread; between the other
        steps, of a few milliseconds each, requests get their turn.

        Raises:
            OutboxFull: as `one`.
        """
        await asyncio.sleep(0)  # reading the body took its turn
        columns = _columns(applicants)
        numbers = {name: np.array(columns[name], np.float64) for name in features.NUMBERS}  # None becomes NaN
        matrix = features.matrix(columns | numbers | features.histories(applicants))
        assessments = await asyncio.to_thread(self._model.assess_arrays, matrix, reasons=True)
        warning_codes = self._check.of_many(applicants, columns | numbers)
        places, answers, lines = await self._render_pieces(
            key, _ScoredRows(applicants, columns, assessments, warning_codes)
        )
        await asyncio.sleep(0)
        body, spans = _document(answers)
        kind = RecordKind.PREDICTION.of(test=key.test)
        await self._ledger.append(JournalEntry(kind, key.account, body, places, lines, spans, 200, mark))
        if key.test:
            return body
        # Counted in the loop's next turn: the answer need not wait for it.
        asyncio.get_running_loop().call_soon(self._metrics.count_scores, columns | numbers, assessments)
        self._metrics.count_known(matrix[~np.isnan(matrix[:, features.AGE]), features.AGE].tolist())
        return body

    async def advise(self, applicant: Applicant, target: AdviceTarget) -> bytes:
        """The smallest set of changes that reaches a target, as JSON; nothing is stored or counted as a score."""
        advice = await asyncio.to_thread(advise, self._model.assess_arrays, applicant, target)
        return advice.model_dump_json().encode()

    async def _render_pieces(self, key: ApiKey, batch: _ScoredRows) -> tuple[list[str], list[bytes], list[bytes]]:
        """`_render_many`, some rows at a time: others have their turns in between."""
        places, answers, lines = list[str](), list[bytes](), list[bytes]()
        moment = _now()
        for start in range(0, len(batch.applicants), _PIECE_ROWS):
            await asyncio.sleep(0)
            piece = self._render_many(key, batch.piece(slice(start, start + _PIECE_ROWS)), moment)
            places += piece[0]
            answers += piece[1]
            lines += piece[2]
        return places, answers, lines

    def _render_many(  # pylint: disable=too-many-locals  # by columns
        self, key: ApiKey, batch: _ScoredRows, moment: str
    ) -> tuple[list[str], list[bytes], list[bytes]]:
        """Places, answers and log lines of a piece of a batch."""
        applicants, columns, assessments, warning_codes = batch
        if not key.test:
            self._metrics.count_warnings(chain.from_iterable(warning_codes))
        numbers = list(assessments.named_reasons())
        codes, leads = zip(*map(_codes, numbers), strict=True)
        bands, best = (
            [CLASSES[place] for place in array.tolist()] for array in (assessments.band, assessments.predicted_class)
        )
        scores, borderline = assessments.score.tolist(), assessments.borderline.tolist()
        explained = self._reasons.explain_many(
            applicants, assessments.score, numbers, assessments.relative_contributions
        )
        reasons, strengths, compared = zip(*explained, strict=True)
        likely = rounded_many(assessments.probabilities.T)
        grades = [GRADES[place] for place in grade_many(likely[0], self._borders).tolist()]
        triples = likely.tolist()
        as_of = [one.as_of.isoformat() if one.as_of else moment[:10] for one in applicants]
        previous = [one.previous_classes for one in applicants]
        bases = list(map(_basis, previous))
        refs = [self._pseudonyms.of(key.partner, one.customer_ref) for one in applicants]
        owner = key.account
        places, identifiers = zip(*(self._ledger.new_id(owner) for _ in applicants), strict=True)
        answers = map(
            _Answer,
            identifiers,
            scores,
            bands,
            best,
            map(_Probabilities, *triples),
            borderline,
            grades,
            bases,
            reasons,
            strengths,
            compared,
            warning_codes,
            repeat(self._ref),
            repeat(moment),
        )
        lines = self._lines.render_many(
            (identifiers, repeat(moment), as_of, repeat(key.partner), refs),
            [columns[name] for name in INPUT_COLUMNS],
            (
                scores,
                bands,
                best,
                *triples,
                borderline,
                codes,
                map("|".join, warning_codes),
                grades,
                leads,
                bases,
                map(observed_classes.as_text, previous),
            ),
        )
        return list(places), list(map(_encode, answers)), lines

    def render(  # pylint: disable=too-many-locals  # one pass over everything an answer holds, on the hot path
        self, key: ApiKey, applicant: Applicant, assessment: Assessment, moment: str
    ) -> tuple[str, bytes, bytes]:
        """Place, answer and log line of one score."""
        warning_codes = self._check.of(applicant)
        if warning_codes and not key.test:
            self._metrics.count_warnings(warning_codes)
        probabilities, points, band, best, borderline, numbers, contributions = assessment
        poor, standard, good = map(rounded, probabilities)
        risk, basis = grade(poor, self._borders), _basis(applicant.previous_classes)
        place, identifier = self._ledger.new_id(key.account)
        codes, leads = _codes(numbers)
        reasons, strengths, compared = self._reasons.explain(applicant, points, numbers, contributions)
        answer = _Answer(
            identifier,
            points,
            band,
            best,
            _Probabilities(poor, standard, good),
            borderline,
            risk,
            basis,
            reasons,
            strengths,
            compared,
            warning_codes,
            self._ref,
            moment,
        )
        as_of = applicant.as_of.isoformat() if applicant.as_of else moment[:10]
        subject = (identifier, moment, as_of, key.partner, self._pseudonyms.of(key.partner, applicant.customer_ref))
        decision = (
            points,
            band,
            best,
            poor,
            standard,
            good,
            borderline,
            codes,
            "|".join(warning_codes),
            risk,
            leads,
            basis,
            observed_classes.as_text(applicant.previous_classes),
        )
        return place, _encode(answer), self._lines.render(subject, _inputs(applicant), decision)


@lru_cache(maxsize=4096)
def _codes(numbers: tuple[int, ...]) -> tuple[str, str]:
    """The codes of reasons, and what each is led by (field and direction); few of these are nearly all there are."""
    codes, leads = ("|".join([names[number] for number in numbers]) for names in (CODES, LEADS))
    return codes, leads


def restored(row: Mapping[str, str]) -> bytes:
    """The answer that a recorded row was given; a reason that is told no more has its code alone."""
    probabilities = [float(row[name]) for name in PROBABILITY_COLUMNS]
    pairs = zip(_split(row["reasons"]), _split(row["reason_leads"]) or repeat(""))
    model = {part: row[f"model_{part}"] for part in ("name", "version", "digest")}
    answer = {
        "prediction_id": row["prediction_id"],
        "score": int(row["score"]),
        "band": row["band"],
        "predicted_class": row["predicted_class"],
        "probabilities": _Probabilities(*probabilities),
        "borderline": row["borderline"] == "true",
        "risk_grade": row["risk_grade"],
        "basis": row["basis"],
        "reasons": [msgspec.Raw(_FRAGMENT_OF.get(pair) or _encode({"code": pair[0]})) for pair in pairs],
        "warnings": _split(row["warnings"]),
        "model": model,
        "created_at": row["created_at"],
    }
    return _encode({name: value for name, value in answer.items() if value != ""})


def _split(cell: str) -> list[str]:
    return cell.split("|") if cell else []


def _basis(previous: Sequence[PreviousClass] | None) -> Basis:
    return Basis.KNOWN_CUSTOMER if previous else Basis.APPLICANT


def _inputs(applicant: Applicant) -> Cells:
    values = list(_INPUTS(applicant))
    values[_LOANS] = "|".join(values[_LOANS])
    return values


def _columns(applicants: Sequence[Applicant]) -> dict[str, Any]:
    """`_inputs` of many applicants, by field: as they came, categories and numbers, None where unknown."""
    columns = dict(zip(INPUT_COLUMNS, zip(*map(_INPUTS, applicants), strict=True), strict=True))
    columns["loan_types"] = tuple(map("|".join, columns["loan_types"]))
    return columns


def _now() -> str:
    """This moment in ISO 8601, UTC, to the millisecond."""
    second, millisecond = divmod(time.time_ns() // 1_000_000, 1000)
    return f"{_second(second)}.{millisecond:03d}Z"


@lru_cache(maxsize=2)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _document(answers: Sequence[bytes]) -> tuple[bytes, list[tuple[int, int]]]:
    """A batch's answer, copied once, and where each of its answers stands in it."""
    parts = [*answers]
    parts[0] = _BEGIN + parts[0]
    parts[-1] += _END
    ends = accumulate([1 + len(answer) for answer in answers], initial=len(_BEGIN) - 1)  # a comma before each
    return b",".join(parts), [(start + 1, end) for start, end in pairwise(ends)]
