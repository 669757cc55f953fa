"""What is deployed is what was packed, and the command says in one line what is wrong."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from bentos import deploy
from bentos.deploying import slots
from bentos.deploying.slots import BentoRunner, ImageRunner, carried
from bentos.deploying.state import StateFile
from bentos.deploying.steps import Deployment
from bentos.errors import ArtefactDamaged, DeployRefused
from bentos.packing.bento import bento_environment
from bentos.registry.products import Products, from_tags
from bentos.registry.version import Version
from bentos.settings import DeploySettings
from tests.bentos.hosts import release
from tests.signing import trust


def test_what_was_packed_is_what_is_deployed() -> None:
    """By the digests the packaging flow recorded; without them there is nothing to deploy."""
    tags = {"bento_tag": "credit-score:3-a-b", "bento_digest": "d", "image": "r:5000/credit-score:3-a-b"}
    version = Version(number=3, run_id="r", digest="m", package_sha256="p", tags=tags | {"image_digest": "sha256:e"})
    made = from_tags(version)

    assert deploy.release_of(version, "bento", made).reference == "credit-score:3-a-b"
    assert deploy.release_of(version, "image", made).reference == "r:5000/credit-score@sha256:e"
    for kind, says in (("bento", "version 3 is not packed"), ("image", "version 3 has no image: set REGISTRY")):
        with pytest.raises(DeployRefused, match=says):
            deploy.release_of(version, kind, Products())


def test_a_bento_that_is_missing_or_altered_is_refused(tmp_path: Path) -> None:
    """Before anything is started, be it for a rollback to what was proved long ago."""
    settings = DeploySettings(state_dir=tmp_path)
    bento = tmp_path / "bentoml" / "bentos" / "credit-score" / "2"

    with pytest.raises(ArtefactDamaged, match="credit-score:2 is not in the store: run the packaging flow"):
        BentoRunner(settings).check(release(2))
    bento.mkdir(parents=True)
    (bento / "bento.yaml").write_text("name: credit-score")
    for attempt in (BentoRunner(settings).check, lambda one: BentoRunner(settings).start("blue", one)):
        with pytest.raises(ArtefactDamaged, match="is not what was proved .*, recorded is none"):
            attempt(release(2))


@pytest.mark.parametrize("kind", ["bento", "image"])
def test_a_slot_proves_signatures_by_the_hosts_list(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the release carries; a container reads it from a mount that it cannot write."""
    listed = trust(tmp_path / "reviewers.json")
    settings = DeploySettings(state_dir=tmp_path / "state", service_dir=tmp_path / "service", QF_REVIEWERS=listed)
    asked: list[str] = []
    started: dict[str, str] = {}

    def call(_: object, *words: str, **__: object) -> str:
        asked.extend(words)
        return ""

    def begin(_: object, __: object, ___: object, environment: dict[str, str]) -> None:
        started.update(environment)

    monkeypatch.setattr(slots.ContainerEngine, "call", call)
    monkeypatch.setattr(slots, "spawn", begin)
    monkeypatch.setattr(BentoRunner, "check", lambda *_: None)
    runner = ImageRunner(settings) if kind == "image" else BentoRunner(settings)
    runner.start("blue", release(2))

    if kind == "image":
        assert f"{listed}:{slots.LISTED}:ro" in asked and f"QF_REVIEWERS={slots.LISTED}" in asked
    else:
        assert started["QF_REVIEWERS"] == str(listed)


def test_the_list_is_found_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Bento does not start where the command was given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QF_REVIEWERS", "reviewers.json")
    assert bento_environment(tmp_path)["QF_REVIEWERS"] == str(tmp_path / "reviewers.json")


def test_secrets_are_named_on_the_command_line_and_never_told() -> None:
    """A container gets the service's settings and the store's credentials by name."""
    environment = {"QF_REDIS_URL": "x", "AWS_SECRET_ACCESS_KEY": "s", "QF_SERVICE_DIR": "d", "REGISTRY_PASSWORD": "p"}

    assert carried(environment) == ["AWS_SECRET_ACCESS_KEY", "QF_REDIS_URL"]


@pytest.mark.parametrize(
    ("variables", "arguments", "says"),
    [
        pytest.param({}, ["rollback"], "nothing to go back to", id="nothing"),
        pytest.param({"QF_PORT_BLUE": "none"}, ["status"], "QF_PORT_BLUE: ", id="setting"),
        pytest.param({"MLFLOW_TRACKING_URI": ""}, ["deploy"], "MLFLOW_TRACKING_URI", id="no-mlflow"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    arguments: list[str],
    says: str,
) -> None:
    """And ends with 1."""
    for name, value in {"QF_STATE_DIR": str(tmp_path), **variables}.items():
        monkeypatch.setenv(name, value)
    kept = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        assert deploy.main(arguments) == 1
    finally:
        for one, handler in kept.items():
            signal.signal(one, handler)

    told = capsys.readouterr()
    assert says in told.err and told.err.count("\n") == 1


def test_status_of_an_empty_host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both places are empty, and the address is where it will be."""
    deployment = Deployment(DeploySettings(state_dir=tmp_path))

    assert list(deployment.status()) == ["blue   empty", "green  empty", "proxy  https://127.0.0.1:3443"]
    assert not capsys.readouterr().out


def test_an_unreadable_book_stops_a_deployment(tmp_path: Path) -> None:
    """Nobody guesses what stands where."""
    (tmp_path / "standing.json").write_text("{")

    with pytest.raises(DeployRefused, match="is unreadable: put a backup back"):
        StateFile(tmp_path).read()
