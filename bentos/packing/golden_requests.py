"""Golden applicants of a package: rows of its reference frame with the answers the model was judged by.

One in three is a known customer, of several ages of the last class: a package that is right about unknown customers
alone must not get in front of partners.
"""

from __future__ import annotations

import json
import math
from datetime import date
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from bentos.errors import ArtefactDamaged
from service.contract import DESCRIBING_FIELDS, WHOLE_FIELDS, Applicant
from service.score import observed_classes
from service.score.manifest import REFERENCE_FILE

LONG_AGO: Final = date(2000, 1, 1)
"""Golden requests that tell a day tell one of this year: outside every window, so that drift takes them for nobody."""
KNOWN_CLASSES: Final = "known_classes"
KNOWN_AS_OF: Final = "known_as_of"
KNOWN_SCORE: Final = "known_score"
"""Columns of a reference: the row as a known customer's, and the score it then has; empty where it can be none."""
ONE_KNOWN_IN: Final = 3


class GoldenRequests(BaseModel):
    """One applicant as a request body, and the score the approved model gives it."""

    model_config = ConfigDict(frozen=True)

    body: dict[str, Any]
    score: int


def golden_applicants(package: Path, count: int) -> tuple[GoldenRequests, ...]:
    """`count` applicants spread evenly over the reference frame of the package, with their scores.

    Every third is a known customer, spread over the ages of the last class, where the reference has such rows.

    Raises:
        ArtefactDamaged: the frame is missing, unreadable, or holds rows the contract refuses.
    """
    # pyarrow lives in the flows' environment, where packing happens; the service has no use for it.
    import pyarrow.parquet

    try:
        rows = pyarrow.parquet.read_table(package / REFERENCE_FILE).to_pylist()
    except (OSError, ValueError) as error:
        raise ArtefactDamaged(f"{REFERENCE_FILE} of the package cannot be read: train again") from error
    if not rows:
        raise ArtefactDamaged(f"{REFERENCE_FILE} of the package is empty: train again")
    known = _spread(sorted(filter(_is_known, rows), key=_age_months), count // ONE_KNOWN_IN)
    golden = [_golden(row) for row in _spread(rows, count - len(known))]
    for place, row in enumerate(known):
        golden.insert(place * ONE_KNOWN_IN, _golden_known(row))
    return tuple(golden)


def _spread(rows: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """At most `count` of the rows, evenly spaced."""
    return rows[:: max(1, len(rows) // max(1, count))][:count]


def _is_known(row: dict[str, Any]) -> bool:
    return bool(row.get(KNOWN_CLASSES))


def _classes(row: dict[str, Any]) -> observed_classes.Observed:
    try:
        return observed_classes.from_text(row[KNOWN_CLASSES], date.fromisoformat(row[KNOWN_AS_OF]))
    except (ValueError, KeyError, TypeError) as error:
        raise _refused(error) from None


def _age_months(row: dict[str, Any]) -> int:
    last, as_of = max(day for _, day in _classes(row)), date.fromisoformat(row[KNOWN_AS_OF])
    return 12 * (as_of.year - last.year) + as_of.month - last.month


def _golden(row: dict[str, Any]) -> GoldenRequests:
    return _request(row, {}, "score")


def _golden_known(row: dict[str, Any]) -> GoldenRequests:
    previous = [{"observed_class": name, "observed_at": day.isoformat()} for name, day in _classes(row)]
    return _request(row, {"as_of": row[KNOWN_AS_OF], "previous_classes": previous}, KNOWN_SCORE)


def _request(row: dict[str, Any], further: dict[str, Any], answer: str) -> GoldenRequests:
    body = {name: request_value(name, row.get(name)) for name in sorted(DESCRIBING_FIELDS)} | further
    try:
        Applicant.model_validate_json(json.dumps(body))
        return GoldenRequests(body=body, score=int(row[answer]))
    except (ValidationError, KeyError, TypeError) as error:
        # `from None`: pydantic's text would be hidden anyway, but nothing of the row may reach a log.
        raise _refused(error) from None


def _refused(error: Exception) -> ArtefactDamaged:
    return ArtefactDamaged(
        f"{REFERENCE_FILE} of the package holds a row the contract refuses ({type(error).__name__}): train again"
    )


def request_value(name: str, value: Any) -> Any:
    """A cell of a frame as it stands in a request: whole numbers where the contract has them, lists for loan types."""
    if name == "loan_types":
        return [kind for kind in (value or "").split("|") if kind]
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return int(value) if name in WHOLE_FIELDS else value
