"""Read-only access to the bucket of drift reports: plain S3 requests, signed (AWS Signature Version 4), nothing more.

The page knows HTTP only; boto3 would bring 90 MB to sign two headers. The signature follows Amazon's public document
"Create a signed AWS API request" and is tested against its example.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Final, Self
from urllib.parse import quote

import httpx

from ui.api import errors
from ui.settings import Reports

_REGION: Final = "us-east-1"  # what MinIO and its gateways answer to unless told otherwise
_EMPTY: Final = hashlib.sha256(b"").hexdigest()


class Signature(httpx.Auth):
    """Signs a GET without a body."""

    def __init__(self, access_key: str, secret_key: str, region: str = _REGION) -> None:
        self._access_key = access_key
        self._secret_key = secret_key
        self._region = region

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """httpx's hook: the request with its signature."""
        self.sign(request, datetime.now(UTC))
        yield request

    def sign(self, request: httpx.Request, moment: datetime) -> None:
        """Adds the three headers of the signature for `moment`."""
        stamp, day = moment.strftime("%Y%m%dT%H%M%SZ"), moment.strftime("%Y%m%d")
        request.headers["x-amz-date"] = stamp
        request.headers["x-amz-content-sha256"] = _EMPTY
        signed = {name: request.headers[name] for name in ("host", "x-amz-content-sha256", "x-amz-date")}
        if "range" in request.headers:
            signed["range"] = request.headers["range"]
        names = ";".join(sorted(signed))
        canonical = "\n".join(
            [
                request.method,
                request.url.raw_path.split(b"?")[0].decode(),
                "",
                *(f"{name}:{signed[name].strip()}" for name in sorted(signed)),
                "",
                names,
                _EMPTY,
            ]
        )
        scope = f"{day}/{self._region}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = f"AWS4{self._secret_key}".encode()
        for part in (day, self._region, "s3", "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        found = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        request.headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self._access_key}/{scope},SignedHeaders={names},Signature={found}"
        )


class ReportBucket:
    """The reports by key. `NoConnection`, `NotAllowed` or `Unexpected` where the store does not give them."""

    def __init__(self, settings: Reports, transport: httpx.BaseTransport | None = None) -> None:
        self._base = f"{settings.endpoint}/{settings.bucket}/"
        self._http = httpx.Client(
            auth=Signature(settings.access_key.get_secret_value(), settings.secret_key.get_secret_value()),
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
