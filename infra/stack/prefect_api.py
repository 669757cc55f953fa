"""HTTP to the Prefect server, patient with its one writer: both sides of the stack's talk with Prefect use this."""

from __future__ import annotations

import time
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


def client(url: str) -> httpx.Client:
    """A client of the API of the server at an address without path."""
    # Without trust_env: a proxy of the machine has no business between two local parts.
    return httpx.Client(base_url=f"{url}/api", timeout=TIMEOUT_S, transport=Patient(), trust_env=False)
