"""One champion, always with its artefact, never moved unseen: the registry against a real MLflow server."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bentos.errors import (
    AliasMoved,
    ApprovalMissing,
    ArtefactDamaged,
    BentosError,
    PromotionLost,
    TrailBroken,
    VersionMissing,
)
from bentos.processes import free_port
from bentos.registry.audit_trail import Trail
from bentos.registry.decision import Decision
from bentos.registry.tracking_server import await_listening
from bentos.registry.version import Version
from bentos.registry.versions import CHALLENGER, CHAMPION, PACKAGE, PREVIOUS, Registry
from bentos.settings import BentosSettings
from service.score.manifest import KERNEL_FILE

Logged = Callable[..., tuple[str, Path]]
Decide = Callable[..., Decision]


@pytest.fixture
def register(registry: Registry, logged: Logged) -> Callable[..., Version]:
    """Register a challenger from a run of its own, and take it up, as training and registration do."""

    def make(content: bytes = b"model") -> Version:
        run_id, package = logged(content)
        return registry.take_up(registry.register(run_id, package, tags={"trainer": "bob"}).number)

    return make


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


def test_promotion_and_rollback(registry: Registry, register: Callable[..., Version], decide: Decide) -> None:
    """The champion moves forward by verdict and back by rollback, and the trail tells both."""
    first, second = register(b"first"), register(b"second")
    registry.promote(decide(first), expected=0)
    registry.promote(decide(second, note="better"), expected=first.number)
    assert registry.by_alias(CHAMPION).number == second.number
    assert registry.by_alias(PREVIOUS).number == first.number
    assert registry.find(CHALLENGER) is None

    registry.rollback(expected=second.number, actor="ana", note="bad answers")

    assert registry.by_alias(CHAMPION).number == first.number
    assert registry.find(PREVIOUS) is None
    events = [(entry.event, entry.version) for entry in registry._trail.entries()]  # pylint: disable=protected-access
    assert events[2:] == [("promoted", "1"), ("promoted", "2"), ("rolled_back", "1")]


def _three(registry: Registry, register: Callable[..., Version], decide: Decide) -> list[Version]:
    """Three versions, each approved and champion in its turn."""
    made = [register(b"%d" % number) for number in (1, 2, 3)]
    for version in made:
        registry.promote(decide(version, champion=version.number - 1), expected=version.number - 1)
    return made


def _point(registry: Registry, alias: str, number: int) -> None:
    """Move an alias as whoever trains can."""
    registry._client.set_registered_model_alias(registry.name, alias, str(number))  # pylint: disable=protected-access


@pytest.mark.parametrize("moved", [1, 2, 0])
def test_an_alias_that_was_moved_past_the_trail_is_not_believed(
    moved: int, registry: Registry, register: Callable[..., Version], decide: Decide, settings: BentosSettings
) -> None:
    """Older versions hold a true approval too: who acts on the champion is refused, who reads is told, and it is
    put back."""
    _three(registry, register, decide)
    if moved:
        _point(registry, CHAMPION, moved)
    else:
        registry._client.delete_registered_model_alias(registry.name, CHAMPION)  # pylint: disable=protected-access

    with pytest.raises(AliasMoved, match=f"at version {moved}" if moved else "is gone"):
        registry.by_alias(CHAMPION)
    with pytest.raises(AliasMoved, match="version 3 is, promoted by ana at .*champion restore"):
        registry.promote(decide(register(b"4"), champion=moved), expected=moved)
    assert registry.alias_fault()

    restored = registry.restore(actor="eva", note="looked")

    assert restored is not None and restored.number == 3
    assert (registry.by_alias(CHAMPION).number, registry.by_alias(PREVIOUS).number) == (3, 2)
    last = Trail(settings.trail_file).entries()[-1]
    assert (last.event, last.actor, last.replaced) == ("champion_restored", "eva", str(moved) if moved else "")
    registry.restore(actor="eva")
    assert Trail(settings.trail_file).entries()[-1] == last


def test_a_rollback_goes_where_the_trail_says(
    registry: Registry, register: Callable[..., Version], decide: Decide
) -> None:
    """Whatever both aliases say; and not twice, for what was gone back from is no way back."""
    _three(registry, register, decide)
    _point(registry, PREVIOUS, 1)
    _point(registry, CHAMPION, 1)

    registry.rollback(expected=3, actor="ana", note="")

    assert registry.by_alias(CHAMPION).number == 2
    _point(registry, PREVIOUS, 1)
    with pytest.raises(VersionMissing, match="nothing to go back to"):
        registry.rollback(expected=2, actor="ana", note="")


@pytest.mark.parametrize("down", ["rolled-back", "rejected"])
def test_a_signature_is_not_used_again_for_what_was_taken_down(
    down: str, registry: Registry, register: Callable[..., Version], decide: Decide
) -> None:
    """It stands in MLflow and holds for good: only one that was given since lets the version out once more."""
    first, second = register(b"1"), register(b"2")
    registry.promote(decide(first), expected=0)
    verdict = decide(second, champion=1)
    if down == "rolled-back":
        registry.promote(verdict, expected=1)
        registry.rollback(expected=2, actor="ana", note="bad answers")
    else:
        registry.reject(decide(second, verdict="reject", champion=1))

    with pytest.raises(ApprovalMissing, match="version 2 was rejected or gone back from at .*sign anew"):
        registry.promote(verdict, expected=1)
    with pytest.raises(ApprovalMissing, match="it is not signed"):
        registry.promote(verdict.model_copy(update={"signature": ""}), expected=1)

    assert registry.by_alias(CHAMPION).number == 1
    assert registry.promote(decide(second, champion=1, at=datetime.now(UTC)), expected=1).number == 2


def test_an_alias_without_any_promotion_is_taken_away(registry: Registry, register: Callable[..., Version]) -> None:
    """A version was registered here and none was ever let out."""
    _point(registry, CHAMPION, register().number)

    with pytest.raises(AliasMoved, match="no version ever was"):
        registry.by_alias(CHAMPION)
    assert registry.restore(actor="ana") is None
    assert registry.find(CHAMPION) is None and not registry.alias_fault()


def test_a_promotion_that_did_not_happen_moves_nothing(
    registry: Registry, register: Callable[..., Version], decide: Decide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow failed after the trail had told: the champion before it is the one that counts."""
    _three(registry, register, decide)
    fourth = register(b"4")

    def fail(*_: object) -> None:
        raise OSError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(registry._client, "set_registered_model_alias", fail)  # pylint: disable=protected-access
        with pytest.raises(OSError):
            registry.promote(decide(fourth, champion=3), expected=3)

    assert registry.by_alias(CHAMPION).number == 3
    assert registry.promote(decide(fourth, champion=3), expected=3).number == 4


