"""From bytes to an applicant: strict JSON, strict types, and every broken rule named by a JSON pointer, never by value.

Two ways that agree. The fast way decodes with msgspec into structs that are made from the contract's own fields. A
duplicate key shows in the number of quotes, since a valid body holds no other strings than its keys and values. What
the fast way does not accept, the slow way explains: the standard library judges the JSON (duplicates, NaN, depth), then
pydantic, the contract itself, names the broken rules.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from difflib import get_close_matches
from types import NoneType
from typing import Annotated, Any, Final, TypeVar, cast, get_args

import msgspec
import numpy as np
from pydantic import BaseModel, ValidationError

from service.contract import MAX_BATCH_ROWS, RULE_CODES, Applicant, Batch
from service.errors import ProblemError
from service.problems import DUPLICATE_KEY, INVALID, MALFORMED, Fault

MAX_FAULTS: Final = 20  # named in one answer
_OPTIONAL: Final = tuple(name for name, field in Applicant.model_fields.items() if not field.is_required())
_REQUIRED_COUNT: Final = len(Applicant.model_fields) - len(_OPTIONAL)
_RULES: Final = ("ge", "le", "max_length", "pattern")

Body = TypeVar("Body", bound=BaseModel)


def _struct_fields() -> Iterable[tuple[str, Any] | tuple[str, Any, Any]]:
    """The contract's fields as msgspec knows them; the two optional ones tell absent from null."""
    for name, field in Applicant.model_fields.items():
        rules = {
            rule: getattr(one, rule)
            for one in field.metadata
            for rule in _RULES
            if getattr(one, rule, None) is not None
        }
        if "pattern" in rules:  # in Python's regular expressions $ stands before a last line feed too
            rules["pattern"] = rules["pattern"].removesuffix("$") + r"\Z"
        arms = [arm for arm in get_args(field.annotation) if arm is not NoneType]
        nullable = len(arms) < len(get_args(field.annotation))
        kind: Any = arms[0] if nullable else field.annotation
        kind = Annotated[kind, msgspec.Meta(**rules)] if rules else kind
        kind = kind | None if nullable else kind
        yield (name, kind) if field.is_required() else (name, kind | msgspec.UnsetType, msgspec.UNSET)


_Row: Final[Any] = msgspec.defstruct("_Row", list(_struct_fields()), forbid_unknown_fields=True, kw_only=True, gc=False)
_Rows: Final[Any] = msgspec.defstruct(
    "_Rows",
    [("applicants", Annotated[list[_Row], msgspec.Meta(min_length=1, max_length=MAX_BATCH_ROWS)])],
    forbid_unknown_fields=True,
)
_RawRows: Final[Any] = msgspec.defstruct("_RawRows", [("applicants", list[msgspec.Raw])], forbid_unknown_fields=True)
_decode_row: Final = msgspec.json.Decoder(_Row).decode
_decode_rows: Final = msgspec.json.Decoder(_Rows).decode
_decode_raw_rows: Final = msgspec.json.Decoder(_RawRows).decode


