"""Requests as an odd or hostile client might write them, and what h11 reads in the same bytes.

Each piece that we refuse and h11 takes carries the reason; a disagreement without one is a fault of ours.
"""

from __future__ import annotations

import random
from typing import Final

import h11

Piece = tuple[bytes, str]
Read = tuple[str, bytes, bytes]

HIDDEN: Final = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"
METHODS: Final[list[Piece]] = [
    *[(one, "") for one in (b"POST", b"POST", b"POST", b"GET", b"HEAD", b"PUT", b"OPTIONS", b"DELETE", b"PATCH")],
    (b"CONNECT", "no proxy: CONNECT is refused"),
    (b"MADEUP", "a method that no standard names"),
    (b"get", "a method that no standard names"),
]
TARGETS: Final[list[Piece]] = [
    *[(one, "") for one in (b"/v1/score", b"/v1/score", b"/v1/score", b"/v1/model", b"/v1/score?a=b", b"//v1/score")],
    *[(one, "") for one in (b"http://elsewhere/v1/score", b"http://h", b"*", b"/%2e%2e/x", b"/v1/score/", b"/a;b")],
    (b"elsewhere:80", "a target that is no path"),
    (b"v1/score", "a target that is no path"),
]
VERSIONS: Final[list[Piece]] = [
    *[(b"HTTP/1.1", "")] * 12,
    (b"HTTP/1.0", ""),
    (b"HTTP/2.0", "not HTTP/1"),
    (b"HTTP/0.9", "not HTTP/1"),
    (b"HTTP/1.2", "not HTTP/1"),
    (b"HTTP/1", ""),
    (b"HTTQ/1.1", ""),
]
LINES: Final[list[Piece]] = [
    *[(one, "") for one in (b"x-a: b", b"x-b:", b"accept: */*", b"x-c:  blanks \t", b"X-D: \xe9", b"te: trailers")],
    *[
        (one, "")
        for one in (b"connection: keep-alive", b"connection: close", b"connection: te, close", b"upgrade: h2c")
    ],
    *[(one, "") for one in (b"connection: upgrade\r\nupgrade: h2c", b"connection: Upgrade\r\nUpgrade: websocket")],
    *[
        (one, "")
        for one in (b"expect: 100-continue", b"expect: other", b"trailer: x-api-key", b"keep-alive: timeout=5")
    ],
    (b"x-api-key: a\r\nx-api-key: b", "a field that says one thing is there twice"),
    (b"content-type: a\r\ncontent-type: b", "a field that says one thing is there twice"),
    (b"x-a: b\nx-c: d", "a line that ends in a line feed alone"),
    (b"x-a: b\r\n folded", "a folded line"),
    *[(one, "") for one in (b"x a: b", b"x-a : b", b": b", b"x-a", b"x-a: a\0b", b"host: second", b"x-a: a\rb")],
    (b"x-a: \x01", "a control character"),
]
TRAILERS: Final = (b"", b"", b"x-t: 1\r\n", b"x-api-key: z\r\ncontent-length: 3\r\n", b"host: y\r\n")


def message(draw: random.Random) -> tuple[bytes, set[str]]:
    """One request and the reasons for which we may refuse it."""
    method, target, version = draw.choice(METHODS), draw.choice(TARGETS), draw.choice(VERSIONS)
    lines = [draw.choice(LINES) for _ in range(draw.choice((0, 0, 1, 1, 2, 4)))]
    lines.insert(draw.randrange(len(lines) + 1), (b"host: x", "") if draw.random() < 0.97 else (b"x-none: y", ""))
    framing, body = _framing(draw, draw.choice((b"", b"a", HIDDEN, b"\r\n\r\n", b"0\r\n\r\n", b"x" * 300)), version[0])
    lines.insert(draw.randrange(len(lines) + 1), framing)
    reasons = {one for _, one in (method, target, version, *lines)} - {""}
    head = b" ".join((method[0], target[0], version[0])) + b"\r\n" + b"".join(one + b"\r\n" for one, _ in lines if one)
    return head + b"\r\n" + body, reasons


def _framing(draw: random.Random, body: bytes, version: bytes) -> tuple[Piece, bytes]:
    """How the length of a body is told, rightly or not."""
    size, trailers = len(body), draw.choice(TRAILERS)
    chunks, late = _chunked(draw, body, trailers), "a length in a trailer" if b"content-length" in trailers else ""
    old = "HTTP/1.0 knows no Transfer-Encoding" if version == b"HTTP/1.0" else ""
    twice = "two ways to tell the length"
    ways: list[tuple[bytes, str, bytes]] = [
        *[(b"content-length: %d" % size, "", body)] * 4,
        (b"", "", b""),
        (b"content-length: 000%d" % size, "", body),
        (b"content-length:%d  " % size, "", body),
        *[(b"transfer-encoding: chunked", old or late, chunks)] * 4,
        (b"Transfer-Encoding:  Chunked ", old or late, chunks),
        (b"content-length: %d\r\ntransfer-encoding: chunked" % size, twice, chunks),
        (b"transfer-encoding: chunked\r\ncontent-length: %d" % size, twice, chunks),
        (b"content-length: %d\r\ncontent-length: %d" % (size, size), twice, body),
        (b"content-length: %d, %d" % (size, size), twice, body),
        (b"content-length: %d\r\ncontent-length: 0" % (size + 1), twice, body),
        (b"transfer-encoding: gzip, chunked", late, chunks),
        (b"transfer-encoding: identity", "", body),
        (b"transfer-encoding: chunked, chunked", late, chunks),
        (b"transfer-encoding: xchunked", late, chunks),
        (b"transfer-encoding: chunked\r\ntransfer-encoding: gzip", "", chunks),
        (b"transfer-encoding:\x0bchunked", "a control character", chunks),
        (b"content-length: +%d" % size, "", body),
        (b"content-length: -1", "", body),
        (b"content-length: 0x3", "", body),
    ]
    line, reason, sent = draw.choice(ways)
    return (line, reason), sent


def _chunked(draw: random.Random, body: bytes, trailers: bytes) -> bytes:
    found, at = [], 0
    while at < len(body):
        part = body[at : at + draw.choice((1, 7, 400))]
        extension = draw.choice((b"", b"", b";a", b";a=b"))
        found.append(b"%x%s\r\n%s\r\n" % (len(part), extension, part))
        at += len(part)
    return b"".join(found) + b"0\r\n" + trailers + b"\r\n"


def by_h11(data: bytes) -> tuple[list[Read], str]:
    """The whole requests that h11 reads, and how it ends: `open`, `closed`, `error`, or `short` within a request."""
    server, found = h11.Connection(h11.SERVER), []
    server.receive_data(data)
    request, body = None, b""
    while True:
        try:
            event = server.next_event()
            if event is h11.NEED_DATA:
                return found, "short" if request is not None else "open"
            if event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return found, "closed"
            if isinstance(event, h11.Request):
                request, body = event, b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert request is not None
                found.append((request.method.decode(), bytes(request.target), body))
                request = None
                server.send(h11.Response(status_code=404, headers=[("content-length", "0")]))
                server.send(h11.EndOfMessage())
                if server.our_state is not h11.DONE:
                    return found, "closed"
                server.start_next_cycle()
        except h11.RemoteProtocolError:
            return found, "error"
