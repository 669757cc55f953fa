"""Golden applicants of a package: rows of its reference frame with the answers the model was judged by."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from bentos.errors import ArtefactDamaged
from service.contract import DESCRIBING_FIELDS, WHOLE_FIELDS, Applicant
from service.score.manifest import REFERENCE_FILE


class GoldenRequests(BaseModel):
    """One applicant as a request body, and the score the approved model gives it."""

    model_config = ConfigDict(frozen=True)

    body: dict[str, Any]
    score: int


def golden_applicants(package: Path, count: int) -> tuple[GoldenRequests, ...]:
    """`count` applicants spread evenly over the reference frame of the package, with their scores.

    Raises:
        ArtefactDamaged: the frame is missing, unreadable, or holds rows the contract refuses.
    """
    # pyarrow lives in the flows' environment, where packing happens; the service has no use for it.
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(package / REFERENCE_FILE)
    except (OSError, ValueError) as error:
        raise ArtefactDamaged(f"{REFERENCE_FILE} of the package cannot be read: train again") from error
    if not table.num_rows:
        raise ArtefactDamaged(f"{REFERENCE_FILE} of the package is empty: train again")
    step = max(1, table.num_rows // count)
    rows = table.take(list(range(0, table.num_rows, step))[:count]).to_pylist()
    return tuple(_golden(row) for row in rows)


def _golden(row: dict[str, Any]) -> GoldenRequests:
    body = {name: request_value(name, row.get(name)) for name in sorted(DESCRIBING_FIELDS)}
    try:
        Applicant.model_validate_json(json.dumps(body))
        return GoldenRequests(body=body, score=int(row["score"]))
    except (ValidationError, KeyError, TypeError) as error:
        # `from None`: pydantic's text would be hidden anyway, but nothing of the row may reach a log.
        raise ArtefactDamaged(
            f"{REFERENCE_FILE} of the package holds a row the contract refuses ({type(error).__name__}): train again"
        ) from None


def request_value(name: str, value: Any) -> Any:
    """A cell of a frame as it stands in a request: whole numbers where the contract has them, lists for loan types."""
    if name == "loan_types":
        return [kind for kind in (value or "").split("|") if kind]
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return int(value) if name in WHOLE_FIELDS else value
