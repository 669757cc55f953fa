"""A changed uvicorn does not stop the service: the next plainer protocol is spoken, with one line that says why."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import uvicorn
import uvicorn.config
import uvicorn.server
from uvicorn.protocols.http import auto
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.protocol import uvicorn_adapter
from service.protocol.connection import Connection
from service.protocol.express import ExpressProtocol


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    """uvicorn as it is installed, whatever this process put into it before."""
    monkeypatch.setattr(auto, "AutoHTTPProtocol", H11Protocol, raising=False)


def adopt() -> type[Any]:
    """As a server does at its start."""
    return uvicorn_adapter.adopt(ExpressProtocol, Connection)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The warnings."""
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_the_locked_uvicorn_has_all_that_is_needed(caplog: pytest.LogCaptureFixture) -> None:
    """Ours is spoken, and nothing is said."""
    assert uvicorn_adapter.missing_of_uvicorn() == uvicorn_adapter.missing_of_asyncio() == []
    assert adopt() is ExpressProtocol is auto.AutoHTTPProtocol
    assert lines(caplog) == []


class _OtherState:
    """What a server shares with its connections, under other names."""

    def __init__(self) -> None:
        self.connections: set[Any] = set()
        self.tasks: set[Any] = set()
        self.default_headers: list[Any] = []


class _OtherArguments:
    """A protocol that is made in another way."""

    def __init__(self, server: object) -> None:
        self.server = server

    def shutdown(self) -> None:
        """As ever."""


class _NoShutdown:
    """A protocol that is ended in another way."""

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        del config, server_state, app_state


CHANGES: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str]] = {
    "state": (lambda patch: patch.setattr(uvicorn.server, "ServerState", _OtherState), "ServerState.total_requests"),
    "arguments": (
        lambda patch: patch.setattr(auto, "AutoHTTPProtocol", _OtherArguments),
        "argument config of a protocol",
    ),
    "shutdown": (lambda patch: patch.setattr(auto, "AutoHTTPProtocol", _NoShutdown), "shutdown() of a protocol"),
    "place": (
        lambda patch: patch.setitem(uvicorn.config.HTTP_PROTOCOLS, "auto", "elsewhere:Protocol"),
        "HTTP_PROTOCOLS",
    ),
    "name": (lambda patch: patch.delattr(auto, "AutoHTTPProtocol"), "AutoHTTPProtocol"),
    "config": (lambda patch: patch.setattr(uvicorn.config, "Config", lambda app: app), "Config(timeout_keep_alive)"),
}


@pytest.mark.parametrize(("change", "named"), CHANGES.values(), ids=CHANGES)
def test_a_changed_uvicorn_speaks_its_own_protocol(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    change: Callable[[pytest.MonkeyPatch], None],
    named: str,
) -> None:
    """Nothing is put into it, and one line names what it lacks."""
    change(monkeypatch)
    before = getattr(auto, "AutoHTTPProtocol", None)

    adopt()

    assert getattr(auto, "AutoHTTPProtocol", None) is before
    (line,) = lines(caplog)
    assert line.startswith(f"uvicorn {uvicorn.__version__} lacks ")
    assert named in line


def test_another_python_goes_without_the_short_way(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The limits of connections stay."""
    monkeypatch.setattr(uvicorn_adapter, "_WAITS", "_no_future_has_this")
    assert adopt() is Connection is auto.AutoHTTPProtocol
    (line,) = lines(caplog)
    assert "asyncio.Future._no_future_has_this" in line


@pytest.mark.anyio
async def test_requests_are_answered_by_a_changed_uvicorn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that starts afterwards answers by its own protocol."""
    monkeypatch.setitem(uvicorn.config.HTTP_PROTOCOLS, "auto", f"{H11Protocol.__module__}:H11Protocol")
    adopt()

    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    server = uvicorn.Server(uvicorn.Config(application, port=0, lifespan="off", log_level="critical", ws="none"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://127.0.0.1:{port}/")
    server.should_exit = True
    await serving

    assert (answer.status_code, answer.text) == (200, "ok")
