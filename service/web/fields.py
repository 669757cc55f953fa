"""The header fields that the service reads: which they are, and that each says one thing.

A field that nobody reads is not kept: a caller may send sixteen thousand bytes of them, and each would cost thirteen
times its size. A field that may be a list is joined, as HTTP says; of any other a second one is refused, since two
readers on the way (a proxy and this service) might choose differently.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from service.errors import ProblemError
from service.problems import BAD_HEADER

# A `traceparent` that is there twice is joined and so none: a caller's tracing must not refuse his request.
_LISTS: Final = frozenset(
    (b"accept-language", b"connection", b"expect", b"traceparent", b"transfer-encoding", b"x-forwarded-for")
)
_SINGLE: Final = frozenset(
    (
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"host",
        b"idempotency-key",
        b"x-api-key",
    )
)
READ: Final = _LISTS | _SINGLE


def headers_by_name(pairs: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The fields that are read, by their names in lower case, without blanks around their values.

    Raises:
        ProblemError: 400 where a field that says one thing is there twice.
    """
    fields: dict[bytes, bytes] = {}
    for name, value in pairs:
        if name not in READ:
            continue
        value = value.strip(b" \t")
        if name not in fields:
            fields[name] = value
        elif name in _LISTS:
            fields[name] += b", " + value
        else:
            raise ProblemError(BAD_HEADER.saying(f"The header {name.decode()} is there twice"))
    return fields
