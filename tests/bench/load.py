"""A server under load: started, asked, checked, visited by a client for some seconds, and what that showed.

A client asks one body after another, not the same again: an answer that a server remembered would flatter it.
"""

from __future__ import annotations

import http
import json
import os
import re
import resource
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

START_S: Final = 180
TOLERANCE: Final = 1e-5
"""Between two probabilities of a class: ours are told to six decimals, CatBoost adds up in another order."""
LUA: Final = """
wrk.headers["content-type"] = "application/json"
wrk.headers["x-api-key"] = "{key}"
{close}
local bodies, requests, serial = {{}}, {{}}, 0
for line in io.lines("{bodies}") do bodies[#bodies + 1] = line end
init = function()
  for place, body in ipairs(bodies) do requests[place] = wrk.format("POST", nil, nil, body) end
end
request = function()
  serial = serial + 1
  local place = (serial - 1) % #bodies + 1
  {give}
end
done = function(s, l, r)
  io.write(string.format("FOUND %d %d %.1f %.1f %d\\n", s.requests, s.duration, l:percentile(50), l:percentile(99),
    s.errors.status + s.errors.connect + s.errors.read + s.errors.write + s.errors.timeout))
end
"""


GIVEN: Final = "return requests[place]"
VARIED: Final = """wrk.headers["x-request-id"] = "bench-" .. serial
  wrk.headers["user-agent"] = "partner/" .. serial % 89
  return wrk.format("POST", nil, nil, bodies[place])"""


class Client(StrEnum):
    """Who asks, and how."""

    KEPT = "kept"
    """wrk, on connections that stay open."""
    NEW = "new"
    """wrk, a new connection a request."""
    HEADERS = "headers"
    """wrk, on connections that stay open, no two requests with the same headers."""
    REQUESTS = "requests"
    """Python's requests, a session."""
    HTTPX = "httpx"
    """Python's httpx, a client."""


PYTHON: Final = (Client.REQUESTS, Client.HTTPX)


@dataclass(frozen=True)
class Load:
    """How many connections of which client ask at once."""

    connections: int
    client: Client = Client.KEPT

    def __str__(self) -> str:
        return f"{self.connections} {self.client}"


@dataclass
class Figures:
    """What one visit measured: requests a second, milliseconds, CPU microseconds of the server a request, answers that
    were none, and the share of a core that the client itself took."""

    rps: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    bad: int
    client_share: float = 0.0


def probabilities(answer: bytes) -> list[float]:
    """Of Poor, Standard and Good, as this service and most peers tell them."""
    return list(json.loads(answer)["probabilities"].values())


