"""Old versions of the training data and old batches in bucket `data`: deleted by age, unread.

A version is what DVC pushed: objects under `files/`, named by their digest, which nobody changes after they were put.
The age of an object is the time since. What the lock files name is the data of today and stays, however old: every
output of `dvc.yaml` is a file with a digest of its own, so no folder's listing has to be read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

VERSIONS: Final = "files/"
BATCHES: Final = "batches/"
"""Sources and results of batch jobs, where the scoring flow is bound to `s3://data/batches`."""
_NAMED: Final = re.compile(r"\bmd5: ([0-9a-f]{32})\b")


class DataAged(NamedTuple):
    """Objects that went."""

    versions: int
    batches: int


def retain_data(
    client: S3Client, bucket: str, now: datetime, *, version_days: int, batch_days: int, keep: Collection[str]
) -> DataAged:
    """Delete versions put more than `version_days` ago, but for the digests `keep`, and batches after `batch_days`."""
    versions = _older(client, bucket, VERSIONS, now - timedelta(days=version_days))
    expired = [key for key in versions if not any(digest in key.replace("/", "") for digest in keep)]
    batches = _older(client, bucket, BATCHES, now - timedelta(days=batch_days))
    for key in [*expired, *batches]:
        client.delete_object(Bucket=bucket, Key=key)
    return DataAged(len(expired), len(batches))


def named_versions(locks: Iterable[Path]) -> frozenset[str]:
    """Digests that these of DVC's lock files name, where they are there."""
    return frozenset(digest for lock in locks if lock.is_file() for digest in _NAMED.findall(lock.read_text("utf-8")))


def _older(client: S3Client, bucket: str, prefix: str, than: datetime) -> list[str]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [item["Key"] for page in pages for item in page.get("Contents", []) if item["LastModified"] < than]
