"""The door in front of a control plane: whose requests get through."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from infra.stack.asgi import Receive, Scope, Send
from infra.stack.doors import Door

OWN, FOREIGN = "127.0.0.1:4200", "https://evil.example"


async def _behind(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


def knock(headers: list[tuple[str, str]], kind: str = "http", path: str = "/") -> Any:
    """Status of the answer, or the close code of a socket."""
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        return {"type": f"{kind}.connect"}

    raw = [(name.encode(), value.encode()) for name, value in headers]
    scope = {"type": kind, "path": path, "server": ("127.0.0.1", 4200), "headers": raw}
    asyncio.run(Door(_behind, ["prefect:4200", ""], {"/docs"})(scope, receive, send))
    return sent[0].get("status", sent[0].get("code"))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("host", OWN)], 200),
        ([("host", "LOCALHOST:4200")], 200),
        ([("host", "prefect:4200")], 200),
        ([("host", OWN), ("origin", "http://localhost:4200")], 200),
        ([("host", "evil.example")], 421),
        ([("host", "evil.example:4200")], 421),
        ([("host", "127.0.0.1")], 421),
        ([("host", "127.0.0.1:4201")], 421),
        ([], 421),
        ([("host", OWN), ("host", "evil.example")], 421),
        ([("host", OWN), ("origin", FOREIGN)], 403),
        ([("host", OWN), ("origin", "null")], 403),
        ([("host", OWN), ("origin", "http://127.0.0.1:8501")], 403),
        ([("host", OWN), ("origin", f"http://{OWN}.evil.example")], 403),
        ([("host", OWN), ("origin", f"http://{OWN}"), ("origin", FOREIGN)], 403),
    ],
)
def test_only_its_own_names_and_pages_get_through(headers: list[tuple[str, str]], status: int) -> None:
    """Another's Host is misdirected, another's Origin forbidden, and a header twice helps nobody."""
    assert knock(headers) == status


def test_what_nobody_signed_in_for_is_shut() -> None:
    """A page that the server behind would show to anybody is not there."""
    assert knock([("host", OWN)], path="/docs") == 404


def test_a_foreign_pages_socket_is_closed_before_it_opens() -> None:
    """What a browser opens from another site's page never reaches the server behind."""
    assert knock([("host", OWN), ("origin", FOREIGN)], "websocket") == 1008
