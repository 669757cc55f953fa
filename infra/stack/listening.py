"""A port that two processes may share for a moment, so that one takes over from the other without a refused request.

Who starts the API binds its port and hands the socket over (`python -m infra.stack.listening serve BENTO ...` is
bentoml's own command line on it). The socket listens only once a worker is ready, since the worker's server listens.
Two listening sockets of one port share what comes in; a filter in the kernel says to which of the two a new connection
goes. Connections that stand stay where they are. Linux alone has the filter; elsewhere the API is started anew.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
from typing import Final

from bentos.processes import HOST

HANDED: Final = "QF_LISTEN_FD"
"""Variable with the number of the socket that was handed over."""
POSSIBLE: Final = sys.platform == "linux"
_ATTACH_FILTER: Final = 51  # SO_ATTACH_REUSEPORT_CBPF, for which Python has no name
_LOAD_RANDOM: Final = (0x20, 0, 0, 0xFFFFF038)  # BPF_LD | BPF_W | BPF_ABS at SKF_AD_OFF + SKF_AD_RANDOM
_AT_LEAST: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
_WHOLE: Final = 1 << 32


def bound(port: int) -> socket.socket:
    """A socket on the port, which does not listen yet; its first holder keeps connections from one that joins later."""
    door = socket.socket()
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if POSSIBLE:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    door.bind((HOST, port))
    return door


def steer(one: socket.socket, share: float) -> None:
    """Send this share of new connections of the port to the socket that joined second, the rest to the first.

    With one socket alone everything goes to it, whatever the share.
    """
    limit = int(share * _WHOLE)
    program = [(_RETURN, 0, 0, int(share >= 1))]
    if 0 < limit < _WHOLE:
        program = [_LOAD_RANDOM, (_AT_LEAST, 1, 0, limit), (_RETURN, 0, 0, 1), (_RETURN, 0, 0, 0)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
    one.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(code)))


def main() -> None:
    """bentoml's command line, whose server answers on the socket that was handed over."""
    from circus import sockets

    descriptor = int(os.environ.pop(HANDED))

    def take(self: sockets.CircusSocket) -> None:
        """Become the socket that is bound, in place of binding one; the workers listen."""
        os.dup2(descriptor, self.fileno(), inheritable=True)
        self.setblocking(False)

    sockets.CircusSocket.bind_and_listen = take
    sys.argv[0] = "bentoml"
    from bentoml_cli.cli import cli

    cli()


if __name__ == "__main__":
    main()
