"""Which protocol a server of this process speaks, and how many connections it may hold.

uvicorn picks its protocol by name from a module; `install` has ours put there before a server starts, if this release
of uvicorn has what it needs (`service.protocol.uvicorn_adapter`).
"""

from __future__ import annotations

import resource
from typing import Final

from service.errors import Misconfigured
from service.middleware.edge import Edge
from service.protocol import uvicorn_adapter
from service.protocol.connection import Connection
from service.protocol.connection_limits import ConnectionLimits
from service.protocol.express import ExpressProtocol

_OTHER_FILES: Final = 128  # that a worker holds open besides its connections


def install(edge: Edge, connections: ConnectionLimits) -> None:
    """Have uvicorn speak this protocol in every server that this process starts from now on."""
    Connection.edge, Connection.connections = edge, connections
    uvicorn_adapter.adopt(ExpressProtocol, Connection)


def allow_files(connections: int) -> None:
    """Let this process hold so many connections open.

    Raises:
        Misconfigured: the system does not allow it.
    """
    files = connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < files:
        if hard not in (resource.RLIM_INFINITY,) and hard < files:
            raise Misconfigured(f"QF_MAX_CONNECTIONS: needs {files} open files, the system allows {hard} (ulimit -Hn)")
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
