"""The image running for a moment as it shall run in production: what proves it before a push and after a pull."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bentos.errors import BentosError, SmokeFailed
from bentos.packing.container_engine import ContainerEngine
from bentos.packing.serving import Served
from bentos.processes import HOST, answers, await_ready, free_port, last_line

HARDENED: Final = (
    "--read-only",
    *("--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges"),
    *("--pids-limit", "256"),
    *("--memory", "1g"),
)
"""Not root either: the image names its user by number. Its declared volume is all that it may write to."""
ISSUE: Final = ("python", "-m", "service.keys", "issue", "smoke")
LIMITS: Final = ("--rate", "100000", "--burst", "100000", "--daily", "1000000")
POLL_S: Final = 0.5


@contextmanager
def running(engine: ContainerEngine, reference: str, timeout_s: float) -> Iterator[Served]:
    """The image at `reference`, ready to answer, with a key it knows; it is removed afterwards.

    Raises:
        SmokeFailed: it ends or is not ready within `timeout_s`.
        PublishFailed: the engine refuses to run it.
    """
    port = free_port()
    container = engine.call("run", "--detach", *HARDENED, "--publish", f"{HOST}:{port}:3000", reference).strip()
    try:
        url = f"http://{HOST}:{port}"
        _wait_ready(engine, container, url, timeout_s)
        # The service reads its keys every other second: `bentos.packing.smoke.prove` waits until this one is let in.
        key = engine.call("exec", container, *ISSUE, *LIMITS).strip()
        yield Served(url=url, key=key)
    finally:
        engine.call("rm", "--force", "--volumes", container)


def _wait_ready(engine: ContainerEngine, container: str, url: str, timeout_s: float) -> None:
    def running() -> bool:
        return engine.call("inspect", "--format", "{{.State.Running}}", container).strip() != "false"

    outcome = await_ready(lambda: answers(f"{url}/readyz"), running, timeout_s, POLL_S)
    if outcome == "ended":
        raise SmokeFailed(f"the container does not start: {_last_log_line(engine, container)}")
    if outcome == "late":
        raise SmokeFailed(f"the container is not ready after {timeout_s:g} s: {_last_log_line(engine, container)}")


def _last_log_line(engine: ContainerEngine, container: str) -> str:
    try:
        return last_line(engine.call("logs", "--tail", "20", container, both=True))
    except BentosError as error:
        return str(error)
