"""An image is pushed only after it was proved, and what cannot be done is said in one line."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bentos import publish
from bentos.engine import Engine, run
from bentos.errors import PublishFailed, SmokeFailed
from bentos.golden import Golden
from bentos.pack import Packed
from bentos.serving import Served
from bentos.settings import BentosSettings
from bentos.smoke import Identity
from tests.bentos.fake_service import IDENTITY, KEY, Behaviour, answering

DIGEST = "sha256:" + "c" * 64
GOLDEN = (Golden(body={"num_loans": 2}, score=200),)
WANTED = Identity(version=IDENTITY["version"], digest=IDENTITY["digest"])
PACKED = Packed(tag="credit-score:3-a-b", digest="d" * 64, path=Path("/nowhere"), reused=False)

# An engine of one image: it answers what the real one's command line answers, and writes down what it was asked.
ENGINE = """#!/bin/sh
echo "$@" >> "{log}"
case "$1 $2" in
  "info --format") echo 27.0 ;;
  "image inspect") case "$*" in *Labels*) echo "{label}" ;; *@*) echo "{pulled}" ;; *) echo image-1 ;; esac ;;
  "push registry.test/credit-score:3-a-b") echo "3-a-b: digest: {digest} size: 5"; exit {push} ;;
  *) : ;;
esac
"""


@pytest.fixture
def engine(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Settings with an engine that behaves as told, and the log of what it was asked."""

    def make(**changes: object) -> tuple[BentosSettings, Path]:
        told = {"label": PACKED.digest, "pulled": "image-1", "digest": DIGEST, "push": 0, **changes}
        program, log = tmp_path / "engine", tmp_path / "asked"
        program.write_text(ENGINE.format(log=log, **told))
        program.chmod(0o755)
        return BentosSettings(engine=str(program), registry="registry.test/", smoke_requests=3), log

    return make


@pytest.fixture
def container(monkeypatch: pytest.MonkeyPatch) -> Behaviour:
    """The container's answers: a service of this process instead of a running image."""
    behaviour = Behaviour()

    @contextlib.contextmanager
    def running(*_: object) -> Iterator[Served]:
        with answering(behaviour) as url:
            yield Served(url=url, key=KEY)

    monkeypatch.setattr(publish, "_container", running)
    return behaviour


def test_proved_then_pushed_then_proved_again(engine, container: Behaviour) -> None:  # type: ignore[no-untyped-def]
    """The image that stands is used again, proved, pushed, and fetched back by digest."""
    settings, log = engine()

    published = publish.publish(PACKED, WANTED, GOLDEN, settings)

    assert (published.reference, published.digest) == ("registry.test/credit-score:3-a-b", DIGEST)
    asked = log.read_text()
    assert asked.index("push ") < asked.index(f"pull registry.test/credit-score@{DIGEST}")
    assert container.offset == 0


def test_a_wrong_answer_is_never_pushed(engine, container: Behaviour) -> None:  # type: ignore[no-untyped-def]
    """The container is asked before the registry."""
    settings, log = engine()
    container.offset = 7

    with pytest.raises(SmokeFailed, match="golden applicant"):
        publish.publish(PACKED, WANTED, GOLDEN, settings)
    assert "push" not in log.read_text()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"push": 1}, "push registry.test/credit-score:3-a-b failed", id="refused"),
        pytest.param({"digest": "none"}, "named no digest", id="no-digest"),
        pytest.param({"pulled": "image-2"}, "gives back another image", id="other-image"),
    ],
)
@pytest.mark.usefixtures("container")
def test_a_registry_that_fails_is_one_line(engine, changes: dict[str, object], says: str) -> None:  # type: ignore[no-untyped-def]
    """It says what was refused."""
    settings, _ = engine(**changes)

    with pytest.raises(PublishFailed, match=says):
        publish.publish(PACKED, WANTED, GOLDEN, settings)


def test_what_is_absent_is_said(engine, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """No engine, an engine that does not answer, or no registry: skipped, with the reason."""
    settings, _ = engine()
    absent = settings.model_copy(update={"engine": str(tmp_path / "none")})
    silent = settings.model_copy(update={"engine": "false"})
    nowhere = settings.model_copy(update={"registry": ""})

    summaries = [publish.publish(PACKED, WANTED, GOLDEN, one).summary for one in (absent, silent, nowhere)]

    assert "is not installed" in summaries[0]
    assert "answers no engine" in summaries[1]
    assert "REGISTRY is not set" in summaries[2]


def test_an_image_that_cannot_be_built_is_one_line(engine) -> None:  # type: ignore[no-untyped-def]
    """BentoML's last line is the reason."""
    settings, log = engine(label="another")

    with pytest.raises(PublishFailed, match="bentoml failed"):
        publish.publish(PACKED, WANTED, GOLDEN, settings)
    assert "push" not in log.read_text()


def test_a_client_without_buildx_builds_the_old_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """DOCKER_BUILDKIT is left alone where somebody set it or another engine is used."""
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nexit 1\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("DOCKER_BUILDKIT", raising=False)

    assert Engine("docker").build_environment() == {"DOCKER_BUILDKIT": "0"}
    assert not Engine("podman").build_environment()
    monkeypatch.setenv("DOCKER_BUILDKIT", "1")
    assert not Engine("docker").build_environment()


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
