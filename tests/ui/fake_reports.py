"""The bucket of drift reports at the network's edge: what the drift flow leaves there, small enough to read."""

from __future__ import annotations

import json
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import httpx

BUCKET: Final = "reports"


def moment(day: int, state: str, replay: bool = False) -> dict[str, Any]:
    """A line of the drift history."""
    return {
        "state": state,
        "start": f"2026-11-{day:02}",
        "end": f"2026-11-{day + 1:02}",
        "version": "7",
        "psi": {"num_credit_inquiries": 0.1 * day},
        "report": f"drift/{day}/report.html",
        "retrained": False,
        "replay": replay,
    }


CURRENT: Final[dict[str, Any]] = {
    "state": "amber",
    "reasons": ["columns moved: num_credit_inquiries"],
    "causes": [{"rule": "columns_moved", "text": "inquiries moved", "columns": ["num_credit_inquiries"]}],
    "window": {"start": "2026-11-02", "end": "2026-11-03"},
    "model": {"name": "credit-score", "version": "7"},
    "rows": 1234,
    "columns": [
        {"name": "annual_income", "state": "green", "psi": 0.01},
        {"name": "num_credit_inquiries", "state": "amber", "psi": 0.21, "note": "up"},
    ],
    "checks": [
        {
            "name": "traffic",
            "state": "green",
            "explanation": "617 predictions a day",
            "rule": "traffic_alone",
            "figures": {"a_day": 617},
        }
    ],
}
OBJECTS: Final = {
    f"/{BUCKET}/current.json": json.dumps(CURRENT),
    f"/{BUCKET}/history.json": json.dumps({"moments": [moment(1, "green", replay=True), moment(2, "amber")]}),
    f"/{BUCKET}/drift/1/report.html": "<p>the report</p>",
    f"/{BUCKET}/drift/2/report.html": "<p>the report</p>",
}


def answer(request: httpx.Request) -> httpx.Response:
    """For a mock transport; the older report has been deleted meanwhile."""
    found = OBJECTS.get(request.url.path) if "drift/1/" not in request.url.path else None
    return httpx.Response(HTTPStatus.OK, text=found) if found else httpx.Response(HTTPStatus.NOT_FOUND)


class Reports:
    """The same bucket for a page in a browser: a server that gives its objects to whoever signs."""

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            """One request."""

            def do_GET(self) -> None:  # pylint: disable=invalid-name  # the standard library's name
                """An object, or why not."""
                found = OBJECTS.get(self.path)
                signed = self.headers.get("authorization", "").startswith("AWS4-HMAC-SHA256 Credential=reader/")
                status = HTTPStatus.FORBIDDEN if not signed else HTTPStatus.OK if found else HTTPStatus.NOT_FOUND
                content = (found or "").encode() if status == HTTPStatus.OK else b""
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:  # pylint: disable=redefined-builtin
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def secrets(self) -> str:
        """The section of the page's secrets that leads here."""
        port = self._server.server_address[1]
        return f'[reports]\nendpoint = "http://127.0.0.1:{port}"\naccess_key = "reader"\nsecret_key = "s3-secret"\n'

    def close(self) -> None:
        """No more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
