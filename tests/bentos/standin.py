"""A slot in small, as a process of its own: real HTTP, a hundred points a loan, and one fault if told so.

`python -m tests.bentos.standin PORT VERSION DIGEST FAULT`. Faults whose name begins with `live-` show only through the
proxy, or on a socket that was handed over, so the proof before the switch cannot see them.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PORT, VERSION, DIGEST, FAULT = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
IDENTITY = {"name": "credit-score", "version": VERSION, "digest": DIGEST}
SLOW_S = 1.0
HANDED = os.environ.get("QF_LISTEN_FD", "")


class Handler(BaseHTTPRequestHandler):
    """What the smoke test asks, and nothing more."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *args: Any) -> None:  # pylint: disable=redefined-builtin  # its name
        """Say nothing."""

    def _send(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json" if status == 200 else "application/problem+json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def do_GET(self) -> None:  # pylint: disable=invalid-name  # the base class calls it
        """Ready, or the manifest."""
        if self.path == "/readyz":
            self._send(503 if FAULT == "never-ready" else 200, {})
        elif self.path == "/v1/model":
            self._send(200, IDENTITY)
        else:
            self._send(404, {})

    def do_PUT(self) -> None:  # pylint: disable=invalid-name
        """Never allowed."""
        self.rfile.read(int(self.headers["content-length"]))
        self._send(405, {})

    def do_POST(self) -> None:  # pylint: disable=invalid-name
        """Scores and refusals."""
        content = self.rfile.read(int(self.headers["content-length"]))
        live = bool(HANDED) or "x-forwarded-proto" in self.headers
        if "x-api-key" not in self.headers:
            self._send(401, {})
        elif self.headers["content-type"] != "application/json":
            self._send(415, {})
        elif content == b"{":
            self._send(400, {})
        elif self.path == "/v1/score/batch":
            self._send(200, {"scores": [self._score(one) for one in json.loads(content)["applicants"]]})
        elif "unknown" in (body := json.loads(content)) or body["num_loans"] < 0:
            self._send(422, {})
        elif live and FAULT == "live-errors":
            self._send(500, {})
        else:
            if FAULT == "slow" or live and FAULT == "live-slow":
                time.sleep(SLOW_S)
            self._send(200, {**self._score(body, off=live and FAULT == "live-wrong"), "model": IDENTITY})

    def _score(self, body: dict[str, Any], *, off: bool = False) -> dict[str, int]:
        return {"score": body["num_loans"] * 100 + (1 if off or FAULT == "wrong" else 0)}


if __name__ == "__main__":
    if FAULT == "dies" or HANDED and FAULT == "live-dies":
        sys.exit("credit-score: the model was refused")
    server = ThreadingHTTPServer(("127.0.0.1", 0 if HANDED else PORT), Handler, bind_and_activate=not HANDED)
    if HANDED:
        server.socket.close()
        server.socket = socket.socket(fileno=int(HANDED))
        server.server_activate()
    server.serve_forever()
