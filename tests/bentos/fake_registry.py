"""An image registry at the network's edge: it holds one manifest and behaves as told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class Shelf:
    """How the registry answers; a test changes one thing."""

    def __init__(self) -> None:
        self.host = ""
        self.status = 200
        self.before = ""  # digest under the tag before the push
        self.layer_bytes = 5_000_000
        self.deletion = 202
        self.deleted: list[str] = []


@contextmanager
def registry() -> Iterator[Shelf]:
    """A registry of this process."""
    shelf = Shelf()

    class Handler(BaseHTTPRequestHandler):
        """The part of the registry's interface that is used."""

        def log_message(self, format: str, *args: Any) -> None:  # pylint: disable=redefined-builtin  # its name
            """Say nothing."""

        def _send(self, status: int, body: Any, **headers: str) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"content-length": str(len(content)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def do_HEAD(self) -> None:  # pylint: disable=invalid-name  # the base class calls it
            """What lies under a tag."""
            self._send(200 if shelf.before else 404, {}, docker_content_digest=shelf.before)

        def do_GET(self) -> None:  # pylint: disable=invalid-name
            """The registry itself, or a manifest of two layers."""
            body = {} if self.path == "/v2/" else {"layers": [{"size": shelf.layer_bytes}] * 2}
            self._send(shelf.status, body)

        def do_DELETE(self) -> None:  # pylint: disable=invalid-name
            """Take a manifest away."""
            shelf.deleted.append(self.path.rpartition("/")[2])
            self._send(shelf.deletion, {})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    shelf.host = f"127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield shelf
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
