"""Read-only access to the bucket of drift reports: plain S3 requests through httpx, signed by botocore.

Not `service.s3`: the page's image holds `service.contract` alone, and boto3 is not needed to read two objects.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Self
from urllib.parse import quote

import httpx
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from ui.api import errors
from ui.settings import Reports


class Signature(httpx.Auth):
    """Signs a GET without a body, by the signer that boto3 itself uses."""

    def __init__(self, settings: Reports) -> None:
        pair = Credentials(settings.access_key.get_secret_value(), settings.secret_key.get_secret_value())
        self._signer = S3SigV4Auth(pair, "s3", settings.region)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """httpx's hook: the request with its signature."""
        unsigned = AWSRequest(request.method, str(request.url), {"host": request.headers["host"]})
        self._signer.add_auth(unsigned)
        request.headers.update(dict(unsigned.headers.items()))
        yield request


class ReportBucket:
    """The reports by key. `NoConnection`, `NotAllowed` or `Unexpected` where the store does not give them."""

    def __init__(self, settings: Reports, transport: httpx.BaseTransport | None = None) -> None:
        self._base = f"{settings.endpoint}/{settings.bucket}/"
        self._http = httpx.Client(
            auth=Signature(settings),
            timeout=httpx.Timeout(20.0, connect=3.0),
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def read(self, key: str) -> bytes | None:
        """The object, or None where there is none."""
        try:
            response = self._http.get(self._base + quote(key, safe="/-_.~"))
        except httpx.HTTPError as error:
            raise errors.NoConnection from error
        if response.status_code == 404:
            return None
        if response.status_code in (401, 403):
            raise errors.NotAllowed(status=response.status_code)
        if not response.is_success:
            raise errors.Unexpected(status=response.status_code)
        return response.content