@dataclass
class Peer:
    """A server to measure."""

    name: str
    command: list[str]
    port: int
    bodies: Sequence[bytes]
    wanted: Sequence[Any] = ()
    """What the first answers must say, and below how it is read from them."""
    said: Callable[[bytes], Any] = probabilities
    path: str = "/v1/score"
    env: dict[str, str] = field(default_factory=dict)
    key: str = ""
    process: subprocess.Popen[bytes] | None = None
    found: dict[Load, list[Figures]] = field(default_factory=dict)

    def answered(self, load: Load) -> bool:
        """Whether every visit got an answer of this server: a slow one may give none to the last of many within a short
        one, and where it used no processor at all another answers on its port."""
        return all(one.rps and one.cpu_us for one in self.found[load])

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}{self.path}"

    def start(self, folder: Path) -> None:
        """Start the server; `await_answer` tells when it is there."""
        with open(folder / f"{self.name}.log", "wb") as log:
            self.process = subprocess.Popen(  # pylint: disable=consider-using-with  # ended by `stop`
                self.command, env={**os.environ, **self.env}, stdout=log, stderr=log, start_new_session=True
            )

    def await_answer(self, folder: Path) -> None:
        """Wait until it answers this peer's request.

        Raises:
            SystemExit: it ended or takes too long; the end of its log.
        """
        assert self.process is not None
        deadline = time.monotonic() + START_S
        while True:
            try:
                self.once()
                return
            except urllib.error.HTTPError as error:
                if error.code == http.HTTPStatus.UNPROCESSABLE_ENTITY or time.monotonic() > deadline:
                    raise SystemExit(f"{self.name} refuses its request: {error}") from error
                time.sleep(0.3)
            except OSError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    said = (folder / f"{self.name}.log").read_text(errors="replace")[-2000:]
                    raise SystemExit(f"{self.name} did not start: {error}\n{said}") from error
                time.sleep(0.3)

    def check(self) -> None:
        """Ask for what is wanted: a server that answers something else has no speed.

        Raises:
            SystemExit: it does.
        """
        for place, wanted in enumerate(self.wanted):
            said = self.said(self.once(place))
            if not same(said, wanted):
                raise SystemExit(f"{self.name} answers wrongly to applicant {place + 1}: {said}, not {wanted}")

    def once(self, place: int = 0) -> bytes:
        """One request, with the body of this place."""
        headers = {"content-type": "application/json", "x-api-key": self.key}
        request = urllib.request.Request(self.url, self.bodies[place], headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            content: bytes = answer.read()
            return content

    def cpu_s(self) -> float:
        """CPU time of the server's processes so far."""
        assert self.process is not None
        root = psutil.Process(self.process.pid)
        times = [one.cpu_times() for one in (root, *root.children(recursive=True))]
        return sum(one.user + one.system for one in times)

    def stop(self) -> None:
        """End the server, if it runs."""
        if self.process is not None and self.process.poll() is None:
            family = [*psutil.Process(self.process.pid).children(recursive=True), psutil.Process(self.process.pid)]
            for one in family:
                one.terminate()
            _, alive = psutil.wait_procs(family, timeout=15)
            for one in alive:
                one.kill()


def same(said: Any, wanted: Any) -> bool:
    """Whether an answer says what it must: numbers to the tolerance, anything else exactly."""
    if said == wanted:
        return True
    told, asked = np.asarray(said), np.asarray(wanted)
    numbers = told.dtype.kind == asked.dtype.kind == "f" and told.shape == asked.shape
    return numbers and bool(np.allclose(told, asked, rtol=0, atol=TOLERANCE))


def visit(peer: Peer, load: Load, seconds: int, folder: Path) -> Figures:
    """Load a peer for some seconds."""
    bodies = folder / f"{peer.name}.bodies"
    bodies.write_bytes(b"".join(body + b"\n" for body in peer.bodies))
    before, began = peer.cpu_s(), time.monotonic()
    spent = _client_s()
    command = _python(peer, load, seconds, bodies) if load.client in PYTHON else _wrk(peer, load, seconds, bodies)
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    share = (_client_s() - spent) / (time.monotonic() - began)
    match = re.search(r"FOUND (\d+) (\d+) ([\d.]+) ([\d.]+) (\d+)", output)
    assert match is not None, output
    requests, duration_us, p50, p99, bad = (float(text) for text in match.groups())
    cpu = (peer.cpu_s() - before) / max(requests, 1) * 1e6
    return Figures(requests / duration_us * 1e6, p50 / 1e3, p99 / 1e3, cpu, int(bad), share)


def _wrk(peer: Peer, load: Load, seconds: int, bodies: Path) -> list[str]:
    script = bodies.with_suffix(".lua")
    close = 'wrk.headers["connection"] = "close"' if load.client is Client.NEW else ""
    give = VARIED if load.client is Client.HEADERS else GIVEN
    script.write_text(LUA.format(bodies=bodies, key=peer.key, close=close, give=give), "utf-8")
    count = f"-c{load.connections}"
    return ["wrk", "-t1", count, f"-d{seconds}s", "--timeout", "30s", "--latency", "-s", str(script), peer.url]


def _python(peer: Peer, load: Load, seconds: int, bodies: Path) -> list[str]:
    if load.connections != 1:
        raise ValueError(f"a client of Python has one connection, not {load.connections}")
    program = [sys.executable, "-m", "tests.bench.python_client", load.client]
    return [*program, peer.url, str(bodies), str(seconds), peer.key]


def _client_s() -> float:
    """CPU time of the clients that ended: servers are waited for later."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
