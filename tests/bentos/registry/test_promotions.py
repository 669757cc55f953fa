"""Aliases move as the audit trail says, never unseen, and one of many at once: against a real MLflow server."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bentos.errors import (
    AliasMoved,
    ApprovalMissing,
    PromotionLost,
    VersionMissing,
)
from bentos.registry.audit_trail import Trail
from bentos.registry.decision import Decision
from bentos.registry.version import Version
from bentos.registry.versions import CHALLENGER, CHAMPION, PREVIOUS, Registry
from bentos.settings import BentosSettings
from tests.bentos.registry.fixture_types import Decide, Logged


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


def test_the_loser_is_told(registry: Registry, register: Callable[..., Version], decide: Decide) -> None:
    """A decision against an older champion changes nothing."""
    first, second = register(b"first"), register(b"second")
    registry.promote(decide(first), expected=0)

    with pytest.raises(PromotionLost, match="champion is version 1, the decision was made against none"):
        registry.promote(decide(second), expected=0)
    with pytest.raises(PromotionLost):
        registry.rollback(expected=7, actor="ana", note="")

    assert registry.by_alias(CHAMPION).number == first.number


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
