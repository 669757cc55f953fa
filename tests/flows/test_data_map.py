"""The map of personal data says of every store what lies there, why, how long, who reads it and how it is erased."""

from __future__ import annotations

import pytest
import yaml

from infra.settings import ROOT
from service.s3 import BUCKETS

MAP = yaml.safe_load((ROOT / "data" / "map.yaml").read_text("utf-8"))
STORES = {store["store"]: store for store in MAP["stores"]}
COMPOSE = yaml.safe_load((ROOT / "infra" / "compose.yaml").read_text("utf-8"))
#: Where the data of compose's volumes stand in the map; what holds nobody's data says so.
VOLUMES = {
    "objects": "bucket predictions",
    "database": "database of Prefect",
    "state": "audit/personal-data.jsonl",
    "release": "audit/registry.jsonl",
    "scoring": "results of batch jobs",
    "watch": "",
    "service": "service/outbox",
    "raw": "data/raw",
    "prepared": "data/processed",
    "batches": "ui batches",
    "images": "",
    "metrics-key": "",
    "ui-secrets": "",
    "series": "",
    "boards": "",
}


@pytest.mark.parametrize("name", STORES)
def test_a_store_is_described_whole(name: str) -> None:
    """No field is missing or empty."""
    assert set(STORES[name]) == {"store", "what", "why", "kept", "readers", "erased"}
    assert all(STORES[name].values())


def test_no_store_is_missing() -> None:
    """Every bucket and every volume has its place; a new one fails here until somebody says what lies in it."""
    assert len(STORES) == len(MAP["stores"])
    assert {f"bucket {name}" for name in BUCKETS} <= set(STORES)
    assert set(COMPOSE["volumes"]) == set(VOLUMES)
    assert {place for place in VOLUMES.values() if place} <= set(STORES)
