"""The same chaos over several hosts that share a database: each worker is one, and the database is restarted too."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.conftest import ObjectStore
from tests.databases import Cluster
from tests.faults.chaos import Chaos, Plan

WAITING = "SELECT count(*)::int FROM ledger.segment WHERE shipped_at IS NULL"
SEEN_S = 0.2
DRAINED_S = 30


@dataclass(frozen=True)
class HostsPlan(Plan):
    """What goes wrong with the database beside all else."""

    restarts: int = 1
    workers: int = 3


@dataclass
class HostsTold:
    """What several hosts add to the report."""

    restarts: int = 0
    revived: int = 0
    unreadable: list[str] = field(default_factory=list)
    """Answers that one of the hosts does not find."""


class HostsChaos(Chaos):
    """Hosts of a plan; whoever ends by himself, since the database was away at his start, is started again."""

    def __init__(
        self, plan: HostsPlan, folder: Path, store: ObjectStore, bucket: str, cluster: Cluster, url: str
    ) -> None:
        super().__init__(plan, folder, store, bucket)
        self.restarts, self.cluster, self.database = plan.restarts, cluster, url
        self.told = HostsTold()

    def _environment(self) -> dict[str, str]:
        return {**super()._environment(), "QF_DATABASE_URL": self.database}

    async def _run(self) -> None:
        supervisor = asyncio.create_task(self._supervise())
        try:
            await super()._run()
        finally:
            supervisor.cancel()
            await asyncio.gather(supervisor, return_exceptions=True)

    async def _outage(self) -> None:
        await asyncio.gather(super()._outage(), self._restart())

    async def _restart(self) -> None:
        pause = self.plan.duration_s / (self.restarts + 1)
        for number in range(self.restarts):
            await asyncio.sleep(pause)
            await asyncio.to_thread(self.cluster.stop, "immediate" if number % 2 else "fast")
            await asyncio.to_thread(self.cluster.start)
            self.told.restarts += 1

    async def _supervise(self) -> None:
        while True:
            await asyncio.sleep(SEEN_S)
            for place, process in enumerate(self.processes):
                if process.poll() is not None:
                    self.told.revived += 1
                    self.processes[place] = self._start(self.ports[place])

    def _start(self, port: int) -> subprocess.Popen[bytes]:
        with open(self.folder / "hosts.log", "ab") as log:
            return subprocess.Popen(  # pylint: disable=consider-using-with
                self._command(port), env=self._environment(), stdout=log, stderr=log
            )

    async def _drain(self) -> None:
        """The traffic ends: what waits is shipped by the hosts that run, and every host knows every answer."""
        started = asyncio.get_running_loop().time()
        self.proxy.faults.lost_acknowledgements = self.proxy.faults.cut_uploads = 0.0
        while self._waiting():
            await asyncio.sleep(0.1)
        self.report.drained_s = asyncio.get_running_loop().time() - started
        for place in range(len(self.ports)):
            await self._read_all(place)

    def _waiting(self) -> int:
        with psycopg.connect(self.database) as link:
            row = link.execute(WAITING).fetchone()
        return int(row[0]) if row else 0

    async def _read_all(self, place: int) -> None:
        """What a host does not find of all that was answered."""
        port = self.ports[place]
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                break
            except OSError:  # it is being started again
                await asyncio.sleep(SEEN_S)
        for identifier in self.report.answered.values():
            writer.write(json.dumps({"id": identifier}).encode() + b"\n")
            found: dict[str, Any] = json.loads(await reader.readline())
            if found.get("id") != identifier:
                self.told.unreadable.append(identifier)
        writer.close()


def environment_of_hosts(store: ObjectStore, bucket: str, database: str, redis_url: str) -> dict[str, str]:
    """What hosts are told that share a database, Redis and a bucket."""
    return {
        **store.variables,
        "QF_STORE_ENDPOINT": store.endpoint,
        "QF_PREDICTIONS_BUCKET": bucket,
        "QF_DATABASE_URL": database,
        "QF_REDIS_URL": redis_url,
    }


def drain(database: str) -> None:
    """Until nothing waits for the bucket any more."""
    begun = time.monotonic()
    with psycopg.connect(database, autocommit=True) as link:
        while link.execute(WAITING).fetchone() != (0,):
            assert time.monotonic() - begun < DRAINED_S, "rows were left behind"
            time.sleep(0.1)
