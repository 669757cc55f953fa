"""Old versions of the training data and old batches go by age; what the project names today stays."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.predictions.data_age import DataAged, named_versions, retain_data
from service.s3 import DATA_BUCKET
from tests.conftest import ObjectStore
from tests.faults.chaos import client as store_client

TODAY, OLD = "1b" * 16, "2c" * 16
KEYS = {
    f"files/md5/{TODAY[:2]}/{TODAY[2:]}",
    f"files/md5/{OLD[:2]}/{OLD[2:]}",
    "batches/acme/in.csv",
    "batches/acme/in.csv.scored/part-00000.parquet",
    "README.md",
}
LOCK = f"""schema: '2.0'
stages:
  prepare:
    outs:
    - path: data/processed/train.parquet
      md5: {TODAY}
      size: 12
"""


@pytest.fixture(name="client")
def _client(object_store: ObjectStore) -> Iterator[Any]:
    """The real store with two versions of the data and a batch; they are gone afterwards."""
    client = store_client(object_store)
    for key in KEYS:
        client.put_object(Bucket=DATA_BUCKET, Key=key, Body=b"x")
    yield client
    for key in KEYS:
        client.delete_object(Bucket=DATA_BUCKET, Key=key)


def left(client: Any) -> set[str]:
    """Which of the keys are there."""
    return {item["Key"] for item in client.list_objects_v2(Bucket=DATA_BUCKET).get("Contents", [])} & KEYS


@pytest.mark.parametrize(
    ("days_later", "gone"),
    [(0, set()), (91, {key for key in KEYS if key.startswith("batches/")}), (1826, KEYS - {"README.md"})],
)
def test_each_kind_has_its_age(client: Any, days_later: int, gone: set[str], tmp_path: Path) -> None:
    """Nothing at once, batches after 90 days, versions after five years; not the one that a lock names."""
    (tmp_path / "dvc.lock").write_text(LOCK)
    kept = named_versions([tmp_path / "dvc.lock", tmp_path / "none"])
    assert kept == {TODAY}
    now = datetime.now(UTC) + timedelta(days=days_later)
    gone = {key for key in gone if TODAY[2:] not in key}

    done = retain_data(client, DATA_BUCKET, now, version_days=1825, batch_days=90, keep=kept)

    assert left(client) == KEYS - gone
    batches = sum(key.startswith("batches/") for key in gone)
    assert done == DataAged(len(gone) - batches, batches)


def test_the_projects_own_lock_names_versions() -> None:
    """The pattern fits what DVC writes."""
    from infra.settings import ROOT

    assert named_versions([ROOT / "dvc.lock"])
