"""Prediction sets: the classes that an answer leaves open, so that nine sets in ten hold the true one, class by class.

A set follows from what the answer tells, its probabilities and its basis. So it is added to an answer that is asked for
with it, as that is sent: what is computed, stored and replayed stays the same to the byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from service.contract import Basis, CreditClass, ModelRef
from service.score.policy import CLASSES, Triple, prediction_set

NAME: Final = "prediction_set"
_BEGIN, _END = b'{"scores":[', b"]}"
_encode: Final = msgspec.json.Encoder().encode


class _Answer(msgspec.Struct):
    """What of an answer decides its set; a row of a job that was refused has none of it."""

    probabilities: dict[str, float] = {}
    basis: Basis = Basis.APPLICANT
    model: dict[str, str] = {}


class _Answers(msgspec.Struct):
    scores: list[msgspec.Raw]


class PredictionSets:
    """Adds sets to answers of one model, whose manifest tells the thresholds."""

    def __init__(self, model: ModelRef, thresholds: Mapping[Basis, Triple]) -> None:
        self._model = {"name": model.name, "version": model.version, "digest": model.digest}
        self._thresholds = thresholds
        self._decode = msgspec.json.Decoder(_Answer).decode
        self._decode_many = msgspec.json.Decoder(_Answers).decode

    def of(self, probabilities: Sequence[float], basis: Basis) -> list[CreditClass] | None:
        """The set, worst class first; None where the model tells no thresholds for such customers."""
        found = self._thresholds.get(basis)
        return None if found is None else prediction_set(probabilities, found)

    def added(self, answer: bytes) -> bytes:
        """One answer with its set: null where it is another model's, or no thresholds are told."""
        told = self._decode(answer)
        if not told.probabilities:
            return answer
        ours = told.model == self._model
        found = self.of([told.probabilities[name] for name in CLASSES], told.basis) if ours else None
        return b'%b,"%b":%b}' % (answer.rstrip()[:-1], NAME.encode(), _encode(found))

    def added_to_each(self, document: bytes) -> bytes:
        """A batch's answers, each with its set."""
        answers = (self.added(bytes(one)) for one in self._decode_many(document).scores)
        return _BEGIN + b",".join(answers) + _END
