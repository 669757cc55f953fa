"""Prepared data of generated customers, as the DVC stage leaves it, for tests of flows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from flows.cleaning.schemas import CLEAN_COLUMNS, clean_schema, hold
from flows.errors import DatasetError
from service.contract import WHOLE_FIELDS
from service.score.policy import CLASSES
from tests.factories import applicant_columns

MONTHS = 8


def prepared_frame(customers: int, seed: int) -> pd.DataFrame:
    """Clean, labelled rows of `customers` generated customers over eight months."""
    columns, classes = applicant_columns(customers * MONTHS, seed)
    frame = pd.DataFrame({name: list(values) for name, values in columns.items()})
    rng = np.random.default_rng(seed)
    for name in WHOLE_FIELDS.intersection(frame.columns):
        frame[name] = frame[name].astype("Int64")
    frame["customer_id"] = [f"CUS_{seed}_{number // MONTHS:05d}" for number in range(len(frame))]
    frame["month"] = np.tile(np.arange(1, MONTHS + 1), customers).astype("int64")
    frame["label"] = np.array([str(name) for name in CLASSES])[classes]
    frame["age"] = pd.array(np.repeat(rng.integers(18, 56, customers), MONTHS), dtype="Int64")
    frame["occupation"] = np.repeat(rng.choice(["Lawyer", "Teacher"], customers), MONTHS)
    frame["balance_identity"] = "unknown"
    return frame[list(CLEAN_COLUMNS)]


def write_prepared(folder: Path, *, customers: int = 250, unseen: int = 120) -> Path:
    """`folder` with train.parquet, test.parquet, repaired.parquet and quality.json."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, count, seed in (("train", customers, 1), ("test", unseen, 2), ("repaired", unseen, 2)):
        prepared_frame(count, seed).to_parquet(folder / f"{name}.parquet", index=False)
    gate = {"gate": "rows_set_aside", "column": "(table)", "value": 0.01, "least": None, "most": 0.05, "passed": True}
    quality = {"raw_sha256": "0" * 64, "out_of_time_months": [7, 8], "gates": [gate]}
    (folder / "quality.json").write_text(json.dumps(quality))
    return folder


def breaks_schema(frame: pd.DataFrame) -> str:
    """What the clean schema says against the frame, empty if nothing."""
    try:
        hold(clean_schema(labelled=True), frame)
    except DatasetError as error:
        return str(error)
    return ""
