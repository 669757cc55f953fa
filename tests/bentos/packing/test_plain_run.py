"""The image run plainly, by the lines that service/README.md shows: state, keys, and what is said when it cannot start.

The packages of this very Python are mounted instead of installed, which spares minutes; everything else is the image's.
What is installed is proved by `bentos.publish` before a push.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bentos.packing import bento, image
from bentos.packing.container_engine import ContainerEngine
from bentos.processes import free_port
from bentos.settings import BentosSettings
from service import keys
from service.docs.examples import APPLICANT
from service.score.manifest import Manifest
from tests.bentos.packing.test_bento import HOME, _decision
from tests.factories import pack_small_model

pytestmark = [pytest.mark.needs_engine, pytest.mark.slow]
README = (HOME / "service" / "README.md").read_text(encoding="utf-8")
PACKAGES = Path(sysconfig.get_path("purelib"))
LAUNCHER = '#!/bin/sh\\nexec python3 -m bentoml \\"\\$@\\"\\n'
INSTALLED = f"""\
FROM {{base}}
RUN useradd --uid {image.USER} --create-home bentoml && mkdir -p /app/.venv/bin /app/older \\
 && echo 'from asyncio import timeout' > /app/older/async_timeout.py \\
 && printf "{LAUNCHER}" > /app/.venv/bin/bentoml && chmod 755 /app/.venv/bin/bentoml
"""
# A Python before 3.11.3 needs async_timeout beside redis, which a later one does not install.
MOUNTED = ("--volume", f"{PACKAGES}:/packages:ro", "--env", "PYTHONPATH=/packages:/app/older")
READY_S = 90


@dataclass
class PlainImage:
    """An image, and containers of it that are removed afterwards."""

    engine: ContainerEngine
    reference: str
    mark: str

    def run(self, *options: str, wait: bool = True) -> tuple[str, int]:
        """A container with these options beside what the image needs here, and its port on this host."""
        port, name = free_port(), f"{self.mark}-{uuid.uuid4().hex[:6]}"
        published = ("--publish", f"127.0.0.1:{port}:3000")
        self.engine.call("run", "--detach", "--name", name, *MOUNTED, *published, *options, self.reference)
        if wait:
            self.await_ready(name, port)
        return name, port

    def await_ready(self, name: str, port: int) -> None:
        """Until it is ready; what it said instead if it ends."""
        deadline = time.monotonic() + READY_S
        while not _status(port):
            running = self.engine.call("inspect", "--format", "{{.State.Running}}", name).strip() == "true"
            if not running or time.monotonic() > deadline:
                pytest.fail(f"{name} is not ready: {self.engine.call('logs', name, both=True)[-2000:]}")
            time.sleep(0.3)

    def ended(self, name: str) -> tuple[int, str]:
        """Exit code and everything said by a container that ends by itself."""
        code = int(self.engine.call("wait", name))
        return code, self.engine.call("logs", name, both=True)


def _status(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _score(port: int, key: str) -> int:
    """The score of the contract's example; a key takes up to two seconds to be known."""
    for _ in range(20):
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/score",
            json.dumps(APPLICANT).encode(),
            {"content-type": "application/json", "x-api-key": key},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(json.load(answer)["score"])
        except urllib.error.HTTPError as error:
            if error.code != 401:
                raise
            time.sleep(0.3)
    raise AssertionError("the key is not let in")


@pytest.fixture(scope="module", name="plain")
def _plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainImage]:
    engine = ContainerEngine("docker")
    if reason := engine.absence():
        if os.environ.get("QF_REQUIRE_ALL") == "1" and "DOCKER_HOST" in os.environ:
            pytest.fail(f"the engine that was started does not answer: {reason}")
        pytest.skip(reason)
    base = BentosSettings().base_image
    if not engine.image_id(base):
        pytest.skip(f"the base image {base} is not here")
    python = engine.call("run", "--rm", base, "python3", "-c", "import sys; print(*sys.version_info[:2])").split()
    if python != [str(part) for part in sys.version_info[:2]]:
        pytest.skip(f"the base image has Python {'.'.join(python)}, whose packages are not installed here")
    folder, mark = tmp_path_factory.mktemp("plain"), f"qf-plain-{uuid.uuid4().hex[:6]}"
    pack_small_model(folder / "package", rows=600, trees=10)
    digest = Manifest.read(folder / "package").digest
    bento.finish(folder / "package", 3, _decision(digest))
    packed = bento.pack(
        folder / "package", version=3, digest=digest, home=HOME, store=folder / "store", base_image=base
    )
    (folder / "installed").mkdir()
    (folder / "installed" / "Containerfile").write_text(INSTALLED.format(base=base))
    (folder / "image").mkdir()
    (folder / "image" / "Containerfile").write_text(image.CONTAINERFILE)
    image.write_layers(packed.path, folder / "image")
    given = ["--build-arg", f"BENTO={mark}:installed", "--build-arg", f"BASE={base}"]
    for name, arguments in (("installed", []), ("image", given)):
        context = folder / name
        engine.call(
            *("build", "--tag", f"{mark}:{name}", "--file", str(context / "Containerfile"), *arguments, str(context))
        )
    made = PlainImage(engine, f"{mark}:image", mark)
    yield made
    for container in engine.call("ps", "--all", "--quiet", "--filter", f"name={mark}").split():
        engine.call("rm", "--force", "--volumes", container)
    for name in ("image", "installed"):
        engine.drop(f"{mark}:{name}")


