"""Inside BentoML: closes every route of its own to whoever did not come through the edge."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

from service.access.keystore import ApiKey
from service.web.exchange import App, Receive, Scope, Send

CALLER: Final[ContextVar[ApiKey | None]] = ContextVar("CALLER", default=None)
"""The key of the request that the edge admitted and handed on."""


class Seal:
    """Answers 404 to any HTTP request without an admitted caller: nothing opens if the edge is ever left out."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let through what the edge admitted, and lifespan."""
        if scope["type"] == "lifespan" or CALLER.get() is not None:
            await self._app(scope, receive, send)
            return
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
        else:
            await send({"type": "websocket.close", "code": 1008})
