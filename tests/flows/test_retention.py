"""Personal data over time: features and decisions age, a customer is erased everywhere, staff see the reviews."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from pydantic import ValidationError

from flows.predictions import daily_digest as days
from flows.predictions import erasure
from flows.predictions.erasure import Aged, Bucket, Erased, RowsLeft
from service.ledger import records
from service.ledger.journal.frames import JournalEntry
from service.ledger.journal.shipping import Shipper, StoreSettings
from service.ledger.records import OutcomeRow, RecordKind, ReviewRow
from tests.conftest import ObjectStore
from tests.faults.chaos import client as store_client
from tests.service.rows import ANA, BEN, line, two_customers

TODAY = date(2026, 11, 23)


@pytest.fixture(name="client")
def _client(object_store: ObjectStore) -> Any:
    """A client of the real store."""
    return store_client(object_store)


def _emptied(client: Any, name: str) -> Bucket:
    bucket = Bucket(client, name)
    for key in list(bucket.keys()):
        bucket.delete(key)
    return bucket


@pytest.fixture(name="rows")
def _rows(client: Any) -> Bucket:
    """Bucket `predictions`, empty."""
    return _emptied(client, "predictions")


@pytest.fixture(name="reports")
def _reports(client: Any) -> Bucket:
    """Bucket `reports`, empty."""
    return _emptied(client, "reports")


def predictions(*customers: str, start: int = 1) -> bytes:
    """An object of one prediction for each of these customers."""
    lines = [line(prediction(number), customer_ref=ref) for number, ref in enumerate(customers, start)]
    return records.header(RecordKind.PREDICTION) + b"".join(lines)


def prediction(number: int) -> str:
    """The id of a prediction."""
    return f"20261123-abcdefghij-{number:x}"


def dated(days_ago: int, kind: RecordKind = RecordKind.PREDICTION) -> str:
    """The key of an object that many days old."""
    return f"{kind.folder}/dt={TODAY - timedelta(days=days_ago)}/abcdefghij-{days_ago:010x}.csv"


def test_features_age_first_then_decisions(rows: Bucket) -> None:
    """180 days on the figures are gone and the decision is there; five years on nothing is; a day earlier all is."""
    outcome = (
        records.header(RecordKind.OUTCOME)
        + OutcomeRow(prediction(9), "t", "demo", ANA, prediction(1), "Poor", "2026-11-01").line()
    )
    for days in (180, 181, 1825, 1826):
        rows.put_csv(dated(days), predictions(ANA, BEN))
        rows.put_csv(dated(days, RecordKind.OUTCOME), outcome)
    rows.put_csv("predictions/README.csv", b"not ours")
    assert erasure.retain(rows, TODAY, feature_days=180, decision_days=1825) == Aged(2, 4, 2)
    left = list(rows.keys())
    assert sorted(left) == sorted(
        [
            dated(180),
            *(dated(days).removesuffix(".csv") + erasure.DECISIONS for days in (181, 1825)),
            *(dated(days, RecordKind.OUTCOME) for days in (180, 181, 1825)),
            "predictions/README.csv",
        ]
    )
    (old,) = [key for key in left if f"dt={TODAY - timedelta(days=181)}/" in key and key.startswith("pred")]
    for row in records.read(rows.get(old)):
        assert {row[column] for column in records.INPUT_COLUMNS} == {""} and row["score"] == "712"
    assert rows.get(dated(180)) == predictions(ANA, BEN)
    assert erasure.retain(rows, TODAY, feature_days=180, decision_days=1825) == Aged(0, 0, 0)


def test_a_crash_between_the_two_steps_is_mended(rows: Bucket) -> None:
    """Decisions written, original still there: the next run ends with the decisions alone."""
    rows.put_csv(dated(200), predictions(ANA))
    rows.put_csv(dated(200).removesuffix(".csv") + erasure.DECISIONS, records.without_inputs(predictions(ANA)))
    erasure.retain(rows, TODAY, feature_days=180, decision_days=1825)
    assert list(rows.keys()) == [dated(200).removesuffix(".csv") + erasure.DECISIONS]


def test_an_erasure_reaches_every_object(client: Any, rows: Bucket, reports: Bucket) -> None:
    """Predictions, aged decisions, outcomes and reviews of the customer go, even if they name only the prediction."""
    rows.put_csv(dated(1), predictions(ANA, BEN))
    rows.put_csv(dated(2), predictions(ANA, start=3))
    rows.put_csv(dated(200).removesuffix(".csv") + erasure.DECISIONS, records.without_inputs(predictions(ANA, start=4)))
    rows.put_csv(
        dated(1, RecordKind.OUTCOME),
        records.header(RecordKind.OUTCOME)
        + OutcomeRow(prediction(5), "t", "demo", "", prediction(1), "Poor", "2026-11-01").line()
        + OutcomeRow(prediction(6), "t", "demo", BEN, prediction(2), "Poor", "2026-11-01").line(),
    )
    rows.put_csv(
        dated(1, RecordKind.REVIEW),
        records.header(RecordKind.REVIEW)
        + ReviewRow(prediction(7), "t", "demo", ANA, prediction(3), "r", "upheld", "c").line(),
    )
    table = pa.table({"id": [prediction(3), prediction(2)], "score": [1, 2]})
    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    client.put_object(Bucket="reports", Key="batch.parquet", Body=buffer.getvalue())
    for key, text in (
        ("a.html", ANA),
        ("b.html", f"see {prediction(4)}."),
        ("c.html", f"see {prediction(2)}."),
        ("d.html", ""),
    ):
        client.put_object(Bucket="reports", Key=key, Body=text.encode())
    assert erasure.erase(rows, reports, frozenset({ANA})) == Erased(rows=5, objects=5, reports=3)
    assert sorted(rows.keys()) == sorted([dated(1), dated(1, RecordKind.OUTCOME)])
    assert [row["prediction_id"] for row in records.read(rows.get(dated(1)))] == [prediction(2)]
    assert [row["prediction_id"] for row in records.read(rows.get(dated(1, RecordKind.OUTCOME)))] == [prediction(2)]
    assert list(reports.keys()) == ["c.html", "d.html"]
    assert erasure.scan(rows, reports, frozenset({ANA}), {prediction(1), prediction(3), prediction(4)}) == []


def boiled(rows: Bucket, client: Any, kind: RecordKind, days_ago: int) -> str:
    """Have the drift flow boil down a day; the key it is kept under."""
    day = TODAY - timedelta(days=days_ago)
    assert days.read_day(client, kind.folder, day) is not None
    key = erasure.digest_key(kind.folder, day)
    assert key in set(rows.keys())
    return key


def test_an_erasure_takes_the_boiled_days_of_its_rows_alone(client: Any, rows: Bucket, reports: Bucket) -> None:
    """Days of other customers stay, so that the next drift run reads one day again and not its whole past."""
    rows.put_csv(dated(1), predictions(ANA, BEN))
    rows.put_csv(dated(2), predictions(BEN, start=3))
    outcome = OutcomeRow(prediction(9), "t", "demo", "", prediction(1), "Poor", "2026-11-01").line()
    rows.put_csv(dated(1, RecordKind.OUTCOME), records.header(RecordKind.OUTCOME) + outcome)
    gone = {boiled(rows, client, kind, 1) for kind in (RecordKind.PREDICTION, RecordKind.OUTCOME)}
    kept = boiled(rows, client, RecordKind.PREDICTION, 2)
    assert erasure.scan(rows, reports, frozenset(), {prediction(1)})
    assert erasure.erase(rows, reports, frozenset({ANA})).rows == 2
    left = set(rows.keys())
    assert kept in left and not gone & left
    assert erasure.scan(rows, reports, frozenset({ANA}), {prediction(1)}) == []
    again = days.read_day(client, "predictions", TODAY - timedelta(days=1))
    assert again is not None and again.rows()["prediction_id"].to_pylist() == [prediction(2)]


def test_an_erasure_that_broke_off_is_finished_by_the_next(client: Any, rows: Bucket, reports: Bucket) -> None:
    """The rows are gone and a day made of them is not: nothing names the customer any more, so every day goes."""
    rows.put_csv(dated(1), predictions(ANA))
    boiled(rows, client, RecordKind.PREDICTION, 1)
    rows.delete(dated(1))
    assert erasure.erase(rows, reports, frozenset({ANA})) == Erased(rows=0, objects=0, reports=0)
    assert not list(rows.keys())


def test_boiled_days_age_with_the_features_they_hold(client: Any, rows: Bucket) -> None:
    """After 180 days they go, a day earlier they stay."""
    for days_ago in (180, 181):
        rows.put_csv(dated(days_ago), predictions(ANA))
    kept, gone = (boiled(rows, client, RecordKind.PREDICTION, days_ago) for days_ago in (180, 181))
    assert erasure.retain(rows, TODAY, feature_days=180, decision_days=1825) == Aged(1, 1, 1)
    assert kept in set(rows.keys()) and gone not in set(rows.keys())


def test_an_erasure_that_leaves_something_fails(rows: Bucket, reports: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scan decides, not the intention."""
    rows.put_csv(dated(1), predictions(ANA))
    monkeypatch.setattr(erasure.Bucket, "delete", lambda self, key: None)
    with pytest.raises(RowsLeft, match="1 objects still name the customer"):
        erasure.erase(rows, reports, frozenset({ANA}))


