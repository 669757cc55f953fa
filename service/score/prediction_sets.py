"""Prediction sets: the classes that an answer leaves open, so that nine sets in ten hold the true one, class by class.

A set follows from what the answer tells, its probabilities and its basis. So it is added to an answer that is asked for
with it, as that is sent: what is computed, stored and replayed stays the same to the byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from msgspec.structs import astuple

from service.contract import Basis, CreditClass, ModelRef
from service.score.policy import CLASSES, Triple, prediction_set, prediction_sets_many

NAME: Final = "prediction_set"
_BEGIN, _END = b'{"scores":[', b"]}"
_encode: Final = msgspec.json.Encoder().encode
_BITS: Final = np.array([1 << place for place in range(len(CLASSES))])
_SETS: Final = [
    _encode([name for name, bit in zip(CLASSES, _BITS.tolist(), strict=True) if bits & bit])
    for bits in range(1 << len(CLASSES))
]  # by the bits of the classes in them


_Probabilities: Final[Any] = msgspec.defstruct("_Probabilities", [(str(name), float) for name in CLASSES], gc=False)


class _Answer(msgspec.Struct):
    """What of an answer decides its set; a row of a job that was refused has none of it."""

    probabilities: _Probabilities | None = None
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
        thresholds = self._thresholds.get(basis)
        return None if thresholds is None else prediction_set(probabilities, thresholds)

    def added(self, answer: bytes) -> bytes:
        """One answer with its set: null where it is another model's, or no thresholds are told."""
        content = self._decode(answer)
        if content.probabilities is None:
            return answer
        ours = content.model == self._model
        classes = self.of(astuple(content.probabilities), content.basis) if ours else None
        return _with(answer, _encode(classes))

    def added_to_each(self, document: bytes) -> bytes:
        """A batch's answers, each with its set."""
        answers = self.added_to_all([bytes(one) for one in self._decode_many(document).scores])
        return _BEGIN + b",".join(answers) + _END

    def added_to_all(self, answers: Sequence[bytes]) -> list[bytes]:
        """`added` to each, at a third of the cost."""
        decoded, results = [self._decode(one) for one in answers], list(answers)
        places: dict[Basis, list[int]] = {}
        for place, one in enumerate(decoded):
            if one.probabilities is not None:
                if one.model == self._model and one.basis in self._thresholds:
                    places.setdefault(one.basis, []).append(place)
                else:
                    results[place] = _with(answers[place], b"null")
        for basis, those in places.items():
            rows = np.array([astuple(triple) for place in those if (triple := decoded[place].probabilities)])
            numbers = prediction_sets_many(rows, self._thresholds[basis]) @ _BITS
            for place, bits in zip(those, numbers.tolist(), strict=True):
                results[place] = _with(answers[place], _SETS[bits])
        return results


def _with(answer: bytes, value: bytes) -> bytes:
    return b'%b,"%b":%b}' % (answer.rstrip()[:-1], NAME.encode(), value)
