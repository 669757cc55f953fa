"""Personal data in the buckets: features emptied, decisions deleted when they are old, one customer erased on request.

Objects never change in place while anybody may still ship them: features go 180 days later, and an erasure takes the
rows out of the hosts' outboxes first (`service.erasure`). Every step can be repeated; a crash half way leaves nothing
that the next run does not finish.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from service.ledger import records
from service.ledger.records import RecordKind

Result = TypeVar("Result")

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

AT_ONCE: Final = 8
DECISIONS: Final = ".decisions.csv"
"""End of the key of an object whose features are gone, so that a listing tells what is left to do."""
BOILED: Final = "days/"
"""Prefix of the drift flow's digests of days (`flows.predictions.daily_digest`): made again from what is left."""
_BOILED_KEY: Final = re.compile(BOILED + r"\w+/dt=(\d{4}-\d{2}-\d{2})\.parquet")
_KEY: Final = re.compile(r"(predictions|outcomes|reviews)/dt=(\d{4}-\d{2}-\d{2})/[A-Za-z0-9_.-]+\.csv")
_ID: Final = re.compile(rb"\d{8}-[a-z2-7]{10}-[0-9a-f]{1,32}")  # sealed as partners know it, or plain


class RowsLeft(RuntimeError):
    """The scan after an erasure still found rows: something wrote them meanwhile, or a host was left out."""


@dataclass(frozen=True)
class Aged:
    """What a run of retention did."""

    emptied_objects: int
    emptied_rows: int
    deleted_objects: int


@dataclass(frozen=True)
class Erased:
    """What an erasure did to the buckets."""

    rows: int
    objects: int
    reports: int


class Bucket:
    """One bucket, read and written whole objects at a time."""

    def __init__(self, client: S3Client, name: str) -> None:
        self._client, self.name = client, name

    def keys(self, prefix: str = "") -> Iterator[str]:
        """All keys under a prefix, in order."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        for page in pages:
            yield from (item["Key"] for item in page.get("Contents", []))

    def get(self, key: str) -> bytes:
        """An object's bytes."""
        return self._client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def put_csv(self, key: str, data: bytes) -> None:
        """Stores an object of rows."""
        self._client.put_object(Bucket=self.name, Key=key, Body=data, ContentType="text/csv; charset=utf-8")

    def delete(self, key: str) -> None:
        """Deletes an object; one that is not there is fine."""
        self._client.delete_object(Bucket=self.name, Key=key)


def day_of(key: str) -> date | None:
    """The day an object's rows were recorded, told by its key; None for an object that is none of ours."""
    match = _KEY.fullmatch(key)
    return date.fromisoformat(match[2]) if match else None


def digest_key(kind: str, day: date) -> str:
    """Where the drift flow keeps the daily digest of `kind` (predictions, outcomes)."""
    return f"{BOILED}{kind}/dt={day.isoformat()}.parquet"


def retain(bucket: Bucket, today: date, *, feature_days: int, decision_days: int) -> Aged:
    """Empties the features of predictions older than `feature_days`, deletes all rows older than `decision_days`."""
    emptied = rows = deleted = 0
    for kind in RecordKind:
        for key in bucket.keys(f"{kind.folder}/"):
            day = day_of(key)
            if day is None:
                continue
            if day < today - timedelta(days=decision_days):
                bucket.delete(key)
                deleted += 1
            elif (
                kind is RecordKind.PREDICTION
                and day < today - timedelta(days=feature_days)
                and not key.endswith(DECISIONS)
            ):
                rows += _empty(bucket, key)
                emptied += 1
    for key in bucket.keys(BOILED):
        match = _BOILED_KEY.fullmatch(key)
        if match and date.fromisoformat(match[1]) < today - timedelta(days=feature_days):
            bucket.delete(key)
            deleted += 1
    return Aged(emptied, rows, deleted)


