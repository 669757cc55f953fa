"""A stand-in for a served Bento that answers as told: what the smoke test must notice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

KEY = "the-key"
IDENTITY = {"name": "credit-score", "version": "3", "digest": "a" * 64}


class Behaviour:
    """How the service answers; a test changes one thing."""

    manifest: dict[str, str] = IDENTITY
    model: dict[str, str] = IDENTITY
    offset: int = 0
    known_offset: int = 0  # of known customers alone
    batch_offset: int = 0
    problem_type: str = "application/problem+json"
    unauthorized: int = 401
    score_status: int = 200
    batch_status: int = 200
    manifest_status: int = 200
    unknown_for: int = 0  # requests until the key is known
    drop: bool = False


@contextmanager
def answering(behaviour: Behaviour) -> Iterator[str]:
    """Its URL."""

    class Handler(BaseHTTPRequestHandler):
        """The routes the smoke test asks."""

        def log_message(self, format: str, *args: Any) -> None:  # pylint: disable=redefined-builtin  # its name
            """Say nothing."""

        def _send(self, status: int, body: Any, kind: str = "application/json") -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(content)))
            self.send_header("qf-engine", "portable")
            self.end_headers()
            self.wfile.write(content)

        def _problem(self, status: int) -> None:
            self._send(status, {"status": status}, behaviour.problem_type)

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("content-length", 0)))

        def do_GET(self) -> None:  # pylint: disable=invalid-name  # the base class calls it
            """The manifest, or nothing."""
            if self.path == "/v1/model" and behaviour.unknown_for:
                behaviour.unknown_for -= 1
                self._problem(401)
            elif self.path == "/v1/model":
                self._send(behaviour.manifest_status, behaviour.manifest)
            else:
                self._problem(404)

        def do_PUT(self) -> None:  # pylint: disable=invalid-name
            """Never allowed."""
            self._body()
            self._problem(405)

        def do_POST(self) -> None:  # pylint: disable=invalid-name
            """Scores, a hundred for each loan."""
            content = self._body()
            if behaviour.drop:
                self.connection.close()
            elif self.headers.get("x-api-key") != KEY:
                self._problem(behaviour.unauthorized)
            elif self.headers.get("content-type") != "application/json":
                self._problem(415)
            elif content == b"{":
                self._problem(400)
            elif self.path == "/v1/score/batch":
                scores = [one["num_loans"] * 100 + behaviour.batch_offset for one in json.loads(content)["applicants"]]
                self._send(behaviour.batch_status, {"scores": [{"score": score} for score in scores]})
            else:
                self._score(json.loads(content))

        def _score(self, body: dict[str, Any]) -> None:
            if "unknown" in body or body["num_loans"] < 0:
                self._problem(422)
            else:
                score = body["num_loans"] * 100 + behaviour.offset
                score += behaviour.known_offset if "previous_classes" in body else 0
                self._send(behaviour.score_status, {"score": score, "model": behaviour.model})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
