"""The supervisor's port is its own from the start, and takes connections only while a worker does."""

from __future__ import annotations

import socket

import pytest
from circus.sockets import CircusSocket

from service.protocol import supervisor


def test_a_port_refuses_until_a_worker_listens() -> None:
    """Bound by the supervisor, so nobody else gets it; a worker's server listens on the same socket."""
    supervisor.close()
    with CircusSocket(host="127.0.0.1", port=0) as port, socket.socket() as early:
        port.bind_and_listen()
        with pytest.raises(ConnectionRefusedError):
            early.connect(port.getsockname())
        with socket.socket() as rival, pytest.raises(OSError, match="in use"):
            rival.bind(port.getsockname())
        with socket.socket(fileno=port.fileno()) as worker:
            worker.listen()
            socket.create_connection(worker.getsockname()).close()
            worker.detach()
