"""How much a body may hold, asked before it is parsed: counted bytes cost a thousandth of what parsing them may.

A body within the bounds is parsed and explained in a time that its tokens pay for. Counts look at bytes alone, so text
inside a string counts too; no valid body comes near.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from service.contract import MAX_BATCH_ROWS
from service.errors import ProblemError
from service.problems import INVALID, MALFORMED, Fault

MEMBERS: Final = 256  # keys and values of one applicant; a valid one has a third of it
NESTS: Final = 64  # objects and lists of one
BATCH_NESTS: Final = 20 * MAX_BATCH_ROWS
BATCH_MEMBERS: Final = 130 * MAX_BATCH_ROWS
_DEPTH: Final = 100
_LOOKED_AT_BYTES: Final = 64 * 1024


def check_one(body: bytes) -> None:
    """Bound a body of one document.

    Raises:
        ProblemError: 400 where it is nested too deeply, 422 where it holds too much.
    """
    if body.count(b",") + body.count(b":") > MEMBERS or body.count(b"{") + body.count(b"[") > NESTS:
        raise _refused(body, Fault("", "too-many", "holds more keys and values than the schema can"))


def check_batch(body: bytes) -> None:
    """Bound a body of many.

    Raises:
        ProblemError: as `check_one`.
    """
    if body.count(b",") + body.count(b":") > BATCH_MEMBERS or body.count(b"{") + body.count(b"[") > BATCH_NESTS:
        raise _refused(body, Fault("/applicants", "too-many", f"must hold 1 to {MAX_BATCH_ROWS} applicants"))


def _refused(body: bytes, fault: Fault) -> ProblemError:
    seen = np.frombuffer(body, np.uint8, min(len(body), _LOOKED_AT_BYTES))
    steps = np.isin(seen, (ord("["), ord("{"))).astype(np.int32) - np.isin(seen, (ord("]"), ord("}")))
    if int(np.cumsum(steps).max(initial=0)) > _DEPTH:
        return ProblemError(replace(MALFORMED, detail="The body is nested too deeply"))
    return ProblemError(INVALID.saying("At least 1 rule is broken", fault))
