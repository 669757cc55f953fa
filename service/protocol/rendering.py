"""An answer as bytes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from http import HTTPStatus
from typing import Final

from service.middleware.edge import fixed_headers, own_headers
from service.web.exchange import Call, Reply

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS_LINES: Final = {int(one): b"HTTP/1.1 %d %s\r\n" % (one, one.phrase.encode()) for one in HTTPStatus}


def rendered(call: Call, reply: Reply, server: Iterable[tuple[bytes, bytes]], *, closing: bool) -> bytes:
    """The whole answer; `server` has the headers that the server adds to every one. A HEAD gets no body."""
    headers = (*server, *own_headers(call, reply, closing=closing))
    body = b"" if call.method == "HEAD" else reply.body
    return b"".join((_STATUS_LINES[reply.status], _lines(headers), _end(reply.media_type), body))


@cache
def _end(media_type: bytes) -> bytes:
    return _lines(fixed_headers(media_type)) + b"\r\n"


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join([b"%s: %s\r\n" % pair for pair in headers])
