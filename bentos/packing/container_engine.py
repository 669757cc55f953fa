"""The container engine as a program: docker, podman or nerdctl, driven by its command line."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final

from bentos.errors import PublishFailed
from bentos.processes import last_line

ANSWER_TIMEOUT_S: Final = 60
"""For what is answered at once where the disk is not busy with another build."""
COMMAND_TIMEOUT_S: Final = 1800


class ContainerEngine:
    """One engine; every failure is one line, taken from the last one it printed."""

    def __init__(self, program: str) -> None:
        self.program = program

    def absence(self) -> str:
        """Why no engine answers, empty if one does."""
        command = [self.program, "info", "--format", "{{.ServerVersion}}"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_TIMEOUT_S, check=False)
        except FileNotFoundError:
            return f"{self.program} is not installed"
        except subprocess.TimeoutExpired:
            return f"{self.program} does not answer within {ANSWER_TIMEOUT_S} s"
        # A client without a server prints an empty version and may still exit with 0.
        return "" if answer.returncode == 0 and answer.stdout.strip() else f"{self.program} answers no engine"

    def call(self, *arguments: str, both: bool = False) -> str:
        """Standard output of one command of the engine; what it said as an error too where `both` is asked for.

        Raises:
            PublishFailed: it failed or took too long.
        """
        return run([self.program, *arguments], {}, both=both)

    def image_id(self, reference: str) -> str:
        """Id of a local image, empty if it is not there."""
        return self._inspect(reference, "{{.Id}}")

    def label(self, reference: str, name: str) -> str:
        """A label of a local image, empty if the image or the label is not there."""
        return self._inspect(reference, f'{{{{index .Config.Labels "{name}"}}}}')

    def drop(self, reference: str) -> None:
        """Take a local image away, if it is there."""
        if self.image_id(reference):
            self.call("image", "rm", "--force", reference)

    def _inspect(self, reference: str, template: str) -> str:
        command = [self.program, "image", "inspect", "--format", template, reference]
        answer = _answer(command, ANSWER_TIMEOUT_S)
        return answer.stdout.strip() if answer.returncode == 0 else ""

    def build_environment(self) -> dict[str, str]:
        """What a build needs: a docker client without buildx cannot drive BuildKit."""
        if self.program != "docker" or "DOCKER_BUILDKIT" in os.environ:
            return {}
        probe = _answer(["docker", "buildx", "version"], ANSWER_TIMEOUT_S)
        return {} if probe.returncode == 0 else {"DOCKER_BUILDKIT": "0"}


def run(command: Sequence[str], environment: Mapping[str, str], *, both: bool = False) -> str:
    """Standard output of `command`, with `both` standard error too, run with `environment` added to this process's own.

    Raises:
        PublishFailed: it failed or took too long; the text holds its last line.
    """
    answer = _answer(command, COMMAND_TIMEOUT_S, {**os.environ, **environment})
    if answer.returncode != 0:
        raise PublishFailed(f"{' '.join(command[:3])} failed: {last_line(answer.stderr or answer.stdout)}")
    return answer.stderr + answer.stdout if both else answer.stdout


def _answer(
    command: Sequence[str], timeout_s: float, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What a program said and its exit code.

    Raises:
        PublishFailed: it took too long.
    """
    try:
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise PublishFailed(f"{' '.join(command[:3])} took more than {timeout_s:g} s") from error
