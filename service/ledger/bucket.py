"""The bucket that rows are shipped to: whole objects, stored or not.

boto3 is imported when the bucket is first used, so a start does not wait for it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


class StoreConflict(Exception):
    """The key already holds other bytes, which must not be overwritten."""


class ObjectStore(Protocol):
    """Where objects go: whole or not at all."""

    def put(self, key: str, data: bytes, metadata: Mapping[str, str], *, replace: bool) -> None:
        """Stores the object; the same bytes again are fine.

        Raises:
            StoreConflict: other bytes are there and `replace` is False.
            Exception: it was not stored, or nobody knows: try again.
        """


@dataclass(frozen=True)
class StoreSettings:
    """How the bucket is reached; None leaves a choice to the environment (`AWS_*`)."""

    bucket: str = "predictions"
    endpoint: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    region: str | None = None
    connect_timeout_s: float = 2.0
    read_timeout_s: float = 10.0


class BucketStore:
    """An S3 bucket through boto3, with its retries off: the shipper has its own."""

    def __init__(self, settings: StoreSettings) -> None:
        import boto3
        from botocore.config import Config

        self.bucket = settings.bucket
        self.client: S3Client = boto3.session.Session().client(
            "s3",
            endpoint_url=settings.endpoint,
            aws_access_key_id=settings.access_key,
            aws_secret_access_key=settings.secret_key,
            region_name=settings.region or os.environ.get("AWS_REGION") or "us-east-1",
            config=Config(
                connect_timeout=settings.connect_timeout_s,
                read_timeout=settings.read_timeout_s,
                retries={"total_max_attempts": 1},
                s3={"addressing_style": "path"},
                # boto3 1.36 and later send checksums that some S3 servers refuse; ours travel as metadata
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def put(self, key: str, data: bytes, metadata: Mapping[str, str], *, replace: bool) -> None:
        """Stores the object, unless other bytes are already there; see `ObjectStore`.

        The condition is an extra: a store that ignores it (MinIO's gateway does) ends in the same state, because keys
        and bytes never vary.
        """
        from botocore.exceptions import ClientError

        request = {"ContentType": "text/csv; charset=utf-8", **({} if replace else {"IfNoneMatch": "*"})}
        try:
            self.client.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=data,
                Metadata=dict(metadata),
                **request,  # type: ignore[arg-type]
            )
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 412:
                raise
            if not self._holds(key, data, metadata):
                raise StoreConflict(key) from None

    def _holds(self, key: str, data: bytes, metadata: Mapping[str, str]) -> bool:
        """Whether the object there has these very bytes.

        A key that may only put cannot read them: it puts them again, if the ETag there is their MD5.
        """
        from botocore.exceptions import ClientError

        try:
            return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read() == data
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 403:
                raise
        etag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
        try:
            self.client.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=data,
                Metadata=dict(metadata),
                ContentType="text/csv; charset=utf-8",
                IfMatch=etag,
            )
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 412:
                raise
            return False
        return True
