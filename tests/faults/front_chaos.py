"""The chaos of several hosts against the service itself, through the shipped proxy, with limits in Redis."""

from __future__ import annotations

import asyncio
import http.client
import json
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from service.access.credentials import read_pepper
from service.access.pseudonyms import Pseudonyms
from tests.conftest import ObjectStore
from tests.databases import Cluster
from tests.faults.front import PARTNER, Front
from tests.faults.hosts import HostsChaos, HostsPlan
from tests.faults.served_bento import kill, kill_tree, score
from tests.redis_server import RedisServer

WHOLE_HOST_EVERY: Final = 4
PURSE: Final = 20
ASKED: Final = 3 * PURSE


@dataclass(frozen=True)
class Served:
    """What the hosts are made of."""

    nginx: str
    model_dir: Path
    redis: RedisServer


class FrontChaos(HostsChaos):
    """Workers and whole hosts are killed, PostgreSQL is restarted, Redis is killed once, the store is away."""

    def __init__(  # pylint: disable=too-many-arguments, too-many-positional-arguments  # each is a server of its own
        self, plan: HostsPlan, folder: Path, store: ObjectStore, cluster: Cluster, url: str, served: Served
    ) -> None:
        super().__init__(plan, folder, store, f"front-{plan.requests}", cluster, url)
        self.served = served
        self.host_kills = self.redis_kills = 0
        self.admitted: list[int] = []
        """What a purse of `PURSE` tokens gave over all hosts, before Redis was lost and after it came back."""
        self.front: Front
        self.pseudonyms: Pseudonyms

    def customer(self, key: str) -> str:
        """The pseudonym the service makes of the partner's reference, which is the key here."""
        return self.pseudonyms.of(PARTNER, key)

    async def _run(self) -> None:
        served = self.served
        environment = {**self._environment(), "QF_MODEL_DIR": str(served.model_dir), "QF_REDIS_URL": served.redis.url}
        self.front = Front(self.folder, served.nginx, self.plan.workers, environment)
        self.pseudonyms = Pseudonyms(read_pepper(self.front.folders[0] / "pepper"))
        self.ports = self.front.ports
        self.front.open()
        try:
            await super()._run()
        finally:
            self.front.close()

    async def _begin(self) -> None:
        await self._all_ready()
        self.admitted.append(await self._purse("before"))

    async def _all_ready(self) -> None:
        for place in range(len(self.ports)):
            await asyncio.to_thread(self.front.await_ready, place)

    async def _purse(self, name: str) -> int:
        """How many of a test key's requests get in, which its purse pays for whichever host is asked."""
        key = self.front.issue(name, PURSE)
        statuses: Counter[int] = Counter()
        while statuses.total() < ASKED:
            answer = await score(self.front.port, key, f"{name}-{statuses.total()}", self.front.trust)
            if answer["status"] in (200, 429):  # a key that a host has not heard of yet is asked for again
                statuses[answer["status"]] += 1
        return statuses[200]

    def _start(self, port: int) -> subprocess.Popen[bytes]:
        return self.front.start(self.ports.index(port))

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        kill_tree(process)

    async def _outage(self) -> None:
        await asyncio.gather(super()._outage(), self._lose_redis())

    async def _lose_redis(self) -> None:
        await asyncio.sleep(self.plan.duration_s * 0.4)
        self.served.redis.kill()
        await asyncio.sleep(self.plan.duration_s * 0.1)
        await asyncio.to_thread(self.served.redis.start)
        self.redis_kills += 1

    async def _kill(self) -> None:
        pause = self.plan.duration_s / (self.plan.kills + 1)
        while self.report.kills < self.plan.kills:
            await asyncio.sleep(pause * self.random.uniform(0.7, 1.3))
            place = self.random.randrange(len(self.ports))
            workers = self.front.workers(self.processes[place])
            if not workers:  # it is being started
                continue
            self.report.kills += 1
            if self.report.kills % WHOLE_HOST_EVERY:
                kill(self.random.choice(workers))
            else:
                self.host_kills += 1
                kill_tree(self.processes[place])  # and is started again by who sees it

    async def _try(self, key: str) -> dict[str, Any]:
        return await score(self.front.port, self.front.api_key, key, self.front.trust)

    async def _drain(self) -> None:
        await super()._drain()
        await self._all_ready()
        self.admitted.append(await self._purse("after"))

    async def _read_all(self, place: int) -> None:
        await asyncio.to_thread(self.front.await_ready, place)
        self.told.unreadable += await asyncio.to_thread(self._unreadable, place)

    def _unreadable(self, place: int) -> list[str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[place], timeout=20)
        missing = []
        for identifier in self.report.answered.values():
            connection.request("GET", f"/v1/predictions/{identifier}", headers={"x-api-key": self.front.api_key})
            answer = connection.getresponse()
            content = answer.read()
            if answer.status != 200 or json.loads(content)["prediction_id"] != identifier:
                missing.append(identifier)
        connection.close()
        return missing
