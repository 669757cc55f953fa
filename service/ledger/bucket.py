"""The bucket that rows are shipped to: whole objects, stored or not."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from service.s3 import PREDICTIONS_BUCKET, S3Settings, s3_client


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
    """Which bucket, and how it is reached; None leaves a choice to the environment (`AWS_*`)."""

    bucket: str = PREDICTIONS_BUCKET
    endpoint: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    connect_timeout_s: float = 2.0
    read_timeout_s: float = 10.0


class BucketStore:
    """An S3 bucket, reached without retries: the shipper has its own."""

    def __init__(self, settings: StoreSettings) -> None:
        self.bucket = settings.bucket
        self.client = s3_client(
            S3Settings(
                endpoint=settings.endpoint,
                access_key=settings.access_key,
                secret_key=settings.secret_key,
                connect_timeout_s=settings.connect_timeout_s,
                read_timeout_s=settings.read_timeout_s,
                attempts=1,
            )
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

    def get(self, key: str) -> bytes:
        """The object's bytes."""
        return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def keys(self, prefix: str) -> list[str]:
        """The keys that begin with a prefix."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def _holds(self, key: str, data: bytes, metadata: Mapping[str, str]) -> bool:
        """True if the object there has these very bytes.

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
