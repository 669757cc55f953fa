"""Whether the tracking server is there at all, told in seconds: MLflow's client alone asks for minutes in silence."""

from __future__ import annotations

import socket
import sys
import time
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from bentos.errors import BentosError

PATIENCE_S = 20.0  # a server that is started again is back in less
_CONNECT_S: Final = 5.0
_PAUSE_S: Final = 0.5
_PORTS: Final = {"http": 80, "https": 443}


def await_listening(tracking_uri: str) -> None:
    """Return as soon as something listens at the address; at once for what is no address, or lies behind a proxy.

    Raises:
        BentosError: nothing did for PATIENCE_S; the message holds no password of the address.
    """
    parts = urlsplit(tracking_uri)
    host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
    if parts.scheme not in _PORTS or (parts.scheme in getproxies() and not proxy_bypass(host)):
        return
    address = f"{parts.scheme}://{host}:{port}"
    deadline, announced = time.monotonic() + PATIENCE_S, False
    while not _listens(host, port):
        if time.monotonic() >= deadline:
            raise BentosError(
                f"MLflow does not answer at {address}: run `make up`, or put MLFLOW_TRACKING_URI right "
                "(`. .local/env` does for the stack of this machine)"
            )
        if not announced:
            print(
                f"MLflow does not answer at {address}: waiting {PATIENCE_S:.0f} s for it", file=sys.stderr, flush=True
            )
            announced = True
        time.sleep(_PAUSE_S)


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), _CONNECT_S).close()
    except OSError:
        return False
    return True
