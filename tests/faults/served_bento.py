"""The same chaos against the service itself: BentoML with two workers, keys, validation, model and all."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service import keys
from service.access.credentials import read_pepper
from service.access.pseudonyms import Pseudonyms
from service.docs.examples import APPLICANT
from tests.conftest import ObjectStore
from tests.faults.chaos import Chaos, Plan

PARTNER = "chaos"
WHOLE_TREE_EVERY = 4
START_S = 120


class ServedChaos(Chaos):
    """One server with the plan's workers; kills one worker, and at times the whole tree."""

    def __init__(self, plan: Plan, folder: Path, store: ObjectStore, bucket: str, model_dir: Path) -> None:
        super().__init__(plan, folder / "outbox", store, bucket)
        self.ports, self.open_files = self.ports[:1], plan.workers
        self.service_dir, self.model_dir = folder, model_dir
        self.api_key = keys.issue(folder, PARTNER, rate=1e5, burst=1_000_000, daily=10**9)
        self.pseudonyms = Pseudonyms(read_pepper(folder / "pepper"))
        self.tree_kills = 0

    def customer(self, key: str) -> str:
        """The pseudonym the service makes of the partner's reference, which is the key here."""
        return self.pseudonyms.of(PARTNER, key)

    def _start(self, port: int) -> subprocess.Popen[bytes]:
        more = {"QF_MODEL_DIR": str(self.model_dir), "QF_WORKERS": str(self.plan.workers)}
        return serve(port, self.service_dir, {**self._environment(), **more})

    async def _kill(self) -> None:
        pause = self.plan.duration_s / (self.plan.kills + 1)
        while self.report.kills < self.plan.kills:
            await asyncio.sleep(pause * self.random.uniform(0.7, 1.3))
            await self._ready()
            self.report.kills += 1
            if self.report.kills % WHOLE_TREE_EVERY:
                kill(self.random.choice(self._workers()))
            else:
                self.tree_kills += 1
                self._end(self.processes[0])
                self.processes = [self._start(self.ports[0])]

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        kill_tree(process)

    def _workers(self) -> list[int]:
        """Processes that hold an outbox open."""
        return [pid for pid in descendants(self.processes[0].pid) if _writes_below(pid, self.folder)]

    async def _ready(self) -> None:
        deadline = time.monotonic() + START_S
        while not self._workers() or await self._status("GET", "/readyz") != 200:
            assert time.monotonic() < deadline, f"not ready: {(self.service_dir / 'server.log').read_text()[-2000:]}"
            await asyncio.sleep(0.2)

    async def _status(self, method: str, path: str) -> int:
        answer = await ask(self.ports[0], method, path, {"x-api-key": self.api_key})
        return int(answer.get("status", 0))

    async def _try(self, key: str) -> dict[str, Any]:
        return await score(self.ports[0], self.api_key, key)


def serve(
    port: int, folder: Path, environment: Mapping[str, str], bento: Path | None = None
) -> subprocess.Popen[bytes]:
    """The service on a port, from a Bento or from these sources, with what it keeps in a folder of its own."""
    given = {
        **{name: value for name, value in os.environ.items() if not name.startswith("COV")},
        **environment,
        "QF_SERVICE_DIR": str(folder),
        "QF_SHIP_INTERVAL_S": "1",
        "QF_ACCESS_LOG": "false",
        "BENTOML_HOME": str(folder / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    command = [sys.executable, "-m", "bentoml", "serve", str(bento or "service.service:CreditScorer")]
    with open(folder / "server.log", "ab") as log:
        return subprocess.Popen(  # pylint: disable=consider-using-with
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder if bento else None,  # where no other code lies
            env=given,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


async def score(port: int, api_key: str, key: str, trust: ssl.SSLContext | None = None) -> dict[str, Any]:
    """One applicant scored under an Idempotency-Key: the status, and the id where there is one."""
    body = json.dumps({**APPLICANT, "customer_ref": key}).encode()
    headers = {"x-api-key": api_key, "content-type": "application/json", "idempotency-key": key}
    answer = await ask(port, "POST", "/v1/score", headers, body, trust)
    return {"status": answer.get("status"), "id": answer.get("json", {}).get("prediction_id")}


async def ask(  # pylint: disable=too-many-arguments, too-many-positional-arguments  # what a request has
    port: int,
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes = b"",
    trust: ssl.SSLContext | None = None,
) -> dict[str, Any]:
    """One request on a connection of its own: status and content, or nothing where it broke."""
    sent = {"host": "h", "connection": "close", "content-length": str(len(body)), **headers}
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in sent.items()) + "\r\n"
    writer = None
    try:
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
            writer.write(head.encode() + body)
            answer = await reader.read()
    except OSError:
        return {}
    finally:
        if writer is not None:
            writer.close()
    first, _, rest = answer.partition(b"\r\n\r\n")
    if not first or not rest.endswith(b"}"):
        return {"status": int(first.split()[1])} if first else {}
    return {"status": int(first.split()[1]), "json": json.loads(rest)}


def kill(pid: int) -> None:
    """kill -9, if it is there still."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """kill -9 of a process and all it started."""
    for child in [*descendants(process.pid), process.pid]:
        kill(child)
    process.wait()


def descendants(pid: int) -> list[int]:
    """All children of a process, theirs too."""
    found = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text(encoding="ascii").split():
                found += [int(child), *descendants(int(child))]
    return found


def _writes_below(pid: int, folder: Path) -> bool:
    """Whether a process has a file of the folder open."""
    with contextlib.suppress(OSError):
        return any(str(folder) in os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir())
    return False