def test_a_champion_that_was_deleted_can_be_followed(
    registry: Registry, register: Callable[..., Version], decide: Decide
) -> None:
    """With its version its alias goes too: back to the one before, or on to a new one."""
    _three(registry, register, decide)
    registry._client.delete_model_version(registry.name, "3")  # pylint: disable=protected-access

    with pytest.raises(AliasMoved, match="is gone"):
        registry.by_alias(CHAMPION)
    with pytest.raises(VersionMissing, match="has no version 3"):
        registry.restore(actor="ana")
    assert registry.promote(decide(register(b"4")), expected=0).number == 4


def test_a_host_without_a_trail_of_versions_says_nothing(
    registry: Registry, register: Callable[..., Version], decide: Decide, settings: BentosSettings
) -> None:
    """It deploys what another host decided; its own lines about that are no trail of versions."""
    _three(registry, register, decide)
    settings.trail_file.unlink()
    Trail(settings.trail_file).append("deployed", actor="ana", version="2")
    _point(registry, CHAMPION, 2)

    assert registry.approved(registry.by_alias(CHAMPION)).version == 2
    assert (registry.recorded_champion(), registry.alias_fault()) == (2, "")
    previous = registry.previous()
    assert previous is not None and previous.number == 2


def test_the_verdict_stays_with_the_version(
    registry: Registry, register: Callable[..., Version], decide: Decide
) -> None:
    """Reviewer, note and override are read back word for word, and show as tags."""
    version = register()
    decision = decide(
        version,
        note="looked at the card",
        failed_checks=("ECE",),
        override_reason="pilot",
        override_expires="2999-01-01",
        second_reviewer="eva",
    )

    promoted = registry.promote(decision, expected=0)

    assert registry.approved(promoted) == decision
    assert decision.overridden
    assert promoted.tags["reviewer"] == "ana"
    assert promoted.tags["override"] == "pilot"


