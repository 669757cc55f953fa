"""One request, one answer, whatever its head says and however its bytes come; and an end to every connection."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, cast

import pytest

from service.protocol import leftover
from service.protocol.connection import Connection
from service.protocol.heads import HEADER_BYTES
from service.protocol.inbound import Inbound
from service.protocol.turns import Turns, TurnTaker
from tests.service.protocol.talk import Echo, Pipe, Talk, cut, talk

HIDDEN = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"  # a body that looks like a request
ODD = {
    "plain": b"x-a: b",
    "h2c": b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__",
    "websocket": b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: eA==",
    "any upgrade": b"connection: upgrade\r\nupgrade: x/2, y",
    "upgrade alone": b"upgrade: h2c",
    "options": b"connection: te, x-a, keep-alive\r\nx-a: b",
    "expect": b"expect: 100-continue",
    "expect more": b"expect: 200-ok, x=y",
    "blanks": b"x-a:  b \t ",
    "max-forwards": b"max-forwards: 0",
}
TARGETS = [b"/v1/score", b"/v1/score/batch", b"http://elsewhere/v1/score", b"/v1/score?x=y"]


def run(*parts: bytes, echo: Echo | None = None, half_close: bool = False) -> Talk:
    """`talk` in a loop of its own."""
    return asyncio.run(talk(parts, echo, half_close=half_close))


def request(more: bytes, target: bytes = b"/v1/score", body: bytes = HIDDEN, *, chunked: bool = False) -> bytes:
    """A POST with one more line."""
    head = b"POST %s HTTP/1.1\r\nhost: x\r\n%s\r\n" % (target, more)
    if chunked:
        return head + b"transfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    return head + b"content-length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize("target", TARGETS, ids=["short way", "task", "absolute", "query"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("odd", ODD)
def test_whatever_its_head_says_a_request_has_one_answer_and_one_body(odd: str, chunked: bool, target: bytes) -> None:
    """In one write, cut at every place, and a second time under a head that may be remembered."""
    data = request(ODD[odd], target, chunked=chunked)
    path = "/v1/score/batch" if b"batch" in target else "/v1/score"
    for place in (0, *range(1, len(data), 7), len(data) - 1):
        found = run(*cut(data, [place]), data)
        assert found.echo.asked == [("POST", path, HIDDEN)] * 2, place
        assert (found.statuses, found.ended) == ([200, 200], False)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST / HTTP/1.1\r\nhost: x\r\nhost: x\r\ncontent-length: 1\r\n\r\na", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\nx-api-key: a\r\nx-api-key: b\r\ncontent-length: 1\r\n\r\na", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\nauthorization: a\r\nauthorization: b\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\na", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: identity, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n0\r\n\r\n", 501),
        (b"POST / HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nhost: x\r\n\r\n", 505),
        (b"GET / HTTP/0.9\r\nhost: x\r\n\r\n", 505),
        (b"CONNECT a:443 HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        (b"CONNECT /v1/score HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nhost: x\n\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
    ],
)
def test_what_may_mean_two_things_is_refused_and_the_connection_ends(head: bytes, status: int) -> None:
    """Nothing after it is read as a request, nothing of it reaches the application."""
    for place in (0, 5, len(head) - 1):
        found = run(*cut(head + HIDDEN, [place]))
        assert (found.statuses, found.ended, found.echo.asked) == ([status], True, [])
        assert b"problem+json" in found.pipe.written
        assert found.echo.noted == [status]


LAST = (
    b"proxy-connection: close",
    b"connection: close",
    b"connection: x, Close ",
    b"Proxy-Connection: keep-alive, close",
)
KEPT = (
    b"connection: closed",
    b'connection: "close"',
    b"connection: ,,",
    b"proxy-connection: keep-alive",
    b"keep-alive: 1",
)


@pytest.mark.parametrize(("field", "last"), [*((one, True) for one in LAST), *((one, False) for one in KEPT)])
@pytest.mark.parametrize("target", TARGETS[:2], ids=["short way", "task"])
def test_a_connection_that_is_kept_takes_the_next_request(field: bytes, last: bool, target: bytes) -> None:
    """A proxy's next caller is never answered for what the one before him said: it is kept, or told that it ends."""
    for known in (0, 2):
        found = run(*[request(b"x-a: b")] * known, request(field, target), request(b"x-a: b"))
        assert found.statuses == [200] * (known + 1 + (not last))
        assert (found.ended, b"connection: close" in found.pipe.written) == (last, last)


