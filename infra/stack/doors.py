"""The door in front of a control plane: only its own names and its own pages get in.

A page of another site can make a browser send requests to loopback, under the site's own name even (DNS rebinding). So
a request is let in only if its Host is a name this server goes by, and its Origin, where a browser sends one, is a page
of this server's own. Who may do what is asked behind it, of workers by a door of their own (`worker_door.py`); this is
about who may knock.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

from infra.errors import StackError
from infra.stack.asgi import App, Receive, Scope, Send
from infra.stack.worker_door import WorkerDoor
from infra.stack.worker_rights import logins

LOOPBACK: Final = ("127.0.0.1", "localhost")
NAMES: Final = "QF_DOOR_NAMES"
"""Further names with their ports, comma-separated: what a proxy or a network calls this server."""
WORKERS: Final = "QF_DOOR_WORKERS"
"""Logins of workers, `model:PASSWORD,release:PASSWORD`: each opens what infra/stack/worker_rights.py lists."""
REFUSED: Final = 421  # misdirected: this server does not answer under that name
FOREIGN: Final = 403
ABSENT: Final = 404
OPEN_PAGES: Final = frozenset({"/docs", "/redoc", "/openapi.json"})  # Prefect shows its API's description to anybody


class Door:
    """Lets requests in that came under this server's name, from its own pages or no page; `closed` is shut."""

    def __init__(self, app: App, names: Iterable[str] = (), closed: Iterable[str] = ()) -> None:
        self._app = app
        self._closed = frozenset(closed)
        self._names = frozenset(name.strip().lower() for name in names if name.strip())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer 421 (another's name) or 403 (another's page)."""
        status = self._refusal(scope) if scope["type"] in ("http", "websocket") else 0
        if not status:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})  # before it was accepted: the server answers 403
        else:
            await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})

    def _refusal(self, scope: Scope) -> int:
        """Status of the refusal; 0 where there is none."""
        names = self._names | {f"{name}:{scope['server'][1]}" for name in LOOPBACK}
        hosts, origins = _values(scope, b"host"), _values(scope, b"origin")
        if len(hosts) != 1 or hosts[0] not in names:
            return REFUSED
        if scope["path"] in self._closed:
            return ABSENT
        return 0 if all(origin.partition("://")[2] in names for origin in origins) else FOREIGN


def _values(scope: Scope, header: bytes) -> list[str]:
    """A header's values; several of one name are a trick, so all are looked at."""
    return [value.decode("latin-1").strip().lower() for name, value in scope["headers"] if name == header]


def prefect() -> Door:
    """Prefect's server behind the door: `python -m uvicorn --factory infra.stack.doors:prefect`.

    Raises:
        StackError: workers have logins, but the server behind asks nobody for one.
    """
    from prefect.server.api.server import create_app  # five seconds that no other user of this module pays
    from prefect.settings import get_current_settings

    from infra.stack import prefect_sqlite

    prefect_sqlite.install()
    app: App = create_app(final=True)
    if workers := logins(os.environ.get(WORKERS, "")):
        password = get_current_settings().server.api.auth_string
        if not password:
            raise StackError(f"{WORKERS} is set, PREFECT_SERVER_API_AUTH_STRING is not: anybody would be let in")
        app = WorkerDoor(app, password.get_secret_value(), workers)
    return Door(app, os.environ.get(NAMES, "").split(","), OPEN_PAGES)
