"""Why a body was refused: every broken rule by a JSON pointer, never by value, in a time that is bounded.

The standard library judges the JSON (duplicates, NaN, depth), then pydantic, the contract itself, names the broken
rules. A large batch is told its first fault alone: the rest would cost more than the request paid for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec
from pydantic import BaseModel, ValidationError

from service.contract import MAX_BATCH_ROWS, RULE_CODES, Applicant, Batch
from service.errors import ProblemError
from service.problems import DUPLICATE_KEY, INVALID, MALFORMED, Fault
from service.web.whereabouts import hint

MAX_FAULTS: Final = 20  # named in one answer
EXPLAINED_BYTES: Final = 16 * 1024  # of a batch; of a larger one the first fault is named
_MANY: Final = 100  # broken rules that are listed to choose from
_NO_UTF_8: Final = "The body is not UTF-8"
_UNKNOWN: Final = "has a key that the schema does not know"
_TOO_DEEP: Final = "The body is nested too deeply"
_RawRows: Final[Any] = msgspec.defstruct("_RawRows", [("applicants", list[msgspec.Raw])], forbid_unknown_fields=True)
_decode_raw_rows: Final = msgspec.json.Decoder(_RawRows).decode


def of_one(body: bytes, error: Exception | None, model: type[BaseModel]) -> ProblemError:
    """Why one document was refused; `error` is what msgspec said, if it did."""
    try:
        check_json(body)
        return _problem(_faults_of(model, body, "") or [_misfit(error, model)])
    except ProblemError as problem:
        return problem


def of_batch(body: bytes, error: Exception | None, row: int | None = None) -> ProblemError:
    """Why a batch was refused; `row` is the first that breaks a rule, where it is known."""
    try:
        if len(body) <= EXPLAINED_BYTES:
            check_json(body)
            return _problem(_batch_faults(body) or [_misfit(error, Batch)])
        return _problem([_first_fault(body, error, row)], whole=False)
    except ProblemError as problem:
        return problem


def of_rules(error: ValidationError, model: type[BaseModel]) -> ProblemError:
    """The faults that pydantic found in a document."""
    try:
        return _problem(_faults(error, model, ""))
    except ProblemError as problem:
        return problem


def check_json(body: bytes) -> None:
    """Look at the JSON itself.

    Raises:
        ProblemError: 400 with what is wrong: encoding, grammar, NaN, depth, a key named twice.
    """
    try:
        json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_int=_any,
            parse_float=_any,
        )
    except UnicodeDecodeError:
        raise _malformed(_NO_UTF_8) from None
    except RecursionError:
        raise _malformed(_TOO_DEEP) from None
    except json.JSONDecodeError as error:
        raise _malformed(f"The body is not well-formed JSON: line {error.lineno}, column {error.colno}") from None


def _first_fault(body: bytes, error: Exception | None, row: int | None) -> Fault:
    """The first thing that is wrong with a large batch."""
    if isinstance(error, UnicodeDecodeError):
        raise _malformed(_NO_UTF_8)
    if isinstance(error, RecursionError):
        raise _malformed(_TOO_DEEP)
    if isinstance(error, msgspec.DecodeError) and not isinstance(error, msgspec.ValidationError):
        raise _malformed(f"The body is not well-formed JSON: {_place(body, error)}")
    pointer = f"/applicants/{row}" if row is not None else _pointer_of(error)
    match = re.match(r"/applicants/(\d+)", pointer)
    faults = _row_faults(body, int(match[1])) if match else []
    if not faults and "of length" in str(error):
        faults = [_miscounted(0 if ">=" in str(error) else MAX_BATCH_ROWS + 1)]
    return faults[0] if faults else _misfit(error, Applicant if match else Batch)


def _row_faults(body: bytes, row: int) -> list[Fault]:
    """The faults of one row of a large batch, unless the row itself is large."""
    try:
        raw = bytes(_decode_raw_rows(body).applicants[row])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, IndexError):
        return []
    if len(raw) > EXPLAINED_BYTES:
        return []
    check_json(raw)
    return _faults_of(Applicant, raw, f"/applicants/{row}")


def _miscounted(rows: int) -> Fault:
    return Fault("/applicants", "too-many" if rows else "too-few", f"must hold 1 to {MAX_BATCH_ROWS} applicants")


def _batch_faults(body: bytes) -> list[Fault]:
    """Row by row, so that many bad rows cost no more than the faults that are told."""
    try:
        rows = _decode_raw_rows(body).applicants
    except msgspec.ValidationError:
        return _faults_of(Batch, body, "")
    if not 1 <= len(rows) <= MAX_BATCH_ROWS:
        return [_miscounted(len(rows))]
    faults: list[Fault] = []
    for number, raw in enumerate(rows):
        faults += _faults_of(Applicant, bytes(raw), f"/applicants/{number}")
        if len(faults) >= MAX_FAULTS:
            break
    return faults[:MAX_FAULTS]


def _faults_of(model: type[BaseModel], body: bytes, pointer: str) -> list[Fault]:
    try:
        model.model_validate_json(body)
    except ValidationError as error:
        return _faults(error, model, pointer)
    return []


def _faults(error: ValidationError, model: type[BaseModel], pointer: str) -> list[Fault]:
    """Pydantic's errors in our words; a key that was misspelt comes before the fields that are missing without it."""
    if error.error_count() > _MANY:
        return [Fault(pointer, "type", f"breaks more than {_MANY} rules of the schema of {model.__name__}")]
    faults = [_fault(one, model, pointer) for one in error.errors(include_input=False, include_url=False)]
    # Unknown keys are not named, so twenty of them would say one thing twenty times, and nothing of what is missing.
    return sorted(dict.fromkeys(faults), key=_rank)[:MAX_FAULTS]


