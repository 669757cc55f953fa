"""Reviewers of the tests: their keys, the list that believes them, and approvals signed by them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bentos.registry.decision import Decision
from bentos.registry.signing import ApprovalClaim, Reviewers, new_key, signed
from bentos.registry.version import Version

KEYS: Final = {name: new_key() for name in ("ana", "eva", "bob", "demo")}
EVIDENCE: Final = "e" * 64


def trust(path: Path) -> Path:
    """The list of the tests' reviewers at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(Reviewers(keys={name: public for name, (_, public) in KEYS.items()}).model_dump_json())
    return path


def claim_of(decision: Decision, version: Version, name: str, /, **changes: object) -> ApprovalClaim:
    """What `name` signs to approve a version as a decision says."""
    fields = {
        "version": version.number,
        "digest": version.digest,
        "package_sha256": version.package_sha256,
        "champion": decision.champion,
        "evidence": EVIDENCE,
        "failed_checks": decision.failed_checks,
        "reviewer": name,
        "at": decision.at,
        "override_expires": decision.override_expires,
    }
    return ApprovalClaim.model_validate(fields | changes)


def approval(decision: Decision, version: Version, **changes: object) -> Decision:
    """The decision with the signatures it needs; `changes` are to what is signed."""
    words = {"signature": signed(claim_of(decision, version, decision.reviewer, **changes), KEYS[decision.reviewer][0])}
    if decision.overridden and (second := decision.second_reviewer) in KEYS:
        words["second_signature"] = signed(claim_of(decision, version, second, **changes), KEYS[second][0])
    return decision.model_copy(update=words)
