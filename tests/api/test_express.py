"""The short way from the wire to the score: the same answers as the ordinary way, however the bytes arrive."""

# pylint: disable=redefined-outer-name,protected-access  # how pytest hands fixtures over

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from service.middleware.edge import Edge
from service.protocol import express
from service.protocol.connection import Connection
from service.protocol.connection_limits import ConnectionLimits
from service.protocol.heads import Head
from service.protocol.inbound import Inbound
from service.web.exchange import Reply
from tests.api.client import Api
from tests.api.running import BODY

Wire = Callable[..., list["Heard"]]


@dataclass(frozen=True)
class Heard:
    """One answer on the wire."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


@pytest.fixture(scope="module")
def taken(edge: Edge) -> Iterator[list[bool]]:
    """Notes for each request whether the short way took it."""
    found: list[bool] = []
    patch, remember, task = pytest.MonkeyPatch(), express.ExpressProtocol._remember, Connection._begin

    def short(protocol: express.ExpressProtocol, head: Head, body_bytes: int) -> None:
        found.append(True)
        remember(protocol, head, body_bytes)

    def ordinary(protocol: Connection, inbound: Inbound) -> None:
        found.append(False)
        task(protocol, inbound)

    patch.setattr(express.ExpressProtocol, "_remember", short)
    patch.setattr(Connection, "_begin", ordinary)
    patch.setattr(Connection, "edge", edge, raising=False)
    patch.setattr(Connection, "connections", ConnectionLimits(), raising=False)
    assert edge.handler is not None
    patch.setattr(edge.handler, "at_once", True)
    yield found
    patch.undo()


@pytest.fixture
def wire(edge: Edge, runner: asyncio.Runner, taken: list[bool]) -> Wire:
    """Sends parts of bytes on one connection and reads so many answers, or one after each part."""

    async def talk(parts: tuple[bytes, ...], answers: int, in_turn: bool) -> list[Heard]:
        config = Config(edge, lifespan="off", access_log=False, log_level="critical")
        config.load()
        state, loop = ServerState(), asyncio.get_running_loop()
        server = await loop.create_server(lambda: express.ExpressProtocol(config, state, {}), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        heard = []
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
                if in_turn:
                    heard.append(await asyncio.wait_for(_answer(reader), 10))
                else:
                    await asyncio.sleep(0.002)
            return heard + [await asyncio.wait_for(_answer(reader), 10) for _ in range(answers)]
        finally:
            writer.close()
            await writer.wait_closed()
            server.close()
            await server.wait_closed()
            while state.connections:
                await asyncio.sleep(0.01)

    def send(*parts: bytes, answers: int = 1, in_turn: bool = False) -> list[Heard]:
        taken.clear()
        return runner.run(talk(parts, 0 if in_turn else answers, in_turn))

    return send


async def _answer(reader: asyncio.StreamReader) -> Heard:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head[:-4].split(b"\r\n")
    headers = {name.lower(): value for name, value in (line.split(b": ", 1) for line in lines)}
    return Heard(int(first.split()[1]), headers, await reader.readexactly(int(headers[b"content-length"])))


def _request(key: str, *more: str, body: bytes = BODY, method: str = "POST", path: str = "/v1/score") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *more]
    lines += [f"X-Api-Key: {key}"] if key else []
    if not any(line.lower().startswith("content-type") for line in more):
        lines.append("Content-Type: application/json")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _told(body: bytes) -> dict[str, object]:
    return {
        name: value
        for name, value in json.loads(body).items()
        if name not in ("prediction_id", "created_at", "request_id", "instance")
    }


@pytest.mark.parametrize(
    ("body", "more", "status"),
    [
        (BODY, (), 200),
        (b'{"annual_income":', (), 400),
        (b"{}", (), 422),
        (BODY, ("Content-Type: text/plain",), 415),
        (BODY, ("Content-Encoding: gzip",), 415),
    ],
)
def test_both_ways_answer_alike(
    wire: Wire, api: Api, taken: list[bool], body: bytes, more: tuple[str, ...], status: int
) -> None:
    """Whole on the short way, and in two pieces on the ordinary one: status, headers and body agree."""
    whole = _request(api.key, *more, body=body)
    cut = len(whole) - 1
    (short,) = wire(whole)
    assert taken == [True]
    (long,) = wire(whole[:cut], whole[cut:])
    assert taken == [False]

    assert short.status == long.status == status
    assert short.headers.keys() == long.headers.keys()
    assert _told(short.body) == _told(long.body)


@pytest.mark.parametrize("key", ["", "qf_live_wrong"])
def test_without_a_good_key_nothing_is_answered(wire: Wire, key: str) -> None:
    """401 in the usual shape."""
    (heard,) = wire(_request(key))
    assert (heard.status, heard.headers[b"content-type"]) == (401, b"application/problem+json")


@pytest.mark.parametrize(
    ("more", "short"),
    [
        ("Idempotency-Key: once", False),
        ("Expect: 100-continue", True),
        ("Connection: close", True),
        ("Connection: upgrade\r\nUpgrade: x", True),
    ],
)
def test_only_a_repeat_needs_more_than_its_turn(
    wire: Wire, api: Api, taken: list[bool], more: str, short: bool
) -> None:
    """Whatever else its head says, a whole request is answered at once; the answer is the same."""
    (heard,) = wire(_request(api.key, more))
    assert (heard.status, taken) == (200, [short])


@pytest.mark.parametrize("size", [40, 200, 1000])
def test_bytes_may_trickle(wire: Wire, api: Api, size: int) -> None:
    """A request in many pieces is answered once."""
    whole = _request(api.key)
    (heard,) = wire(*[whole[at : at + size] for at in range(0, len(whole), size)])
    assert heard.status == 200


def test_pipelined_requests_are_answered_in_order(wire: Wire, api: Api) -> None:
    """Three at once on one connection: the first the short way, the others behind it, all once and in order."""
    bodies = [BODY, b"{}", BODY]
    heard = wire(b"".join(_request(api.key, body=body) for body in bodies), answers=3)
    assert [one.status for one in heard] == [200, 422, 200]
    assert len({one.headers[b"x-request-id"] for one in heard}) == 3


def test_one_connection_serves_many(wire: Wire, api: Api, taken: list[bool]) -> None:
    """One after the other, short ways and others mixed."""
    asked = [_request(api.key), _request(api.key, body=b"", method="GET", path="/v1/model"), _request(api.key)]
    heard = wire(*asked, in_turn=True)
    assert ([one.status for one in heard], taken) == ([200, 200, 200], [True, False])


def test_a_head_is_parsed_once(wire: Wire, api: Api, taken: list[bool]) -> None:
    """From then on it is known, whatever the body; each answer is of its own body."""
    other = BODY.replace(b"12", b"21", 1)
    assert len(other) == len(BODY) != len(BODY[:-1])
    bodies = [BODY, BODY, other, b"{" + b" " * (len(BODY) - 2) + b"}", BODY]
    heard = wire(*[_request(api.key, body=body) for body in bodies], in_turn=True)
    assert ([one.status for one in heard], taken) == ([200, 200, 200, 422, 200], [True])
    assert len({one.headers[b"x-request-id"] for one in heard}) == 5


def test_a_known_head_keeps_its_option(wire: Wire, api: Api, taken: list[bool]) -> None:
    """What the target asks for holds for each request of a connection, and for no other head of it."""
    told = [_request(api.key, path="/v1/score?prediction_set=true"), _request(api.key)]
    heard = wire(*told, *told, in_turn=True)
    assert taken == [True, True]
    assert ["prediction_set" in json.loads(one.body) for one in heard] == [True, False, True, False]


def test_a_head_is_known_whatever_the_length_of_the_body(wire: Wire, api: Api, taken: list[bool]) -> None:
    """No two applicants are equally long, and each is answered as its own length says."""
    bodies = [BODY, BODY + b" ", BODY + b" " * 40, BODY[:-1], b"7", BODY]
    heard = wire(*[_request(api.key, body=body) for body in bodies], in_turn=True)
    assert ([one.status for one in heard], taken) == ([200, 200, 200, 400, 422, 200], [True])


@pytest.mark.parametrize(
    ("length", "status"),
    [("0{}", 200), ("+{}", 400), ("{}, {}", 400), ("{}\r\nContent-Length: {}", 400), ("{}\r\n 1", 400)],
    ids=["zeros", "sign", "list", "twice", "folded"],
)
def test_a_length_that_is_told_otherwise_is_parsed(
    wire: Wire, api: Api, taken: list[bool], length: str, status: int
) -> None:
    """A known head excuses none: what reads otherwise is judged as it would have been."""
    again = _request(api.key)
    number = str(len(BODY))
    other = again.replace(f": {number}\r".encode(), f": {length.replace('{}', number)}\r".encode(), 1)
    first, second = wire(again, other, answers=2)
    assert (first.status, second.status) == (200, status)
    assert taken == ([True, True] if status == 200 else [True, False])


@pytest.mark.parametrize(
    ("parts", "statuses"),
    [
        pytest.param(lambda again, bad: [again[:9], again[9:]], [200], id="in pieces"),
        pytest.param(lambda again, bad: [again + again], [200, 200], id="pipelined"),
        pytest.param(lambda again, bad: [again + again[:50], again[50:]], [200, 200], id="one and a part"),
        pytest.param(lambda again, bad: [again + b"PO", again[2:]], [200, 200], id="one and two bytes"),
        pytest.param(lambda again, bad: [b"\r\n" + again, again], [200, 200], id="an empty line before"),
        pytest.param(lambda again, bad: [bad, again], [401, 200], id="a head of another key"),
        pytest.param(lambda again, bad: [again[:-1] + b" ", again], [400, 200], id="a body that breaks off"),
    ],
)
def test_a_known_head_is_known_only_where_a_request_begins(
    wire: Wire, api: Api, parts: Callable[[bytes, bytes], list[bytes]], statuses: list[int]
) -> None:
    """The bytes decide as they would have without it."""
    again = _request(api.key)
    bad = _request("x" * len(api.key))
    heard = wire(again, again, *parts(again, bad), answers=2 + len(statuses))
    assert [one.status for one in heard[2:]] == statuses


def test_a_known_head_inside_another_request_is_no_request(wire: Wire, api: Api) -> None:
    """Two bytes of another request stand before it, so it is a part of that one, which is no HTTP."""
    again = _request(api.key)
    heard = wire(again, again, again + b"PO", again, in_turn=True)
    assert [one.status for one in heard] == [200, 200, 200, 400]


def test_a_key_that_was_revoked_is_refused_though_its_head_is_known(
    wire: Wire, api: Api, edge: Edge, taken: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is remembered is how bytes read, never whether they are let in."""
    assert edge.handler is not None
    store, asked = edge.handler.access.store, iter([False, False])
    verify = store.verify
    monkeypatch.setattr(store, "verify", lambda shown, now: None if next(asked, True) else verify(shown, now))
    heard = wire(*[_request(api.key)] * 3, in_turn=True)
    assert ([one.status for one in heard], taken) == ([200, 200, 401], [True])


