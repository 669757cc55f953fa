"""Hosts with two slots behind the real proxy, for tests of deployments; nothing is left of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

from bentos.deploying.proxy import Proxy
from bentos.deploying.slots import BentoRunner, Release, Slot, Slots, processes_of, spawn
from bentos.deploying.steps import Deployment
from bentos.errors import DeployRefused
from bentos.packing.golden_requests import GoldenRequests
from bentos.processes import free_port
from bentos.settings import DeploySettings

HOME = Path(__file__).resolve().parents[2]
GOLDEN = tuple(GoldenRequests(body={"num_loans": loans}, score=loans * 100) for loans in (1, 2, 5))


class Host:
    """One host's deployments, and what was said about them; `runner` starts its slots."""

    def __init__(self, folder: Path, nginx: str, runner: type[BentoRunner], **changes: Any) -> None:
        self.settings = DeploySettings(
            home=HOME,
            state_dir=folder / "state",
            service_dir=folder / "service",
            port_blue=free_port(),
            port_green=free_port(),
            port_proxy=free_port(),
            nginx=nginx,
            **changes,
        )
        self._runner = runner
        self.said: list[str] = []

    def change(self, **settings: Any) -> None:
        """Other settings from now on."""
        self.settings = self.settings.model_copy(update=settings)

    @property
    def deployment(self) -> Deployment:
        """As a new process would make it."""
        return Deployment(self.settings, self.said.append, Slots(self.settings, {"bento": self._runner(self.settings)}))

    def running(self, slot: Slot) -> int:
        """Number of the slot's processes."""
        return len(processes_of(self.settings, slot))


HostT = TypeVar("HostT", bound=Host)


@contextmanager
def passing(host: HostT) -> Iterator[HostT]:
    """The host, taken down afterwards with all it started."""
    try:
        yield host
    finally:
        host.deployment.down()
        assert host.running("blue") + host.running("green") == 0


class StandIns(BentoRunner):
    """Starts a stand-in; a release's content names its fault."""

    def check(self, release: Release) -> None:
        """There is nothing to look at but what a test forbids."""
        if release.content == "missing":
            raise DeployRefused(f"Bento {release.reference} is not in the store: run the packaging flow")

    def start(self, slot: Slot, release: Release) -> None:
        """A process of its own."""
        port = str(self._settings.port(slot))
        command = [sys.executable, "-m", "tests.bentos.standin", port, release.version, release.digest, release.content]
        untraced = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        spawn(command, self._settings, slot, {**untraced, "PYTHONPATH": str(HOME)})


def release(version: int, fault: str = "none") -> Release:
    """A stand-in's release."""
    return Release(
        version=str(version),
        digest=f"{version:x}" * 64,
        kind="bento",
        reference=f"credit-score:{version}",
        content=fault,
    )


class StandInHost(Host):
    """A host whose slots are stand-ins: quick, and with a fault where a test wants one."""

    def __init__(self, folder: Path, nginx: str) -> None:
        super().__init__(
            folder,
            nginx,
            StandIns,
            smoke_timeout_s=5,
            golden_requests=6,
            shadow_requests=10,
            watch_s=1,
            watch_slice_s=0.5,
            p99_floor_ms=700,  # less than a slow stand-in takes; on a busy machine 250 ms are no fault
        )

    def deploy(self, version: int, fault: str = "none") -> None:
        """Deploy a stand-in."""
        self.deployment.deploy(release(version, fault), GOLDEN, "ana")

    def serves(self) -> str:
        """Version that answers partners."""
        answer = httpx.get(f"{self.settings.public_url}/v1/model", verify=Proxy(self.settings).trust())
        return str(answer.json()["version"]) if answer.status_code == 200 else str(answer.status_code)
