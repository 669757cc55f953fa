"""What reviewers signed for is what is packed: evidence and documents lie where whoever trains can write."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from bentos import publish
from bentos.errors import ApprovalMissing, ArtefactDamaged
from bentos.registry.catalogue import EVIDENCE_FILE, checks_file, documents_file
from bentos.registry.decision import Decision
from bentos.registry.evidence import FINDINGS, text_sha256
from bentos.registry.products import CHECKED, DOCUMENTED
from bentos.registry.version import Version
from bentos.registry.versions import Registry
from bentos.settings import BentosSettings
from tests.signing import approval

FOUND = '{"macro_f1": 0.7}'
CHECKS = json.dumps({"checks": ["good"], FINDINGS: text_sha256(FOUND)})
PATH = checks_file(1, 0)
OVERRIDDEN = {
    "failed_checks": ("ECE",),
    "override_reason": "pilot",
    "override_expires": date(2999, 1, 1),
    "second_reviewer": "eva",
}


@pytest.fixture(name="version")
def _version(registry: Registry, logged: Callable[..., tuple[str, Path]]) -> Version:
    """A version whose training left its findings."""
    made = registry.register(*logged(), tags={"trainer": "bob"})
    registry.attach(made, EVIDENCE_FILE, FOUND)
    return registry.take_up(made.number)


def _promoted(registry: Registry, version: Version, decide: Callable[..., Decision], checks: str = CHECKS) -> Decision:
    """Approved on these checks, by two people in spite of one of them, and documented."""
    registry.keep(version, CHECKED, PATH, checks, actor="registration")
    decision = approval(decide(version, **OVERRIDDEN), version, evidence=text_sha256(checks))
    registry.promote(decision, expected=0)
    registry.keep(version, DOCUMENTED, documents_file(1), '{"staff": {"report.en": "good"}}', actor="registration")
    return decision


@pytest.mark.parametrize(
    ("path", "text", "says"),
    [
        pytest.param(
            PATH, CHECKS.replace("good", "better"), "release checks .* not those that were signed", id="checks"
        ),
        pytest.param(EVIDENCE_FILE, FOUND.replace("7", "9"), "was changed after it was signed for", id="findings"),
    ],
)
def test_evidence_changed_after_the_verdict_is_not_packed(  # pylint: disable=too-many-positional-arguments  # a table
    path: str,
    text: str,
    says: str,
    registry: Registry,
    version: Version,
    decide: Callable[..., Decision],
    tmp_path: Path,
) -> None:
    """With what training may write; nothing is downloaded, let alone packed."""
    decision = _promoted(registry, version, decide)
    assert registry.evidence(version, decision) == CHECKS

    registry.attach(version, path, text)

    with pytest.raises(ApprovalMissing, match=f"evidence of version 1 does not hold.*{says}"):
        publish.fetch_package(registry, registry.version(1), tmp_path / "package", 50)
    assert not (tmp_path / "package").exists()


def test_checks_that_name_no_findings_are_compared_alone(
    registry: Registry, version: Version, decide: Callable[..., Decision]
) -> None:
    """As an earlier release kept them; both reviewers must have signed for them."""
    decision = _promoted(registry, version, decide, "{}")
    registry.attach(version, EVIDENCE_FILE, "other")
    assert registry.evidence(version, decision) == "{}"

    other = approval(decision, version, evidence=text_sha256("other"))
    mixed = decision.model_copy(update={"second_signature": other.second_signature})
    with pytest.raises(ApprovalMissing, match="not those that were signed"):
        registry.evidence(version, mixed)


def test_documents_rewritten_in_mlflow_are_not_packed(
    registry: Registry, version: Version, decide: Callable[..., Decision], settings: BentosSettings
) -> None:
    """No signature can cover them, since they quote it: the trail has their digest, where there is a trail."""
    _promoted(registry, version, decide)
    assert registry.documents(version) == {"staff": {"report.en": "good"}}

    registry.attach(version, documents_file(1), '{"staff": {"report.en": "excellent"}}')

    with pytest.raises(ArtefactDamaged, match="not those that its registration wrote: run it again for version 1"):
        registry.documents(version)
    settings.trail_file.unlink()
    assert registry.documents(version) == {"staff": {"report.en": "excellent"}}


def test_checks_planted_before_the_verdict_are_made_anew(registry: Registry, version: Version) -> None:
    """What the trail does not know is as good as absent."""
    registry.attach(version, PATH, CHECKS)
    assert registry.proved_text(version, CHECKED, PATH) is None

    registry.keep(version, CHECKED, PATH, CHECKS, actor="registration")
    assert registry.proved_text(version, CHECKED, PATH) == CHECKS