@pytest.mark.parametrize("path", ["/v1/score", "/v1/score?"])
def test_headers_are_measured_on_kept_connections_too(wire: Wire, api: Api, path: str) -> None:
    """16 KiB hold for the second request as for the first, whichever way it goes."""
    _, heard = wire(_request(api.key), _request(api.key, "X-Long: " + "x" * 20_000, path=path), answers=2)
    assert heard.status == 431


def test_a_draining_worker_closes_its_connections(wire: Wire, api: Api, edge: Edge, taken: list[bool]) -> None:
    """The answer is still given, and the caller told to connect anew."""
    assert edge.handler is not None
    edge.handler.draining = True
    try:
        (heard,) = wire(_request(api.key))
    finally:
        edge.handler.draining = False
    assert (heard.status, heard.headers[b"connection"], True in taken) == (200, b"close", False)


def test_an_errand_hears_of_failures_where_it_waits(runner: asyncio.Runner) -> None:
    """A failed future raises inside the coroutine, which may still answer."""

    async def run() -> Reply:
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        waited, found = loop.create_future(), []

        async def work() -> Reply:
            try:
                await waited
            except ValueError:
                return Reply(503, b"")
            return Reply(200, b"")

        express.EagerCoroutine(work(), lambda reply: (found.append(reply), done.set())).go()  # type: ignore[arg-type, func-returns-value]
        waited.set_exception(ValueError())
        await asyncio.wait_for(done.wait(), 5)
        return found[0]

    assert runner.run(run()).status == 503