def test_the_loser_is_told(registry: Registry, register: Callable[..., Version], decide: Decide) -> None:
    """A decision against an older champion changes nothing."""
    first, second = register(b"first"), register(b"second")
    registry.promote(decide(first), expected=0)

    with pytest.raises(PromotionLost, match="champion is version 1, the decision was made against none"):
        registry.promote(decide(second), expected=0)
    with pytest.raises(PromotionLost):
        registry.rollback(expected=7, actor="ana", note="")

    assert registry.by_alias(CHAMPION).number == first.number


def test_a_rejected_version_is_no_challenger(
    registry: Registry, register: Callable[..., Version], decide: Decide
) -> None:
    """It keeps its verdict and can neither be promoted nor packed."""
    version = register()
    verdict = decide(version, verdict="reject", note="no")

    rejected = registry.reject(verdict)

    assert registry.find(CHALLENGER) is None
    assert registry.decision(rejected).note == "no"
    with pytest.raises(ApprovalMissing, match="not approved"):
        registry.approved(rejected)
    with pytest.raises(ApprovalMissing, match="rejected"):
        registry.promote(verdict, expected=0)


def test_a_verdict_is_about_bytes(registry: Registry, register: Callable[..., Version], decide: Decide) -> None:
    """Approving other bytes than the version has promotes nothing."""
    version = register()

    with pytest.raises(ApprovalMissing, match="other bytes"):
        registry.promote(decide(version, digest="0" * 64), expected=0)
    assert registry.find(CHAMPION) is None


def test_a_version_without_verdict_is_not_approved(registry: Registry, register: Callable[..., Version]) -> None:
    """Registration alone lets nothing out."""
    with pytest.raises(ApprovalMissing, match="has no verdict"):
        registry.approved(register())


def test_an_altered_verdict_is_refused(registry: Registry, register: Callable[..., Version], decide: Decide) -> None:
    """The stored verdict must be the one the version's tag vouches for."""
    version = registry.promote(decide(register()), expected=0)

    registry.attach(version, f"decisions/version-{version.number}.json", '{"verdict": "approve"}')

    with pytest.raises(ApprovalMissing, match="altered"):
        registry.decision(version)


def test_a_verdict_forged_with_trainings_rights_lets_nothing_out(
    registry: Registry, register: Callable[..., Version], decide: Decide, settings: BentosSettings
) -> None:
    """Training may write files, tags and aliases of MLflow: the forged verdict is complete but for a reviewer's key."""
    version = register()
    forged = decide(version).model_copy(update={"signature": ""})
    for stolen in (forged, decide(version).model_copy(update={"digest": version.digest, "signature": "a.b"})):
        registry._store(stolen, version)  # pylint: disable=protected-access  # what a client of MLflow can do as well
        client = registry._client  # pylint: disable=protected-access
        client.set_registered_model_alias(registry.name, CHAMPION, str(version.number))
        with pytest.raises(AliasMoved, match="no version ever was"):
            registry.by_alias(CHAMPION)
        with pytest.raises(ApprovalMissing, match="does not hold"):
            registry.approved(registry.version(version.number))

    registry._store(decide(version), version)  # pylint: disable=protected-access  # signed, but never promoted
    with pytest.raises(ApprovalMissing, match="the audit trail knows nothing of it"):
        registry.approved(registry.version(version.number))
    settings.reviewers_file.unlink()
    with pytest.raises(ApprovalMissing, match="not on the list"):
        registry.approved(registry.version(version.number))


