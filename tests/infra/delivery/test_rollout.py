"""Production gets the approved champion by digest, or nothing, and no secret is shown."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bentos.errors import VersionMissing
from bentos.registry.versions import Registry
from bentos.settings import BentosSettings
from infra.delivery import rollout
from infra.delivery.pushed_image import TrustSettings
from infra.delivery.report import RELEASED_AT
from infra.delivery.rollout import RolloutSettings, roll_out
from infra.errors import StackError
from tests.infra.delivery.registered_champion import champion_of

IMAGE = "registry.test/credit-score@sha256:" + "c" * 64
# The far side of the network: a program that writes down what it was asked, and the key file it was given.
PROGRAM = """#!/bin/sh
echo "$(basename "$0") $*" >> "{log}"
for word; do [ ! -f "$word" ] || {{ stat -c %a "$word"; cat "$word"; }} >> "{log}.files"; done
case "$*" in {fails}) exit 7 ;; esac
"""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Put ssh, kubectl and cosign in place that fail where told; what they were asked."""

    def make(fails: str = "nothing") -> Path:
        for name in ("ssh", "kubectl", "cosign"):
            program = tmp_path / "bin" / name
            program.parent.mkdir(exist_ok=True)
            program.write_text(PROGRAM.format(log=tmp_path / "asked", fails=fails))
            program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
        return tmp_path / "asked"

    return make


def test_ssh_names_the_version(asked, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Strictly checked host, key in a private file that is gone afterwards, no key in an argument."""
    log = asked()
    settings = RolloutSettings(to="ssh://deploy@host.test:2222/srv/score", key="the key", known_hosts="host.test rsa")

    roll_out(IMAGE, 3, settings)

    said = log.read_text()
    assert "-p 2222 deploy@host.test cd /srv/score && make deploy ARGS='--version 3'" in said
    assert "StrictHostKeyChecking=yes" in said and "the key" not in said
    assert (tmp_path / "asked.files").read_text() == "600\nthe key\n"
    assert not Path(said.split("-i ")[1].split()[0]).exists()


def test_kubernetes_gets_the_image_by_digest(asked) -> None:  # type: ignore[no-untyped-def]
    """And is waited for."""
    log = asked()

    roll_out(IMAGE, 3, RolloutSettings(to="kubectl://score/statefulset/api/api"))

    first, second = log.read_text().splitlines()
    assert first == f"kubectl --namespace score set image statefulset/api api={IMAGE}"
    assert "rollout status statefulset/api" in second


def test_the_shipped_manifests_are_applied_with_the_image(asked) -> None:  # type: ignore[no-untyped-def]
    """As one kustomization made for this rollout, gone afterwards, and waited for."""
    log = asked()

    roll_out(IMAGE, 3, RolloutSettings(to="kubectl://credit-score/infra/kubernetes/overlays/production/api"))

    asked_for, first, second = log.read_text().splitlines()
    assert asked_for == "kubectl --namespace credit-score get configmap reviewers --output name"
    folder = first.removeprefix("kubectl --namespace credit-score apply --kustomize ")
    assert second.startswith(f"kubectl --namespace credit-score rollout status --kustomize {folder} ")
    assert folder.startswith("/") and not Path(folder).exists()


def test_nothing_is_applied_where_no_reviewer_is_known(asked) -> None:  # type: ignore[no-untyped-def]
    """The pods would wait for their list; the line says how it is made."""
    log = asked("*configmap*")

    with pytest.raises(StackError, match="kubectl create configmap reviewers --from-file=reviewers.json"):
        roll_out(IMAGE, 3, RolloutSettings(to="kubectl://credit-score/infra/kubernetes/overlays/production/api"))
    assert "apply" not in log.read_text()


@pytest.mark.parametrize(
    ("to", "undone"),
    [
        ("kubectl://score/statefulset/api/api", "rollout undo statefulset/api"),
        ("kubectl://credit-score/infra/kubernetes/overlays/production/api", "rollout undo --kustomize /"),
    ],
    ids=["workload", "kustomization"],
)
def test_a_rollout_that_fails_is_taken_back(asked, to: str, undone: str) -> None:  # type: ignore[no-untyped-def]
    """Kubernetes keeps the image that ran."""
    log = asked("*status*")

    with pytest.raises(StackError, match="kubectl failed with exit code 7"):
        roll_out(IMAGE, 3, RolloutSettings(to=to))
    assert undone in log.read_text()


@pytest.mark.parametrize(
    "to",
    [
        "",
        "host.test",
        "ssh://host.test",
        "kubectl://score/api",
        "kubectl://score/pod/api/api",
        "kubectl://score/infra/no/such/folder",
        "ftp://host.test/folder",
    ],
)
def test_a_place_of_no_known_shape_is_refused(to: str) -> None:
    """The line names setting and shapes."""
    with pytest.raises(StackError, match="QF_DEPLOY_TO is .* it takes ssh://"):
        roll_out(IMAGE, 3, RolloutSettings(to=to))


def test_a_release_is_noted_once_it_is_out(
    asked,  # type: ignore[no-untyped-def]
    mlflow_server: str,
    tmp_path: Path,
) -> None:
    """No champion, no image, a host that refuses, no signature: nothing is noted; then the version carries the time."""
    name = f"credit-score-{uuid.uuid4().hex[:8]}"
    registry = Registry.connect(BentosSettings(tracking_uri=mlflow_server, state_dir=tmp_path, model_name=name))
    settings, now = RolloutSettings(to="ssh://host.test/srv"), datetime(2026, 11, 24, tzinfo=UTC)
    trust = TrustSettings(by="https://github.com/o/n/.github/workflows/release.yml@refs/heads/main")

    with pytest.raises(VersionMissing, match="no champion"):
        rollout.release(registry, settings, trust, now)
    champion = champion_of(registry, tmp_path, {})
    with pytest.raises(StackError, match="make image"):
        rollout.release(registry, settings, trust, now)
    registry.published(champion, "registry.test:5000/credit-score:1-a-b", "sha256:abc", actor="ana")
    asked("*host.test*")
    with pytest.raises(StackError, match="ssh failed"):
        rollout.release(registry, settings, trust, now)
    assert RELEASED_AT not in registry.version(champion.number).tags

    asked("*verify-attestation*")
    with pytest.raises(StackError, match="nothing proves that https://github.com/o/n/"):
        rollout.release(registry, settings, trust, now)
    assert RELEASED_AT not in registry.version(champion.number).tags

    asked()
    image = "registry.test:5000/credit-score@sha256:abc"
    assert rollout.release(registry, settings, trust, now) == (image, trust.by)
    assert registry.version(champion.number).tags[RELEASED_AT] == "2026-11-24T00:00:00+00:00"


def test_the_command_is_one_line_where_nothing_is_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, the setting named."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    assert rollout.main() == 1
    assert "MLFLOW_TRACKING_URI" in capsys.readouterr().err
