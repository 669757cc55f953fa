"""What our protocol takes from uvicorn and asyncio beside their documented names, looked at before a server starts.

A release that moved one of them must not stop the service, nor break it at the first request: then the next plainer
protocol is spoken, with one line that says what is missing and what goes with it. Answers are the edge's either way.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import Any, Final

import uvicorn.config
import uvicorn.server
from uvicorn.protocols.http import auto

_ARGUMENTS: Final = ("config", "server_state", "app_state", "_loop")
_STATE: Final = ("connections", "tasks", "total_requests", "default_headers")
_CHOICE: Final = "uvicorn.protocols.http.auto:AutoHTTPProtocol"
_WAITS: Final = "_asyncio_future_blocking"

_log = logging.getLogger(__name__)


def missing_of_uvicorn() -> list[str]:
    """What `service.protocol.connection` needs of uvicorn and this release of it has not; empty if all is there."""
    if not hasattr(auto, "AutoHTTPProtocol"):
        return [_CHOICE]
    own = auto.AutoHTTPProtocol
    parameters = inspect.signature(own.__init__).parameters
    state = uvicorn.server.ServerState()
    requirements = {
        f"HTTP_PROTOCOLS['auto'] = {_CHOICE}": uvicorn.config.HTTP_PROTOCOLS.get("auto") == _CHOICE,
        "Config(timeout_keep_alive)": "timeout_keep_alive" in inspect.signature(uvicorn.config.Config).parameters,
        "shutdown() of a protocol": callable(getattr(own, "shutdown", None)),
        **{f"argument {name} of a protocol": name in parameters for name in _ARGUMENTS},
        **{f"ServerState.{name}": hasattr(state, name) for name in _STATE},
    }
    return [name for name, there in requirements.items() if not there]


def missing_of_asyncio() -> list[str]:
    """What the short way of `service.protocol.express` needs of asyncio's futures and this Python has not."""
    return [] if hasattr(asyncio.Future, _WAITS) else [f"asyncio.Future.{_WAITS}"]


def adopt(express: type[asyncio.Protocol], plain: type[asyncio.Protocol]) -> type[Any]:
    """Has uvicorn speak the first of `express`, `plain` and its own protocol that its release and this Python allow.

    Returns:
        The protocol that every server speaks that this process starts from now on.
    """
    if missing := missing_of_uvicorn():
        _log.warning(
            "uvicorn %s lacks %s: its own protocol answers, without our limits on connections, heads and slow bodies, "
            "and more slowly; install the locked version",
            uvicorn.__version__,
            ", ".join(missing),
        )
        return getattr(auto, "AutoHTTPProtocol", asyncio.Protocol)
    if missing := missing_of_asyncio():
        _log.warning("this Python lacks %s: scores are answered without the short way, more slowly", ", ".join(missing))
    protocol = plain if missing else express
    vars(auto)["AutoHTTPProtocol"] = protocol
    return protocol
