"""An image is pushed only after it was proved, and what cannot be done is said in one line, nothing left behind."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bentos import publish
from bentos.errors import PublishFailed, SmokeFailed
from bentos.packing import container, image
from bentos.packing.bento import Packed
from bentos.packing.container_engine import ContainerEngine, run
from bentos.packing.golden_requests import GoldenRequests
from bentos.packing.serving import Served
from bentos.packing.smoke import Identity
from bentos.settings import BentosSettings
from tests.bentos.fake_registry import Shelf, registry
from tests.bentos.fake_service import IDENTITY, KEY, Behaviour, answering

DIGEST = "sha256:" + "c" * 64
GOLDEN = (GoldenRequests(body={"num_loans": 2}, score=200),)
WANTED = Identity(version=IDENTITY["version"], digest=IDENTITY["digest"])
LOCK = "six==1.17.0 \\\n    --hash=sha256:" + "a" * 64 + "\n"
Engines = Callable[..., tuple[BentosSettings, Path]]

# An engine of one image: it answers what the real one's command line answers, and writes down what it was asked.
ENGINE = """#!/bin/sh
echo "$@" >> "{log}"
case "$1 $2" in
  "info --format") echo 27.0 ;;
  "image inspect") case "$*" in *Labels*) echo "{label}" ;; *@*) echo "{pulled}" ;; *) echo image-1 ;; esac ;;
  "run --rm") echo '{{"packages": {{"six": "{six}"}}, "environment": {{}}}}' ;;
  "push "*) echo "3-a-b: digest: {digest} size: 5"; echo "{complaint}" >&2; exit {push} ;;
  *) : ;;
esac
"""


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    """The registry."""
    with registry() as one:
        yield one


@pytest.fixture
def packed(tmp_path: Path) -> Packed:
    """A Bento with a lock of one package."""
    lock = tmp_path / "bento" / "src" / "infra" / "locks" / "service.txt"
    lock.parent.mkdir(parents=True)
    lock.write_text(LOCK)
    return Packed(tag="credit-score:3-a-b", digest="d" * 64, path=tmp_path / "bento", reused=False)


@pytest.fixture
def engine(tmp_path: Path, shelf: Shelf, packed: Packed) -> Engines:
    """Settings with an engine that behaves as told, and the log of what it was asked."""

    def make(**changes: object) -> tuple[BentosSettings, Path]:
        told = {
            "label": image.recipe(packed),
            "pulled": "image-1",
            "digest": DIGEST,
            "push": 0,
            "complaint": "",
            "six": "1.17.0",
        }
        program, log = tmp_path / "engine", tmp_path / "asked"
        program.write_text(ENGINE.format(log=log, **told | changes))
        program.chmod(0o755)
        return BentosSettings(
            engine=str(program), registry=f"{shelf.host}/", smoke_requests=3, bentoml_home=tmp_path / "store"
        ), log

    return make


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Behaviour:
    """The container's answers: a service of this process instead of a running image."""
    behaviour = Behaviour()

    @contextlib.contextmanager
    def running(*_: object) -> Iterator[Served]:
        with answering(behaviour) as url:
            yield Served(url=url, key=KEY)

    monkeypatch.setattr(container, "running", running)
    return behaviour


@pytest.mark.usefixtures("answers")
def test_proved_then_pushed_then_proved_again(engine: Engines, shelf: Shelf, packed: Packed) -> None:
    """The image that stands is used again, proved, pushed, and fetched back by digest; its contents are listed."""
    settings, log = engine()

    made = publish.publish(packed, WANTED, GOLDEN, settings)

    assert (made.reference, made.digest, made.pushed_mb) == (f"{shelf.host}/credit-score:3-a-b", DIGEST, 10.0)
    asked = log.read_text()
    assert asked.index("push ") < asked.index(f"pull {shelf.host}/credit-score@{DIGEST}")
    assert made.sbom is not None and '"six"' in made.sbom.read_text()
    assert not shelf.deleted


def test_a_wrong_answer_is_never_pushed(engine: Engines, answers: Behaviour, packed: Packed) -> None:
    """The container is asked before the registry."""
    settings, log = engine()
    answers.offset = 7

    with pytest.raises(SmokeFailed, match="golden applicant"):
        publish.publish(packed, WANTED, GOLDEN, settings)
    assert "push" not in log.read_text()


