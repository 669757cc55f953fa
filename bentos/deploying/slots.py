"""Two places for a release, blue and green, and the two ways to start one there: a served Bento or a container.

A slot is found again by a mark its processes or its container carry, not by a pid in a file, so whatever dies when,
nothing is forgotten and nothing foreign is ended.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, Protocol

import psutil
from pydantic import BaseModel, ConfigDict

from bentos import processes
from bentos.digests import bento_path, require_proved
from bentos.errors import BentosError, DeployRefused
from bentos.packing.bento import bento_environment
from bentos.packing.container_engine import ContainerEngine
from bentos.packing.image import STATE
from bentos.settings import DeploySettings
from service.contract import PRODUCT
from service.settings import ServiceSettings

Slot = Literal["blue", "green"]
SLOTS: Final[tuple[Slot, Slot]] = ("blue", "green")
PROXY_SOURCE: Final = "127.0.0.2" if sys.platform == "linux" else processes.HOST
"""The address the proxy speaks to the slots from. Linux' loopback has more than one, so others cannot pass for it."""
MARK: Final = "QF_COLOUR"
STACK: Final = "QF_STACK"
"""The mark of the embedded stack's processes, by which `make down` ends forgotten slots too."""
STOP_TIMEOUT_S: Final = 25.0
POLL_S: Final = 0.1
MARKED_S: Final = 5.0
MARK_POLL_S: Final = 0.005
INSIDE: Final = f"/{STATE}"
LISTED: Final = "/run/reviewers.json"


def other(slot: Slot) -> Slot:
    """The slot that is not this one."""
    return "green" if slot == "blue" else "blue"


class Release(BaseModel):
    """What a slot runs. `reference` is a Bento's tag or an image by digest, `content` the digest of its bytes."""

    model_config = ConfigDict(frozen=True)

    version: str
    digest: str
    kind: Literal["bento", "image"]
    reference: str
    content: str


class Runner(Protocol):
    """A way to run a release as a slot."""

    def check(self, release: Release) -> None:
        """Prove that the release is there and is what was approved.

        Raises:
            BentosError: one line that says what is wrong.
        """

    def start(self, slot: Slot, release: Release) -> None:
        """Start it; it outlives this program."""

    def running(self, slot: Slot) -> bool:
        """True if anything of this slot runs."""

    def stop(self, slot: Slot) -> None:
        """End it, gently first."""

    def last_words(self, slot: Slot) -> str:
        """The last line it logged."""


class BentoRunner:
    """Serves a Bento of the store with this Python."""

    def __init__(self, settings: DeploySettings) -> None:
        self._settings = settings

    def check(self, release: Release) -> None:
        """The Bento stands in the store, byte for byte as it was proved."""
        require_proved(self._settings.bento_store, release.reference, release.content)

    def start(self, slot: Slot, release: Release) -> None:
        """`bentoml serve` in a session of its own, of what is proved again: a rollback may be long after the proof."""
        self.check(release)
        settings = self._settings
        command = [sys.executable, "-m", "bentoml", "serve", str(self._path(release))]
        command += ["--host", processes.HOST, "--port", str(settings.port(slot))]
        environment = bento_environment(settings.bento_store) | {
            "QF_SERVICE_DIR": str(settings.service_dir.absolute()),
            "QF_TRUSTED_PROXIES": PROXY_SOURCE,
        }
        if settings.reviewers_file.exists():  # a start proves the signatures by the list of this host
            environment["QF_REVIEWERS"] = str(settings.reviewers_file)
        spawn(command, settings, slot, environment)

    def running(self, slot: Slot) -> bool:
        """True if a process carries the slot's mark."""
        return bool(processes_of(self._settings, slot))

    def stop(self, slot: Slot) -> None:
        """Let the service drain, end its workers and exit."""
        processes.end(processes_of(self._settings, slot), STOP_TIMEOUT_S)

    def last_words(self, slot: Slot) -> str:
        """The last line of its log file."""
        log = log_file(self._settings, slot)
        return processes.last_line_of(log)

    def _path(self, release: Release) -> Path:
        return bento_path(self._settings.bento_store, release.reference)


