"""The control sockets of BentoML's supervisor, where nobody else reaches them.

`bentoml serve` watches its workers with circus, which takes commands on a TCP port of the loopback interface: add a
program, run it, no questions asked. Every user of the host could run code as the service. The sockets move into a
folder that only the service's own user may enter.

It holds the port, too: from before the first worker is ready until the last has ended. A connection that is made while
nobody takes it waits for half a minute, or breaks with the request on it. So the port listens once a worker does, and
it is shut to new connections while workers still take what has begun. A proxy in front asks another host meanwhile: a
host comes and goes and nobody is told.
"""

from __future__ import annotations

import logging
import shutil
import socket
import tempfile
from typing import Any, Final

from bentoml._internal.utils import circus
from circus.sockets import CircusSocket

from service.protocol import socket_filter
from service.settings import settings

SETTLE_S: Final = 1.0
"""Seconds until a worker must have taken a connection that has begun."""
_log = logging.getLogger(__name__)


class PrivateArbiter(circus.Arbiter):
    """BentoML's supervisor, commanded through a folder of mode 0700; it breaks no connection when it leaves."""

    def __init__(self, watchers: Any, **options: Any) -> None:
        folder = tempfile.mkdtemp(prefix="supervisor-")
        sockets = {"endpoint": f"ipc://{folder}/control", "pubsub_endpoint": f"ipc://{folder}/events"}
        super().__init__(watchers, **{**options, **sockets})
        self.exit_stack.callback(shutil.rmtree, folder, ignore_errors=True)
        self._shut_s = max(0.0, settings().drain_s - SETTLE_S)

    def stop(self, *arguments: Any, **options: Any) -> Any:
        """As circus does it: the workers drain and end; new connections end a moment before."""
        if socket_filter.POSSIBLE:
            self.loop.call_later(self._shut_s, self._shut)
        return super().stop(*arguments, **options)

    def _shut(self) -> None:
        for one in self.sockets.values():
            if one.family != socket.AF_UNIX:
                try:
                    socket_filter.shut(one)
                except OSError as error:  # a kernel without the filter: the port is closed as it is
                    _log.warning("the port stays open to new connections until the end: %s", error.strerror)


def close() -> None:
    """Supervisors that BentoML makes from now on are private, and leave it to their workers to listen."""
    vars(circus)["Arbiter"] = PrivateArbiter
    CircusSocket.listen = _leave_to_the_workers


def _leave_to_the_workers(_port: socket.socket, _backlog: int = 0) -> None:
    """The port is bound, so nobody else gets it; connections are refused until a worker's server listens."""
