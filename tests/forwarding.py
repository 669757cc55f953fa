"""A TCP proxy between a client and a server of the tests, whose connections can be cut as a failover cuts them."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

from bentos.processes import free_port
from infra.settings import HOST


class Forwarder:
    """Hands bytes on to a port; `cut` ends every connection, `down` refuses new ones, `silent` swallows all bytes."""

    def __init__(self, port: int) -> None:
        self.port, self._to = free_port(), port
        self.down = self.silent = False
        self._pairs: list[socket.socket] = []
        self._server = socket.create_server((HOST, self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """Ends every connection at once."""
        pairs, self._pairs = self._pairs, []
        for one in pairs:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):  # it was closed
            while True:
                client = self._server.accept()[0]
                if self.down:
                    client.close()
                    continue
                try:
                    server = socket.create_connection((HOST, self._to))
                except OSError:
                    client.close()
                    continue
                self._pairs += [client, server]
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._hand_on, args=(source, sink), daemon=True).start()

    def _hand_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if not self.silent:
                    sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