def _lines(section: str) -> list[str]:
    """The commands of a section of the README, whole ones."""
    text = README.partition(f"## {section}\n")[2].partition("\n## ")[0]
    blocks = "".join(re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL))
    return [line for line in blocks.replace("\\\n", " ").splitlines() if line]


def _mine(command: str, plain: PlainImage, ports: dict[str, int]) -> str:
    """A line of the README with names, ports and mounts of this test."""
    for shown, port in ports.items():
        command = command.replace(f"--publish {shown}:", f"--publish 127.0.0.1:{port}:")
    command = re.sub(r"(?<![\w-])score(-store)?(?=[ :])", rf"{plain.mark}-readme\1", command)
    return command.replace('"$IMAGE"', f'{" ".join(MOUNTED)} "$IMAGE"')


def test_the_readmes_lines_do_what_they_say(plain: PlainImage, tmp_path: Path) -> None:
    """Run, key, score; then read-only with a volume, a store and keys from a folder: each line as it is written."""
    lines, ports = _lines("Run the image"), {"3000": free_port(), "3001": free_port()}
    given = keys.issue(tmp_path, "acme")
    for path in (tmp_path, *(tmp_path / name for name in ("keys.json", "pepper"))):
        os.chown(path, image.USER, image.USER)
    pair = {"QF_STORE_ENDPOINT": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    environment = {**os.environ, **pair, "IMAGE": plain.reference, "KEYS": str(tmp_path)}

    def shell(command: str) -> str:
        mine = _mine(command, plain, ports)
        done = subprocess.run(mine, shell=True, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{mine}: {done.stderr}"
        return done.stdout.strip()

    assert [" ".join(line.split()[:2]) for line in lines] == ["docker run", "docker exec", "docker run"]
    try:
        shell(lines[0])
        plain.await_ready(f"{plain.mark}-readme", ports["3000"])
        one = _score(ports["3000"], shell(lines[1]))
        shell(lines[2])
        plain.await_ready(f"{plain.mark}-readme-store", ports["3001"])
        assert _score(ports["3001"], given) == one
        inside = "import os; print(oct(os.stat('/var/lib/credit-score').st_mode), os.getuid())"
        told = plain.engine.call("exec", f"{plain.mark}-readme", "python3", "-c", inside).split()
        assert told == ["0o40700", str(image.USER)]
    finally:
        names = plain.engine.call("ps", "--all", "--quiet", "--filter", f"name={plain.mark}-readme").split()
        for name in names:
            plain.engine.call("rm", "--force", "--volumes", name)
        plain.engine.call("volume", "rm", "--force", f"{plain.mark}-readme")


def test_what_was_answered_outlives_the_container(plain: PlainImage) -> None:
    """A key issued in a container with a volume opens the next one that gets the volume."""
    volume = f"{plain.mark}-state"
    mounted = ("--read-only", "--volume", f"{volume}:/var/lib/credit-score")
    try:
        first, port = plain.run(*mounted)
        key = plain.engine.call("exec", first, "python", "-m", "service.keys", "issue", "acme").strip()
        one = _score(port, key)
        plain.engine.call("rm", "--force", first)
        _, port = plain.run(*mounted)
        assert _score(port, key) == one
    finally:
        for container in plain.engine.call("ps", "--all", "--quiet", "--filter", f"volume={volume}").split():
            plain.engine.call("rm", "--force", container)
        plain.engine.call("volume", "rm", "--force", volume)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        pytest.param(("--user", "4242:4242"), "QF_SERVICE_DIR is /var/lib/credit-score", id="other-user"),
        pytest.param(
            ("--read-only", "--env", "QF_SERVICE_DIR=/srv/state"), "QF_SERVICE_DIR is /srv/state", id="read-only-root"
        ),
        pytest.param(("--env", "QF_SERVICE_DIR=/etc/passwd"), "QF_SERVICE_DIR is /etc/passwd", id="a-file"),
        pytest.param(("--env", "QF_KEYS_DIR=/nowhere"), "/nowhere/pepper: cannot be read, or made,", id="no-keys"),
    ],
)
def test_a_folder_that_does_not_do_is_one_line(plain: PlainImage, options: tuple[str, ...], names: str) -> None:
    """It ends with 1, one line names what does not do, and there is no traceback."""
    name, _ = plain.run(*options, wait=False)

    code, said = plain.ended(name)

    assert code == 1, said
    assert len([line for line in said.splitlines() if names in line]) == 1
    assert "Traceback" not in said


def test_state_of_the_host_may_be_mounted(plain: PlainImage, tmp_path: Path) -> None:
    """A folder of root's is refused by a line; given to the image's user it does."""
    folder = tmp_path / "state"
    folder.mkdir(mode=0o755)
    mounted = ("--read-only", "--volume", f"{folder}:/var/lib/credit-score")
    if os.geteuid() == 0:
        refused, _ = plain.run(*mounted, wait=False)
        code, said = plain.ended(refused)
        assert (code, "cannot be written by user 1034" in said) == (1, True), said
    shutil.chown(folder, image.USER, image.USER)

    plain.run(*mounted)

    assert (folder / "pepper").stat().st_uid == image.USER
