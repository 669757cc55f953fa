"""Two processes on one port: who joins gets nothing until told, then its share, then all, and nobody is refused."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bentos.processes import free_port
from infra.settings import HOST
from infra.stack import listening

pytestmark = pytest.mark.skipif(not listening.POSSIBLE, reason="only Linux's kernel steers connections")
SERVER = """
import http.server, socket, sys

class Name(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        name = sys.argv[2].encode()
        self.send_response(200)
        self.send_header("content-length", str(len(name)))
        self.end_headers()
        self.wfile.write(name)

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("", 0), Name, bind_and_activate=False)
server.socket = socket.socket(fileno=int(sys.argv[1]))
server.server_activate()
print("ready", flush=True)
server.serve_forever()
"""


@contextmanager
def serving(name: str, door: socket.socket) -> Iterator[subprocess.Popen[str]]:
    """A server that answers with its name on the socket it was handed."""
    command = [sys.executable, "-c", SERVER, str(door.fileno()), name]
    with subprocess.Popen(command, pass_fds=[door.fileno()], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


def answers(port: int, count: int) -> Counter[str]:
    """Who answered so many new connections."""
    seen: Counter[str] = Counter()
    for _ in range(count):
        connection = http.client.HTTPConnection(HOST, port, timeout=10)
        connection.request("GET", "/")
        seen[connection.getresponse().read().decode()] += 1
        connection.close()
    return seen


def test_a_bento_meets_no_code_but_its_own() -> None:
    """What starts the API imports nothing that a Bento carries too: the working tree would be served instead of it."""
    told = "import sys, infra.stack.listening; print(*(name for name in sys.modules if name.startswith('service')))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_share_of_connections_goes_to_the_one_that_joined() -> None:
    """By chance, connection by connection, and wholly at the ends."""
    port = free_port()
    with listening.bound(port) as first:
        listening.steer(first, 0)
        with serving("old", first) as old, listening.bound(port) as second, serving("new", second):
            assert answers(port, 50) == {"old": 50}
            listening.steer(second, 0.25)
            assert 20 <= answers(port, 200)["new"] <= 90
            listening.steer(second, 1)
            assert answers(port, 50) == {"new": 50}
            listening.steer(second, 0)
            assert answers(port, 50) == {"old": 50}
            listening.steer(second, 1)
            old.kill()
            old.wait()
            first.close()
            assert answers(port, 50) == {"new": 50}
            listening.steer(second, 0)
            with listening.bound(port) as third, serving("third", third):
                assert answers(port, 50) == {"new": 50}
                listening.steer(third, 1)
                assert answers(port, 50) == {"third": 50}


def test_who_does_not_listen_yet_gets_nothing() -> None:
    """A process that never becomes ready costs no request."""
    port = free_port()
    with listening.bound(port) as first:
        listening.steer(first, 0)
        with serving("old", first), listening.bound(port) as second:
            assert not second.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            assert answers(port, 50) == {"old": 50}
