"""A request that is sent again: the header that names it, and the one that marks the answer it was given before."""

from __future__ import annotations

from typing import Final

from service.errors import ProblemError
from service.problems import BAD_HEADER
from service.web.exchange import Call, Headers

REPLAYED: Final[Headers] = ((b"idempotent-replayed", b"true"),)
_KEY_MAX: Final = 255


def idempotency_key(call: Call) -> str | None:
    """What names this request among the caller's; None where it has no name.

    Raises:
        ProblemError: 400 for what is no name.
    """
    value = call.headers.get(b"idempotency-key")
    if value is None:
        return None
    if not 1 <= len(value) <= _KEY_MAX or not all(0x21 <= byte <= 0x7E for byte in value):
        detail = f"Idempotency-Key must be 1 to {_KEY_MAX} visible ASCII characters"
        raise ProblemError(BAD_HEADER.saying(detail))
    return value.decode("ascii")
