"""The store of reports: signed as Amazon documents it, read-only, honest about what it cannot give."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest
from pydantic import SecretStr

from tests.conftest import ObjectStore
from ui.api import errors
from ui.api.reports import ReportBucket, Signature
from ui.settings import Reports


def settings_of(endpoint: str = "http://s3.test", access: str = "a", secret: str = "b") -> Reports:
    """Access to the bucket of reports."""
    return Reports(endpoint, "reports", SecretStr(access), SecretStr(secret))


def test_amazons_own_example() -> None:
    """GET Object of "Signature Calculations for the Authorization Header", to the last digit."""
    request = httpx.Request("GET", "https://examplebucket.s3.amazonaws.com/test.txt", headers={"range": "bytes=0-9"})
    Signature("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY").sign(
        request, datetime(2013, 5, 24, tzinfo=UTC)
    )
    assert request.headers["authorization"].endswith(
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )


@pytest.mark.parametrize(
    ("status", "kind"), [(403, errors.NotAllowed), (401, errors.NotAllowed), (500, errors.Unexpected)]
)
def test_refusals(status: int, kind: type[errors.ApiError]) -> None:
    """Each has its kind."""
    bucket = ReportBucket(settings_of(), httpx.MockTransport(lambda request: httpx.Response(status)))
    with pytest.raises(kind):
        bucket.read("current.json")


def test_nobody_there() -> None:
    """A store that is down is no traceback."""

    def handle(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(errors.NoConnection):
        ReportBucket(settings_of(), httpx.MockTransport(handle)).read("current.json")


def test_the_real_store(object_store: ObjectStore) -> None:
    """Against the S3 gateway: what boto3 wrote is read; what is not there is None; a wrong key is refused."""
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=object_store.endpoint,
        aws_access_key_id=object_store.access_key,
        aws_secret_access_key=object_store.secret_key,
        region_name="us-east-1",
    )
    client.put_object(Bucket="reports", Key="drift/dt=2026-11-01/a-v1/report.html", Body=b"<p>report</p>")
    client.close()
    with ReportBucket(settings_of(object_store.endpoint, object_store.access_key, object_store.secret_key)) as bucket:
        assert bucket.read("drift/dt=2026-11-01/a-v1/report.html") == b"<p>report</p>"
        assert bucket.read("nothing/here.json") is None
    with ReportBucket(settings_of(object_store.endpoint, object_store.access_key, "wrong-secret")) as bucket:
        with pytest.raises(errors.NotAllowed):
            bucket.read("current.json")
