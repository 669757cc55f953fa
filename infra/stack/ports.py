"""Whether a port is free."""

from __future__ import annotations

import socket

from infra.errors import StackError
from infra.settings import HOST


def port_taken(port: int) -> bool:
    """Whether something listens on the port already.

    Raises:
        StackError: this user may not listen on it.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError:
            raise StackError(f"port {port} needs root; set the QF_PORT_* setting that is {port} above 1023") from None
        except OSError:
            return True
    return False


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
