"""A port that is shut takes no new connection and breaks none that has begun."""

from __future__ import annotations

import socket

import pytest

from service.protocol import socket_filter

pytestmark = pytest.mark.skipif(not socket_filter.POSSIBLE, reason="only Linux's kernel filters packets of a socket")
PATIENCE_S = 30


def test_what_has_begun_is_taken_and_what_comes_is_refused() -> None:
    """Made and not yet taken, standing, and new: the first two are heard, the third is refused when the port closes."""
    with socket.create_server(("127.0.0.1", 0)) as port, socket.socket() as late:
        place = port.getsockname()
        standing, begun = socket.create_connection(place), socket.create_connection(place)
        taken, _ = port.accept()
        begun.sendall(b"begun")
        late.settimeout(0.2)
        socket_filter.shut(port)
        with pytest.raises(TimeoutError):
            late.connect(place)
        port.settimeout(PATIENCE_S)
        other, _ = port.accept()
        standing.sendall(b"standing")
        assert (other.recv(10), taken.recv(10)) == (b"begun", b"standing")
        port.setblocking(False)
        with pytest.raises(BlockingIOError):
            port.accept()
        port.close()
        begun.settimeout(PATIENCE_S)
        other.sendall(b"answer")
        assert begun.recv(10) == b"answer"
        for one in (standing, begun, taken, other):
            one.close()
        with socket.socket() as new, pytest.raises(ConnectionRefusedError):
            new.connect(place)
