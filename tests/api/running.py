"""The service as it is run, for tests: `bentoml serve` on a free port, and one request after the other to it."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final, TypeVar

import psutil

from bentos.processes import free_port
from service import keys
from service.docs.examples import APPLICANT

PATIENCE_S: Final = 60.0
WORKER: Final = "_bentoml_impl.worker.service"
Seen = TypeVar("Seen")
ROOT: Final = Path(__file__).parents[2]
BODY: Final = json.dumps(APPLICANT).encode()


@dataclass
class Served:
    """A running service."""

    port: int
    folder: Path
    process: subprocess.Popen[bytes]
    log: Path
    key: str

    def ask(
        self, method: str, path: str, body: bytes | None = None, key: str | None = "", **headers: str
    ) -> tuple[int, bytes]:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        sent = {
            "content-type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        if key is not None:
            sent["x-api-key"] = key or self.key
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def wait_until_known(self, key: str, *, good: bool = True) -> None:
        """Wait until every worker knows a key, or knows that it opens nothing any more.

        What is asked for is not there and costs no token.
        """
        self.wait_for_each_worker(HTTPStatus.NOT_FOUND if good else HTTPStatus.UNAUTHORIZED, "GET", "/nothing", key=key)

    def wait_for_each_worker(
        self, status: int, method: str, path: str, body: bytes | None = None, key: str = ""
    ) -> None:
        """Wait until every worker gave an answer with this status.

        On a busy machine one worker may take many connections in a row, so each answer counts for the worker that holds
        its connection.
        """
        deadline, waiting = time.monotonic() + PATIENCE_S, {worker.pid for worker in self.workers()}
        assert waiting, "no worker runs"
        while waiting:
            assert time.monotonic() < deadline, f"a worker does not answer {status}"
            answered, worker = self._answer_of_a_worker(method, path, body, key or self.key)
            if answered == status:
                waiting -= {worker}
            else:
                time.sleep(0.1)

    def workers(self) -> list[psutil.Process]:
        """The processes that answer."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if WORKER in _command(child)]

    def _answer_of_a_worker(self, method: str, path: str, body: bytes | None, key: str) -> tuple[int, int]:
        """Status of an answer, and the process that gave it; 0 where its connection is closed already."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, {"content-type": "application/json", "x-api-key": key})
            status = connection.getresponse().status
            own = connection.sock.getsockname()[1] if connection.sock else 0
            holders = (worker.pid for worker in self.workers() if own in _remote_ports(worker))
            return status, next(holders, 0)
        finally:
            connection.close()


def _command(process: psutil.Process) -> list[str]:
    """Its command; none of a process that has ended meanwhile, as a worker's short-lived child does."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:  # a zombie too
        return []


def _remote_ports(process: psutil.Process) -> set[int]:
    """Ports at the other end of the process's connections."""
    return {link.raddr.port for link in process.net_connections("tcp") if link.raddr}


def eventually(look: Callable[[], Seen], good: Callable[[Seen], bool]) -> Seen:
    """What is seen, as soon as it is good, or after a long patience as it is then."""
    deadline = time.monotonic() + PATIENCE_S
    while not good(seen := look()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return seen


def serve(folder: Path, model_dir: Path, **settings: str) -> Served:
    """Start the service with settings of its own and a partner's key without limits; wait until it is ready."""
    key = keys.issue(folder / "service", "acme", rate=1e5, burst=1_000_000, daily=10**9)
    port, log = free_port(), folder / "serve.log"
    untraced = {name: "" for name in os.environ if name.startswith("COV")}
    env = {
        **os.environ,
        **untraced,
        "QF_MODEL_DIR": str(model_dir),
        "QF_SERVICE_DIR": str(folder / "service"),
        "BENTOML_DO_NOT_TRACK": "True",
        **settings,
    }
    command = [sys.executable, "-m", "bentoml", "serve", "service.service:CreditScorer", "--host", "127.0.0.1"]
    with open(log, "wb") as output:
        process = subprocess.Popen(  # pylint: disable=consider-using-with  # ended by the fixture
            [*command, "-p", str(port)], cwd=ROOT, env=env, stdout=output, stderr=output
        )
    served = Served(port, folder / "service", process, log, key)
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if served.ask("GET", "/readyz", key=None)[0] == 200:
                return served
        except OSError:
            pass
        time.sleep(0.2)
    process.kill()
    raise AssertionError(f"did not start: {log.read_text()[-2000:]}")


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop it, gently first."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