@pytest.mark.usefixtures("prefect_server")
def test_an_erasure_that_did_not_reach_the_hosts_is_not_completed(worker: Path, rows: Bucket, reports: Bucket) -> None:
    """The run fails and says what is left; done by hand and said so, it completes, and the trail has both."""
    from bentos.registry.audit_trail import Trail
    from flows.retention import ErasureUnfinished, RetentionForm, retention

    assert not list(rows.keys()) or not list(reports.keys())
    asked = {"erase_pseudonym": BEN, "requested_by": "privacy desk, case 8"}
    with pytest.raises(ErasureUnfinished, match="the hosts of the API are not"):
        retention(RetentionForm.model_validate(asked))
    retention(RetentionForm.model_validate(asked | {"hosts_erased": True}))

    events = [found.event for found in Trail(worker / "audit" / "personal-data.jsonl").entries()]
    assert events == ["erasure_unfinished", "erasure"]


@pytest.fixture(name="worker")
def _worker(
    tmp_path: Path, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch, rows: Bucket, reports: Bucket
) -> Iterator[Path]:
    """The environment of a flow's worker on this host, its buckets empty."""
    assert rows.name == "predictions" and reports.name == "reports"
    for variable, value in object_store.variables.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("QF_SERVICE_DIR", str(tmp_path / "service"))
    monkeypatch.setenv("QF_STATE_DIR", str(tmp_path))
    yield tmp_path


