"""Stored days boiled down: only what is new is read, and the result is the one that all rows at once would give."""

import io
import random
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from flows.monitoring import traffic
from flows.monitoring.window_settings import DriftSettings, Window
from flows.predictions import daily_digest
from flows.predictions import rows as stored
from flows.predictions.daily_digest import read_day
from flows.predictions.erasure import digest_key

DAY = date(2026, 10, 5)
KINDS = ("predictions", "outcomes")


def put(store, ids: list[str], name: str, kind: str = "predictions", day: date = DAY, **columns: object) -> str:
    """Store rows with these ids as the service would; the object's key."""
    facts = {"as_of": day.isoformat(), "model_version": "1", "annual_income": 1000.5, "credit_mix": "Good"}
    if kind == "outcomes":
        facts = {"observed_class": "Good", "observed_at": day.isoformat()}
    key = f"{kind}/dt={day.isoformat()}/{name}.csv"
    body = pd.DataFrame({"prediction_id": ids} | facts | columns).to_csv(index=False)
    store.put_object(Bucket="predictions", Key=key, Body=body.encode())
    return key


@pytest.fixture(name="fetched")
def fixture_fetched(monkeypatch) -> list[str]:
    """Keys of rows that were fetched."""
    keys: list[str] = []
    tables = stored.tables

    def noted(store, objects, kind):
        keys.extend(one.key for one in objects)
        return tables(store, objects, kind)

    monkeypatch.setattr(stored, "tables", noted)
    return keys


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_look_reads_nothing_and_a_third_the_new_object_alone(store, fetched, kind):
    """The cost of a run grows with what is new."""
    first = put(store, ["a", "b"], "w-1", kind)
    assert len(read_day(store, kind, DAY).rows()) == 2
    assert len(read_day(store, kind, DAY).rows()) == 2
    assert fetched == [first]
    second = put(store, ["c"], "w-2", kind)
    assert len(read_day(store, kind, DAY).rows()) == 3
    assert fetched == [first, second]


@pytest.mark.parametrize("kind", KINDS)
def test_a_day_is_made_again_when_an_object_changed_or_went(store, kind):
    """Rows that were erased are gone from the boiled day too."""
    put(store, ["a", "b"], "w-1", kind)
    gone = put(store, ["c"], "w-2", kind)
    assert len(read_day(store, kind, DAY).rows()) == 3
    put(store, ["a"], "w-1", kind)
    store.delete_object(Bucket="predictions", Key=gone)
    assert read_day(store, kind, DAY).rows()["hash"].to_pylist() == stored.hashed(pa.array(["a"])).tolist()


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"not parquet at all"], ids=["empty", "cut", "other bytes"])
def test_a_damaged_day_is_made_again(store, damage):
    """It is a cache: whatever is wrong with it costs time, never a run."""
    put(store, ["a"], "w-1")
    store.put_object(Bucket="predictions", Key=digest_key("predictions", DAY), Body=damage)
    assert len(read_day(store, "predictions", DAY).rows()) == 1


def test_a_day_without_objects_is_none(store):
    """Also when its features were emptied by age: nothing is left to compare."""
    put(store, ["a"], "w-1.decisions")
    assert read_day(store, "predictions", DAY) is None


def test_cells_come_typed_and_empty_ones_are_missing(store):
    """Unknown columns are left out, columns that the object lacks are null."""
    put(store, ["a", "b"], "w-1", annual_income=[1.5, None], credit_mix=["", "Bad"], unknown="x")
    row = read_day(store, "predictions", DAY).rows().to_pandas().set_index("prediction_id")
    assert row["annual_income"].fillna(-1).to_dict() == {"a": 1.5, "b": -1}
    assert row["credit_mix"].fillna("missing").to_dict() == {"a": "missing", "b": "Bad"}
    assert "unknown" not in row and row["score"].isna().all()


def test_repeats_count_once_and_versions_apart(store):
    """The same row in two objects is one row; the index knows every row."""
    put(store, ["a", "b"], "w-1")
    put(store, ["b", "c"], "w-2", model_version=["1", "2"])
    day = read_day(store, "predictions", DAY)
    assert day.ledger.counts == [(DAY.isoformat(), "1", 2), (DAY.isoformat(), "2", 1)]
    assert len(day.hashes()) == 3


def test_rows_beyond_the_kept_ones_are_counted_and_known(store, monkeypatch):
    """What is kept whole is the same whether the rows came at once or one object after the other."""
    monkeypatch.setattr(daily_digest, "KEPT", 20)
    ids = [str(number) for number in range(100)]
    random.Random(3).shuffle(ids)
    for part in range(4):
        put(store, ids[25 * part : 25 * part + 25], f"w-{part}")
        after = read_day(store, "predictions", DAY)
    lowest = sorted(stored.hashed(pa.array(ids)).tolist())
    assert after.rows()["hash"].to_pylist() == lowest[:20]
    assert sorted(after.hashes().tolist()) == lowest
    assert after.ledger.counts == [(DAY.isoformat(), "1", 100)]


