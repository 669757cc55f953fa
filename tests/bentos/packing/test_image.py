"""Images on a real engine: same inputs, same layers; and a registry that is really there, refuses, or really dies."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from bentos.errors import PublishFailed
from bentos.packing import image, sbom
from bentos.packing.bento import EPOCH_S, Packed
from bentos.packing.container_engine import ContainerEngine
from bentos.packing.smoke import Identity
from bentos.processes import free_port
from bentos.publish import Publication
from bentos.settings import BentosSettings

LAYERS = ("code.tar", "model.tar")
ENVIRONMENT = {"python_full_version": "3.11.7", "python_version": "3.11", "sys_platform": "linux"}
LOCK = """\
# a comment
six==1.17.0 \\
    --hash=sha256:aaa \\
    --hash=sha256:bbb
    # via dateutil
numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:ccc
numpy==2.5.5 ; python_full_version >= '3.12' \\
    --hash=sha256:ddd
"""


def _bento(folder: Path, model: bytes = b"model", at: float = 0.0) -> Path:
    """A Bento of three files, built at some time."""
    (folder / "src" / "model").mkdir(parents=True)
    (folder / "src" / "model" / "model.cbm").write_bytes(model)
    (folder / "src" / "app.py").write_text("print()\n")
    (folder / "bento.yaml").write_text(f"name: credit-score\ncreation_time: '{at}'\nlabels: {{}}\n")
    for path in folder.rglob("*"):
        os.utime(path, (EPOCH_S + at, EPOCH_S + at))
    return folder


def test_layers_follow_from_the_bytes(tmp_path: Path) -> None:
    """Two builds at two times give the same archives; another model changes the model's alone."""
    for name, bento in {
        "one": _bento(tmp_path / "a", at=1.0),
        "two": _bento(tmp_path / "b", at=2.0),
        "new": _bento(tmp_path / "c", b"new model", at=3.0),
    }.items():
        (tmp_path / name).mkdir()
        image.write_layers(bento, tmp_path / name)
    read = {(name, tar): (tmp_path / name / tar).read_bytes() for name in ("one", "two", "new") for tar in LAYERS}

    assert [read["one", tar] == read["two", tar] for tar in LAYERS] == [True, True]
    assert [read["one", tar] == read["new", tar] for tar in LAYERS] == [True, False]
    assert b"creation_time: '2023-11-14" in read["one", "code.tar"] and b"model.cbm" not in read["one", "code.tar"]


@pytest.mark.parametrize(
    ("packages", "says"),
    [
        pytest.param({"Six": "1.17.0"}, "numpy", id="missing"),
        pytest.param({"six": "1.16.0", "numpy": "2.4.6"}, "six", id="other-version"),
        pytest.param({"six": "1.17.0", "numpy": "2.5.5"}, "numpy", id="other-python's"),
        pytest.param({"six": "1.17.0", "numpy": "2.4.6", "mlflow": "3.0"}, "mlflow", id="slipped-in"),
    ],
)
def test_exactly_what_is_locked(packages: dict[str, str], says: str) -> None:
    """A package too many, too few or of another version is named."""
    with pytest.raises(PublishFailed, match=f"not hold what is locked: {says};"):
        sbom.locked_lines(LOCK, {"packages": packages, "environment": ENVIRONMENT})


def test_the_bill_names_packages_and_model() -> None:
    """CycloneDX, with the hashes of the lock and the digest of the model."""
    found = {"packages": {"six": "1.17.0", "numpy": "2.4.6"}, "environment": ENVIRONMENT}
    packed = Packed(tag="credit-score:3-a-b", digest="d" * 64, path=Path("/nowhere"), reused=False)
    lock = LOCK.replace("aaa", "a" * 64).replace("bbb", "b" * 64).replace("ccc", "c" * 64)

    text = sbom.bill(packed, "3", "e" * 64, sbom.locked_lines(lock, found))

    for part in ('"CycloneDX"', '"numpy"', '"2.4.6"', "a" * 64, '"machine-learning-model"', "e" * 64):
        assert part in text
    assert "2.5.5" not in text


# -- with a real engine ---------------------------------------------------------------------------------------------


@dataclass
class Registry:
    """A registry of this test's own, which it may kill."""

    host: str
    storage: Path
    process: subprocess.Popen[bytes]


@pytest.fixture
def engine() -> ContainerEngine:
    """A real engine; skips where none answers, fails instead under QF_REQUIRE_ALL=1 where CI brought one."""
    found = ContainerEngine("docker")
    if reason := found.absence():
        if os.environ.get("QF_REQUIRE_ALL") == "1" and "DOCKER_HOST" in os.environ:
            pytest.fail(f"the engine that was started does not answer: {reason}")
        pytest.skip(reason)
    return found


