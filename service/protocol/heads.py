"""What the head of a request says, judged before anything is done about it: pure, from the parser's pieces."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import unquote

import httptools

from service.errors import ProblemError
from service.problems import BAD_HEADER, TRANSFER_CODING, VERSION
from service.web.fields import headers_by_name

HEADER_BYTES: Final = 16 * 1024
_UNQUOTED_BYTES: Final = 512  # of a path; a longer one is no route's, and unquoting takes a microsecond for six
_VERSIONS: Final = ("1.1", "1.0")
_HOST: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[\w.~!$&'()*+,;=%-]*)(?::[0-9]*)?")  # RFC 3986, 3.2.2; \w is ASCII's
_SCHEMES: Final = (None, b"http", b"https")


class Head(NamedTuple):
    """A request without its body. `length` is None where the body tells its own length, chunk by chunk."""

    method: str
    path: str
    query: bytes
    headers: dict[bytes, bytes]
    length: int | None
    keep_alive: bool
    expects: bool  # to be told to go on before it sends its body


def read_head(method: bytes, target: bytes, version: str, pairs: Iterable[tuple[bytes, bytes]]) -> Head:
    """The head, if it can mean one thing alone.

    Raises:
        ProblemError: 400, 501 or 505; where the next request begins is not to be believed then.
    """
    if version not in _VERSIONS:
        raise ProblemError(VERSION)
    if method == b"CONNECT":
        raise ProblemError(BAD_HEADER.saying("The service is no proxy"))
    headers = headers_by_name(pairs)
    if b"host" not in headers and version == "1.1":
        raise ProblemError(BAD_HEADER.saying("The header Host is missing"))
    if not _HOST.fullmatch(headers.get(b"host", b"")):
        raise ProblemError(BAD_HEADER.saying("The header Host is no host"))
    path, query = _target(target)
    return Head(
        method.decode("ascii"),
        path,
        query,
        headers,
        _length(headers, version),
        version == "1.1" and b"close" not in _tokens(headers.get(b"connection", b"")),
        version == "1.1" and b"100-continue" in _tokens(headers.get(b"expect", b"")),
    )


def _target(target: bytes) -> tuple[str, bytes]:
    """Path and query, of a path or of a whole URL."""
    try:
        url = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        raise ProblemError(BAD_HEADER.saying("The request's target is no path")) from None
    if url.userinfo is not None or (url.schema and url.schema.lower()) not in _SCHEMES:
        raise ProblemError(BAD_HEADER.saying("The request's target is no address of the service"))
    path: str = (url.path or b"/").decode("ascii")
    if (
        "%" in path and len(path) <= _UNQUOTED_BYTES and "%2f" not in path.lower()
    ):  # an encoded slash parts nothing (RFC 3986, 2.2): no route has one
        path = unquote(path)
    return path, url.query or b""


def _length(headers: dict[bytes, bytes], version: str) -> int | None:
    coding = headers.get(b"transfer-encoding")
    if coding is None:
        declared = headers.get(b"content-length")
        if declared is None:
            return 0
        headers[b"content-length"] = declared = (
            declared.lstrip(b"0") or b"0"
        )  # thousands of zeros are no number to Python
        return int(declared)
    if version == "1.0":
        raise ProblemError(BAD_HEADER.saying("HTTP/1.0 knows no Transfer-Encoding"))
    if coding.lower() != b"chunked":
        raise ProblemError(TRANSFER_CODING)
    return None


def _tokens(value: bytes) -> list[bytes]:
    return [token.strip() for token in value.lower().split(b",")] if value else []
