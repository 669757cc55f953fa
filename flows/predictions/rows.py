"""Stored rows as they lie in bucket `predictions`: which objects a day has, and their rows as arrow tables.

Objects lie in folders by the day their rows were recorded. Ids are compared by a 64-bit hash, which is short: two of
ten million different ids share one with a chance of three in a million.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute
from pyarrow import csv as arrow_csv

from flows.predictions.columns import contract_columns
from flows.predictions.erasure import DECISIONS
from service.contract import PROBABILITY_COLUMNS
from service.s3 import PREDICTIONS_BUCKET

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

BUCKET: Final = PREDICTIONS_BUCKET
DOWNLOADS_AT_ONCE: Final = 16
BYTES_AT_ONCE: Final = 1 << 26
_DAY_LENGTH: Final = 8  # an id opens with the day it was recorded, YYYYMMDD
_FIELDS: Final = contract_columns()
TEXT_COLUMNS: Final = (
    "prediction_id",
    "as_of",
    "model_version",
    "model_digest",
    *(column.name for column in _FIELDS if column.kind != "number"),
    "band",
    "predicted_class",
    "risk_grade",
    "basis",
    "previous_classes",
    "reasons",
)
NUMBER_COLUMNS: Final = (
    *(column.name for column in _FIELDS if column.kind == "number"),
    "score",
    *PROBABILITY_COLUMNS,
)
PREDICTION_TYPES: Final = dict.fromkeys(TEXT_COLUMNS, pa.string()) | dict.fromkeys(NUMBER_COLUMNS, pa.float64())
PREDICTION_COLUMNS: Final = (*PREDICTION_TYPES, "hash", "customer")
OUTCOME_TYPES: Final = dict.fromkeys(("prediction_id", "partner", "observed_class", "observed_at"), pa.string())
OUTCOME_COLUMNS: Final = ("hash", "recorded", "partner", "observed_class", "observed_at", "customer")
_READ_TYPES: Final = {
    kind: types | {"customer_ref": pa.string()}
    for kind, types in (("predictions", PREDICTION_TYPES), ("outcomes", OUTCOME_TYPES))
}


@dataclass(frozen=True)
class StoredObject:
    """One object of rows: `stamp` changes with its bytes, `stored_at` is when it was written last."""

    key: str
    size: int
    stamp: str
    stored_at: datetime


def stored_days(client: S3Client, kind: str) -> list[date]:
    """The days that have a folder of `kind` (predictions, outcomes), in order."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{kind}/dt=", Delimiter="/")
    prefixes = [
        item["Prefix"].rstrip("/").rpartition("dt=")[2] for page in pages for item in page.get("CommonPrefixes", [])
    ]
    return sorted(day for day in map(_day, prefixes) if day is not None)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None  # a folder that is none of ours


def objects_of(client: S3Client, kind: str, day: date) -> list[StoredObject]:
    """The day's objects in order; those whose features were emptied by age have nothing left to compare."""
    prefix = f"{kind}/dt={day.isoformat()}/"
    return [
        StoredObject(item["Key"], item["Size"], f"{item['Size']}-{item['ETag']}", item["LastModified"])
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        for item in page.get("Contents", [])
        if item["Key"].endswith(".csv") and not item["Key"].endswith(DECISIONS)
    ]


def tables(client: S3Client, objects: Sequence[StoredObject], kind: str) -> Iterator[pa.Table]:
    """Each object's rows in order, `hash` of the prediction's id added; columns it lacks are null.

    `customer` tells whose row it is, a hash of the pseudonym: rows of one customer are not independent. Without a
    pseudonym a row stands alone, under its prediction's hash. Of outcomes the id itself is left out.

    A few objects are fetched ahead: that hides a slow store and bounds memory.
    """
    types = _READ_TYPES[kind]
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
        table = arrow_csv.read_csv(io.BytesIO(body), convert_options=options)
        ids = table["prediction_id"]
        table = table.append_column("hash", pa.array(hashed(ids)))
        table = table.append_column("customer", _customers(table))
        if kind == "outcomes":
            table = table.append_column("recorded", compute.utf8_slice_codeunits(ids, 0, _DAY_LENGTH))
            return table.select(OUTCOME_COLUMNS)
        return table.select(PREDICTION_COLUMNS)

    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        for batch in _batches(objects):
            yield from pool.map(fetch, [one.key for one in batch])


def _batches(objects: Sequence[StoredObject]) -> Iterator[list[StoredObject]]:
    """The objects in order, as many at once as there are threads and room for."""
    batch: list[StoredObject] = []
    for one in objects:
        if batch and (len(batch) == DOWNLOADS_AT_ONCE or sum(o.size for o in [*batch, one]) > BYTES_AT_ONCE):
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch


def _customers(table: pa.Table) -> pa.Array:
    """Hash of each row's pseudonym, of its id where it has none."""
    refs = table["customer_ref"].combine_chunks().dictionary_encode()
    hashes = pa.array(hashed(refs.dictionary)).take(refs.indices)
    return compute.coalesce(hashes, table["hash"])


def hashed(ids: Any) -> NDArray[np.uint64]:
    """A stable 64-bit hash of each id."""
    return pd.util.hash_array(np.asarray(ids.fill_null("").to_pylist(), dtype=object), categorize=False)
