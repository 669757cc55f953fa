"""A server under load: started, asked, visited by `wrk` for some seconds, and what that showed."""

from __future__ import annotations

import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import psutil

START_S = 180
LUA = """
wrk.method = "POST"
local file = io.open("{body}", "rb"); wrk.body = file:read("*a"); file:close()
wrk.headers["content-type"] = "application/json"
wrk.headers["x-api-key"] = "{key}"
done = function(s, l, r)
  io.write(string.format("FOUND %d %d %.1f %.1f %d\\n", s.requests, s.duration, l:percentile(50), l:percentile(99),
    s.errors.status + s.errors.connect + s.errors.read + s.errors.write + s.errors.timeout))
end
"""


@dataclass
class Figures:
    """What one visit measured: requests a second, milliseconds, CPU microseconds of the server a request."""

    rps: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    bad: int


@dataclass
class Peer:
    """A server to measure."""

    name: str
    command: list[str]
    port: int
    body: bytes
    path: str = "/v1/score"
    env: dict[str, str] = field(default_factory=dict)
    key: str = ""
    process: subprocess.Popen[bytes] | None = None
    found: dict[int, list[Figures]] = field(default_factory=dict)

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
            except (urllib.error.URLError, OSError) as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    said = (folder / f"{self.name}.log").read_text(errors="replace")[-2000:]
                    raise SystemExit(f"{self.name} did not start: {error}\n{said}") from error
                time.sleep(0.3)

    def once(self) -> bytes:
        """One request."""
        headers = {"content-type": "application/json", "x-api-key": self.key}
        request = urllib.request.Request(self.url, self.body, headers)
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


def visit(peer: Peer, connections: int, seconds: int, folder: Path) -> Figures:
    """Load a peer for some seconds."""
    body, script = folder / f"{peer.name}.json", folder / f"{peer.name}.lua"
    body.write_bytes(peer.body)
    script.write_text(LUA.format(body=body, key=peer.key), "utf-8")
    before = peer.cpu_s()
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "--latency", "-s", str(script)]
    output = subprocess.run([*command, peer.url], capture_output=True, text=True, check=True).stdout
    match = re.search(r"FOUND (\d+) (\d+) ([\d.]+) ([\d.]+) (\d+)", output)
    assert match is not None, output
    requests, duration_us, p50, p99, bad = (float(text) for text in match.groups())
    cpu = (peer.cpu_s() - before) / max(requests, 1) * 1e6
    return Figures(requests / duration_us * 1e6, p50 / 1e3, p99 / 1e3, cpu, int(bad))
