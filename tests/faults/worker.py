"""A worker that can be killed: outbox, keys and shipping as the service has them, behind one line of JSON a request.

python -m tests.faults.worker FOLDER PORT    with the store in the environment (QF_STORE_ENDPOINT, bucket, AWS_*)
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
from pathlib import Path

from service.errors import IdempotencyMismatch, IdempotencyRunning, OutboxFull
from service.ledger.journal.idempotency import Idempotency, KeyClaim
from service.ledger.journal.outbox import Outbox
from service.ledger.journal.shipping import Shipper, StoreSettings
from tests.service.rows import entry


class Worker:
    """Answers `{"key": ..., "body": ...}` with `{"status": ..., "id": ...}`."""

    def __init__(self, folder: Path) -> None:
        self.outbox = Outbox.open(folder, segment_age_s=0.5, min_free_bytes=0)
        self.keys = Idempotency(folder)
        store = StoreSettings(os.environ["QF_PREDICTIONS_BUCKET"], os.environ["QF_STORE_ENDPOINT"], read_timeout_s=5)
        self.shipper = Shipper(folder, self.outbox.run, store, interval_s=0.2)

    async def answer(self, key: str, body: str) -> dict[str, object]:
        """Score-like work: one record and one answer a key."""
        try:
            begun = await self.keys.begin("demo", "score", key, hashlib.sha256(body.encode()).digest())
            if not isinstance(begun, KeyClaim):
                return {"status": begun.status, "id": json.loads(begun.body)[0]["prediction_id"], "replayed": True}
            with begun:
                identifier = self.outbox.next_id()
                customer = hashlib.sha256(key.encode()).hexdigest()[:32]
                await self.outbox.append(entry(identifier, customer_ref=customer, key=begun.mark))
                return {"status": 200, "id": identifier}
        except IdempotencyRunning:
            return {"status": 409}
        except IdempotencyMismatch:
            return {"status": 422}
        except OutboxFull:
            return {"status": 503}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: a line in, a line out."""
        while line := await reader.readline():
            writer.write(json.dumps(await self.answer(**json.loads(line))).encode() + b"\n")
            await writer.drain()
        writer.close()


async def main(folder: Path, port: int) -> None:
    """Serves until SIGTERM, then drains."""
    worker, stopped = Worker(folder), asyncio.Event()
    worker.shipper.start()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    server = await asyncio.start_server(worker.serve, "127.0.0.1", port)
    await stopped.wait()
    server.close()
    await worker.outbox.aclose()
    await asyncio.to_thread(worker.shipper.stop, 10)
    worker.keys.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
