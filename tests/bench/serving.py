"""Serving, side by side: `python -m tests.bench.serving --model DIR`. Needs `wrk`.

Every round visits every peer in shuffled order, so a machine's mood hits all alike; ratios are taken round by round and
their median is quoted with the 10th and 90th percentile. The service runs with everything on: key, limits, strict
validation, exact reasons, metrics, request log and the durable record. The peers do less, see `peers`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from infra.ports import free_port
from service import keys
from service.examples import APPLICANT

OURS = "credit-score"
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
        """Start the server and wait until it answers this peer's request."""
        log = open(folder / f"{self.name}.log", "wb")  # pylint: disable=consider-using-with
        env = {**os.environ, **self.env}
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with  # ended by `stop`
            self.command, env=env, stdout=log, stderr=log, start_new_session=True
        )
        deadline = time.monotonic() + 180
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


def ratios(
    peers: dict[str, Peer], connections: int, of: Callable[[Figures], float], name: str
) -> tuple[float, float, float]:
    """Median, 10th and 90th percentile of ours over the peer's, round by round."""
    pairs = zip(peers[OURS].found[connections], peers[name].found[connections], strict=True)
    values = sorted(of(ours) / max(of(theirs), 1e-9) for ours, theirs in pairs)
    spread = statistics.quantiles(values, n=10) if len(values) > 1 else [values[0]] * 9
    return statistics.median(values), spread[0], spread[-1]


def report(peers: dict[str, Peer], connections: int) -> str:
    """A table in Markdown."""
    lines = [
        f"\n**{connections} connections**, medians over rounds; ratios are ours over the peer's"
        " (10th to 90th percentile)\n",
        "| peer | requests/s | p50 ms | p99 ms | server CPU µs | ours: requests/s × | ours: p50 × | failed |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, peer in peers.items():
        found = peer.found[connections]
        middle = {
            key: statistics.median(getattr(one, key) for one in found) for key in ("rps", "p50_ms", "p99_ms", "cpu_us")
        }
        speed, low, high = ratios(peers, connections, lambda one: one.rps, name)
        wait, _, _ = ratios(peers, connections, lambda one: one.p50_ms, name)
        lines.append(
            f"| {name} | {middle['rps']:.0f} | {middle['p50_ms']:.3f} | {middle['p99_ms']:.2f} "
            f"| {middle['cpu_us']:.0f} "
            f"| {speed:.2f} ({low:.2f}–{high:.2f}) | {wait:.3f} | {sum(one.bad for one in found)} |"
        )
    return "\n".join(lines)


def contenders(model: Path, folder: Path, wanted: list[str], batch: int) -> dict[str, Peer]:
    """The service and its peers, not started yet."""
    service_dir, port = folder / "service", free_port()
    key = keys.issue(service_dir, "bench", rate=1e6, burst=1_000_000, daily=10**12)
    env = {"QF_MODEL_DIR": str(model), "QF_SERVICE_DIR": str(service_dir), "BENTOML_DO_NOT_TRACK": "True"}
    applicants = {"applicants": [APPLICANT] * batch}
    body = json.dumps(applicants if batch else APPLICANT).encode()
    path = "/v1/score/batch" if batch else "/v1/score"
    command = [sys.executable, "-m", "bentoml", "serve", "service.service:CreditScorer", "--host", "127.0.0.1"]
    found = {OURS: Peer(OURS, [*command, "-p", str(port)], port, body, path, env, key)}
    for name in wanted:
        port = free_port()
        if name == "mlflow":
            saved = folder / "mlflow-model"
            request = _saved(model, saved)
            serve = [
                "mlflow",
                "models",
                "serve",
                "-m",
                str(saved),
                "-p",
                str(port),
                "--env-manager",
                "local",
                "-w",
                "1",
            ]
            # MLflow starts `uvicorn` by its name: this environment's must be found first.
            there = {**env, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
            found[name] = Peer(name, [sys.executable, "-m", *serve], port, request, "/invocations", there)
            continue
        serve = [
            "uvicorn",
            f"tests.bench.peers:{name}",
            "--port",
            str(port),
            "--no-access-log",
            "--log-level",
            "warning",
        ]
        found[name] = Peer(name, [sys.executable, "-m", *serve], port, body, path, env)
    return found


def _saved(model: Path, folder: Path) -> bytes:
    os.environ["QF_MODEL_DIR"] = str(model)
    from tests.bench.peers import save_for_mlflow  # pylint: disable=import-outside-toplevel  # loads CatBoost

    return save_for_mlflow(folder, APPLICANT)


def where_time_goes(model: Path, folder: Path) -> str:
    """CPU of the parts of one answer, in process, in microseconds."""
    from tests.bench.parts import measure  # pylint: disable=import-outside-toplevel

    parts: dict[str, float] = asyncio.run(measure(model, folder / "parts"))
    return "\n".join(f"| {name} | {value:.2f} |" for name, value in parts.items())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", type=Path, required=True, help="packed model")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--connections", default="1,16")
    parser.add_argument("--peers", default="echo,fastapi_df,fastapi_df_shap,fastapi_list,mlflow")
    parser.add_argument("--batch", type=int, default=0, help="rows a request; 0: single scores")
    parser.add_argument("--out", type=Path, help="JSON of every visit")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed: apt-get install wrk")
    counts = [int(text) for text in options.connections.split(",")]
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        folder = Path(scratch)
        peers = contenders(options.model.resolve(), folder, [n for n in options.peers.split(",") if n], options.batch)
        try:
            _measure(peers, counts, options, folder)
        finally:
            for peer in peers.values():
                peer.stop()
        for connections in counts:
            print(report(peers, connections))
        print("\n| part of one answer | CPU µs |\n|---|---:|\n" + where_time_goes(options.model.resolve(), folder))
        if options.out:
            content: dict[str, Any] = {
                name: {str(count): [vars(one) for one in found] for count, found in peer.found.items()}
                for name, peer in peers.items()
            }
            options.out.write_text(json.dumps(content, indent=1), "utf-8")


def _measure(peers: dict[str, Peer], counts: list[int], options: argparse.Namespace, folder: Path) -> None:
    for peer in peers.values():
        peer.start(folder)
        visit(peer, 8, 1, folder)  # warm
    visits = [(peer, count) for peer in peers.values() for count in counts]
    shuffle = random.Random(1).shuffle
    for number in range(options.rounds):
        shuffle(visits)
        for peer, count in visits:
            peer.found.setdefault(count, []).append(visit(peer, count, options.seconds, folder))
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)


if __name__ == "__main__":
    main()
