"""How much a body may hold, asked before it is parsed: counted bytes cost a thousandth of what parsing them may.

A body within the bounds is parsed and explained in a time that its tokens pay for. Counts look at bytes alone, so text
inside a string counts too; no valid body comes near.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.contract import MAX_BATCH_ROWS
from service.errors import ProblemError
from service.problems import INVALID, MALFORMED, Fault
from service.web.bodies import ONE_BYTES

MEMBERS: Final = 256  # keys and values of one applicant; a valid one has a third of it
NESTS: Final = 64  # objects and lists of one
BATCH_NESTS: Final = 20 * MAX_BATCH_ROWS
BATCH_MEMBERS: Final = 130 * MAX_BATCH_ROWS
LARGE_BYTES: Final = 640 * 1024
"""Above it a body is looked at more closely; a thousand rows without blanks are smaller."""
LONGEST_GAP: Final = 4096  # bytes without a comma; between two of a valid row lie some 70, with blanks too
BLANKS_A_ROW: Final = 1024  # an indented row has a third of it
ESCAPES_A_ROW: Final = 64  # backslashes, and bytes beyond ASCII; no valid value has any
_DEPTH: Final = 100
_LOOKED_AT_BYTES: Final = 64 * 1024
_WINDOW_BYTES: Final = 256 * 1024
_STEP: Final = np.array([(chr(byte) in "[{") - (chr(byte) in "]}") for byte in range(256)], np.int8)
_IS_SIGN: Final = (_STEP != 0) | np.isin(np.arange(256), np.frombuffer(b',:"', np.uint8))


def check_one(body: bytes) -> None:
    """Bound a body of one document.

    Raises:
        ProblemError: 400 where it is nested too deeply, 422 where it holds too much.
    """
    if len(body) > ONE_BYTES:  # a job's row; a request of its own would not have been read
        raise _refused(body, Fault("", "too-many", f"is larger than {ONE_BYTES} bytes"))
    if body.count(b",") + body.count(b":") > MEMBERS or body.count(b"{") + body.count(b"[") > NESTS:
        raise _refused(body, Fault("", "too-many", "holds more keys and values than the schema can"))


def check_batch(body: bytes) -> None:
    """Bound a body of many.

    Raises:
        ProblemError: as `check_one`.
    """
    octets = np.frombuffer(body, np.uint8)  # counts what comes often in a fifth of the time of bytes.count
    members, nests = (_count(octets, one) + _count(octets, other) for one, other in (b",:", b"{["))
    if members > BATCH_MEMBERS or nests > BATCH_NESTS:
        raise _refused(body, Fault("/applicants", "too-many", f"must hold 1 to {MAX_BATCH_ROWS} applicants"))
    check_large(body, MAX_BATCH_ROWS)


def _count(octets: NDArray[np.uint8], one: int) -> int:
    return int(np.count_nonzero(octets == one))


def check_large(body: bytes, rows: int) -> None:
    """Bound what a parser would wade through in one go: blanks, endless numbers and texts, escapes.

    Args:
        body: as it came; a small one costs little whatever is in it.
        rows: the most that the route takes.

    Raises:
        ProblemError: as `check_one`.
    """
    if len(body) <= LARGE_BYTES:
        return
    octets = np.frombuffer(body, np.uint8)
    whole = octets[: len(octets) // LONGEST_GAP * LONGEST_GAP].reshape(-1, LONGEST_GAP)
    if not bool((whole == ord(",")).any(axis=1).all()):
        raise _refused(body, Fault("", "too-many", "holds a value, or blanks, longer than the schema can"))
    if np.count_nonzero(octets <= ord(" ")) > BLANKS_A_ROW * rows:
        raise _refused(body, Fault("", "too-many", "holds more blanks than rows that are indented"))
    foreign = 0 if body.isascii() else np.count_nonzero(octets > 127)
    if foreign + np.count_nonzero(octets == ord("\\")) > ESCAPES_A_ROW * rows:
        raise _refused(body, Fault("", "too-many", "holds more escapes and letters beyond ASCII than the schema can"))


def _refused(body: bytes, fault: Fault) -> ProblemError:
    octets = np.frombuffer(body, np.uint8, min(len(body), _LOOKED_AT_BYTES))
    steps = np.isin(octets, (ord("["), ord("{"))).astype(np.int32) - np.isin(octets, (ord("]"), ord("}")))
    if int(np.cumsum(steps).max(initial=0)) > _DEPTH:
        return ProblemError(replace(MALFORMED, detail="The body is nested too deeply"))
    return ProblemError(INVALID.saying("At least 1 rule is broken", fault))


def elements(body: bytes, depth: int) -> int:
    """How many values stand in a list at this depth, exact as far as the body is JSON: a parser reads no farther.

    A parser makes an object of each before it counts them, in one go: half a second for the four million numbers that
    an order may hold. This lets others work meanwhile, called in a thread.
    """
    return _count_at(body, b",", depth) + 1


def members(body: bytes, depth: int) -> int:
    """How many keys stand in an object at this depth, those that are there twice too; as exact as `elements`."""
    return _count_at(body, b":", depth)


def _count_at(body: bytes, sign: bytes, depth: int) -> int:
    """How often a sign stands at this depth and in no string."""
    if b"\\" in body:  # what is escaped ends no string
        body = body.replace(b"\\\\", b"__").replace(b'\\"', b"__")
    octets = np.frombuffer(body, np.uint8)
    level, quotes, count = 0, 0, 0
    for start in range(0, len(octets), _WINDOW_BYTES):
        signs = octets[start : start + _WINDOW_BYTES]
        signs = signs[_IS_SIGN[signs]]
        marks = np.cumsum(signs == ord('"'), dtype=np.int32) + quotes
        outside = signs[marks % 2 == 0]
        levels = np.cumsum(_STEP[outside], dtype=np.int32) + level
        count += int(np.count_nonzero((outside == ord(sign)) & (levels == depth)))
        level = int(levels[-1]) if len(levels) else level
        quotes = int(marks[-1]) % 2 if len(marks) else quotes
    return count
