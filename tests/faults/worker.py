"""A worker that can be killed: the ledger as the service has it, behind one line of JSON a request.

python -m tests.faults.worker FOLDER PORT    with the store in the environment (QF_STORE_ENDPOINT, bucket, AWS_*);
with QF_DATABASE_URL it is one of several hosts and leaves the folder alone
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
from pathlib import Path

from service.errors import AnswerAway, AnswerNotFound, IdempotencyMismatch, IdempotencyRunning, OutboxFull
from service.ledger.bucket import StoreSettings
from service.ledger.interface import Ledger, Replay
from service.ledger.journal.host import JournalLedger
from service.ledger.records import RecordKind
from tests.service.rows import entry

PEPPER = b"p" * 32
SHIP_S = 0.5


def opened(folder: Path) -> Ledger:
    """The ledger that the environment names."""
    store = StoreSettings(os.environ["QF_PREDICTIONS_BUCKET"], os.environ["QF_STORE_ENDPOINT"], read_timeout_s=5)
    if url := os.environ.get("QF_DATABASE_URL"):
        from service.ledger.postgres.host import PostgresLedger

        return PostgresLedger.open(url, PEPPER, store, ship_interval_s=SHIP_S)
    return JournalLedger.open(folder, PEPPER, store, ship_interval_s=SHIP_S)


class Worker:
    """Answers `{"key": ..., "body": ...}` with `{"status": ..., "id": ...}`, and `{"id": ...}` with its status."""

    def __init__(self, folder: Path) -> None:
        self.ledger = opened(folder)

    async def answer(self, key: str, body: str) -> dict[str, object]:
        """Score-like work: one record and one answer a key."""
        try:
            begun = await self.ledger.begin("demo", "score", key, hashlib.sha256(body.encode()).digest())
            if isinstance(begun, Replay):
                return {"status": begun.status, "id": json.loads(begun.body)[0]["prediction_id"], "replayed": True}
            with begun:
                identifier = self.ledger.new_id("demo").place
                customer = hashlib.sha256(key.encode()).hexdigest()[:32]
                await self.ledger.append(entry(identifier, customer_ref=customer, key=begun.mark))
                return {"status": 200, "id": identifier}
        except IdempotencyRunning:
            return {"status": 409}
        except IdempotencyMismatch:
            return {"status": 422}
        except OutboxFull:
            return {"status": 503}

    async def read(self, identifier: str) -> dict[str, object]:
        """Whether an answer is there."""
        try:
            stored = await self.ledger.read(identifier, "demo", RecordKind.PREDICTION)
        except AnswerNotFound:
            return {"status": 404}
        except AnswerAway:
            return {"status": 503}
        return {"status": 200, "id": stored.row["prediction_id"]}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: a line in, a line out."""
        while line := await reader.readline():
            asked = json.loads(line)
            found = await (self.read(asked["id"]) if "id" in asked else self.answer(**asked))
            writer.write(json.dumps(found).encode() + b"\n")
            await writer.drain()
        writer.close()


async def main(folder: Path, port: int) -> None:
    """Serves until SIGTERM, then drains."""
    worker, stopped = Worker(folder), asyncio.Event()
    worker.ledger.start()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    server = await asyncio.start_server(worker.serve, "127.0.0.1", port)
    await stopped.wait()
    server.close()
    await worker.ledger.aclose()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
