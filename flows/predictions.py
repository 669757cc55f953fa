"""What was answered and what came of it, read back from bucket `predictions` in bounded memory.

Objects lie in folders by the day they were stored, so a run reads only the days that can hold its window: the cost
grows with new rows, not with history. Above a cap, rows are sampled by the hash of their id: the same rows whatever
the order of objects, so a repeated run compares the same data.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv as arrow_csv

from flows.monitor import contract_columns
from flows.windows import Window

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

BUCKET = "predictions"
DOWNLOADS_AT_ONCE = 4
LIST_COLUMNS = {"loan_types", "reasons"}
_FIELDS = contract_columns()
TEXT_COLUMNS = (
    "prediction_id",
    "as_of",
    "model_version",
    "model_digest",
    *(column.name for column in _FIELDS if column.kind != "number"),
    "band",
    "predicted_class",
    "reasons",
)
NUMBER_COLUMNS = (
    *(column.name for column in _FIELDS if column.kind == "number"),
    "score",
    "p_poor",
    "p_standard",
    "p_good",
)
PREDICTION_TYPES = dict.fromkeys(TEXT_COLUMNS, pa.string()) | dict.fromkeys(NUMBER_COLUMNS, pa.float64())
OUTCOME_TYPES = dict.fromkeys(("prediction_id", "observed_class", "observed_at"), pa.string())


def object_keys(client: S3Client, kind: str, newest: date, days: int) -> list[str]:
    """Keys of `kind` (predictions, outcomes) stored on the `days` days that end with `newest`, in order."""
    pages = client.get_paginator("list_objects_v2")
    keys: list[str] = []
    for age in range(days, -1, -1):
        prefix = f"{kind}/dt={(newest - timedelta(days=age)).isoformat()}/"
        for page in pages.paginate(Bucket=BUCKET, Prefix=prefix):
            keys += [item["Key"] for item in page.get("Contents", []) if item["Key"].endswith(".csv")]
    return keys


def tables(client: S3Client, keys: Sequence[str], types: dict[str, pa.DataType]) -> Iterator[pa.Table]:
    """Each object's rows as an arrow table of the given columns; missing columns come back null.

    Objects are fetched a few at a time, so a slow store is hidden and memory stays bounded.
    """
    options = arrow_csv.ConvertOptions(
        column_types=types,
        include_columns=list(types),
        include_missing_columns=True,
        strings_can_be_null=True,
        quoted_strings_can_be_null=True,
        null_values=[""],
    )

    def fetch(key: str) -> pa.Table:
        body = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return arrow_csv.read_csv(io.BytesIO(body), convert_options=options)

    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        for start in range(0, len(keys), DOWNLOADS_AT_ONCE):
            yield from pool.map(fetch, keys[start : start + DOWNLOADS_AT_ONCE])


@dataclass
class Sampler:
    """Counts the rows of a window and keeps at most `cap` of them: those whose id hashes lowest."""

    window: Window
    cap: int
    rows: Counter[str] = field(default_factory=Counter)
    seen: list[np.ndarray[Any, np.dtype[np.uint64]]] = field(default_factory=list)
    kept: list[pd.DataFrame] = field(default_factory=list)
    limit: int = int(np.iinfo(np.uint64).max)

    def add(self, frame: pd.DataFrame) -> None:
        """Take the rows of one object: a frame with `as_of` (ISO text), `model_version` and `hash` (uint64)."""
        inside = frame[
            (frame["as_of"] >= self.window.start.isoformat()) & (frame["as_of"] < self.window.end.isoformat())
        ]
        if inside.empty:
            return
        for version, count in inside["model_version"].value_counts().items():
            self.rows[str(version)] += int(count)
        self.seen.append(inside["hash"].to_numpy())
        self.kept.append(inside[inside["hash"] <= self.limit])
        if sum(map(len, self.kept)) > 2 * self.cap:
            self._shrink()

    def _shrink(self) -> None:
        together = pd.concat(self.kept, ignore_index=True).drop_duplicates("hash")
        lowest = together.nsmallest(self.cap, "hash")
        self.kept = [lowest]
        if len(lowest) == self.cap:
            self.limit = int(lowest["hash"].iloc[-1])

    def frame(self) -> pd.DataFrame:
        """The kept rows in a fixed order; empty with the same columns if nothing fell into the window."""
        if not self.kept:
            return pd.DataFrame(columns=[*PREDICTION_TYPES, "hash"])
        self._shrink()
        return self.kept[0].reset_index(drop=True)

    @property
    def distinct_rows(self) -> int:
        """Rows of the window, repeats counted once."""
        return len(np.unique(np.concatenate(self.seen))) if self.seen else 0


def sample(objects: Iterable[pa.Table], samplers: Sequence[Sampler]) -> None:
    """Pass every object once through all samplers."""
    for table in objects:
        frame = table.to_pandas()
        # An empty cell of a list is an empty list; of anything else it is a missing value.
        for name in LIST_COLUMNS & set(frame.columns):
            frame[name] = frame[name].fillna("")
        frame["hash"] = pd.util.hash_array(frame["prediction_id"].to_numpy(dtype=object), categorize=False)
        for sampler in samplers:
            sampler.add(frame)


def read_outcomes(client: S3Client, newest: date, days: int) -> pd.DataFrame:
    """Outcomes stored on the last `days` days, as they came: repeats and contradictions included."""
    parts = [
        table.to_pandas() for table in tables(client, object_keys(client, "outcomes", newest, days), OUTCOME_TYPES)
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(OUTCOME_TYPES))
