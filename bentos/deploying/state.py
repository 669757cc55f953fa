"""The state of a deployment: the releases of both slots and a trial under way, in one file that is replaced whole.

Which slot answers is not in it: that is the proxy's switch, so the two can never disagree. A trial that was cut off
by a kill is settled by the next command: if the switch had turned it stands, else it is ended.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from bentos.deploying.slots import Release, Slot
from bentos.errors import DeployRefused
from bentos.registry.audit_trail import Trail
from bentos.registry.products import DEPLOYED
from service import files

INTERRUPT_TIMEOUT_S: Final = 60.0


class Placement(BaseModel):
    """A release in a place: since when it answered partners, whether it was taken back since, what stood here before.

    `before` was pushed out by a deployment without having been taken back itself: if this one is, it is what there is
    to go back to.
    """

    model_config = ConfigDict(frozen=True)

    release: Release
    since: str = ""
    withdrawn: bool = False
    before: Release | None = None

    @property
    def good(self) -> Release | None:
        """The release that may answer partners from this place; None if all that stood here was taken back."""
        return self.before if self.withdrawn else self.release


class SwitchTrial(BaseModel):
    """A release that is being started and proved."""

    model_config = ConfigDict(frozen=True)

    slot: Slot = Field(validation_alias=AliasChoices("slot", "colour"))  # as releases before wrote it
    release: Release
    actor: str


class DeploymentState(BaseModel):
    """Both places and the trial."""

    model_config = ConfigDict(frozen=True)

    blue: Placement | None = None
    green: Placement | None = None
    trial: SwitchTrial | None = None

    def at(self, slot: Slot) -> Placement | None:
        """The placement in this place."""
        return self.green if slot == "green" else self.blue

    def put(self, slot: Slot, placement: Placement | None) -> DeploymentState:
        """The same with another release in this place."""
        return self.model_copy(update={slot: placement})


class StateFile:
    """The file, and the lock that lets one deployment run at a time."""

    def __init__(self, folder: Path) -> None:
        self._file, self._lock = folder / "standing.json", folder / "lock"  # its first name: hosts keep it

    def read(self) -> DeploymentState:
        """The state as it is now.

        Raises:
            DeployRefused: the file is unreadable.
        """
        if not self._file.exists():
            return DeploymentState()
        try:
            return DeploymentState.model_validate_json(self._file.read_bytes())
        except ValidationError:
            raise DeployRefused(
                f"{self._file} is unreadable: put a backup back, or remove it and deploy again"
            ) from None

    def write(self, state: DeploymentState) -> None:
        """Replace the file, whole or not at all."""
        files.replace(self._file, state.model_dump_json(indent=1).encode())

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock; the kernel frees it if this process dies.

        Raises:
            DeployRefused: another deployment is under way.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(files.locked(self._lock, holder=str(os.getpid()), wait=False))
            except files.LockHeld as busy:
                raise DeployRefused(
                    f"a deployment is under way (process {busy.holder or '?'}): wait for its end"
                ) from None
            yield

    def interrupt(self) -> bool:
        """Tell a deployment under way to take itself back, and wait until it has; false if there was none.

        Raises:
            DeployRefused: it does not end.
        """
        if not self._is_locked():
            return False
        os.kill(self.holder(), signal.SIGTERM)
        deadline = time.monotonic() + INTERRUPT_TIMEOUT_S
        while self._is_locked():
            if time.monotonic() > deadline:
                raise DeployRefused(
                    f"process {self.holder()} does not end its deployment: end it, then roll back again"
                )
            time.sleep(0.1)
        return True

    def _is_locked(self) -> bool:
        return bool(self.holder()) and files.is_locked(self._lock)

    def holder(self) -> int:
        """Process that deploys or deployed last; 0 if unknown."""
        try:
            return int(files.lock_holder(self._lock))
        except (OSError, ValueError):
            return 0


def now() -> str:
    """This moment, as it is written down."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def record_deployed(trail: Trail, release: Release, *, actor: str, note: str, replaced: str = "") -> None:
    """The line of the trail that says which bytes came in front of partners.

    Raises:
        TrailBroken: the trail is not intact.
    """
    trail.append(
        DEPLOYED,
        actor=actor,
        version=release.version,
        digest=release.digest,
        replaced=replaced,
        note=note,
        artefact=release.reference,
        content=release.content,
    )
