"""What service/README.md says is done by hand: the image run plainly, and `bentoml` beside the stack."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import httpx

from tests.acceptance.partner_traffic import APPLICANT
from tests.acceptance.running_stack import Broken, RunningStack, Skipped

READY_S: Final = 120.0
IMAGE_USER: Final = 1034
ENGINE: Final = os.environ.get("QF_ENGINE", "docker")


def readme_lines(stack: RunningStack, section: str) -> list[str]:
    """The commands of a section of service/README.md, whole ones."""
    text = (stack.home / "service" / "README.md").read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    blocks = "".join(re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL))
    return [line for line in blocks.replace("\\\n", " ").splitlines() if line]


def bentoml_by_hand(stack: RunningStack) -> None:
    """service/README.md, "Use": a key issued, `bentoml list`, and `bentoml serve` of the code and of the Bento."""
    issue, listed, *serving = readme_lines(stack, "Use")
    partner = f"acceptance-{uuid.uuid4().hex[:6]}"
    key = _shell(stack, issue.replace("acme", partner))
    if "credit-score" not in _shell(stack, listed):
        raise Broken("`bentoml list` shows no Bento of ours")
    for command in serving:
        port = _free_port()
        with _running(stack, re.sub(r"--port \d+", f"--port {port}", command)) as log:
            _await_score(f"http://127.0.0.1:{port}", key, log)


def image_runs_plainly(stack: RunningStack) -> None:
    """service/README.md, "Run the image": each line as it is written, with a key from it and with keys of a secret."""
    if shutil.which(ENGINE) is None or stack.shell(f"{ENGINE} info")[0]:
        raise Skipped("no container engine answers here")
    tags = {tag["key"]: tag["value"] for tag in stack.champion().get("tags", [])}
    if not tags.get("image_digest"):
        raise Skipped("packaging pushed no image: REGISTRY was not set when the stack was started")
    image = f"{tags['image'].rpartition(':')[0]}@{tags['image_digest']}"
    plain, issue, stored = readme_lines(stack, "Run the image")
    mark, ports = f"acceptance-{uuid.uuid4().hex[:6]}", (_free_port(), _free_port())

    def mine(command: str) -> str:
        for shown, port in (("3000:", ports[0]), ("3001:", ports[1])):
            command = command.replace(f"--publish {shown}", f"--publish 127.0.0.1:{port}:")
        command = re.sub(r"(?<![\w-])score(-store)?(?=[ :])", rf"{mark}\1", command)
        return re.sub(r"^docker", ENGINE, command)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        keys = Path(folder, "keys")
        given = _shell(stack, f"QF_SERVICE_DIR={shlex.quote(str(keys))} python -m service.keys issue acme")
        # The engine's root gives them away, whoever asks.
        owner = f"{ENGINE} run --rm --user 0 --volume {shlex.quote(str(keys))}:/keys --entrypoint chown"
        _shell(stack, f"{owner} {image} -R {IMAGE_USER}:{IMAGE_USER} /keys")
        variables = {"IMAGE": image, "KEYS": str(keys)}
        try:
            _shell(stack, mine(plain), variables)
            _await_ready(f"http://127.0.0.1:{ports[0]}")
            _await_score(f"http://127.0.0.1:{ports[0]}", _shell(stack, mine(issue), variables))
            _shell(stack, mine(stored), variables)
            _await_score(f"http://127.0.0.1:{ports[1]}", given)
        finally:
            stack.shell(f"{ENGINE} rm --force --volumes {mark} {mark}-store; {ENGINE} volume rm --force {mark}")


def _shell(stack: RunningStack, command: str, variables: dict[str, str] | None = None) -> str:
    code, said = stack.shell(command, environment=variables, errors=False)
    if code:
        raise Broken(f"`{command}` ends with {code}: {stack.shell(command, environment=variables)[1].strip()[-300:]}")
    return said.strip()


@contextmanager
def _running(stack: RunningStack, command: str) -> Iterator[Path]:
    """The command in the background, as a person has it in another terminal; its log."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with log.open("wb") as output:
            process = subprocess.Popen(  # pylint: disable=consider-using-with  # ended below, with what it started
                command, shell=True, cwd=stack.home, env=stack.person, stdout=output, stderr=output, process_group=0
            )
        try:
            yield log
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def _await_ready(url: str, log: Path | None = None) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/readyz", trust_env=False).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise Broken(f"{url} is not ready: {log.read_text()[-300:] if log else 'see its log'}")


def _await_score(url: str, key: str, log: Path | None = None) -> None:
    """A score; a new key takes up to two seconds to be known."""
    _await_ready(url, log)
    answer = httpx.Response(httpx.codes.UNAUTHORIZED)
    for _ in range(10):
        answer = httpx.post(f"{url}/v1/score", json=APPLICANT, headers={"x-api-key": key}, trust_env=False)
        if answer.status_code != httpx.codes.UNAUTHORIZED:
            break
        time.sleep(0.5)
    if not answer.is_success or "score" not in answer.json():
        raise Broken(f"{url} answers {answer.status_code} to an applicant")


def _free_port() -> int:
    """One that no outgoing connection takes before it is used: systems give theirs from 32,768 on."""
    while True:
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", port := secrets.choice(range(10_000, 20_000))))
            return port