def test_an_approval_is_not_used_again_after_a_rejection(
    registry: Registry, register: Callable[..., Version], decide: Decide
) -> None:
    """Its signature holds for good, and training can write the old verdict back: the trail knows what came after."""
    version = register()
    approving = decide(version)
    registry.promote(approving, expected=0)
    registry.approved(registry.by_alias(CHAMPION))
    registry.reject(approving.model_copy(update={"verdict": "reject", "note": "a bias was found"}))

    registry._store(approving, version)  # pylint: disable=protected-access  # what a client of MLflow can do as well

    with pytest.raises(ApprovalMissing, match="it was rejected after that"):
        registry.approved(registry.by_alias(CHAMPION))


@pytest.mark.parametrize(
    "changes",
    [{"note": "all checks were green"}, {"trainer": "eva"}, {"override_reason": "because"}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_verdict_reworded_after_its_signature_lets_nothing_out(
    changes: dict[str, str], registry: Registry, register: Callable[..., Version], decide: Decide
) -> None:
    """Nor what no signature covers: the trail holds the verdict's digest."""
    version = register()
    registry.promote(decide(version), expected=0)

    registry._store(decide(version).model_copy(update=changes), version)  # pylint: disable=protected-access

    with pytest.raises(ApprovalMissing, match="not the one that the audit trail knows"):
        registry.approved(registry.by_alias(CHAMPION))


def test_a_trainer_who_names_another_approves_nothing(
    registry: Registry, register: Callable[..., Version], decide: Decide
) -> None:
    """The name is a tag of MLflow, which training writes; the trail has it from the registration."""
    version = register()
    registry.promote(decide(version), expected=0)
    registry.record(version, {"trainer": "eva"})

    with pytest.raises(ApprovalMissing, match="the audit trail names another trainer"):
        registry.approved(registry.by_alias(CHAMPION))


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


def _promote_many(settings: BentosSettings, run_id: str, package: Path, count: int) -> tuple[int, int]:
    """Promotions won and lost by one process that always aims at the champion it saw last."""
    registry = Registry.connect(settings)
    won = lost = 0
    for _ in range(count):
        version = registry.take_up(registry.register(run_id, package, tags={"trainer": "bob"}).number)
        champion = registry.find(CHAMPION)
        fields = {"version": version.number, "digest": version.digest, "verdict": "approve", "reviewer": "ana"}
        decision = Decision.model_validate(fields | {"at": "2026-11-23T00:00:00Z"})
        try:
            registry.promote(decision, expected=champion.number if champion else 0)
            won += 1
        except PromotionLost:
            lost += 1
    return won, lost


@pytest.mark.slow
@pytest.mark.parametrize("count", [4, pytest.param(25, marks=[pytest.mark.full, pytest.mark.timeout(1800)])])
def test_promotions_at_once(settings: BentosSettings, registry: Registry, logged: Logged, count: int) -> None:
    """Four processes: every version its own number, one champion, losers told, one unbroken chain."""
    run_id, package = logged()

    with multiprocessing.get_context("spawn").Pool(4) as pool:
        results = pool.starmap(_promote_many, [(settings, run_id, package, count)] * 4)

    won = sum(result[0] for result in results)
    assert won + sum(result[1] for result in results) == 4 * count
    entries = Trail(settings.trail_file).entries()
    events = [entry.event for entry in entries]
    assert (events.count("registered"), events.count("promoted")) == (4 * count, won)
    assert events.count("promotion_lost") == 4 * count - won
    promoted = [entry for entry in entries if entry.event == "promoted"]
    assert [entry.replaced for entry in promoted] == ["", *(entry.version for entry in promoted[:-1])]
    assert str(registry.by_alias(CHAMPION).number) == promoted[-1].version
    assert registry.version(4 * count).number == 4 * count
