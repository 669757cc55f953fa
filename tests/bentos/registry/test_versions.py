"""A registered version with its artefact and its facts: the registry against a real MLflow server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bentos.errors import (
    ArtefactDamaged,
    BentosError,
    VersionMissing,
)
from bentos.processes import free_port
from bentos.registry.tracking_server import await_listening
from bentos.registry.version import Version
from bentos.registry.versions import CHALLENGER, CHAMPION, Registry
from bentos.settings import BentosSettings
from tests.bentos.registry.fixture_types import Logged


def test_a_registered_version_is_the_challenger(registry: Registry, register: Callable[..., Version]) -> None:
    """It carries its trainer and digests, and downloads as it was registered."""
    version = register()

    found = registry.by_alias(CHALLENGER)

    assert found.number == version.number == 1
    assert found.trainer == "bob"
    assert len(found.digest) == len(found.package_sha256) == 64


def test_a_download_is_proved_by_digest(registry: Registry, register: Callable[..., Version], tmp_path: Path) -> None:
    """The right digest gives the package, another one nothing."""
    version = register(b"the bytes")

    package = registry.download(version.number, version.digest, tmp_path / "here")

    assert (package / "model.cbm").read_bytes() == b"the bytes"
    with pytest.raises(ArtefactDamaged, match="registered with digest"):
        registry.download(version.number, "0" * 64, tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_a_version_needs_its_artefact(registry: Registry, logged: Logged, tmp_path: Path) -> None:
    """A run that does not hold the package gives no version."""
    run_id, package = logged()
    (package / "leaf_table.npz").write_bytes(b"never logged")

    with pytest.raises(ArtefactDamaged, match="leaf_table.npz"):
        registry.register(run_id, package, tags={})
    with pytest.raises(ArtefactDamaged, match="no model.cbm"):
        registry.register(run_id, tmp_path / "nothing", tags={})
    assert registry.find(CHALLENGER) is None


def test_versions_and_their_metrics_are_listed(registry: Registry, register: Callable[..., Version]) -> None:
    """Newest first; a model that is not registered yet has none."""
    assert not registry.versions()
    first, second = register(), register()
    registry._client.log_metric(second.run_id, "macro_f1", 0.7)  # pylint: disable=protected-access  # training's work

    assert [version.number for version in registry.versions()] == [second.number, first.number]
    assert registry.run_metrics(second.run_id) == {"macro_f1": 0.7}


def test_what_is_not_there_is_one_clear_line(registry: Registry, register: Callable[..., Version]) -> None:
    """An unknown version, alias or run says what to do."""
    with pytest.raises(VersionMissing, match="has no champion: approve a challenger first"):
        registry.by_alias(CHAMPION)
    register()
    with pytest.raises(VersionMissing, match="has no version 99"):
        registry.version(99)
    with pytest.raises(VersionMissing, match="knows no run"):
        registry.run_parameters("0" * 32)


def test_no_tracking_server_is_refused(tmp_path: Path) -> None:
    """Nothing is ever written to a local folder that nobody looks at."""
    with pytest.raises(BentosError, match="MLFLOW_TRACKING_URI"):
        Registry.connect(BentosSettings(tracking_uri="", state_dir=tmp_path))


def test_a_tracking_server_that_is_not_there_is_told_in_seconds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """MLflow's own client would ask on for minutes; the address is named without what signs in there."""
    monkeypatch.setattr("bentos.registry.tracking_server.PATIENCE_S", 0.1)
    settings = BentosSettings(tracking_uri=f"http://ana:secret@127.0.0.1:{free_port()}", state_dir=tmp_path)

    with pytest.raises(BentosError, match=r"does not answer at http://127\.0\.0\.1:\d+: run `make up`") as raised:
        Registry.connect(settings)

    told = capsys.readouterr().err
    assert "waiting" in told and "secret" not in told + str(raised.value)


def test_a_tracking_server_behind_a_proxy_or_in_a_folder_is_not_knocked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the client itself knows the way there."""
    monkeypatch.setattr("bentos.registry.tracking_server.getproxies", lambda: {"https": "http://proxy.example:3128"})
    monkeypatch.setattr("bentos.registry.tracking_server.proxy_bypass", lambda host: False)

    for address in ("https://mlflow.example", "file:///tmp/runs", "databricks"):
        await_listening(address)


def test_facts_are_kept_and_removed(registry: Registry, register: Callable[..., Version]) -> None:
    """Tags and texts learned later are read back; an empty value removes a tag."""
    version = register()

    registry.record(version, {"bento_tag": "credit-score:1"})
    registry.attach(version, "notes/a.txt", "kept")

    assert registry.version(version.number).tags["bento_tag"] == "credit-score:1"
    assert registry.attached(version, "notes/a.txt") == "kept"
    assert registry.attached(version, "notes/b.txt") is None
    registry.record(registry.version(version.number), {"bento_tag": ""})
    assert "bento_tag" not in registry.version(version.number).tags
