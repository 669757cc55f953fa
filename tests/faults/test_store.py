"""A store that misbehaves costs no answer and no row, and is told in the counters (R4)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from service.ledger.journal.outbox import Outbox
from service.ledger.journal.shipping import Shipper, StoreSettings
from tests.conftest import ObjectStore
from tests.faults.chaos import client, rows_in
from tests.faults.proxy import Faults, FaultyStore
from tests.service.rows import answered

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture
def anyio_backend() -> str:
    """The service runs on asyncio alone."""
    return "asyncio"


@dataclass(frozen=True)
class Fault:
    """What is wrong, and the error an operator is shown."""

    told: str
    apply: Callable[[Faults], None] = lambda faults: None
    settings: dict[str, Any] = field(default_factory=dict)


def _set(**values: object) -> Callable[[Faults], None]:
    def apply(faults: Faults) -> None:
        for name, value in values.items():
            setattr(faults, name, value)

    return apply


FAULTS = {
    "down": Fault("ConnectionClosedError", _set(down=True)),
    "refusing": Fault("ClientError 503", _set(refusing=True)),
    "slow": Fault("ReadTimeoutError", _set(delay_s=1.5)),
    "denies what it kept": Fault("ClientError 500", _set(lost_acknowledgements=1.0)),
    "cuts uploads": Fault("ClientError 500", _set(cut_uploads=1.0)),
    "wrong secret": Fault("ClientError SignatureDoesNotMatch", settings={"secret_key": "wrong"}),
    "wrong id": Fault("ClientError InvalidAccessKeyId", settings={"access_key": "wrong"}),
    "no bucket": Fault("NoSuchBucket NoSuchBucket", settings={"bucket": "not-there"}),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_answers_go_on_and_rows_arrive_later(name: str, object_store: ObjectStore, tmp_path: Path) -> None:
    """Requests are answered while the store fails; once it works, every row is there once."""
    fault, bucket = FAULTS[name], "fault-" + name.replace(" ", "-")
    client(object_store).create_bucket(Bucket=bucket)
    outbox = Outbox.open(tmp_path, segment_age_s=0.05, min_free_bytes=0)
    with FaultyStore(object_store.endpoint) as proxy:
        right = StoreSettings(
            bucket, proxy.endpoint, object_store.access_key, object_store.secret_key, read_timeout_s=0.5
        )
        fault.apply(proxy.faults)
        # The store ends a refused upload early, which only a direct client is sure to understand.
        wrong = replace(right, endpoint=object_store.endpoint, **fault.settings) if fault.settings else right
        failing = Shipper(tmp_path, outbox.run, wrong, interval_s=0.05)
        failing.start()
        identifiers = await answered(outbox, 20)
        deadline = time.monotonic() + 20
        while not failing.counters.failing:
            assert time.monotonic() < deadline, "the failure was not told"
            identifiers += await answered(outbox, 1)
        assert failing.counters.last_error.startswith(fault.told) and " at " in failing.counters.last_error
        assert outbox.writable and outbox.backlog().rows > 0
        failing.stop()
        proxy.faults = Faults()
        await outbox.aclose()
        Shipper(tmp_path, outbox.run, right).ship_now()
    assert sorted(row["prediction_id"] for row in rows_in(object_store, bucket)) == sorted(identifiers)
    assert not list(tmp_path.glob("pending/*"))