@pytest.mark.parametrize(
    ("changes", "registry_is", "says", "deleted"),
    [
        pytest.param({"push": 1, "complaint": "EOF"}, {}, "push .* failed: EOF", [], id="dies-in-the-push"),
        pytest.param(
            {"push": 1, "complaint": "write: no space left on device"}, {}, "no space left on device", [], id="full"
        ),
        pytest.param({"digest": "none"}, {}, "named no digest", [], id="no-digest"),
        pytest.param({"pulled": "image-2"}, {}, "gives back another image", [DIGEST], id="other-image"),
        pytest.param({}, {"layer_bytes": 150_000_000}, "300 MB in the registry, at most 280", [DIGEST], id="large"),
        pytest.param({"pulled": "image-2"}, {"before": DIGEST}, "gives back another", [], id="was-there-before"),
        pytest.param({"six": "1.0"}, {}, "does not hold what is locked: six", [], id="other-package"),
        pytest.param({}, {"status": 401}, "refuses the login: run `docker login", [], id="wrong-password"),
        pytest.param({}, {"status": 404}, "answers 404: is REGISTRY", [], id="no-registry"),
    ],
)
@pytest.mark.usefixtures("answers")
def test_what_fails_is_one_line_and_taken_back(
    engine: Engines,
    shelf: Shelf,
    packed: Packed,
    *,
    changes: dict[str, object],
    registry_is: dict[str, object],
    says: str,
    deleted: list[str],
) -> None:
    """It says what was refused; a manifest that this run pushed does not stay in the registry."""
    settings, _ = engine(**changes)
    for name, value in registry_is.items():
        setattr(shelf, name, value)

    with pytest.raises(PublishFailed, match=says) as refused:
        publish.publish(packed, WANTED, GOLDEN, settings)
    assert "\n" not in str(refused.value)
    assert shelf.deleted == deleted


@pytest.mark.usefixtures("answers")
def test_a_registry_that_keeps_what_it_has_is_said(
    engine: Engines, shelf: Shelf, packed: Packed, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not every registry allows deletion: then a person must know."""
    settings, _ = engine(pulled="image-2")
    shelf.deletion = 405

    with pytest.raises(PublishFailed):
        publish.publish(packed, WANTED, GOLDEN, settings)
    assert "could not take back manifest sha256:cccc" in capsys.readouterr().err


def test_what_is_absent_is_said(engine: Engines, tmp_path: Path, packed: Packed) -> None:
    """No engine, an engine that does not answer, or no registry: skipped, with the reason; a dead one is refused."""
    settings, _ = engine()
    absent = settings.model_copy(update={"engine": str(tmp_path / "none")})
    silent = settings.model_copy(update={"engine": "false"})
    nowhere = settings.model_copy(update={"registry": ""})
    dead = settings.model_copy(update={"registry": "127.0.0.1:1"})

    summaries = [publish.publish(packed, WANTED, GOLDEN, one).summary for one in (absent, silent, nowhere)]

    assert "is not installed" in summaries[0]
    assert "answers no engine" in summaries[1]
    assert "REGISTRY is not set" in summaries[2]
    with pytest.raises(PublishFailed, match="registry 127.0.0.1:1 does not answer"):
        publish.publish(packed, WANTED, GOLDEN, dead)


def test_an_image_that_cannot_be_built_is_one_line(engine: Engines, packed: Packed) -> None:
    """BentoML's last line is the reason."""
    settings, log = engine(label="another")

    with pytest.raises(PublishFailed, match="bentoml failed"):
        publish.publish(packed, WANTED, GOLDEN, settings)
    assert "push" not in log.read_text()


def test_a_client_without_buildx_builds_the_old_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """DOCKER_BUILDKIT is left alone where somebody set it or another engine is used."""
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nexit 1\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("DOCKER_BUILDKIT", raising=False)

    assert ContainerEngine("docker").build_environment() == {"DOCKER_BUILDKIT": "0"}
    assert not ContainerEngine("podman").build_environment()
    monkeypatch.setenv("DOCKER_BUILDKIT", "1")
    assert not ContainerEngine("docker").build_environment()


def test_a_failed_command_gives_its_last_line() -> None:
    """And what was run."""
    with pytest.raises(PublishFailed, match="sh -c .* failed: the reason"):
        run(["sh", "-c", "echo first >&2; echo the reason >&2; exit 3"], {})


def test_the_command_needs_a_tracking_server(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`python -m bentos.publish` without MLflow ends with 1 and one line."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    assert publish.main() == 1
    assert "MLFLOW_TRACKING_URI" in capsys.readouterr().err
