"""A verdict stays with the bytes it was given for; none that was forged, reworded or given before lets anything out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bentos.errors import (
    AliasMoved,
    ApprovalMissing,
)
from bentos.registry.version import Version
from bentos.registry.versions import CHALLENGER, CHAMPION, Registry
from bentos.settings import BentosSettings
from tests.bentos.registry.fixture_types import Decide


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