@pytest.fixture
def small(engine: ContainerEngine, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Build a small image under a tag, with so many bytes of noise in it; it is removed afterwards."""
    made: list[str] = []

    def make(reference: str, noise: int = 0, bento: Path | None = None) -> str:
        context = tmp_path / f"context-{uuid.uuid4().hex[:6]}"
        context.mkdir()
        image.write_layers(bento or _bento(context / "bento"), context)
        (context / "noise").write_bytes(os.urandom(noise))
        (context / "Containerfile").write_text("FROM scratch\nCOPY noise /noise\nADD code.tar /\nADD model.tar /\n")
        engine.call("build", "--no-cache", "--tag", reference, "--file", str(context / "Containerfile"), str(context))
        made.append(reference)
        return reference

    yield make
    for reference in made:
        engine.drop(reference)


@pytest.fixture
def registry(require_program: Callable[[str], str], tmp_path: Path) -> Iterator[Registry]:
    """A real registry on a free port, without a password."""
    port = free_port()
    (tmp_path / "registry.yml").write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {tmp_path / 'registry'}}}, "
        f"delete: {{enabled: true}}}}\nhttp: {{addr: '127.0.0.1:{port}', secret: test}}\n"
    )
    command = [require_program("docker-registry"), "serve", str(tmp_path / "registry.yml")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        running = Registry(f"127.0.0.1:{port}", tmp_path / "registry", process)
        deadline = time.monotonic() + 30
        while not _answers(running.host):
            assert time.monotonic() < deadline, "the registry does not start"
            time.sleep(0.1)
        yield running
        process.kill()


def _answers(host: str) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://{host}/v2/", timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _publication(host: str, tag: str = "credit-score:3-a-b") -> Publication:
    packed = Packed(tag=tag, digest="d" * 64, path=Path("/nowhere"), reused=False)
    return Publication(packed, Identity(version="3", digest="a" * 64), (), BentosSettings(registry=host))


def _layers(reference: str) -> str:
    return ContainerEngine("docker").call("image", "inspect", "--format", "{{json .RootFS.Layers}}", reference)


@pytest.mark.needs_engine
def test_the_engine_makes_the_same_layers_twice(small: Callable[..., str], tmp_path: Path) -> None:
    """Without any cache: code and model layers of two builds at two times are the same to the bit."""
    name = f"qf-layers-{uuid.uuid4().hex[:6]}"
    one = small(f"{name}:1", bento=_bento(tmp_path / "a", at=1.0))
    time.sleep(1.1)  # a file's time has whole seconds
    two = small(f"{name}:2", bento=_bento(tmp_path / "b", at=2.0))

    layers = [_layers(reference).strip("[]\n").split(",")[-2:] for reference in (one, two)]

    assert layers[0] == layers[1]


@pytest.mark.needs_engine
def test_pushed_fetched_and_taken_back(small: Callable[..., str], registry: Registry) -> None:
    """The digest gives back the image that was pushed; undo leaves no manifest in the registry."""
    work = _publication(registry.host)
    small(work.reference, noise=1_000_000)
    assert not work.obstacle()

    digest = work.push()

    assert 0 < work.size_mb(digest) < 280
    assert work.pull(digest) == f"{registry.host}/credit-score@{digest}"
    assert work.undo() == [f"took back manifest {digest[:19]} of the registry"]
    with pytest.raises(PublishFailed, match="does not hold"):
        work.size_mb(digest)


@pytest.mark.needs_engine
@pytest.mark.slow
def test_a_registry_that_dies_in_the_push_has_no_manifest(small: Callable[..., str], registry: Registry) -> None:
    """Killed while layers are on their way: one line, and no tag that points to half an image."""
    work = _publication(registry.host)
    small(work.reference, noise=60_000_000)
    with ThreadPoolExecutor(1) as pool:
        pushing = pool.submit(work.push)
        while not any(registry.storage.rglob("_uploads/*/data")) and not pushing.done():
            time.sleep(0.02)
        registry.process.kill()
        with pytest.raises(PublishFailed, match="push .* failed: |does not answer"):
            pushing.result()

    assert not any(registry.storage.rglob("_manifests/tags/*"))
    assert not work.undo()


@pytest.mark.needs_engine
@pytest.mark.usefixtures("engine")
def test_a_wrong_password_is_said_before_anything_is_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The registry that CI brings asks for one."""
    if not os.environ.get("REGISTRY"):
        pytest.skip("REGISTRY is not set")
    (tmp_path / "config.json").write_text(json.dumps({"auths": {os.environ["REGISTRY"]: {"auth": "Y2k6d3Jvbmc="}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    with pytest.raises(PublishFailed, match="refuses the login: run `docker login"):
        _publication(os.environ["REGISTRY"]).obstacle()
