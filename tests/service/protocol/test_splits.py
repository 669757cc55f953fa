"""The same bytes have the same answers, however they are cut into reads: one write, any two, many, one byte each."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest

from service.protocol.chunks import CHUNK_BYTES, CHUNKS, Chunks
from service.protocol.heads import HEADER_BYTES
from tests.service.protocol.grammar import HIDDEN, message
from tests.service.protocol.talk import Talk, cut, talk

START = b"POST /v1/score HTTP/1.1\r\nhost: x\r\n"
CHUNKED = START + b"transfer-encoding: chunked\r\n\r\n"
AFTER = b"3\r\nabc\r\n0\r\n\r\n" + HIDDEN
SIZES = (10, HEADER_BYTES // 2, HEADER_BYTES - 100, HEADER_BYTES - 20, HEADER_BYTES, HEADER_BYTES + 1, 40_000, 100_000)


def _sized(size: int) -> Iterator[tuple[str, bytes]]:
    """Requests with so many bytes of one kind."""
    yield "blank lines before", b"\r\n" * (size // 2) + HIDDEN * 2
    yield "a target", b"GET /" + b"a" * size + b" HTTP/1.1\r\nhost: x\r\n\r\n" + HIDDEN
    yield "a field", b"GET / HTTP/1.1\r\nhost: x\r\nx-a: " + b"a" * size + b"\r\n\r\n" + HIDDEN
    yield "blanks of a field", b"GET / HTTP/1.1\r\nhost: x\r\nx-a:" + b" " * size + b"a\r\n\r\n" + HIDDEN
    yield "fields", b"GET / HTTP/1.1\r\nhost: x\r\n" + b"x-a: b\r\n" * (size // 8) + b"\r\n" + HIDDEN
    yield (
        "fields of an upgrade",
        b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n"
        + (b"x-a: b\r\n" * (size // 8) + b"\r\n" + HIDDEN),
    )
    yield "a faulty field", b"GET / HTTP/1.1\r\nhost: x\r\nx-a: " + b"a" * size + b"\0\r\n\r\n" + HIDDEN
    yield "an extension", CHUNKED + b"1;a=" + b"e" * size + b"\r\nx\r\n" + AFTER
    yield "a faulty extension", CHUNKED + b"1;" + b"e" * size + b"\0\r\nx\r\n" + AFTER
    yield "the last extension", CHUNKED + b"0;" + b"e" * size + b"\r\n\r\n" + HIDDEN
    yield "extensions", CHUNKED + b"1;abcdefgh\r\nx\r\n" * (size // 12) + AFTER
    yield (
        "extensions behind a body",
        CHUNKED + b"%x\r\n%b\r\n" % (size, b"x" * size) + b"1;abcdefgh\r\nx\r\n" * (size // 12) + AFTER,
    )
    yield "small chunks", CHUNKED + b"1\r\nx\r\n" * (size // 4) + AFTER
    yield "zeros of a size", CHUNKED + b"0" * size + AFTER
    yield "a trailer", CHUNKED + b"0\r\nx: " + b"a" * size + b"\r\n\r\n" + HIDDEN
    yield "trailers", CHUNKED + b"0\r\n" + b"x:\r\n" * (size // 4) + b"\r\n" + HIDDEN
    yield "a faulty trailer", CHUNKED + b"0\r\nx: " + b"a" * size + b"\0\r\n\r\n" + HIDDEN
    yield "requests", HIDDEN * (size // len(HIDDEN) + 1)
    yield "a body", START + b"content-length: %d\r\n\r\n" % size + b"x" * size + HIDDEN
    yield "a faulty body", CHUNKED + b"%x\r\n%b" % (size, b"x" * size) + b"xx" + HIDDEN


ODD = {
    "a size in other words": b"0x3\r\nabc\r\n0\r\n\r\n",
    "a sign": b"+3\r\nabc\r\n0\r\n\r\n",
    "a blank before a size": b" 3\r\nabc\r\n0\r\n\r\n",
    "a blank behind a size": b"3 \r\nabc\r\n0\r\n\r\n",
    "a tab behind a size": b"3\t;a\r\nabc\r\n0\r\n\r\n",
    "no size": b"\r\nabc\r\n0\r\n\r\n",
    "no size but an extension": b";a\r\nabc\r\n0\r\n\r\n",
    "a line feed alone": b"3\nabc\n0\n\n",
    "a return alone": b"3\rabc\r0\r\r",
    "a line feed behind a chunk": b"3\r\nabc\n0\r\n\r\n",
    "nothing behind a chunk": b"3\r\nabc0\r\n\r\n",
    "a chunk that is longer": b"3\r\nabcd\r\n0\r\n\r\n",
    "a line feed in an extension": b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    "a return in an extension": b"3;a\rb\r\nabc\r\n0\r\n\r\n",
    "a huge size": b"ffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "a size beyond all": b"10000000000000003\r\nabc\r\n0\r\n\r\n",
    "a last chunk of many zeros": b"3\r\nabc\r\n0000\r\n\r\n",
    "capitals": b"0A\r\n0123456789\r\n0\r\n\r\n",
    "a folded trailer": b"0\r\nx: a\r\n b\r\n\r\n",
    "a blank last line": b"0\r\n \r\n",
    "no last line": b"0\r\n" + HIDDEN,
}


def _seen(found: Talk) -> tuple[list[int], list[tuple[str, str, bytes]], bool]:
    return found.statuses, found.echo.asked, found.ended


def _places(draw: random.Random, size: int) -> Iterator[list[int]]:
    """Ways to cut so many bytes."""
    for count in (1, 1, 2, 5, 40):
        yield [draw.randrange(size) for _ in range(count)]
    step = draw.choice((7, 1000, 1460, 4096))
    yield list(range(step, size, step))
    yield list(range(1, size)) if size < 1500 else [size // 2, *range(size - 300, size)]


def _same(data: bytes, draw: random.Random) -> None:
    async def work() -> None:
        whole = _seen(await talk([data]))
        for places in _places(draw, len(data)):
            assert _seen(await talk(cut(data, places))) == whole, (data[:300], places[:50])

    asyncio.run(work())


@pytest.mark.parametrize("size", SIZES)
def test_what_is_bounded_is_bounded_wherever_it_is_cut(size: int) -> None:
    """Around each bound and far beyond it, of each thing that has one."""
    draw = random.Random(size)
    for _, data in _sized(size):
        _same(data, draw)


@pytest.mark.parametrize("body", ODD.values(), ids=ODD.keys())
def test_odd_chunks_are_as_odd_in_pieces(body: bytes) -> None:
    """Cut at every place, and a good request behind them."""
    data = CHUNKED + body + HIDDEN

    async def work() -> None:
        whole = _seen(await talk([data]))
        for place in range(len(CHUNKED), len(data)):
            assert _seen(await talk(cut(data, [place]))) == whole, place

    asyncio.run(work())


def test_what_clients_send_is_the_same_in_any_pieces() -> None:
    """Hundreds of odd requests, one behind another."""
    draw = random.Random(31)
    for _ in range(250):
        _same(b"".join(message(draw)[0] for _ in range(draw.choice((1, 2, 3)))), draw)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(10))
def test_what_clients_send_is_the_same_in_any_pieces_at_length(seed: int) -> None:
    """As above, thousands."""
    draw = random.Random(seed)
    for _ in range(1500):
        _same(b"".join(message(draw)[0] for _ in range(draw.choice((1, 2, 3)))), draw)


def _statuses(data: bytes) -> list[int]:
    return asyncio.run(talk([data])).statuses


def test_the_bounds_are_where_they_are_said_to_be() -> None:
    """Of a head from its first byte to its last; of the lines around chunks; of trailers; of chunks."""
    head = b"GET / HTTP/1.1\r\nhost: x\r\nx-a: %b\r\n\r\n"
    room = HEADER_BYTES - len(head % b"")
    assert [_statuses(head % (b"a" * size)) for size in (room, room + 1)] == [[200], [431]]
    border = CHUNKED + b"1;%b\r\nx\r\n0\r\n\r\n"
    room = HEADER_BYTES - len(b"1;\r\n")
    assert [_statuses(border % (b"e" * size)) for size in (room - 4, room + 1)] == [[200], [431]]
    last = CHUNKED + b"0\r\nx: %b\r\n\r\n"
    room = HEADER_BYTES - len(b"x: \r\n\r\n")
    assert [_statuses(last % (b"a" * size)) for size in (room, room + 1)] == [[200], [431]]
    many = [CHUNKED + b"1\r\nx\r\n" * count + b"0\r\n\r\n" for count in (CHUNKS, CHUNKS + CHUNK_BYTES)]
    assert [_statuses(one) for one in many] == [[200], [431]]


def test_a_body_behind_which_a_fault_stands_is_read_first() -> None:
    """Who takes no more of it says so, whether the fault came in the same read or later."""
    data = b"400\r\n" + b"x" * 1024 + b"\r\n3\r\nabcfault"
    chunks = Chunks()
    body, _ = chunks.read(data, 0)
    assert (body, chunks.fault is not None, chunks.ended) == (b"x" * 1024 + b"abc", True, False)