async def _shipped(folder: Path, store: ObjectStore) -> list[str]:
    """Traffic of two customers and a review, all in the bucket; the ids of the first customer."""
    outbox, given = await two_customers(folder)
    review = ReviewRow(outbox.next_id(), "t", "demo", BEN, given[BEN][0], "r", "upheld", "free text")
    await outbox.append(
        JournalEntry(RecordKind.REVIEW, "demo", b"{}", (review.review_id,), (review.line(),), ((0, 2),))
    )
    await outbox.aclose()
    settings = StoreSettings("predictions", store.endpoint, store.access_key, store.secret_key)
    Shipper(folder, outbox.run, settings).ship_now()
    return given[ANA]


@pytest.mark.slow
def test_the_flow_erases_proves_and_records(
    worker: Path, prefect_server: str, rows: Bucket, reports: Bucket, object_store: ObjectStore
) -> None:
    """From outbox and bucket to an audit line without the pseudonym; a review is listed without its free text."""
    from prefect.client.orchestration import get_client

    from bentos.registry.audit_trail import Trail
    from flows.retention import ErasureRefused, RetentionForm, retention

    assert prefect_server
    folder = worker / "service" / "outbox"

    erased = asyncio.run(_shipped(folder, object_store))
    assert erasure.scan(rows, reports, frozenset({ANA}))
    with pytest.raises(ErasureRefused, match="Requested by"):
        retention(RetentionForm(erase_pseudonym=ANA))
    retention(RetentionForm(erase_pseudonym=ANA, requested_by="privacy desk, case 7"))
    assert erasure.scan(rows, reports, frozenset({ANA}), erased) == []
    (told,) = [found for found in Trail(worker / "audit" / "personal-data.jsonl").entries() if found.event == "erasure"]
    assert told.actor == "privacy desk, case 7" and "5 rows of" in told.note and "5 rows of this host" in told.note
    assert ANA not in told.model_dump_json()

    async def shown() -> str:
        async with get_client() as api:
            artifacts = await api.read_artifacts()
            return json.dumps([str(artifact.data) for artifact in artifacts if artifact.key in ("reviews", "erasure")])

    text = asyncio.run(shown())
    assert "upheld" in text and "free text" not in text and ANA not in text
    assert datetime.now(UTC).date().isoformat() in "".join(rows.keys())