class ImageRunner:
    """Runs an image by digest: read-only, no capabilities, as the owner of the service folder."""

    def __init__(self, settings: DeploySettings) -> None:
        self._settings = settings
        self._engine = ContainerEngine(settings.engine)

    def check(self, release: Release) -> None:
        """The registry gives the image by digest, and its label names the approved model."""
        if absence := self._engine.absence():
            raise DeployRefused(f"no container engine: {absence}; set QF_DEPLOY_AS=bento to serve the Bento itself")
        self._engine.call("pull", "--quiet", release.reference)
        label = self._engine.call(
            "image", "inspect", "--format", '{{index .Config.Labels "quantumfinance.model.digest"}}', release.reference
        )
        if label.strip() != release.digest:
            raise DeployRefused(f"the image of version {release.version} holds another model than was approved")

    def start(self, slot: Slot, release: Release) -> None:
        """A container under the slot's name; values of settings go by name, never on the command line."""
        settings = self._settings
        folder = settings.service_dir.absolute()
        folder.mkdir(parents=True, exist_ok=True)
        owner = folder.stat()
        # An image made before its state had a volume writes below /tmp too.
        command = ["run", "--detach", "--name", self._name(slot), "--read-only", "--tmpfs", "/tmp"]
        command += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
        command += ["--user", f"{owner.st_uid}:{owner.st_gid}", "--volume", f"{folder}:{INSIDE}"]
        command += ["--publish", f"{processes.HOST}:{settings.port(slot)}:3000"]
        if settings.engine_network:
            command += ["--network", settings.engine_network, "--network-alias", slot]
        command += ["--env", f"QF_SERVICE_DIR={INSIDE}", "--env", f"QF_TRUSTED_PROXIES={self._neighbours()}"]
        if settings.reviewers_file.exists():
            command += ["--volume", f"{settings.reviewers_file}:{LISTED}:ro", "--env", f"QF_REVIEWERS={LISTED}"]
        for name in carried(os.environ):
            command += ["--env", name]
        self._engine.call(*command, release.reference)

    def running(self, slot: Slot) -> bool:
        """True if a container of this name is there; one that ended counts, for it must be removed."""
        if shutil.which(self._settings.engine) is None:
            return False
        try:
            return bool(self._engine.call("ps", "--all", "--quiet", "--filter", f"name=^/?{self._name(slot)}$").strip())
        except BentosError:
            return False  # no engine, no container

    def stop(self, slot: Slot) -> None:
        """Let the service drain, then remove the container."""
        self._engine.call("stop", "--time", str(int(STOP_TIMEOUT_S)), self._name(slot))
        self._engine.call("rm", "--force", self._name(slot))

    def last_words(self, slot: Slot) -> str:
        """The last line of the container's log."""
        try:
            return processes.last_line(self._engine.call("logs", "--tail", "5", self._name(slot)))
        except BentosError as error:
            return str(error)

    def _neighbours(self) -> str:
        """The network the proxy comes from; none is believed where the engine cannot tell."""
        network = self._settings.engine_network or "bridge"
        form = "{{range .IPAM.Config}}{{.Subnet}},{{end}}"
        try:
            return self._engine.call("network", "inspect", "--format", form, network).strip().strip(",")
        except BentosError:
            return ""

    def _name(self, slot: Slot) -> str:
        folder = hashlib.sha256(str(self._settings.deploy_dir).encode()).hexdigest()[:8]
        return f"{PRODUCT}-{folder}-{slot}"