def applicant(body: bytes) -> Applicant:
    """The applicant in a body (a struct with the contract's fields; read-only by convention).

    Raises:
        ProblemError: 400 if this is no JSON, 422 with the broken rules.
    """
    try:
        row = _decode_row(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _refusal(body, error, Applicant, lambda: _faults_of(Applicant, body, "")) from None
    if not _lawful(row):
        raise _refusal(body, None, Applicant, lambda: _faults_of(Applicant, body, ""))
    if _quotes(row) != body.count(b'"'):
        _check_json(body)
    return _finished(row)


def applicants(body: bytes) -> list[Applicant]:
    """The applicants of a batch, in order.

    Raises:
        ProblemError: as `applicant`; pointers begin with `/applicants/<row>`.
    """
    try:
        rows = _decode_rows(body).applicants
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _refusal(body, error, Batch, lambda: _batch_faults(body)) from None
    if not all(map(_lawful, rows)):
        raise _refusal(body, None, Batch, lambda: _batch_faults(body))
    quotes = np.count_nonzero(np.frombuffer(body, np.uint8) == ord('"'))  # a fifth of the time of bytes.count
    if sum(map(_quotes, rows)) + 2 != quotes:
        _check_json(body)
    return [_finished(row) for row in rows]


def document(model: type[Body], body: bytes) -> Body:
    """Any other body of the contract (outcome, review), read the slow way.

    Raises:
        ProblemError: 400 if this is no JSON, 422 with the broken rules.
    """
    _check_json(body)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _problem(_faults(error, model, "")) from None


def _lawful(row: Any) -> bool:
    """The contract's two rules that are no rule of one field: see `Applicant`'s validators."""
    if row.as_of and row.as_of > _today():
        return False
    return not row.loan_types or len(row.loan_types) == row.num_loans


def _today() -> date:
    return datetime.now(UTC).date()


def _quotes(row: Any) -> int:
    """How many quotes a body of exactly these keys and values has."""
    strings = len(row.loan_types) + _REQUIRED_COUNT
    strings += (
        (row.credit_mix is not None) + (row.payment_of_min_amount is not None) + (row.payment_behaviour is not None)
    )
    for value in (row.customer_ref, row.as_of):
        if value is not msgspec.UNSET:
            strings += 1 if value is None else 2
    return 2 * strings


def _finished(row: Any) -> Applicant:
    """Absent and null are one thing from here on."""
    if row.customer_ref is msgspec.UNSET:
        row.customer_ref = None
    if row.as_of is msgspec.UNSET:
        row.as_of = None
    return cast(Applicant, row)  # the same fields with the same types, at a fifth of the cost


def _refusal(
    body: bytes, error: Exception | None, model: type[BaseModel], explain: Callable[[], list[Fault]]
) -> ProblemError:
    """Why the fast way did not accept a body."""
    _check_json(body)
    faults = explain()
    if not faults:
        # Pydantic is laxer in one place only: it takes a date written as seconds in a string.
        faults = [Fault(_msgspec_pointer(error), "type", f"does not fit the schema of {model.__name__}")]
    return _problem(faults)


def _problem(faults: Sequence[Fault]) -> ProblemError:
    count = f"At least {len(faults)}" if len(faults) >= MAX_FAULTS else str(len(faults))
    broken = "rule is broken" if count == "1" else "rules are broken"
    return ProblemError(replace(INVALID, detail=f"{count} {broken}", errors=tuple(faults)))


def _msgspec_pointer(error: Exception | None) -> str:
    """`... - at `$.applicants[3].as_of`` as a JSON pointer; only names of our own schema stand there."""
    path = str(error).rpartition("`$")[2].rstrip("`") if error else ""
    return path.replace("[", ".").replace("]", "").replace(".", "/") if path[:1] in (".", "[") else ""


def _batch_faults(body: bytes) -> list[Fault]:
    """Row by row, so that a thousand bad rows cost no more than the faults that are told."""
    try:
        rows = _decode_raw_rows(body).applicants
    except msgspec.ValidationError:
        return _faults_of(Batch, body, "")
    if not 1 <= len(rows) <= MAX_BATCH_ROWS:
        return [Fault("/applicants", "too-many" if rows else "too-few", f"must hold 1 to {MAX_BATCH_ROWS} applicants")]
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
    """Pydantic's errors in our words. A key we do not know is the caller's text, maybe a customer's: never repeated."""
    faults = []
    for one in error.errors(include_input=False, include_url=False, include_context=False)[:MAX_FAULTS]:
        kind, path = one["type"], one["loc"]
        if kind == "json_invalid":  # only what the standard library lets pass: lone surrogates, endless numbers
            raise ProblemError(replace(MALFORMED, detail=one["msg"].removeprefix("Invalid JSON: ").capitalize()))
        detail = one["msg"].removeprefix("Input ")
        if kind == "extra_forbidden":
            detail, path = _unknown_key(str(path[-1]), model), path[:-1]
        faults.append(Fault(pointer + _pointer(path), RULE_CODES.get(kind, "type"), detail))
    return faults


def _unknown_key(name: str, model: type[BaseModel]) -> str:
    close = get_close_matches(name, model.model_fields, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"has a key that the schema does not know{hint}"


def _pointer(path: Sequence[int | str]) -> str:
    """RFC 6901; the schema's own names need no escape."""
    return "".join(f"/{part}" for part in path)


def _check_json(body: bytes) -> None:
    """Raise what is wrong with the JSON itself: encoding, grammar, NaN, depth, a key named twice."""
    try:
        json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_int=_any,
            parse_float=_any,
        )
    except UnicodeDecodeError:
        raise ProblemError(replace(MALFORMED, detail="The body is not UTF-8")) from None
    except RecursionError:
        raise ProblemError(replace(MALFORMED, detail="The body is nested too deeply")) from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ProblemError(replace(MALFORMED, detail=f"The body is not well-formed JSON: {where}")) from None


def _unique(pairs: list[tuple[str, Any]]) -> None:
    names = {name for name, _ in pairs}
    if len(names) != len(pairs):
        raise ProblemError(DUPLICATE_KEY)


def _no_constant(_name: str) -> None:
    raise ProblemError(replace(MALFORMED, detail="NaN and Infinity are no JSON"))


def _any(_text: str) -> None:
    """Numbers of any length are well-formed; whether they are allowed is another question."""
