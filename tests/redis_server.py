"""Debian's Redis for the tests, on a free port, which a test may kill and start again."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bentos.processes import free_port
from infra.settings import HOST

PATIENCE_S = 30


class RedisServer:
    """One server that keeps nothing, as the shipped one; `options` as on its command line."""

    def __init__(self, program: str, folder: Path, *options: str) -> None:
        self.port = free_port()
        self.url = f"redis://{HOST}:{self.port}/0"
        self._command = [program, "--port", str(self.port), "--bind", HOST, "--save", "", "--dir", str(folder)]
        self._command += options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it; on return it takes connections."""
        self._process = subprocess.Popen(  # pylint: disable=consider-using-with  # ended by `kill`
            self._command, stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                socket.create_connection((HOST, self.port), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < deadline and self._process.poll() is None, "Redis did not start"
                time.sleep(0.02)

    def kill(self) -> None:
        """Ends it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def redis_server(require_program: Callable[[str], str], folder: Path, *options: str) -> Iterator[RedisServer]:
    """A running server for as long as the block lasts."""
    server = RedisServer(require_program("redis-server"), folder, *options)
    server.start()
    try:
        yield server
    finally:
        server.kill()
