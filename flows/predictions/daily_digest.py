"""The daily digest: a day of stored rows reduced once, so that a run reads what is new and never history again.

A day becomes one Parquet object beside the rows, `days/<kind>/dt=YYYY-MM-DD.parquet`. Of predictions it holds, for each
described day and model version, the KEPT rows whose ids hash lowest, whole, then hash, described day and model version
of all others; of outcomes it holds every one. Its metadata has the counts and the objects it was made from: new
objects are added, and where one changed or went (retention, an erasure) the day is made again. A day can be thrown away
at any time, and erasures do. Since the lowest hashes are kept, the sample of a window is the same in whatever order
rows came.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from pyarrow import compute, parquet
from pydantic import BaseModel, ConfigDict

from flows.predictions import rows as stored
from flows.predictions.erasure import digest_key
from flows.predictions.rows import StoredObject
from service.s3 import read_object

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

FORMAT: Final = 5
KEPT: Final = 20_000
GROUP: Final = ["as_of", "model_version"]
INDEX: Final = ["hash", *GROUP]
_SHRINK_AT: Final = 200_000  # rows
_METADATA: Final = b"quantumfinance"


class ObjectRead(BaseModel):
    """An object that a day was made from."""

    model_config = ConfigDict(frozen=True)

    stamp: str
    rows: int
    stored_at: datetime


class DigestSources(BaseModel):
    """What a day was made from, and how many different rows it holds by described day and model version."""

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    objects: dict[str, ObjectRead] = {}
    counts: list[tuple[str, str, int]] = []


@dataclass(frozen=True)
class Day:
    """One day of one kind: its ledger, and the Parquet bytes that hold its rows."""

    ledger: DigestSources
    content: bytes

    def rows(self) -> pa.Table:
        """The rows that were kept whole, each id once (predictions), or all of them as they came (outcomes)."""
        return parquet.ParquetFile(io.BytesIO(self.content)).read_row_group(0).replace_schema_metadata()

    def index(self) -> pa.Table:
        """Hash, described day and model version of every prediction."""
        return parquet.read_table(io.BytesIO(self.content), columns=INDEX).replace_schema_metadata()

    def hashes(self) -> Any:
        """Hash of every prediction's id, uint64 (n,)."""
        return parquet.read_table(io.BytesIO(self.content), columns=["hash"])["hash"].to_numpy()

    def rows_since(self, moment: datetime) -> int:
        """Rows of objects that were stored after `moment`."""
        return sum(one.rows for one in self.ledger.objects.values() if one.stored_at > moment)

    def describes(self, first: date, end: date) -> bool:
        """True if any row describes a day of [first, end)."""
        return any(first.isoformat() <= as_of < end.isoformat() for as_of, _, _ in self.ledger.counts)


def read_day(client: S3Client, kind: str, day: date) -> Day | None:
    """The day brought up to date with its objects, or None where it has none; only new objects are read."""
    objects = stored.objects_of(client, kind, day)
    if not objects:
        return None
    stamps = {one.key: one.stamp for one in objects}
    stored_day = _load(client, digest_key(kind, day))
    if stored_day and any(stamps.get(key) != source.stamp for key, source in stored_day.ledger.objects.items()):
        stored_day = None
    fresh = [one for one in objects if stored_day is None or one.key not in stored_day.ledger.objects]
    if stored_day and not fresh:
        return stored_day
    tables = stored.tables(client, fresh, kind)
    result = _with_new_rows(kind, stored_day, zip(fresh, tables, strict=True))
    client.put_object(Bucket=stored.BUCKET, Key=digest_key(kind, day), Body=result.content)
    return result


def _load(client: S3Client, key: str) -> Day | None:
    """The kept day; None where there is none, or one that is damaged or of another format: it is made again."""
    content = read_object(client, stored.BUCKET, key)
    if content is None:
        return None
    try:
        metadata = parquet.read_schema(io.BytesIO(content)).metadata or {}
        ledger = DigestSources.model_validate_json(metadata.get(_METADATA, b""))
    except (pa.ArrowInvalid, ValueError):
        return None
    return Day(ledger, content) if ledger.format == FORMAT else None


