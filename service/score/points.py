"""Points: what each reason cost and each strength gained, exact in the sum.

The score's distance from the reference applicant's is shared out among the families of features by their exact SHAP
values of the margin, less the reference's own: the margin's distance is their sum, so one rate turns margin into
points.
Where the rate would be no rate (both stand nearly even, or the two scales disagree), it is held to a sensible one and
the rest goes to each family by its weight. Points are whole; what is not named makes the sum exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache, reduce
from operator import add
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.contract import MAX_STRENGTHS, Applicant, Direction, Text
from service.score.reasons import CANDIDATES, CATALOGUE, FAMILIES, FAMILY_WORDINGS, FRAGMENTS, loan_kinds_text

RATES: Final = (20.0, 400.0)  # points a unit of margin
LEAST_STRENGTH: Final = 5  # points
_encode: Final = msgspec.json.Encoder().encode
_FAMILY: Final = tuple(candidate.family for candidate in CANDIDATES for _ in range(len(CATALOGUE) // len(CANDIDATES)))
_FIELD: Final = tuple(reason.feature for reason in CATALOGUE)
_OF_LOAN_KINDS: Final = frozenset(
    number
    for number, reason in enumerate(CATALOGUE)
    if FAMILIES[_FAMILY[number]] == "loan_kinds" and reason.direction is not Direction.MISSING
)
_STRONG_FIELD: Final = tuple(
    next(candidate.field for candidate in CANDIDATES if candidate.family == family) for family in range(len(FAMILIES))
)


def strength_text(family: str) -> Text:
    """The sentence for a family that counts in the applicant's favour."""
    story = FAMILY_WORDINGS[family]
    return Text(pt=f"{story.pt.rstrip(',')}: conta a favor", en=f"{story.en} counts in favour")


def _strong_fragment(family: int) -> bytes:
    name, field = FAMILIES[family], _STRONG_FIELD[family]
    fragment = {"code": name.upper(), "text": strength_text(name).model_dump(), "feature": field}
    return bytes(_encode(fragment))[:-1] + b',"value":'


_STRONG: Final = tuple(_strong_fragment(family) for family in range(len(FAMILIES)))


def shared(contributions: Sequence[float], distance: float) -> list[float]:
    """Points by family, negative where they were lost; they add up to the distance."""
    total, weight = (
        reduce(add, contributions),
        reduce(add, map(abs, contributions)),
    )  # one after the other, which `sum` is not everywhere
    if weight == 0.0:
        return [0.0] * len(contributions)
    rate = distance / total if total else 0.0
    rate = min(max(rate, RATES[0]), RATES[1])
    rest = (distance - rate * total) / weight
    return [rate * value + rest * abs(value) for value in contributions]


def shared_many(contributions: NDArray[np.float64], distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """`shared` of many rows, equal to the last bit."""
    sizes = np.abs(contributions)
    total, weight = (
        np.add.accumulate(values, axis=1)[:, -1] for values in (contributions, sizes)
    )  # in the order of `shared`
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # what comes of a zero is replaced
        rate = np.where(total != 0.0, distances / total, 0.0)
        rate = np.clip(rate, *RATES)
        rest = (distances - rate * total) / weight
        points: NDArray[np.float64] = rate[:, None] * contributions + rest[:, None] * sizes
    points[weight == 0.0] = 0.0
    return points


class ReasonRenderer:
    """Renders reasons and strengths with their points, against one model's reference."""

    def __init__(self, reference: Applicant, score: int) -> None:
        self.score = score
        self._compared = b'{"score":%d,"other_points":' % score
        self._usual_kinds = tuple(map(str, reference.loan_types))
        self._naming = lru_cache(maxsize=4096)(self._kinds)  # few lists of loans are nearly all there are
        self._reasons = tuple(
            fragment[:-1] + b',"compared_with":' + _encode(getattr(reference, field)) + b',"value":'
            for fragment, field in zip(FRAGMENTS, _FIELD, strict=True)
        )

    def _kinds(self, number: int, kinds: tuple[str, ...]) -> bytes:
        """The opening of a reason about kinds of loan, which names them."""
        reason = CATALOGUE[number]
        sentence = reason.model_copy(update={"text": loan_kinds_text(reason.direction, kinds, self._usual_kinds)})
        fragment = sentence.model_dump_json(exclude_none=True).encode()
        return fragment[:-1] + b',"compared_with":' + _encode(self._usual_kinds) + b',"value":'

    def explain(
        self, applicant: Any, score: int, numbers: Sequence[int], contributions: Sequence[float]
    ) -> tuple[msgspec.Raw, msgspec.Raw, msgspec.Raw]:
        """The answer's `reasons`, `strengths` and `reference` as JSON."""
        points = shared(contributions, score - self.score)
        best = sorted(range(len(points)), key=points.__getitem__, reverse=True)[:MAX_STRENGTHS]
        return self._render(applicant, score - self.score, numbers, points, best)

    def explain_many(
        self,
        applicants: Sequence[Any],
        scores: NDArray[np.int32],
        numbers: Sequence[Sequence[int]],
        contributions: NDArray[np.float64],
    ) -> Iterator[tuple[msgspec.Raw, msgspec.Raw, msgspec.Raw]]:
        """`explain` of many rows: points are shared out and ranked by columns, which takes half the time."""
        points = shared_many(contributions, scores.astype(np.float64) - self.score)
        best = np.argsort(-points, axis=1, kind="stable")[:, :MAX_STRENGTHS].tolist()
        return map(self._render, applicants, (scores - self.score).tolist(), numbers, points.tolist(), best)

    def _render(  # pylint: disable=too-many-locals  # the inner loop of every answer
        self, applicant: Any, distance: int, numbers: Sequence[int], points: Sequence[float], best: Sequence[int]
    ) -> tuple[msgspec.Raw, msgspec.Raw, msgspec.Raw]:
        """What one applicant is told, from the points by family and the families that gained most."""
        other, families = distance, []
        reasons: list[bytes] = []
        for number in numbers:
            family = _FAMILY[number]
            cost = max(1, -round(points[family]))  # moving it alone gains a point at least
            families.append(family)
            other += cost
            value = getattr(applicant, _FIELD[number])
            opening = self._naming(number, tuple(value)) if number in _OF_LOAN_KINDS else self._reasons[number]
            reasons += (b",", opening, _encode(value), _ending(cost))
        strengths: list[bytes] = []
        for family in best:
            gain = round(points[family])
            if gain < LEAST_STRENGTH or family in families:
                continue
            other -= gain
            value = getattr(applicant, _STRONG_FIELD[family])
            strengths += (b",", _STRONG[family], _encode(value), _ending(gain))
        return _array(reasons), _array(strengths), msgspec.Raw(self._compared + _encode(other) + b"}")


@lru_cache(maxsize=4096)  # points are few
def _ending(points: int) -> bytes:
    """How a reason or a strength ends."""
    return b',"points":%d}' % points


def _array(parts: list[bytes]) -> msgspec.Raw:
    """An array of JSON from its parts, a comma before each element; joined, since formatting takes twice the time."""
    if not parts:
        return msgspec.Raw(b"[]")
    parts[0] = b"["
    return msgspec.Raw(b"".join((*parts, b"]")))
