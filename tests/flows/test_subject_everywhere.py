"""One customer, planted in every store that may hold something about a person; after an erasure nothing finds them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.predictions import daily_digest
from flows.predictions.data_age import retain_data
from service.ledger.ids import SealedIds
from service.ledger.journal.frames import JournalEntry
from service.ledger.journal.idempotency import Idempotency
from service.ledger.journal.outbox import Outbox
from service.ledger.journal.shipping import Shipper, StoreSettings
from service.ledger.records import OutcomeRow, RecordKind, ReviewRow
from service.s3 import BUCKETS, DATA_BUCKET, REPORTS_BUCKET
from tests.conftest import ObjectStore
from tests.faults.chaos import client as store_client
from tests.service.rows import ANA, BEN, line

WORDS = "the reviewer wrote this about her"
NUMBER = "CUS_0xca4a27"
VERSION = "files/md5/ca/4a27"


def emptied(client: Any) -> None:
    """No object in any bucket."""
    for bucket in BUCKETS:
        for item in client.list_objects_v2(Bucket=bucket).get("Contents", []):
            client.delete_object(Bucket=bucket, Key=item["Key"])


@pytest.fixture(name="client")
def _client(object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The real store, empty, and the environment of a flow's worker on this host."""
    variables = {"QF_SERVICE_DIR": tmp_path / "service", "QF_STATE_DIR": tmp_path / "state", "QF_HOME": tmp_path}
    for name, value in {**object_store.variables, **variables}.items():
        monkeypatch.setenv(name, str(value))
    client = store_client(object_store)
    emptied(client)
    yield client
    emptied(client)


async def planted(folder: Path, store: ObjectStore) -> dict[str, list[str]]:
    """Traffic of two customers, an answer under an Idempotency-Key, an outcome and a review of the first; all ids."""
    outbox, sealed = Outbox.open(folder, segment_age_s=0.3, min_free_bytes=0), SealedIds(b"p" * 32)
    keys = Idempotency(folder)
    given: dict[str, list[str]] = {ANA: [], BEN: []}
    for number, ref in enumerate([ANA, BEN] * 3):
        place = outbox.next_id()
        public = sealed.of(place, "demo").public
        with await keys.begin("demo", "score", f"key-{number}", bytes(16)) as claim:  # type: ignore[union-attr]
            body = b'{"prediction_id":"%s"}' % public.encode()
            about = (
                RecordKind.PREDICTION,
                "demo",
                body,
                (place,),
                (line(public, customer_ref=ref),),
                ((0, len(body)),),
            )
            await outbox.append(JournalEntry(*about, key=claim.mark))
        given[ref].append(public)
    keys.close()
    review = ReviewRow(outbox.next_id(), "t", "demo", ANA, given[ANA][0], "r", "upheld", WORDS)
    outcome = OutcomeRow(outbox.next_id(), "t", "demo", "", given[ANA][1], "Poor", "2026-11-01")
    for kind, row in ((RecordKind.REVIEW, review), (RecordKind.OUTCOME, outcome)):
        await outbox.append(JournalEntry(kind, "demo", b"{}", (row[0],), (row.line(),), ((0, 2),)))
    await outbox.aclose()
    settings = StoreSettings("predictions", store.endpoint, store.access_key, store.secret_key)
    Shipper(folder, outbox.run, settings).ship_now()
    return given


def results_of_a_job(folder: Path, ids: list[str]) -> None:
    """A job of this host that has ended."""
    place = folder / f"job_{7:032x}"
    place.mkdir(parents=True)
    content = b"".join(b'{"prediction_id":"%s"}\n' % one.encode() for one in ids)
    (place / "results.jsonl").write_bytes(content)
    state = {"id": place.name, "account": "demo", "key": "k", "rows": len(ids), "created": 1.0, "status": "done"}
    (place / "job.json").write_text(json.dumps(state | {"done": len(ids), "results_bytes": len(content)}))


def found(client: Any, folders: Path, needles: set[str]) -> list[str]:
    """Where any of these words stands: every object of every bucket, every file of the host and of the worker."""
    from flows.predictions.erasure import names

    held = []
    for bucket in BUCKETS:
        for item in client.list_objects_v2(Bucket=bucket).get("Contents", []):
            key = item["Key"]
            if names(key, client.get_object(Bucket=bucket, Key=key)["Body"].read(), frozenset(needles), needles):
                held.append(f"{bucket}/{key}")
    for path in folders.rglob("*"):
        if path.is_file() and any(needle.encode() in path.read_bytes() for needle in needles):
            held.append(path.relative_to(folders).as_posix())
    return held


def forms(client: Any) -> str:
    """The parameters of every run that Prefect knows."""
    return json.dumps([run.parameters for run in client.read_flow_runs(limit=200)], default=str)


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_nothing_finds_who_was_erased(client: Any, object_store: ObjectStore, tmp_path: Path) -> None:
    """Journal, answers, keys, results of jobs, predictions, outcomes, reviews, digests of days, reports, old versions
    of the training data and Prefect's own database held her, and hold her no more; the other customer stays."""
    from prefect.client.orchestration import get_client

    from flows.retention import RetentionForm, forget_runs, retention

    given = asyncio.run(planted(tmp_path / "service" / "outbox", object_store))
    ids = given[ANA]
    results_of_a_job(tmp_path / "service" / "jobs", ids)
    today = datetime.now(UTC).date()
    for kind in (RecordKind.PREDICTION, RecordKind.OUTCOME):
        assert daily_digest.read_day(client, kind.folder, today) is not None
    client.put_object(Bucket=REPORTS_BUCKET, Key="a/report.html", Body=f"see {ids[2]}".encode())
    client.put_object(Bucket=DATA_BUCKET, Key=VERSION, Body=NUMBER.encode())
    needles = {ANA, WORDS, NUMBER, *ids}

    held = found(client, tmp_path, needles)
    for place in ("predictions/predictions/", "predictions/outcomes/", "predictions/reviews/", "predictions/days/"):
        assert [one for one in held if one.startswith(place)], place
    for place in ("reports/a/report.html", f"data/{VERSION}", "service/jobs/", "service/outbox/"):
        assert [one for one in held if one.startswith(place)], place

    retention(RetentionForm(erase_pseudonym=ANA, requested_by="privacy desk, case 7"))
    later = datetime.now(UTC) + timedelta(days=31)  # the data of today lack her; her version ages
    retain_data(client, DATA_BUCKET, later, version_days=30, batch_days=90, keep=())
    with get_client(sync_client=True) as prefect:
        assert ANA in forms(prefect)
        assert forget_runs.fn(later) >= 1
        assert ANA not in forms(prefect)

    assert not found(client, tmp_path, needles)
    assert found(client, tmp_path, {BEN}) and found(client, tmp_path, set(given[BEN]))
    trail = (tmp_path / "state" / "audit" / "personal-data.jsonl").read_text()
    assert "privacy desk, case 7" in trail