HOSTS = {
    b"": 200,
    b"api.example": 200,
    b"api.example:": 200,
    b"x:3000": 200,
    b"[::1]:3000": 200,
    b"a_b.c-d~": 200,
} | dict.fromkeys((b"me:secret@x", b"a b", b"a, b", b"x/y", b"x?y", b"[::1", b"x:port", b"<x>", b"\xe9", b"x#y"), 400)


@pytest.mark.parametrize(("host", "status"), HOSTS.items())
def test_a_host_is_a_host(host: bytes, status: int) -> None:
    """A name or an address with a port, in whatever pieces it comes, also under a head like one that is known."""
    data = request(b"x-a: b").replace(b"host: x", b"host: " + host, 1)
    for parts in ([data], cut(data, [40]), [request(b"x-a: b"), data]):
        found = run(*parts)
        assert found.statuses[-1] == status and found.ended == (status != 200)


TARGET_HOSTS = {b"https://x/v1/score": 200, b"HTTP://x:1/v1/score": 200} | dict.fromkeys(
    (b"http://me:secret@x/v1/score", b"ftp://x/v1/score"), 400
)


@pytest.mark.parametrize(("target", "status"), TARGET_HOSTS.items())
def test_a_whole_target_is_an_address_of_the_service(target: bytes, status: int) -> None:
    """Of the web, and nobody logs in with it."""
    assert run(request(b"x-a: b", target)).statuses == [status]


@pytest.mark.parametrize(
    ("target", "path"),
    [
        pytest.param(b"/v1/%73core", "/v1/score", id="a letter is itself"),
        pytest.param(b"/v1%2Fscore", "/v1%2Fscore", id="a slash parts nothing"),
        pytest.param(b"/v1%2f%73core", "/v1%2f%73core", id="nor beside a letter"),
        pytest.param(b"/" + b"%61" * 400, "/" + "%61" * 400, id="longer than any route"),
        pytest.param(b"/v1%252Fscore", "/v1%2Fscore", id="nothing is decoded twice"),
    ],
)
def test_an_encoded_slash_is_no_border_of_a_path(target: bytes, path: str) -> None:
    """What a proxy in front allows by its path is the route that answers."""
    assert run(request(b"x-a: b", target)).echo.asked[0][1] == path


