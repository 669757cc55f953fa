"""The service in this process, with a small real model, real keys and a real outbox; once a session."""

# pylint: disable=redefined-outer-name  # how pytest hands fixtures over

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service import keys
from service.access.keystore import Scope
from service.middleware.edge import Edge
from service.runtime import Runtime
from service.settings import ServiceSettings
from tests.api.client import Api
from tests.factories import pack_small_model

GENEROUS = {"rate": 1e5, "burst": 1_000_000, "daily": 10**9}


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed small model."""
    folder = tmp_path_factory.mktemp("packed") / "model"
    pack_small_model(folder)
    return folder


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    """The loop that the service and its tests share."""
    with asyncio.Runner() as found:
        yield found


async def _nothing_inside(_scope: Any, _receive: Any, _send: Any) -> None:
    raise AssertionError("nothing may reach BentoML on the fast route")


@pytest.fixture(scope="session")
def runtime(model_dir: Path, runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """A started worker; its edge has `runtime.handler`, see `edge`."""
    settings = ServiceSettings(
        model_dir=model_dir, service_dir=tmp_path_factory.mktemp("service"), access_log=False, body_timeout_s=0.3
    )
    found = Runtime.open(settings)
    yield found
    runner.run(found.stop())


@pytest.fixture(scope="session")
def edge(runtime: Runtime, runner: asyncio.Runner) -> Edge:
    """The application in front of everything."""
    found = Edge(_nothing_inside)
    runner.run(runtime.start(found))
    return found


@pytest.fixture(scope="session")
def new_key(runtime: Runtime) -> Callable[..., str]:
    """Issues a key and has the service take it up at once."""

    def issue(partner: str, **limits: Any) -> str:
        found = keys.issue(runtime.settings.service_dir, partner, **{**GENEROUS, **limits})
        assert runtime.store.refresh()
        return found

    return issue


@pytest.fixture(scope="session")
def api(edge: Edge, runner: asyncio.Runner, new_key: Callable[..., str]) -> Api:
    """The service, called with a partner's key that has limits nobody meets."""
    return Api(edge, runner, new_key("acme"))


@pytest.fixture(scope="session")
def staff_key(new_key: Callable[..., str]) -> str:
    """A key with every scope."""
    return new_key("staff", scopes=tuple(Scope))
