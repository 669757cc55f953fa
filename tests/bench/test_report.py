"""The benchmark of serving tells ratios round by round and bands run by run, with what was asked."""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count
from pathlib import Path

import pytest

from infra.settings import ROOT
from tests.bench import runs, serving
from tests.bench.applicants import bodies_of
from tests.bench.load import PYTHON, Client, Figures, Load, Peer, visit
from tests.bench.report import OURS, absolute, ratios, relative

LOAD = Load(16)


def _peer(name: str, rps: list[float]) -> Peer:
    found = [Figures(rps=one, p50_ms=1e3 / one, p99_ms=4e3 / one, cpu_us=1e6 / one, bad=0) for one in rps]
    return Peer(name, [], 0, [], found={LOAD: found})


def test_a_ratio_is_of_the_same_round() -> None:
    """A machine that is twice as fast in the second round moves no ratio."""
    ours, peer = _peer(OURS, [100.0, 200.0]), _peer("fastapi_list", [40.0, 80.0])
    assert ratios(ours, peer, LOAD, lambda one: one.rps) == (2.5, 2.5, 2.5)


def test_the_tables_name_target_and_spread() -> None:
    """Requests, what was asked, processor time and latency, a line a peer."""
    ours, peer = _peer(OURS, [100.0, 200.0, 300.0]), _peer("fastapi_list", [40.0, 40.0, 40.0])
    assert "| fastapi_list | 5.00 (3.00–7.00) | 3 | 5.00 (3.00–7.00) | 0.200 (0.147–0.360) |" in relative(
        ours, [peer], LOAD
    )
    assert "| credit-score | 200 | 5.000 | 20.00 | 4.0 | 5000 | 0.00 | 0 |" in absolute([ours], LOAD, "One applicant")


@pytest.mark.parametrize("rps", [0.0, 40.0])
def test_a_server_that_answers_nothing_has_no_ratio(rps: float) -> None:
    """It is told as such, as where another answered in its place, and the others are compared all the same."""
    ours, slow = _peer(OURS, [100.0, 200.0]), _peer("slow", [40.0, 40.0])
    slow.found[LOAD][1] = Figures(rps=rps, p50_ms=0.0, p99_ms=0.0, cpu_us=0.0, bad=0)
    many = [Peer(OURS, [], 0, [], found={Load(1): ours.found[LOAD]})]
    assert "| slow | no answer within a visit ||||||" in absolute([ours, slow], LOAD, "One applicant")
    assert "slow" not in relative(ours, [slow], LOAD)
    assert runs.Run.of([ours, slow], many, [LOAD], data="sample").ratios["16 kept"] == {}