def test_a_length_may_begin_with_zeros() -> None:
    """It is the same number."""
    for zeros in (b"0" * 10, b"0" * 6000):
        found = run(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %s3\r\n\r\nabc" % zeros)
        assert (found.statuses, found.echo.asked) == ([200], [("POST", "/", b"abc")])


@pytest.mark.parametrize("size", [5, 1 << 20])
def test_trailers_never_become_headers(size: int) -> None:
    """In one read or byte by byte: neither a key nor a host comes from behind."""
    head = (
        b"POST /v1/score HTTP/1.1\r\nhost: x\r\nx-api-key: good\r\ntrailer: x-api-key\r\ntransfer-encoding: chunked\r\n"
    )
    data = head + b"\r\n3\r\nabc\r\n0\r\nx-api-key: bad\r\nhost: y\r\nidempotency-key: z\r\n\r\n"
    found = run(*cut(data, range(size, len(data), size)))
    (headers,) = found.echo.headers
    assert (headers[b"x-api-key"], headers[b"host"], b"idempotency-key" in headers) == (b"good", b"x", False)
    assert found.statuses == [200]


@pytest.mark.parametrize(
    "piece",
    [b"x1: aaaa\r\n", b"a" * 50, b"\0", b"1;" + b"e" * 5000 + b"\r\na\r\n"],
    ids=["many trailers", "an endless name", "no trailer", "extensions"],
)
@pytest.mark.parametrize("early", [False, True], ids=["waiting", "answered"])
def test_what_stands_around_a_body_is_bounded(piece: bytes, early: bool) -> None:
    """Trailers and the lines of chunks have the room of a head; then the connection ends with its one answer."""
    start = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    start += b"" if piece.startswith(b"1;") else b"0\r\n"
    found = run(start, *[piece] * (1 + 3 * HEADER_BYTES // len(piece)), echo=Echo(early=early))
    assert found.ended and len(found.statuses) == 1
    assert found.echo.asked == []


def test_an_applicant_in_chunks_of_one_byte_is_no_abuse() -> None:
    """Their lines are five times the body, and it is read; thirty thousand of them cost more than they pay."""
    start = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    for count, asked in ((1_500, [("POST", "/", b"a" * 1_500)]), (30_000, [])):
        data = start + b"1\r\na\r\n" * count + b"0\r\n\r\n"
        assert run(*cut(data, range(1000, len(data), 1000))).echo.asked == asked


@pytest.mark.parametrize("apart", [False, True], ids=["one read", "next read"])
def test_garbage_never_overtakes_an_answer(apart: bool) -> None:
    """The request before it is answered first, though it still waits for its body's reader."""
    good, bad = request(b"x: y", b"/v1/score/batch"), b"\0garbage"
    found = run(good, bad) if apart else run(good + bad)
    assert (found.statuses, found.ended, len(found.echo.asked)) == ([200, 400], True, 1)


@pytest.mark.parametrize("target", TARGETS[:2], ids=["short way", "task"])
def test_who_closes_one_side_is_answered(target: bytes) -> None:
    """What came before is answered whole; what is cut off is 400; half a head is no request."""
    whole = run(request(b"x: y", target), half_close=True)
    assert (whole.statuses, whole.echo.asked[0][2]) == ([200], HIDDEN)
    assert run(request(b"x: y", target)[:-1], half_close=True).statuses == [400]
    assert run(b"POST /v1/sc", half_close=True).statuses == []


def test_nothing_follows_a_request_that_ends_the_connection() -> None:
    """`Connection: close`, in any company, and HTTP/1.0: what comes after is not read."""
    for line in (
        b"connection: close",
        b"connection: keep-alive, close",
        b"connection: close\r\nconnection: keep-alive",
    ):
        found = run(request(line) + HIDDEN)
        assert (found.statuses, found.ended, len(found.echo.asked)) == ([200], True, 1)
    old = run(b"GET / HTTP/1.0\r\nhost: x\r\n\r\n" + HIDDEN)
    assert (old.statuses, old.ended) == ([200], True)


def test_pipelined_requests_are_answered_in_their_order() -> None:
    """However many came in one read."""
    found = run(b"".join(b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n" % number for number in range(3000)))
    assert [path for _, path, _ in found.echo.asked] == [f"/{number}" for number in range(3000)]
    assert found.statuses == [200] * 3000 and not found.ended


def test_requests_behind_many_others_wait_as_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than so many are made of a read at once, and who sends no more is answered all of them."""
    # pylint: disable=protected-access  # how many wait is seen nowhere else
    deepest, enqueue = 0, Connection._enqueue

    def watched(self: Connection, inbound: Inbound) -> None:
        nonlocal deepest
        enqueue(self, inbound)
        deepest = max(deepest, len(self._queue))

    monkeypatch.setattr(Connection, "_enqueue", watched)
    found = run(HIDDEN * 1000, half_close=True)
    assert found.statuses == [200] * 1000 and 10 < deepest < 100


@pytest.mark.parametrize(
    ("sent", "ends"),
    [
        (b"content-length: 9\r\n\r\nabc", False),
        (b"content-length: 70000\r\n\r\nabc", True),
        (b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n", True),
        (b"expect: 100-continue\r\ncontent-length: 9\r\n\r\n", True),
    ],
    ids=["little is missing", "much is missing", "who knows", "nothing was sent"],
)
def test_an_early_answer_waits_for_little_and_throws_away_much(sent: bytes, ends: bool) -> None:
    """A connection is kept where the rest is short and certain; else its sending side is closed, after the answer."""
    found = run(b"POST / HTTP/1.1\r\nhost: x\r\n" + sent, echo=Echo(early=True))
    assert (found.statuses, found.pipe.ended) == ([401], ends)
    assert b"100 Continue" not in found.pipe.written
    assert (b"connection: close" in found.pipe.written) is ends


def test_a_kept_connection_goes_on_after_the_rest_of_a_refused_body() -> None:
    """The rest is no request, what comes behind it is."""
    start = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(HIDDEN)
    assert run(start, HIDDEN, HIDDEN, echo=Echo(early=True)).statuses == [401, 401]


@pytest.mark.parametrize("pieces", [1, 2, 5, 20])
def test_a_large_body_leaves_the_connection_open_for_the_next(pieces: int) -> None:
    """Reading was paused while its bytes waited; after the answer it goes on."""
    body = b"x" * 300_000
    data = request(b"x: y", b"/v1/score/batch", body)
    found = run(*cut(data, range(150, len(data), len(data) // pieces)), data[:150], data[150:])
    assert [len(one[2]) for one in found.echo.asked] == [300_000] * 2
    assert (found.statuses, found.pipe.paused) == ([200, 200], False)


def test_a_caller_is_told_to_go_on_once_and_only_if_it_is_read() -> None:
    """100 before the body, not after it."""
    head = request(b"expect: 100-continue", body=b"abc")[:-3]
    apart, whole = run(head, b"a", b"bc"), run(head + b"abc")
    assert (apart.pipe.written.count(b"100 Continue"), apart.statuses) == (1, [200])
    assert (whole.pipe.written.count(b"100 Continue"), whole.statuses) == (0, [200])


def test_what_is_thrown_away_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of bytes; the bound of time is that of every connection."""
    monkeypatch.setattr(leftover, "DRAIN_BYTES", 10_000)
    start = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 999999999\r\n\r\n"
    few = run(start, *[b"x" * 1000] * 9, echo=Echo(early=True))
    many = run(start, *[b"x" * 1000] * 12, echo=Echo(early=True))
    assert (few.pipe.closed, many.pipe.closed) == (False, True)


def test_crumbs_take_turns() -> None:
    """Who sends a request byte by byte is read no oftener than his turns come; in a few pieces it is read at once."""
    data = request(b"x: y", b"/v1/score/batch", b"x" * 70_000)
    asked: list[str] = []

    class Counting(Turns):
        """Turns that are there, and counted."""

        def take(self, owner: str, taker: TurnTaker, turns: int = 1) -> bool:
            """Always one."""
            asked.append(owner)
            return True

    def crumbs(*parts: bytes) -> int:
        asked.clear()
        assert asyncio.run(talk(parts, turns=Counting())).statuses[0] == 200
        return len(asked)

    assert crumbs(data[:40], data[40:80], data[80:], data) == 0
    assert crumbs(*[HIDDEN] * 50) == 0  # each of them a request
    assert 50 < crumbs(*cut(data, range(1, 100))) <= 99 - 8
    assert set(asked) == {"192.0.2.1"}


def test_a_large_head_takes_the_turns_that_it_costs() -> None:
    """Where its answer is free: of many small fields as of one large, read or not, sound or not."""
    asked: list[int] = []

    class Counting(Turns):
        """Turns that are there, and counted."""

        def take(self, owner: str, taker: TurnTaker, turns: int = 1) -> bool:
            """Always one."""
            asked.append(turns)
            return True

    class Free(Echo):
        """Nothing is paid."""

        async def answer(self, call: Any) -> Any:
            """As any."""
            reply = await super().answer(call)
            call.tokens = 0
            return reply

    small, large = request(b"x: y", b"/livez"), request(b"x: y\r\n" * 2600 + b"x: y", b"/livez")
    assert len(large) > 15_000
    upgrade = large.replace(b"x: y", b"connection: upgrade\r\nupgrade: x", 1)
    for sent in (small, large, upgrade, large.replace(b"HTTP/1.1", b"HTTP/1.7")):
        asyncio.run(talk([sent], Free(), turns=Counting()))
    assert asked == [1, 4, 4, 4]


def test_crumbs_wait_longer_and_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """However a request's are spread over the time it has, few reads are made for it; the next one's begin anew."""
    data, rests = request(b"x: y", b"/v1/score/batch"), list[float]()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        later = loop.call_later

        def at_once(seconds: float, callback: Any, *args: Any) -> Any:
            if callback.__name__ == "_read_gathered":
                rests.append(seconds)
                seconds = 0.0
            return later(seconds, callback, *args)

        monkeypatch.setattr(loop, "call_later", at_once)
        found = await talk([*cut(data, range(1, 30)), data[:1]], turns=Turns(), first_rest_s=0.02)
        assert found.statuses == [200]

    asyncio.run(run())
    assert len(rests) == 30 - 8 and sum(rests) > 15
    assert all(after in (2 * before, before) for before, after in itertools.pairwise(rests))


def test_crumbs_gather_while_their_turn_is_waited_for() -> None:
    """Reading stops, whoever waits for more of the body, and goes on by itself: the request is whole and answered."""
    data = request(b"x: y", b"/v1/score/batch")
    pauses = 0

    class Pausing(Turns):
        """Counts who has to wait."""

        def take(self, owner: str, taker: TurnTaker, turns: int = 1) -> bool:
            """As any."""
            nonlocal pauses
            # pylint: disable-next=protected-access  # what a connection talks through is seen nowhere else
            assert cast(Pipe, cast(Connection, taker)._transport).paused
            pauses += 1
            return super().take(owner, taker, turns)

    found = asyncio.run(talk(cut(data, range(1, len(data))), turns=Pausing()))
    assert (found.statuses, found.echo.asked) == ([200], [("POST", "/v1/score/batch", HIDDEN)])
    assert pauses