def _empty(bucket: Bucket, key: str) -> int:
    """Puts the decisions beside the object, then deletes it: a crash in between is mended by doing it again."""
    bare = records.without_inputs(bucket.get(key))
    bucket.put_csv(key.removesuffix(".csv") + DECISIONS, bare)
    bucket.delete(key)
    return sum(1 for _ in records.read(bare))


def erase(bucket: Bucket, reports: Bucket, refs: frozenset[str], predictions: frozenset[str] = frozenset()) -> Erased:
    """Erases the predictions of these pseudonyms and with these ids, what refers to them, and reports naming either.

    A daily digest goes before the rows that it was made of. Where no row is found, an erasure may have broken off after
    the rows and before the scan: nobody knows which days, so all of them go and are made again from what is left.

    Raises:
        RowsLeft: the scan that follows still found some.
    """
    rows = objects = 0
    ids = set(predictions)
    for kind in RecordKind:  # predictions first: outcomes and reviews name them
        for removed in _each(bucket.keys(f"{kind.folder}/"), lambda key: _erase_from(bucket, key, refs, ids)):
            rows, objects = rows + len(removed), objects + bool(removed)
            ids.update(removed if kind is RecordKind.PREDICTION else ())
    if not rows:
        for key in list(bucket.keys(BOILED)):
            bucket.delete(key)
    naming = _naming(reports, refs, ids)
    for key in naming:
        reports.delete(key)
    remains = scan(bucket, reports, refs, ids)
    if remains:
        raise RowsLeft(
            f"{len(remains)} objects still name the customer, first {remains[0]}: erase every host, then run again"
        )
    return Erased(rows, objects, len(naming))


def scan(bucket: Bucket, reports: Bucket, refs: frozenset[str], predictions: Collection[str] = ()) -> list[str]:
    """Objects of either bucket that name one of these pseudonyms or predictions anywhere: none after an erasure."""
    return _naming(bucket, refs, predictions) + _naming(reports, refs, predictions)


def _naming(bucket: Bucket, refs: frozenset[str], predictions: Collection[str]) -> list[str]:
    def key_of_hit(key: str) -> str:
        return key if names(key, bucket.get(key), refs, predictions) else ""

    return [key for key in _each(bucket.keys(), key_of_hit) if key]


def names(key: str, data: bytes, refs: frozenset[str], predictions: Collection[str]) -> bool:
    """True if an object names a pseudonym or a prediction: text anywhere in it, or a text cell of a Parquet file."""
    text = _cells(data) if key.endswith(".parquet") else data
    return any(ref.encode() in text for ref in refs) or any(
        match.decode() in predictions for match in set(_ID.findall(text))
    )


def _cells(data: bytes) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    columns = parquet.read_table(BytesIO(data)).columns
    # Numbers and dates name nobody; text comes as string, large_string, string_view, dictionary, binary or in lists.
    texts = (column.to_pylist() for column in columns if not _wordless(pa, column.type))
    return b"\n".join(cell if isinstance(cell, bytes) else str(cell).encode() for column in texts for cell in column)


def _wordless(pa: Any, kind: Any) -> bool:
    test = pa.types
    return bool(test.is_primitive(kind) or test.is_decimal(kind) or test.is_null(kind))


def _erase_from(bucket: Bucket, key: str, refs: frozenset[str], predictions: Collection[str]) -> list[str]:
    """Ids of the rows that went from one object; the object goes with its last row."""
    data = bucket.get(key)
    if not names(key, data, refs, predictions):
        return []
    rest, removed = records.without_customers(data, refs, predictions)
    if not removed:
        return []
    day = day_of(key)
    if day is not None:
        bucket.delete(digest_key(key.partition("/")[0], day))
    if any(records.read(rest)):
        bucket.put_csv(key, rest)
    else:
        bucket.delete(key)
    return removed


def _each(keys: Iterable[str], work: Callable[[str], Result]) -> Iterator[Result]:
    """The results in the order of the keys; a few keys at once, never all of them in memory."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        waiting = iter(keys)
        while batch := list(islice(waiting, 64 * AT_ONCE)):
            yield from threads.map(work, batch)