def test_the_form_takes_pseudonyms_only() -> None:
    """What is no pseudonym never becomes a parameter of a run."""
    from flows.retention import RetentionForm

    with pytest.raises(ValidationError):
        RetentionForm(erase_pseudonym="Maria-1234")
    with pytest.raises(ValidationError):
        RetentionForm(erase_predictions=["Maria"])


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["f00d"], pa.string()),
        pa.array(["f00d"], pa.large_string()),
        pa.array(["f00d"], pa.string_view()),
        pa.array(["f00d"]).dictionary_encode(),
        pa.array([b"f00d"], pa.binary()),
        pa.array([["x", "f00d"]], pa.list_(pa.large_string())),
        pa.array([{"ref": "f00d"}]),
    ],
    ids=lambda column: str(column.type)[:24],
)
def test_a_name_is_found_in_any_kind_of_column(column: pa.Array) -> None:
    """Whatever type a writer of Parquet files gives to text: else a scan would find nothing there."""
    file = io.BytesIO()
    parquet.write_table(pa.table({"n": [1.5], "c": column}), file)

    assert erasure.names("days/x.parquet", file.getvalue(), frozenset({"f00d"}), ())
    assert not erasure.names("days/x.parquet", file.getvalue(), frozenset({"beef"}), ())


@pytest.mark.parametrize(
    "identifier", [prediction(1), f"20261123-abcdefghij-{'0a1b2c3d' * 4}"], ids=["plain", "sealed"]
)
def test_a_prediction_is_found_by_its_whole_id(identifier: str, rows: Bucket, reports: Bucket) -> None:
    """The one a partner was given: erased by it alone, with its outcome and the report that names it."""
    other = identifier[:-1] + "f"
    rows.put_csv(
        dated(1),
        records.header(RecordKind.PREDICTION) + line(identifier, customer_ref="") + line(other, customer_ref=""),
    )
    outcome = OutcomeRow(prediction(9), "t", "demo", "", identifier, "Poor", "2026-11-01").line()
    rows.put_csv(dated(1, RecordKind.OUTCOME), records.header(RecordKind.OUTCOME) + outcome)
    reports.put_csv("a.csv", f"see {identifier}.".encode())

    assert erasure.erase(rows, reports, frozenset(), frozenset({identifier})) == Erased(rows=2, objects=2, reports=1)

    assert [row["prediction_id"] for row in records.read(rows.get(dated(1)))] == [other]
    assert not erasure.scan(rows, reports, frozenset(), {identifier})