def _rank(fault: Fault) -> int:
    if fault.code != "unknown-key":
        return 2
    return 1 if fault.detail == _UNKNOWN else 0


def _fault(one: Any, model: type[BaseModel], pointer: str) -> Fault:
    """A key that we do not know is the caller's text, maybe a customer's: never repeated."""
    kind, path = one["type"], one["loc"]
    if kind == "json_invalid":  # only what the standard library lets pass: lone surrogates, endless numbers
        raise _malformed(one["msg"].removeprefix("Invalid JSON: ").capitalize())
    detail = one["msg"].removeprefix("Input ")
    if kind == "extra_forbidden":
        path, key = path[:-1], str(path[-1])
        detail = _UNKNOWN + hint(key, model, path)
    return Fault(pointer + _joined(path), RULE_CODES.get(kind, "type"), detail)


def _problem(faults: Sequence[Fault], *, whole: bool = True) -> ProblemError:
    some = not whole or len(faults) >= MAX_FAULTS
    phrase = "rule is broken" if len(faults) == 1 else "rules are broken"
    detail = f"{'At least ' if some else ''}{len(faults)} {phrase}"
    return ProblemError(replace(INVALID, detail=detail, errors=tuple(faults)))


def _malformed(detail: str) -> ProblemError:
    return ProblemError(replace(MALFORMED, detail=detail))


def _misfit(error: Exception | None, model: type[BaseModel]) -> Fault:
    return Fault(_pointer_of(error), "type", f"does not fit the schema of {model.__name__}")


def _pointer_of(error: Exception | None) -> str:
    """`... - at `$.applicants[3].as_of`` as a JSON pointer; only names of our own schema stand there."""
    path = str(error).rpartition("`$")[2].rstrip("`") if error else ""
    return path.replace("[", ".").replace("]", "").replace(".", "/") if path[:1] in (".", "[") else ""


def _place(body: bytes, error: msgspec.DecodeError) -> str:
    """Line and column of `... (byte 17)`, or the end."""
    match = re.search(r"\(byte (\d+)\)", str(error))
    at = int(match[1]) if match else len(body)
    line = body.count(b"\n", 0, at) + 1
    column = at - body.rfind(b"\n", 0, at)
    return f"line {line}, column {column}"


def _joined(path: Iterable[int | str]) -> str:
    """RFC 6901; the schema's own names need no escape."""
    return "".join(f"/{part}" for part in path)


def _unique(pairs: list[tuple[str, Any]]) -> None:
    names = {name for name, _ in pairs}
    if len(names) != len(pairs):
        raise ProblemError(DUPLICATE_KEY)


def _no_constant(_name: str) -> None:
    raise _malformed("NaN and Infinity are no JSON")


def _any(_text: str) -> None:
    """Numbers of any length are well-formed; whether they are allowed is another question."""
