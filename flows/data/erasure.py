"""One customer out of the training data: the raw table, what was made of it, and every version of either.

What a trained model is made of holds no row, and its package holds no number; but the figures of customers on the side
that judges travel in packages (`reference.parquet`, golden requests) until the next release replaces them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flows.data.dvc_versions import DvcRemote
from flows.data.erased_customers import ErasedCustomers
from flows.data.sources import forget
from flows.predictions.data_age import VERSIONS
from flows.predictions.erasure import Bucket
from service.s3 import S3Settings, s3_client

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

CACHE: Final = Path(".dvc/cache/files")
"""DVC's own folder of versions, from the project's root."""


@dataclass(frozen=True)
class TrainingErasure:
    """What went: rows of the raw and of the prepared tables, versions in DVC's cache and in its remote; and where
    versions are left, each with the reason, empty if the erasure reached every place."""

    raw_rows: int
    prepared_rows: int
    cached: int
    remote: int = 0
    remains: tuple[str, ...] = ()

    def summary(self) -> str:
        """One line for the trail and for whoever ran it; it names nobody."""
        return (
            f"training data: {self.raw_rows} raw rows, {self.prepared_rows} prepared rows, {self.cached} versions in "
            f"DVC's cache, {self.remote} in its remote" + "".join(f"; LEFT: {one}" for one in self.remains)
        )


def erase(root: Path, raw_file: Path, prepared: Path, remote: DvcRemote, erased: ErasedCustomers) -> TrainingErasure:
    """Take everybody on the list out of a project's tables and of their versions; it can be repeated.

    Prepared tables that held one of them are deleted whole, to be made anew from what is left of the raw file. Objects
    of DVC's are named by their content, so a version that held one goes whole too.

    Raises:
        SourceError: the raw file is not the table we know.
    """
    here = erase_here(root, raw_file, prepared, erased)
    remote_count, remains = _erase_remote(remote, erased)
    return replace(here, remote=remote_count, remains=remains)


def erase_here(root: Path, raw_file: Path, prepared: Path, erased: ErasedCustomers) -> TrainingErasure:
    """The part of `erase` that needs no remote; run alone after a pull, which may bring an old version."""
    raw_rows = forget(raw_file, erased)
    prepared_rows = sum(_emptied(sorted(prepared.glob("*.parquet")), erased).values())
    cached = _emptied([path for path in sorted((root / CACHE).rglob("*")) if path.is_file()], erased)
    return TrainingErasure(raw_rows, prepared_rows, len(cached))


def _emptied(paths: list[Path], erased: ErasedCustomers) -> dict[Path, int]:
    """Delete the files that hold a row of theirs; how many each held."""
    counts = {path: rows for path in paths if (rows := erased.held_by(path.read_bytes()))}
    for path in counts:
        path.unlink()
    return counts


def _erase_remote(remote: DvcRemote, erased: ErasedCustomers) -> tuple[int, tuple[str, ...]]:
    """Number of deleted versions, and what is left: what this key may not delete, or a store that does not answer."""
    from botocore.exceptions import BotoCoreError, ClientError

    count, refused = 0, []
    client = _client(remote)
    try:
        for key in _holding(Bucket(client, remote.bucket), erased):
            try:
                client.delete_object(Bucket=remote.bucket, Key=key)
                count += 1
            except ClientError:
                refused.append(key)
    except (BotoCoreError, ClientError) as error:
        return count, (f"remote {remote.name} was not read to its end ({type(error).__name__})",)
    return count, (f"remote {remote.name}: this key may not delete {', '.join(refused)}",) if refused else ()


def _holding(bucket: Bucket, erased: ErasedCustomers) -> Iterator[str]:
    return (key for key in bucket.keys(VERSIONS) if erased.held_by(bucket.get(key)))


def _client(remote: DvcRemote) -> S3Client:
    variables = remote.variables
    return s3_client(
        S3Settings(
            endpoint=variables.get("AWS_ENDPOINT_URL_S3"),
            access_key=variables.get("AWS_ACCESS_KEY_ID"),
            secret_key=variables.get("AWS_SECRET_ACCESS_KEY"),
            region=variables.get("AWS_REGION"),
        )
    )