def test_no_round_is_begun_that_would_end_too_late(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The first round always runs, so there is something to tell; all servers have as many rounds."""
    peers = [Peer(name, [], 0, []) for name in ("one", "other")]
    monkeypatch.setattr(serving, "visit", lambda *_: Figures(1.0, 1.0, 1.0, 1.0, 0))
    options = argparse.Namespace(rounds=9, seconds=1)

    serving.measure([(peer, LOAD) for peer in peers], options, tmp_path, time.monotonic() - 1.0)
    assert [len(peer.found[LOAD]) for peer in peers] == [1, 1]
    serving.measure([(peer, LOAD) for peer in peers], options, tmp_path, time.monotonic() + 3600.0)
    assert [len(peer.found[LOAD]) for peer in peers] == [10, 10]


def test_runs_are_kept_and_bands_are_between_them(tmp_path: Path) -> None:
    """A line a run; the band is the median of the runs with the least and the greatest; few runs are called few."""
    path = tmp_path / "runs.jsonl"
    for speed in (300.0, 100.0, 200.0):
        peers = [_peer(OURS, [speed, speed]), _peer("echo", [400.0, 400.0])]
        many = [Peer(one.name, [], 0, [], found={Load(1): one.found[LOAD]}) for one in peers]
        runs.add(path, runs.Run.of(peers, many, [LOAD], data="sample"))
    found = runs.read(path)
    assert runs.band(found, "16 kept", "echo") == runs.Band(0.5, 0.25, 0.75)
    assert runs.band(found, runs.MANY, "echo", "p50") == runs.Band(2.0, 1.3333, 4.0)
    assert found[0].servers["16 kept"][OURS].rps == 300.0 and found[0].rounds == 2
    assert "fewer than the 5" in runs.bands(found) and "fewer" not in runs.bands(found * 2)
    assert "| echo | 0.50 (0.25–0.75) | 0.50 (0.25–0.75) | 2 (1.3–4) |" in runs.bands(found)


def test_all_loads_are_asked_for() -> None:
    """Each count of kept connections, and every other client once; one of Python has one connection."""
    loads = serving.loads_of(serving.CONNECTIONS, serving.CLIENTS)
    assert [load.connections for load in loads if load.client is Client.KEPT] == [1, 16, 64, 256]
    assert {load.client for load in loads} == set(Client)
    assert all(load.connections == 1 for load in loads if load.client in PYTHON)


def test_applicants_are_distinct_and_the_same_each_time() -> None:
    """Of the sample, where there is no file."""
    bodies = bodies_of(50, None)
    assert len(set(bodies)) == 50 and bodies == bodies_of(50, None)


@pytest.fixture(name="listening")
def _listening() -> Iterator[tuple[Peer, list[tuple[int, str, bytes]]]]:
    """A server that answers 200, and what came: connection, request id and body of each request."""
    got: list[tuple[int, str, bytes]] = []
    connections = count()

    class Handler(BaseHTTPRequestHandler):
        """Keeps what came."""

        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            """A connection; ports are used again within a second, so it gets a number."""
            super().setup()
            self.number = next(connections)

        def do_POST(self) -> None:  # pylint: disable=invalid-name  # how http.server names it
            """One request."""
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append((self.number, self.headers.get("x-request-id", ""), body))
            self.send_response(200)
            self.send_header("content-length", "2")
            self.send_header("connection", self.headers.get("connection", "keep-alive"))
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:  # pylint: disable=arguments-differ
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        peer = Peer("plain", [], server.server_port, [b'{"a":1}', b'{"a":2}', b'{"a":3}'])
        yield peer, got
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("client", list(Client))
def test_each_client_asks_as_it_says(
    client: Client,
    listening: tuple[Peer, list[tuple[int, str, bytes]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    require_program: Callable[[str], str],
) -> None:
    """The bodies in turn; on one connection, or each on its own; with headers of its own where that is said."""
    if client not in PYTHON:
        require_program("wrk")
    peer, got = listening
    monkeypatch.setattr(Peer, "cpu_s", lambda _: 0.0)
    figures = visit(peer, Load(1, client), 1, tmp_path)
    assert figures.bad == 0 and figures.rps > 0 and figures.p99_ms >= figures.p50_ms > 0
    bodies = [body for _, _, body in got]
    first = peer.bodies.index(bodies[0])
    assert bodies == [peer.bodies[(first + place) % len(peer.bodies)] for place in range(len(bodies))]
    assert (len({place for place, _, _ in got}) == len(got)) is (client is Client.NEW)
    assert (len({name for _, name, _ in got}) == len(got)) is (client is Client.HEADERS)


@pytest.mark.parametrize("text", [ROOT / "README.md", ROOT / "infra" / "docs" / "pages" / "measurements.md"])
@pytest.mark.parametrize(
    "peer", ["fastapi_df_shap", "fastapi_df", "fastapi_frame", "mlflow", "fastapi_list", "raw_asgi", "echo"]
)
def test_what_is_quoted_are_the_bands_of_the_kept_runs(text: Path, peer: str) -> None:
    """The figures of five runs and more, as the file has them."""
    found = runs.read(Path(runs.__file__).with_name("serving_runs.jsonl"))
    assert len(found) >= runs.ENOUGH
    assert str(runs.band(found, "16 kept", peer, "cpu")) in text.read_text("utf-8")