def test_new_rows_are_those_of_objects_stored_since(store):
    """What a run on the schedule of new rows asks first."""
    put(store, ["a", "b"], "w-1", day=datetime.now(UTC).date())
    today = datetime.now(UTC)
    assert traffic.new_rows(store, today.date(), today - timedelta(hours=1)) == 2
    assert traffic.new_rows(store, today.date(), today + timedelta(hours=1)) == 0


SETTINGS = DriftSettings(minimum_rows=50, maturity_days=10, extend_days=14, maximum_rows=1_000)
WEEK = Window(start=date(2026, 10, 1), end=date(2026, 10, 8))


def test_window_and_cohort_are_read_with_every_outcome_that_came_for_them(store):
    """Rows outside are not in either; an outcome is known, unknown, or of a day before those that were read."""
    put(store, [f"20261005-w-{i}" for i in range(60)], "w-1")
    put(store, ["20260925-w-1"], "w-1", day=date(2026, 9, 25))
    put(store, ["20260801-w-1"], "w-1", day=date(2026, 8, 1))
    put(store, ["20260925-w-1", "20261005-w-999", "20260801-w-1", "nonsense"], "o-1", "outcomes")
    found = traffic.read_traffic(store, SETTINGS, WEEK, date(2026, 10, 7))
    assert (found.window, found.by_version, len(found.current)) == (WEEK, {"1": 60}, 60)
    assert found.cohort["prediction_id"].tolist() == ["20260925-w-1"]
    assert found.outcomes["standing"].tolist() == ["known", "unknown", "elsewhere", "unknown"]


def test_a_window_with_too_few_rows_reaches_back(store):
    """The longer window ends on the same day."""
    put(store, [f"a{i}" for i in range(30)], "w-1")
    put(store, [f"b{i}" for i in range(30)], "w-1", day=date(2026, 9, 28))
    found = traffic.read_traffic(store, SETTINGS, WEEK, date(2026, 10, 7))
    assert (found.window.start, len(found.current)) == (date(2026, 9, 24), 60)


def test_every_version_with_enough_rows_is_judged_the_busiest_first(store):
    """A version that took over yesterday is watched from its first five hundred rows on."""
    put(store, [f"a{i}" for i in range(60)], "w-1")
    put(store, [f"b{i}" for i in range(80)], "w-2", model_version="2")
    put(store, [f"c{i}" for i in range(10)], "w-3", model_version="3")
    found = traffic.read_traffic(store, SETTINGS, WEEK, date(2026, 10, 7))
    assert found.versions(50) == ["2", "1"]
    assert found.versions(500) == ["2"]


def test_rows_of_one_customer_share_a_number_and_a_row_without_one_stands_alone(store):
    """Intervals count customers; the pseudonym itself is not kept in the day."""
    pseudonym = "c" * 32
    put(store, ["a", "b"], "w-1", customer_ref=pseudonym)
    put(store, ["c", "d"], "w-2", customer_ref=[pseudonym, None])
    put(store, ["e"], "w-3")
    rows = read_day(store, "predictions", DAY).rows().to_pandas().set_index("prediction_id")["customer"]
    assert rows["a"] == rows["b"] == rows["c"]
    assert rows.nunique() == 3
    kept = store.get_object(Bucket="predictions", Key=digest_key("predictions", DAY))["Body"].read()
    assert pseudonym not in str(parquet.read_table(io.BytesIO(kept)).to_pydict())


def test_nothing_stored_gives_empty_frames_with_every_column(store):
    """No crash, and no version to judge."""
    found = traffic.read_traffic(store, SETTINGS, WEEK, date(2026, 10, 7))
    assert set(stored.PREDICTION_TYPES) <= set(found.current.columns)
    assert (found.versions(50), len(found.outcomes)) == ([], 0)


def test_the_lowest_hashes_of_each_group_are_kept_in_order():
    """A reference with pandas: group by group, repeats once."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "hash": rng.integers(0, 500, 2_000).astype("uint64"),
            "as_of": rng.choice(list("abc"), 2_000),
            "model_version": "1",
        }
    )
    table = pa.table({name: pa.array(frame[name].tolist()) for name in frame}).cast(
        pa.schema({"hash": pa.uint64(), "as_of": pa.string(), "model_version": pa.string()})
    )
    kept = daily_digest.lowest(table, 30, ["as_of", "model_version"]).to_pandas()
    expected = frame.drop_duplicates(["hash", "as_of"]).sort_values(["as_of", "hash"]).groupby("as_of").head(30)
    assert kept[["as_of", "hash"]].values.tolist() == expected[["as_of", "hash"]].values.tolist()
