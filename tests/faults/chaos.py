"""Drives workers while they are killed and their store fails, and counts what was lost or doubled."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from bentos.processes import free_port
from service.ledger import records
from tests.conftest import ObjectStore
from tests.faults.proxy import FaultyStore

CLIENTS = 10
REPLAYED_SHARE = 0.02


@dataclass(frozen=True)
class Plan:
    """How much traffic, and what goes wrong meanwhile."""

    requests: int
    kills: int
    duration_s: float
    outage_s: float
    lost_acknowledgements: float = 0.2
    cut_uploads: float = 0.0
    workers: int = 2


@dataclass
class Report:
    """What came of it."""

    answered: dict[str, str] = field(default_factory=dict)
    kills: int = 0
    replays: int = 0
    wrong_replays: int = 0
    retries: int = 0
    drained_s: float = 0.0
    rows: Counter[str] = field(default_factory=Counter)
    ids_by_key: dict[str, set[str]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    """Keys whose row is not the one that was answered."""

    @property
    def lost(self) -> list[str]:
        """Answered ids without a row."""
        return [identifier for identifier in self.answered.values() if not self.rows[identifier]]

    @property
    def doubled(self) -> list[str]:
        """Ids with two rows, and keys with two ids."""
        return [name for name, count in self.rows.items() if count > 1] + [
            key for key, ids in self.ids_by_key.items() if len(ids) > 1
        ]


class Chaos:
    """One run of a plan against a folder and a bucket of its own."""

    def __init__(self, plan: Plan, folder: Path, store: ObjectStore, bucket: str) -> None:
        self.plan, self.folder, self.store, self.bucket = plan, folder, store, bucket
        self.report = Report()
        self.open_files = 1  # what the last start writes to
        self.ports = [free_port() for _ in range(plan.workers)]
        self.processes: list[subprocess.Popen[bytes]] = []
        self.random = random.Random(11)
        self.proxy = FaultyStore(store.endpoint)

    def run(self) -> Report:
        """Runs the plan, lets everything recover, and reads the bucket."""
        client(self.store).create_bucket(Bucket=self.bucket)
        with self.proxy:
            self.proxy.faults.lost_acknowledgements = self.plan.lost_acknowledgements
            self.proxy.faults.cut_uploads = self.plan.cut_uploads
            try:
                asyncio.run(self._run())
            finally:
                for process in self.processes:
                    self._end(process)
        for row in rows_in(self.store, self.bucket):
            self.report.rows[row["prediction_id"]] += 1
            self.report.ids_by_key.setdefault(row["customer_ref"], set()).add(row["prediction_id"])
        for key, answer in self.report.answered.items():
            if self.report.ids_by_key.get(self.customer(key)) != {answer}:
                self.report.wrong.append(key)
        return self.report

    def customer(self, key: str) -> str:
        """The pseudonym under which a key's row is recorded."""
        return hashlib.sha256(key.encode()).hexdigest()[:32]

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()

    async def _run(self) -> None:
        self.processes = [self._start(port) for port in self.ports]
        await self._begin()
        share = self.plan.requests // CLIENTS
        clients = [self._client(number, share) for number in range(CLIENTS)]
        await asyncio.gather(*clients, self._kill(), self._outage())
        await self._drain()

    async def _begin(self) -> None:
        """Until the traffic may begin; partners of a worker that is not up yet just ask again."""

    def _start(self, port: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command(port), env=self._environment())  # pylint: disable=consider-using-with

    def _command(self, port: int) -> list[str]:
        return [sys.executable, "-m", "tests.faults.worker", str(self.folder), str(port)]

    def _environment(self) -> dict[str, str]:
        """What a worker is told; coverage does not trace it, since it is killed."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("COV")},
            **self.store.variables,
            "QF_STORE_ENDPOINT": self.proxy.endpoint,
            "QF_PREDICTIONS_BUCKET": self.bucket,
        }

    async def _kill(self) -> None:
        pause = self.plan.duration_s / (self.plan.kills + 1)
        for _ in range(self.plan.kills):
            await asyncio.sleep(pause * self.random.uniform(0.7, 1.3))
            place = self.random.randrange(len(self.ports))
            self.processes[place].kill()
            self.processes[place].wait()
            self.report.kills += 1
            self.processes[place] = self._start(self.ports[place])

    async def _outage(self) -> None:
        await asyncio.sleep(self.plan.duration_s * 0.1)
        self.proxy.faults.down = True
        await asyncio.sleep(self.plan.outage_s)
        self.proxy.faults.down = False

    async def _client(self, number: int, requests: int) -> None:
        for count in range(requests):
            key = f"{number}-{count}"
            identifier = await self._ask(key)
            self.report.answered[key] = identifier
            if self.random.random() < REPLAYED_SHARE:
                self.report.replays += 1
                self.report.wrong_replays += await self._ask(key) != identifier
            await asyncio.sleep(self.plan.duration_s / requests * self.random.uniform(0.0, 1.0))

    async def _ask(self, key: str) -> str:
        """Asks any worker until one answers, as a partner with an Idempotency-Key does."""
        while True:
            answer = await self._try(key)
            if answer.get("status") == 200:
                return str(answer["id"])
            self.report.retries += 1
            await asyncio.sleep(0.05)

    async def _try(self, key: str) -> dict[str, Any]:
        writer = None
        try:
            async with asyncio.timeout(10):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.random.choice(self.ports))
                writer.write(json.dumps({"key": key, "body": "b"}).encode() + b"\n")
                return dict(json.loads(await reader.readline() or b"{}"))
        except OSError:
            return {}
        finally:
            if writer is not None:
                writer.close()

    async def _drain(self) -> None:
        """Ends the workers properly; one more start ships what their last moments left behind."""
        started = asyncio.get_running_loop().time()
        self.proxy.faults.lost_acknowledgements = self.proxy.faults.cut_uploads = 0.0
        for round_ in range(2):
            if round_:
                self.processes = [self._start(self.ports[0])]
                await self._ask("the-last-one")
                self.report.answered["the-last-one"] = await self._ask("the-last-one")
                while len(list(self.folder.glob("pending/*.qfj"))) > self.open_files:
                    await asyncio.sleep(0.05)
            for process in self.processes:
                process.terminate()
            for process in self.processes:
                await asyncio.to_thread(process.wait, 30)
        self.report.drained_s = asyncio.get_running_loop().time() - started


def client(store: ObjectStore) -> Any:
    """A client of the store itself, past the proxy."""
    return boto3.client(
        "s3",
        endpoint_url=store.endpoint,
        aws_access_key_id=store.access_key,
        aws_secret_access_key=store.secret_key,
        region_name="us-east-1",
        config=Config(request_checksum_calculation="when_required", response_checksum_validation="when_required"),
    )


def rows_in(store: ObjectStore, bucket: str) -> Iterator[dict[str, str]]:
    """Every row of every object of a bucket; a cut-off or doubled object would not read."""
    reading = client(store)
    for page in reading.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for item in page.get("Contents", []):
            yield from records.read(reading.get_object(Bucket=bucket, Key=item["Key"])["Body"].read())
