"""The store of reports: signed as Amazon documents it, read-only, honest about what it cannot give."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from pydantic import SecretStr

from tests.conftest import ObjectStore
from ui.api import errors
from ui.api.reports import ReportBucket
from ui.settings import Reports


def settings_of(endpoint: str = "http://s3.test", access: str = "a", secret: str = "b") -> Reports:
    """Access to the bucket of reports."""
    return Reports(endpoint, "reports", SecretStr(access), SecretStr(secret))


@pytest.mark.parametrize("region", ["us-east-1", "sa-east-1"])
def test_the_signature_is_the_one_a_store_computes(region: str) -> None:
    """Signed for the store's region, for the host it is sent to, over a path that is escaped once."""
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(404)

    settings = replace(settings_of("https://store.example:9000"), region=region)
    assert ReportBucket(settings, httpx.MockTransport(handle)).read("drift/a b+c.html") is None

    assert len(seen) == 1
    request = seen[0]
    assert f"/{region}/s3/aws4_request" in request.headers["authorization"]
    expected = AWSRequest("GET", str(request.url), {"host": "store.example:9000"})
    expected.context["timestamp"] = request.headers["x-amz-date"]
    signer = S3SigV4Auth(Credentials("a", "b"), "s3", region)
    expected.headers["X-Amz-Date"] = request.headers["x-amz-date"]
    expected.headers["X-Amz-Content-SHA256"] = request.headers["x-amz-content-sha256"]
    text = signer.string_to_sign(expected, signer.canonical_request(expected))
    assert request.headers["authorization"].endswith(signer.signature(text, expected))


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
