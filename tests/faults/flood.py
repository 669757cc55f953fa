"""One caller who sends his worst from processes of his own, and a place where it costs the service nothing."""

from __future__ import annotations

import http.client
import multiprocessing
import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from typing import Any, Final

from bentos.processes import free_port, port_taken

Asked = tuple[str, str, str, bytes]
"""Method, path, key and body."""
SENDERS: Final = 2
_PIECE: Final = 256 * 1024
_spawning: Final = multiprocessing.get_context("spawn")


@contextmanager
def flood(port: int, asked: Sequence[Asked]) -> Iterator[Callable[[], int]]:
    """These requests for as long as the block lasts, each on connections of its own; says how many were answered."""
    answered = _spawning.Value("q", 0)
    senders = [
        _spawning.Process(target=_send, args=(port, [*asked[place:], *asked], answered)) for place in range(SENDERS)
    ]
    for one in senders:
        one.start()
    try:
        yield lambda: answered.value
    finally:
        for one in senders:
            one.kill()
            one.join()
            one.close()


@contextmanager
def sink() -> Iterator[int]:
    """A process that reads each body to its end and refuses it; its port."""
    port = free_port()
    process = _spawning.Process(target=_swallow, args=(port,))
    process.start()
    try:
        while not port_taken(port):
            assert process.is_alive()
            time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.join()
        process.close()


def _send(port: int, asked: Sequence[Asked], answered: Any) -> None:
    def repeat(method: str, path: str, key: str, body: bytes) -> None:
        headers = {"content-type": "application/json", "x-api-key": key}
        while True:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
                try:
                    connection.request(method, path, body, headers)
                    connection.getresponse().read()
                except OSError:  # the answer came before the body was sent
                    continue
            with answered.get_lock():
                answered.value += 1

    for one in asked:
        threading.Thread(target=repeat, args=one).start()


class _Refusal(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        """Until the sender is ended, which may be at any byte."""
        with suppress(ConnectionError):
            super().handle()

    def do_POST(self) -> None:  # pylint: disable=invalid-name  # as the library calls it
        """Read all, then 429."""
        left = int(self.headers.get("content-length", "0"))
        while left:
            left -= len(self.rfile.read(min(left, _PIECE)))
        self.send_response(429)
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, format: str, *args: Any) -> None:  # pylint: disable=redefined-builtin
        """Nothing is said."""


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


def _swallow(port: int) -> None:
    with _Server(("127.0.0.1", port), _Refusal) as server:
        server.serve_forever()
