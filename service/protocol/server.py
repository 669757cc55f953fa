"""The one place where this service takes uvicorn's word: which protocol a server speaks.

uvicorn picks its protocol by name from a module; `install` puts ours there before a server starts. Of uvicorn the
protocol uses `Config.timeout_keep_alive` and, of `ServerState`, `connections`, `tasks`, `total_requests` and
`default_headers`; the server calls `shutdown` on each connection.
"""

from __future__ import annotations

import resource
from typing import Any, Final

from uvicorn.protocols.http import auto

from service.errors import Misconfigured
from service.middleware.edge import Edge
from service.protocol.connection import Connection
from service.protocol.crowd import Crowd
from service.protocol.express import ExpressProtocol

_OTHER_FILES: Final = 128  # that a worker holds open besides its connections


def install(edge: Edge, crowd: Crowd) -> None:
    """Have uvicorn speak this protocol in every server that this process starts from now on."""
    Connection.edge, Connection.crowd = edge, crowd
    chosen: Any = auto
    chosen.AutoHTTPProtocol = ExpressProtocol


def allow_files(connections: int) -> None:
    """Let this process hold so many connections open.

    Raises:
        Misconfigured: the system does not allow it.
    """
    needed = connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard not in (resource.RLIM_INFINITY,) and hard < needed:
            raise Misconfigured(f"QF_MAX_CONNECTIONS: needs {needed} open files, the system allows {hard} (ulimit -Hn)")
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
