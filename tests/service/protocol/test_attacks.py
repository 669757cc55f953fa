"""Ways to have a request read as something else than it is, each with what becomes of it and of the good one behind it.

The answers are the same wherever the bytes are cut. `KEPT`: both are answered; `LAST`: the first is answered and the
connection ends; else the first is refused with that status, and the connection ends.
"""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from tests.service.protocol.talk import cut, talk

KEPT: Final = 200
LAST: Final = 201
GOOD: Final = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"
GET: Final = b"GET / HTTP/1.1\r\nhost: x\r\n"
POST: Final = b"POST /v1/score HTTP/1.1\r\nhost: x\r\n"
EMPTY: Final = b"0\r\n\r\n"

ATTACKS: Final = {
    "1.0 that would be kept": (b"GET / HTTP/1.0\r\nhost: x\r\nconnection: keep-alive\r\n\r\n", LAST),
    "1.0 without a host": (b"GET / HTTP/1.0\r\n\r\n", LAST),
    "1.0 that expects": (b"POST / HTTP/1.0\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\nabc", LAST),
    "1.0 that upgrades": (
        b"POST / HTTP/1.0\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\ncontent-length: 3\r\n\r\nabc",
        LAST,
    ),
    "0.9": (b"GET /\r\n", 400),
    "HTTP/2's preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "a version of three digits": (b"GET / HTTP/1.10\r\nhost: x\r\n\r\n", 400),
    "a version in small letters": (b"GET / http/1.1\r\nhost: x\r\n\r\n", 400),
    "more behind the version": (b"GET / HTTP/1.1x\r\nhost: x\r\n\r\n", 400),
    "a blank behind the version": (b"GET / HTTP/1.1 \r\nhost: x\r\n\r\n", 400),
    "an answer": (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 400),
    "two blanks": (b"GET  / HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "two blanks behind": (b"GET /  HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "two blanks and an upgrade": (b"GET  / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n", 400),
    "tabs": (b"GET\t/\tHTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "a blank before": (b" GET / HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "empty lines before": (b"\r\n\r\n" + GET + b"\r\n", KEPT),
    "line feeds before": (b"\n\n" + GET + b"\r\n", 400),
    "a return before": (b"\r" + GET + b"\r\n", 400),
    "returns before": (b"\r\n\r\r\n" + GET + b"\r\n", 400),
    "a field folded": (GET + b"x-a: b\r\n\tc\r\n\r\n", 400),
    "the first field folded": (b"GET / HTTP/1.1\r\n host: x\r\n\r\n", 400),
    "a length folded": (POST + b"content-length:\r\n 3\r\n\r\nabc", 400),
    "a coding folded": (POST + b"transfer-encoding:\r\n chunked\r\n\r\n" + EMPTY, 400),
    "line feeds alone": (b"GET / HTTP/1.1\nhost: x\n\n", 400),
    "a line feed that ends a head": (GET + b"\n", 400),
    "a return that ends a head": (b"GET / HTTP/1.1\r\nhost: x\r\r\n", 400),
    "NUL in a target": (b"GET /\0 HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "high bytes in a target": (b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "DEL in a value": (GET + b"x-a: b\x7fc\r\n\r\n", 400),
    "DEL in a name": (GET + b"x\x7f: y\r\n\r\n", 400),
    "UTF-8 in a name": (GET + b"x\xc3\xa9: y\r\n\r\n", 400),
    "no name": (GET + b": y\r\n\r\n", 400),
    "no colon": (GET + b"xyz\r\n\r\n", 400),
    "a blank behind a name": (b"GET / HTTP/1.1\r\nhost : x\r\n\r\n", 400),
    "a whole target with a port": (b"GET http://x:3000/livez HTTP/1.1\r\nhost: y\r\n\r\n", KEPT),
    "a whole target of IPv6": (b"GET http://[::1]:3000/livez HTTP/1.1\r\nhost: y\r\n\r\n", KEPT),
    "a port beyond all": (b"GET http://x:99999/livez HTTP/1.1\r\nhost: y\r\n\r\n", 400),
    "a whole target without a host": (b"GET http:///livez HTTP/1.1\r\nhost: y\r\n\r\n", 400),
    "another scheme": (b"GET ftp://x/livez HTTP/1.1\r\nhost: y\r\n\r\n", 400),
    "two equal hosts": (GET + b"host: x\r\n\r\n", 400),
    "a list of hosts": (b"GET / HTTP/1.1\r\nhost: x, y\r\n\r\n", 400),
    "a host with a path": (b"GET / HTTP/1.1\r\nhost: x/y\r\n\r\n", 400),
    "a host with a user": (b"GET / HTTP/1.1\r\nhost: a@x\r\n\r\n", 400),
    "close among others": (GET + b"connection: close, keep-alive\r\n\r\n", LAST),
    "close behind another": (GET + b"connection: keep-alive\r\nconnection: close\r\n\r\n", LAST),
    "close in quotes": (GET + b'connection: "close"\r\n\r\n', KEPT),
    "a length that is named an option": (POST + b"connection: content-length\r\ncontent-length: 3\r\n\r\nabc", KEPT),
    "a proxy's connection": (GET + b"proxy-connection: close\r\n\r\n", LAST),
    "identity, then chunked": (POST + b"transfer-encoding: identity, chunked\r\n\r\n" + EMPTY, 501),
    "chunked, then identity": (POST + b"transfer-encoding: chunked, identity\r\n\r\n" + EMPTY, 400),
    "an empty coding and a length": (POST + b"transfer-encoding:\r\ncontent-length: 3\r\n\r\nabc", 400),
    "a comma before chunked": (POST + b"transfer-encoding: ,chunked\r\n\r\n" + EMPTY, 501),
    "a comma behind chunked": (POST + b"transfer-encoding: chunked,\r\n\r\n" + EMPTY, 400),
    "a parameter of chunked": (POST + b"transfer-encoding: chunked;a=b\r\n\r\n" + EMPTY, 501),
    "chunked in quotes": (POST + b'transfer-encoding: "chunked"\r\n\r\n' + EMPTY, 501),
    "chunked twice": (POST + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n" + EMPTY, 400),
    "chunked in capitals": (POST + b"transfer-encoding: CHUNKED\r\n\r\n" + EMPTY, KEPT),
    "a GET in chunks": (GET + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n" + EMPTY, KEPT),
    "gzip alone": (POST + b"transfer-encoding: gzip\r\n\r\nabc", 501),
    "a list of equal lengths": (POST + b"content-length: 3, 3\r\n\r\nabc", 400),
    "two equal lengths": (POST + b"content-length: 3\r\ncontent-length: 3\r\n\r\nabc", 400),
    "a fraction of a length": (POST + b"content-length: 3.0\r\n\r\nabc", 400),
    "a power of a length": (POST + b"content-length: 3e0\r\n\r\nabc", 400),
    "a blank in a length": (POST + b"content-length: 3 3\r\n\r\nabc", 400),
    "an underscore in a length": (POST + b"content-length: 1_0\r\n\r\n0123456789", 400),
    "an empty length": (POST + b"content-length:\r\n\r\n", 400),
    "a raised length": (POST + b"content-length: \xb2\r\n\r\nab", 400),
    "a length beyond 64 bits": (POST + b"content-length: 18446744073709551619\r\n\r\nabc", 400),
    "a length between tabs": (POST + b"content-length:\t3\t\r\n\r\nabc", KEPT),
    "a length of another name": (POST + b"content_length: 40\r\n\r\n", KEPT),
    "expecting twice": (POST + b"expect: 100-continue\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\nabc", KEPT),
    "expecting with a parameter": (POST + b"expect: 100-continue;a\r\ncontent-length: 3\r\n\r\nabc", KEPT),
    "expecting for nothing": (POST + b"expect: 100-continue\r\ncontent-length: 0\r\n\r\n", KEPT),
    "HEAD with a body": (b"HEAD / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc", KEPT),
    "HEAD in chunks": (b"HEAD / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n" + EMPTY, KEPT),
    "OPTIONS with a body": (b"OPTIONS / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc", KEPT),
    "OPTIONS of all": (b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n", KEPT),
}


@pytest.mark.parametrize(("data", "fate"), ATTACKS.values(), ids=ATTACKS.keys())
def test_an_attack_is_what_it_is(data: bytes, fate: int) -> None:
    """In one read, and cut at every place."""
    wanted = {KEPT: ([200, 200], 2, False), LAST: ([200], 1, True)}.get(fate, ([fate], 0, True))

    async def work() -> None:
        for place in range(len(data + GOOD)):
            found = await talk(cut(data + GOOD, [place]))
            assert (found.statuses, len(found.echo.asked), found.ended) == wanted, place

    asyncio.run(work())


@pytest.mark.parametrize(
    "bad", [b"\0", b"\n", POST + b"content-length: x\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\0\x01"]
)
def test_what_is_good_before_a_fault_is_answered(bad: bytes) -> None:
    """In its order, then the fault, and nothing of what comes behind it."""

    async def work() -> None:
        data = GOOD * 3 + bad + GOOD
        for place in range(len(data)):
            found = await talk(cut(data, [place]))
            assert (found.statuses, len(found.echo.asked), found.ended) == ([200, 200, 200, 400], 3, True), place

    asyncio.run(work())