def _with_new_rows(kind: str, before: Day | None, fresh: Iterable[tuple[StoredObject, pa.Table]]) -> Day:
    """The day with the rows of new objects added; memory holds the kept rows and some 40 bytes of any other."""
    objects = dict(before.ledger.objects) if before else {}
    tables = [before.rows()] if before else []
    if kind == "outcomes":
        for one, table in fresh:
            objects[one.key] = _read(one, table)
            tables.append(table)
        return _parquet_day(pa.concat_tables(tables), None, DigestSources(objects=objects))
    index = [before.index()] if before else []
    waiting = 0
    for one, table in fresh:
        objects[one.key] = _read(one, table)
        index.append(table.select(INDEX))
        tables.append(table)
        waiting += len(table)
        if waiting > _SHRINK_AT:
            tables, waiting = [lowest(pa.concat_tables(tables), KEPT, GROUP)], 0
    every = _distinct(pa.concat_tables(index))
    return _parquet_day(
        lowest(pa.concat_tables(tables), KEPT, GROUP), every, DigestSources(objects=objects, counts=_counts(every))
    )


def _read(one: StoredObject, table: pa.Table) -> ObjectRead:
    return ObjectRead(stamp=one.stamp, rows=len(table), stored_at=one.stored_at)


def lowest(table: pa.Table, count: int, by: Sequence[str]) -> pa.Table:
    """Of each group the `count` rows whose ids hash lowest, an id once, ordered by group and hash."""
    hashes, groups = table["hash"].to_numpy(), _groups(table, by)
    order = np.lexsort((hashes, groups))
    hashes, groups = hashes[order], groups[order]
    once = _changes(groups) | _changes(hashes)
    order, groups = order[once], groups[once]
    place = np.arange(len(groups))
    first = np.maximum.accumulate(np.where(_changes(groups), place, 0))
    return table.take(order[place - first < count])


def _groups(table: pa.Table, by: Sequence[str]) -> Any:
    """A number for each row, equal where all of the columns `by` are, ordered as their texts are."""
    parts = [compute.fill_null(table[name], "") for name in by]
    keys = compute.binary_join_element_wise(*parts, "\t") if len(parts) > 1 else parts[0]
    coded = pa.chunked_array(keys).combine_chunks().dictionary_encode()
    ranks = np.argsort(np.argsort(coded.dictionary.to_numpy(zero_copy_only=False)))
    return ranks[coded.indices.to_numpy(zero_copy_only=False)]


def _changes(ordered: Any) -> Any:
    """Mask of the values that differ from the one before; the first always does."""
    return np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]


def _distinct(index: pa.Table) -> pa.Table:
    """Every id once, ordered by hash."""
    hashes = index["hash"].to_numpy()
    order = np.argsort(hashes, kind="stable")
    return index.take(order[_changes(hashes[order])])


def _counts(index: pa.Table) -> list[tuple[str, str, int]]:
    groups = index.group_by(["as_of", "model_version"]).aggregate([("hash", "count")]).to_pylist()
    return sorted((row["as_of"] or "", row["model_version"] or "", row["hash_count"]) for row in groups)


def _parquet_day(rows: pa.Table, every: pa.Table | None, ledger: DigestSources) -> Day:
    """The first row group holds the rows kept whole, the others what is kept of the rest."""
    schema = rows.schema.with_metadata({_METADATA: ledger.model_dump_json().encode()})
    target = io.BytesIO()
    with parquet.ParquetWriter(target, schema, compression="zstd") as writer:
        writer.write_table(rows.replace_schema_metadata(schema.metadata), row_group_size=max(1, len(rows)))
        if every is not None:
            rest = every.filter(compute.invert(compute.is_in(every["hash"], value_set=rows["hash"].combine_chunks())))
            columns = [
                rest[name].cast(field.type) if name in INDEX else pa.nulls(len(rest), field.type)
                for name, field in zip(schema.names, schema, strict=True)
            ]
            writer.write_table(pa.table(columns, schema=schema))
    return Day(ledger, target.getvalue())