def carried(environment: Mapping[str, str]) -> list[str]:
    """Names of the variables a container needs from here: the service's settings and the store's credentials."""
    settings = {f"QF_{name.upper()}" for name in dict(ServiceSettings.model_fields)}
    own = {"QF_SERVICE_DIR", "QF_MODEL_DIR", "QF_TRUSTED_PROXIES", "QF_REVIEWERS"}
    return sorted(name for name in environment if name in settings - own or name.startswith("AWS_"))


def spawn(command: list[str], settings: DeploySettings, slot: Slot, environment: Mapping[str, str]) -> None:
    """Start a marked process in a session of its own; its output is the slot's log."""
    log = log_file(settings, slot)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        marks = {MARK: _mark(settings, slot), STACK: str(settings.state_dir.absolute())}
        pid = processes.spawn(command, env={**environment, **marks}, cwd=log.parent, output=output)
    _await_mark(pid)


def _await_mark(pid: int) -> None:
    """A new program's environment can be read a moment after it began: before that nobody finds it by its mark."""
    deadline = time.monotonic() + MARKED_S
    while time.monotonic() < deadline:
        try:
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE or process.environ():
                return
        except psutil.NoSuchProcess:
            return
        time.sleep(MARK_POLL_S)


def log_file(settings: DeploySettings, slot: Slot) -> Path:
    """The log file of a served slot."""
    return settings.deploy_dir / f"{slot}.log"


def processes_of(settings: DeploySettings, slot: Slot) -> list[psutil.Process]:
    """The slot's processes, the one that started the others first."""
    return processes.with_variable(MARK, _mark(settings, slot))


def _mark(settings: DeploySettings, slot: Slot) -> str:
    return f"{settings.deploy_dir}:{slot}"


def ready(url: str) -> bool:
    """True if the service at `url` says that it is ready."""
    return processes.answers(f"{url}/readyz")


class Slots:
    """Both places and all ways to run a release in them."""

    def __init__(self, settings: DeploySettings, runners: Mapping[str, Runner] | None = None) -> None:
        self._settings = settings
        self._runners = runners or {"bento": BentoRunner(settings), "image": ImageRunner(settings)}

    def check(self, release: Release) -> None:
        """Prove the release before anything moves."""
        self._runners[release.kind].check(release)

    def url(self, slot: Slot) -> str:
        """The slot's own address, past the proxy."""
        return f"http://{processes.HOST}:{self._settings.port(slot)}"

    def ready(self, slot: Slot) -> bool:
        """True if the slot answers that it is ready; something else on its port does not count."""
        return self.running(slot) and ready(self.url(slot))

    def running(self, slot: Slot) -> bool:
        """True if anything of this slot runs."""
        return any(runner.running(slot) for runner in self._runners.values())

    def stop(self, slot: Slot) -> None:
        """Nothing of this slot runs afterwards."""
        for runner in self._runners.values():
            if runner.running(slot):
                runner.stop(slot)

    def start(self, slot: Slot, release: Release) -> None:
        """The release, ready in this place.

        Raises:
            DeployRefused: the port is taken, it ends, or it is not ready in time; nothing of it is left.
        """
        port = self._settings.port(slot)
        self.stop(slot)
        if processes.port_taken(port):
            raise DeployRefused(
                f"port {port} for {slot} is taken by another program: stop it, or set QF_PORT_{slot.upper()}"
            )
        runner = self._runners[release.kind]
        runner.start(slot, release)
        patience_s = self._settings.smoke_timeout_s
        try:
            url = self.url(slot)
            outcome = processes.await_ready(lambda: ready(url), lambda: runner.running(slot), patience_s, POLL_S)
            if outcome == "ended":
                raise DeployRefused(f"{slot} ended at its start: {runner.last_words(slot)}")
            if outcome == "late":
                raise DeployRefused(
                    f"{slot} is not ready after {patience_s:g} s (QF_SMOKE_TIMEOUT_S): {runner.last_words(slot)}"
                )
        except BaseException:
            self.stop(slot)
            raise
