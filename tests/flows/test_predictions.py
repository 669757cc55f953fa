"""Reading stored answers back: only the window's days, bounded memory, the same sample in any order."""

import random
from collections.abc import Iterator
from datetime import date

import boto3
import pandas as pd
import pyarrow as pa
import pytest

from flows import predictions
from flows.predictions import Sampler
from flows.windows import DriftSettings, Window, window_of

WEEK = Window(start=date(2026, 10, 1), end=date(2026, 10, 8))


def table(ids: list[str], as_of: str = "2026-10-03", version: str = "1") -> pa.Table:
    """One stored object's rows."""
    frame = pd.DataFrame({"prediction_id": ids, "as_of": as_of, "model_version": version})
    return pa.Table.from_pandas(frame, preserve_index=False)


def sampled(objects: list[pa.Table], cap: int = 1_000) -> Sampler:
    """The week's sample over the objects."""
    sampler = Sampler(WEEK, cap)
    predictions.sample(objects, [sampler])
    return sampler


def test_only_rows_that_describe_the_window_count():
    """The first day is inside, the day of the end is not."""
    sampler = sampled([table(["a"], "2026-10-01"), table(["b"], "2026-10-08"), table(["c"], "2026-09-30")])
    assert sampler.frame()["prediction_id"].tolist() == ["a"]
    assert sampler.rows == {"1": 1}


def test_a_repeated_prediction_counts_once():
    """The same object read twice, or the same row in two objects, is one row."""
    sampler = sampled([table(["a", "b"]), table(["b", "c"])])
    assert sampler.distinct_rows == 3
    assert sorted(sampler.frame()["prediction_id"]) == ["a", "b", "c"]


def test_the_sample_does_not_depend_on_the_order_of_objects():
    """Above the cap the rows whose ids hash lowest are kept, whatever came first."""
    parts = [[f"{part}-{i}" for i in range(200)] for part in range(10)]
    straight = sampled([table(ids) for ids in parts], cap=300).frame()
    shuffled = parts[:]
    random.Random(3).shuffle(shuffled)
    again = sampled([table(ids) for ids in shuffled], cap=300).frame()
    assert straight["prediction_id"].tolist() == again["prediction_id"].tolist()
    assert len(straight) == 300


def test_an_empty_window_gives_an_empty_frame_with_every_column():
    """Nothing stored is no crash."""
    assert set(predictions.PREDICTION_TYPES) <= set(sampled([]).frame().columns)


@pytest.fixture(name="client")
def fixture_client(object_store, monkeypatch) -> Iterator:
    """An S3 client of the real gateway, bucket `predictions` emptied afterwards."""
    for name, value in object_store.variables.items():
        monkeypatch.setenv(name, value)
    store = boto3.client("s3")
    yield store
    for item in store.list_objects_v2(Bucket="predictions").get("Contents", []):
        store.delete_object(Bucket="predictions", Key=item["Key"])


def test_objects_of_other_days_are_not_even_listed(client):
    """A run looks at the days asked for and reads typed columns, empty cells as missing values."""
    body = (
        b"prediction_id,as_of,annual_income,credit_mix,unknown\r\np1,2026-10-03,1000.5,,x\r\np2,2026-10-03,,Good,x\r\n"
    )
    for key in (
        "predictions/dt=2026-10-03/w-1.csv",
        "predictions/dt=2026-08-01/w-1.csv",
        "predictions/dt=2026-10-03/n.txt",
    ):
        client.put_object(Bucket="predictions", Key=key, Body=body)
    keys = predictions.object_keys(client, "predictions", date(2026, 10, 5), 30)
    assert keys == ["predictions/dt=2026-10-03/w-1.csv"]
    frame = next(predictions.tables(client, keys, predictions.PREDICTION_TYPES)).to_pandas()
    assert frame["annual_income"].fillna(-1).tolist() == [1000.5, -1]
    assert frame["credit_mix"].isna().tolist() == [True, False]
    assert "unknown" not in frame


def test_outcomes_come_as_they_are_stored(client):
    """Repeats are kept: settling them is not the reader's business; none stored is an empty frame."""
    assert predictions.read_outcomes(client, date(2026, 10, 5), 10).empty
    body = b"prediction_id,observed_class,observed_at\r\np1,Good,2026-10-03\r\np1,Good,2026-10-03\r\n"
    client.put_object(Bucket="predictions", Key="outcomes/dt=2026-10-04/w-1.csv", Body=body)
    assert len(predictions.read_outcomes(client, date(2026, 10, 5), 10)) == 2


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (DriftSettings(), (date(2026, 11, 17), date(2026, 11, 24))),
        (DriftSettings(window_end="2026-10-01", window_days=30), (date(2026, 9, 1), date(2026, 10, 1))),
    ],
    ids=["today", "given"],
)
def test_the_window_ends_where_the_form_says(settings, expected):
    """Empty means that today is the last day inside."""
    window = window_of(settings, date(2026, 11, 23))
    assert (window.start, window.end) == expected
