"""Where the time of one answer goes: CPU of each part, measured in process."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from service import keys
from service.access.token_bucket import Policy
from service.docs.examples import APPLICANT
from service.ledger.journal.frames import JournalEntry, encode
from service.ledger.records import RecordKind
from service.runtime import Runtime
from service.score.features import row
from service.settings import ServiceSettings
from service.web import decoding

TIMES = 3_000
WRITES = 200
GROUP_BYTES = 37_000  # sixteen answers and their rows


def group_commit_ms(folder: Path) -> dict[str, float]:
    """Milliseconds until a group of answers is durable on this disk: no answer of a group leaves earlier."""
    descriptor = os.open(folder / "probe", os.O_RDWR | os.O_CREAT | os.O_DSYNC)
    try:
        os.pwrite(descriptor, bytes(WRITES * GROUP_BYTES), 0)
        took = []
        for number in range(WRITES):
            began = time.perf_counter()
            os.pwrite(descriptor, bytes(GROUP_BYTES), number * GROUP_BYTES)
            took.append((time.perf_counter() - began) * 1e3)
    finally:
        os.close(descriptor)
    took.sort()
    return {"half of the writes within": took[WRITES // 2], "99 of 100 within": took[WRITES * 99 // 100]}


async def measure(model: Path, folder: Path) -> dict[str, float]:
    """Microseconds of CPU by part."""
    key = keys.issue(folder, "bench", rate=1e6, burst=1_000_000, daily=10**12)
    runtime = Runtime.open(ServiceSettings(model_dir=model, service_dir=folder, access_log=False))
    body = json.dumps(APPLICANT).encode()
    applicant = decoding.applicant(body)
    features = row(applicant)
    found = runtime.store.verify(key.encode(), time.time())
    assert found is not None
    assessment = runtime.model.assess(features)
    rendered = runtime.scoring.render(found, applicant, assessment, "2026-11-23T12:00:00.000Z")
    entry = JournalEntry(
        RecordKind.PREDICTION, "bench", rendered[1], (rendered[0],), (rendered[2],), ((0, len(rendered[1])),)
    )
    policy = Policy(1e6, 1_000_000, 10**12)
    parts: dict[str, Callable[[], object]] = {
        "key": lambda: runtime.store.verify(key.encode(), time.time()),
        "limits": lambda: runtime.table.take(b"benchkey", policy, 1, time.monotonic, time.time),
        "parse and validate": lambda: decoding.applicant(body),
        "features": lambda: row(applicant),
        "score and exact reasons": lambda: runtime.model.assess(features),
        "render answer and record": lambda: runtime.scoring.render(
            found, applicant, assessment, "2026-11-23T12:00:00Z"
        ),
        "journal frame": lambda: encode(entry, [1]),
        "metrics": lambda: (
            runtime.metrics.request("/v1/score", 200, 0.001),
            runtime.metrics.count_score(applicant, 600, "Good"),
        ),
    }
    costs = {name: _cost(part) for name, part in parts.items()}
    await runtime.stop()
    return costs


def _cost(part: Callable[[], object]) -> float:
    started = time.process_time()
    for _ in range(TIMES):
        part()
    return (time.process_time() - started) / TIMES * 1e6
