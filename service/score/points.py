"""Points: what each reason cost and each strength gained, exact in the sum.

The score's distance from the reference applicant's is shared out among the families of features by their exact SHAP
values of the margin, less the reference's own: the margin's distance is their sum, so one rate turns margin into
points.
Where the rate would be no rate (both stand nearly even, or the two scales disagree), it is held to a sensible one and
the rest goes to each family by its weight. Points are whole; what is not named makes the sum exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

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


def shared(lost: Sequence[float], distance: float) -> list[float]:
    """Points by family, negative where they were lost; they add up to the distance."""
    total, weight = sum(lost), sum(map(abs, lost))
    if weight == 0.0:
        return [0.0] * len(lost)
    rate = distance / total if total else 0.0
    rate = min(max(rate, RATES[0]), RATES[1])
    rest = (distance - rate * total) / weight
    return [rate * value + rest * abs(value) for value in lost]


class ReasonRenderer:
    """Renders reasons and strengths with their points, against one model's reference."""

    def __init__(self, reference: Applicant, score: int) -> None:
        self.score = score
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
        self, applicant: Any, score: int, numbers: Sequence[int], lost: Sequence[float]
    ) -> tuple[msgspec.Raw, msgspec.Raw, msgspec.Raw]:
        """The answer's `reasons`, `strengths` and `reference` as JSON."""
        points = shared(lost, score - self.score)
        other = score - self.score
        reasons, families = [], set()
        for number in numbers:
            family = _FAMILY[number]
            cost = max(1, -round(points[family]))  # moving it alone gains a point at least
            families.add(family)
            other += cost
            value = getattr(applicant, _FIELD[number])
            opening = self._naming(number, tuple(value)) if number in _OF_LOAN_KINDS else self._reasons[number]
            reasons.append(b'%b%b,"points":%d}' % (opening, _encode(value), cost))
        strengths = []
        for family in sorted(range(len(points)), key=points.__getitem__, reverse=True)[:MAX_STRENGTHS]:
            gain = round(points[family])
            if gain < LEAST_STRENGTH or family in families:
                continue
            other -= gain
            value = getattr(applicant, _STRONG_FIELD[family])
            strengths.append(b'%b%b,"points":%d}' % (_STRONG[family], _encode(value), gain))
        raw = msgspec.Raw
        compared = raw(b'{"score":%d,"other_points":%d}' % (self.score, other))
        return raw(b"[%b]" % b",".join(reasons)), raw(b"[%b]" % b",".join(strengths)), compared
