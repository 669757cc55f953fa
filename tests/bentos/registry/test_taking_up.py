"""What training left is taken up once its bytes and its trainer are proved; afterwards neither changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bentos.errors import (
    AliasMoved,
    ApprovalMissing,
    ArtefactDamaged,
    TrailBroken,
)
from bentos.registry.audit_trail import Trail
from bentos.registry.version import Version
from bentos.registry.versions import CHALLENGER, CHAMPION, PACKAGE, Registry
from bentos.settings import BentosSettings
from service.score.manifest import KERNEL_FILE
from tests.bentos.registry.fixture_types import Decide, Logged


def test_training_writes_nothing_into_the_trail(registry: Registry, logged: Logged, settings: BentosSettings) -> None:
    """It registers in MLflow alone; who takes the version up writes what it proved, once, however often it looks."""
    version = registry.register(*logged(), tags={"trainer": "bob"})
    assert not Trail(settings.trail_file).entries() and registry.by_alias(CHALLENGER) == version

    for _ in range(2):
        assert registry.take_up(version.number) == version

    (line,) = Trail(settings.trail_file).entries()
    assert (line.event, line.actor, line.version, line.digest) == ("registered", "bob", "1", version.digest)


def test_a_promotion_writes_who_trained_it_where_nobody_did(
    registry: Registry, logged: Logged, decide: Decide, settings: BentosSettings
) -> None:
    """No version is let out whose trainer the trail does not name."""
    registry.promote(decide(registry.register(*logged(), tags={"trainer": "bob"})), expected=0)

    assert [(one.event, one.actor) for one in Trail(settings.trail_file).entries()] == [
        ("registered", "bob"),
        ("promoted", "ana"),
    ]


def test_what_is_damaged_is_not_taken_up(registry: Registry, logged: Logged, settings: BentosSettings) -> None:
    """The trail vouches for bytes that were there, not for what a tag of MLflow says."""
    version = registry.register(*logged(b"good"), tags={"trainer": "bob"})
    registry.attach(version, "package/model.cbm", "bad")

    with pytest.raises(ArtefactDamaged, match="damaged or replaced"):
        registry.take_up(version.number)
    assert not Trail(settings.trail_file).entries()


def test_code_of_the_machine_is_not_taken_from_training(
    registry: Registry, logged: Logged, decide: Decide, settings: BentosSettings
) -> None:
    """A kernel in a registered package would run wherever its champion is loaded; packing makes its own."""
    run_id, package = logged()
    (package / KERNEL_FILE).write_bytes(b"\x7fELF")
    registry._client.log_artifact(run_id, str(package / KERNEL_FILE), PACKAGE)  # pylint: disable=protected-access
    version = registry.register(run_id, package, tags={"trainer": "bob"})

    with pytest.raises(ArtefactDamaged, match="packing alone makes"):
        registry.take_up(version.number)
    with pytest.raises(ArtefactDamaged, match="packing alone makes"):
        registry.promote(decide(version), expected=0)
    assert not Trail(settings.trail_file).entries() and registry.find(CHAMPION) is None


def test_a_trainers_name_changed_after_it_was_taken_up_is_refused(
    registry: Registry, register: Callable[..., Version], decide: Decide
) -> None:
    """By whoever looks at the version again, and by its promotion."""
    version = register()
    registry.record(version, {"trainer": "eva"})

    with pytest.raises(ApprovalMissing, match="names another trainer"):
        registry.take_up(version.number)
    with pytest.raises(ApprovalMissing, match="names another trainer"):
        registry.promote(decide(version), expected=0)
    assert registry.find(CHAMPION) is None


def test_a_trail_written_where_training_runs_is_not_the_one_that_counts(
    registry: Registry, register: Callable[..., Version], decide: Decide, settings: BentosSettings, tmp_path: Path
) -> None:
    """With all of training's rights, MLflow and its own state: the trail of who releases says what it said."""
    first, second = register(b"1"), register(b"2")
    registry.promote(decide(first), expected=0)
    before = settings.trail_file.read_bytes()
    theirs = Registry.connect(settings.model_copy(update={"state_dir": tmp_path / "training"}))
    trail = theirs._trail  # pylint: disable=protected-access  # its own, whose chain is intact
    for event, content in (("registered", ""), ("promoted", ""), ("packed", "f" * 64), ("deployed", "f" * 64)):
        trail.append(event, actor="ana", version="2", digest=second.digest, artefact="b", content=content)
    registry._store(decide(second), second)  # pylint: disable=protected-access  # signed, and never promoted
    theirs._client.set_registered_model_alias(  # pylint: disable=protected-access
        registry.name, CHAMPION, str(second.number)
    )
    assert theirs.by_alias(CHAMPION).number == second.number, "it convinces nobody but itself"

    with pytest.raises(AliasMoved, match="version 1 is, promoted by ana"):
        registry.by_alias(CHAMPION)
    with pytest.raises(ApprovalMissing, match="knows nothing of it"):
        registry.approved(registry.version(second.number))
    assert not registry.products(second).proved and registry.recorded_champion() == first.number
    assert settings.trail_file.read_bytes() == before


def test_a_damaged_artefact_is_never_promoted(
    registry: Registry, register: Callable[..., Version], decide: Decide
) -> None:
    """Other bytes in the store than were registered stop promotion and rollback alike."""
    version = register(b"good")
    registry.attach(version, "package/model.cbm", "bad")

    with pytest.raises(ArtefactDamaged, match="damaged or replaced"):
        registry.promote(decide(version), expected=0)
    assert registry.find(CHAMPION) is None


def test_another_file_of_the_package_counts_too(
    registry: Registry, register: Callable[..., Version], decide: Decide
) -> None:
    """The model alone being intact is not enough."""
    version = register()
    registry.attach(version, "package/model_metadata.json", '{"changed": 1}')

    with pytest.raises(ArtefactDamaged, match="not what was registered"):
        registry.promote(decide(version), expected=0)


def test_a_lost_trail_stops_promotion(
    registry: Registry, register: Callable[..., Version], decide: Decide, settings: BentosSettings
) -> None:
    """MLflow remembers the newest entry: a trail that lacks it was cut off."""
    registry.promote(decide(register(b"first")), expected=0)
    second = register(b"second")
    settings.trail_file.unlink()

    with pytest.raises(TrailBroken, match="audit_head"):
        registry.promote(decide(second), expected=1)
    assert registry.by_alias(CHAMPION).number == 1
