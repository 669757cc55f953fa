"""HTTP to the Prefect server, patient with its one writer: both sides of the stack's talk with Prefect use this."""

from __future__ import annotations

import base64
import os
import time
import uuid
from collections.abc import Generator
from typing import Final

import httpx

BUSY_S: Final = 120.0  # how long a server that says 503 is asked again: its SQLite has one writer
PAUSE_S: Final = 1.0
TIMEOUT_S: Final = 60.0  # above what the server itself waits for SQLite (infra/stack/parts.py)


class Patient(httpx.HTTPTransport):
    """Sends a request again while the answer is 503: Prefect rolled it back, so nothing happens twice."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One answer; 503 only if the server stays busy.

        Raises:
            httpx.TransportError: no server answers.
        """
        deadline = time.monotonic() + BUSY_S
        while True:
            answer = super().handle_request(request)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                return answer
            answer.close()
            time.sleep(PAUSE_S)


class SignedIn(httpx.Auth):
    """User and password with each request, and Prefect's own token with those that change something."""

    requires_response_body = True

    def __init__(self, auth: str) -> None:
        self._basic = {"Authorization": f"Basic {base64.b64encode(auth.encode()).decode()}"}
        self._client = str(uuid.uuid4())
        self._token = ""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """The request as it is let in; a token that has run out is fetched again."""
        request.headers.update(self._basic)
        if request.method in ("GET", "HEAD"):
            yield request
            return
        if not self._token:
            yield from self._fetch(request)
        answer = yield self._with_token(request)
        if answer.status_code == httpx.codes.FORBIDDEN:
            yield from self._fetch(request)
            yield self._with_token(request)

    def _fetch(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        url = request.url.copy_with(raw_path=f"/api/csrf-token?client={self._client}".encode())
        answer = yield httpx.Request("GET", url, headers=self._basic)
        self._token = answer.json()["token"] if answer.is_success else ""  # 422: this server asks for none

    def _with_token(self, request: httpx.Request) -> httpx.Request:
        if self._token:
            request.headers.update({"Prefect-Csrf-Token": self._token, "Prefect-Csrf-Client": self._client})
        return request


def client(url: str, auth: str | None = None) -> httpx.Client:
    """A client of the API of the server at an address without path; `auth` is `user:password`.

    Where `auth` is not given it is PREFECT_API_AUTH_STRING, which Prefect's own clients read too.
    """
    known = os.environ.get("PREFECT_API_AUTH_STRING", "") if auth is None else auth
    signed = SignedIn(known) if known else None
    # Without trust_env: a proxy of the machine has no business between two local parts.
    return httpx.Client(base_url=f"{url}/api", auth=signed, timeout=TIMEOUT_S, transport=Patient(), trust_env=False)
