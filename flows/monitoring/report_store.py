"""Bucket `reports`: what drift leaves for people and programs, and links to it that a browser opens."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from service.s3 import REPORTS_BUCKET, S3Settings, read_object, s3_client

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

REPORTS: Final = REPORTS_BUCKET
CURRENT, HISTORY = "current.json", "history.json"
"""The last verdict, which staff pages read, and those before it."""
LINK_LIFETIME: Final = timedelta(days=7)  # the longest a presigned link may live


def object_store() -> S3Client:
    """The object store by the usual AWS variables, for many reads at once."""
    return s3_client(S3Settings(connections=64))


def put(client: S3Client, key: str, body: bytes, content_type: str) -> None:
    """Store an object whole."""
    client.put_object(Bucket=REPORTS, Key=key, Body=body, ContentType=content_type)


def get(client: S3Client, key: str) -> bytes | None:
    """The object's bytes, or None where it does not exist yet."""
    return read_object(client, REPORTS, key)


def link(key: str, store_url: str = "", staff_url: str = "") -> str:
    """A link to a report: staff's page, which reads it whenever it is opened; without a page the object itself.

    Args:
        key: of the object.
        store_url: the store as a browser reaches it; the worker's own endpoint if empty. Such a link needs no key and
            ends after seven days.
        staff_url: the page as a browser reaches it; its link lives as long as the report.
    """
    if staff_url:
        return f"{staff_url.rstrip('/')}/health?{urlencode({'report': key})}"
    # The host is part of the signature, so the link must be made for the address it is opened at.
    client = s3_client(S3Settings(endpoint=store_url or None))
    return client.generate_presigned_url(
        "get_object", Params={"Bucket": REPORTS, "Key": key}, ExpiresIn=int(LINK_LIFETIME.total_seconds())
    )
