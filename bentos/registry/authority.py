"""The check that a verdict may let a version out: signed by listed reviewers, for these bytes, by two if needed."""

from __future__ import annotations

from bentos.errors import ApprovalMissing
from bentos.registry.decision import Decision
from bentos.registry.identities import same_person, skeleton
from bentos.registry.signing import ApprovalClaim, Reviewers, proved
from bentos.registry.version import Version


def authorize(decision: Decision, version: Version, reviewers: Reviewers) -> None:
    """Prove an approving verdict with the signatures it carries.

    Raises:
        ApprovalMissing: one line that says what does not hold.
    """
    claim = proved(decision.signature, reviewers)
    agrees(claim, decision, version, decision.reviewer)
    if not skeleton(version.trainer) or same_person(claim.reviewer, version.trainer):
        raise ApprovalMissing("its reviewer is the trainer, or nobody knows who trained it")
    if not decision.overridden:
        return
    second = proved(decision.second_signature, reviewers)
    agrees(second, decision, version, decision.second_reviewer)
    if any(same_person(second.reviewer, name) for name in (claim.reviewer, version.trainer)):
        raise ApprovalMissing("its second reviewer is the first, or the trainer")


def agrees(claim: ApprovalClaim, decision: Decision, version: Version, name: str) -> None:
    """Make sure that a claim is about this version and this verdict, by whom the verdict names.

    Raises:
        ApprovalMissing: what was signed is something else.
    """
    about = (claim.version, claim.digest, claim.package_sha256)
    if about != (version.number, version.digest, version.package_sha256):
        raise ApprovalMissing("what was signed is another version, or other bytes of this one")
    if (claim.champion, claim.failed_checks) != (decision.champion, decision.failed_checks):
        raise ApprovalMissing("what was signed is a comparison with another champion, or other checks had failed")
    if claim.override_expires != decision.override_expires:
        raise ApprovalMissing(
            "the day its override ends is not the one that was signed: sign with --override-expires and that day"
        )
    if claim.reviewer != name:
        raise ApprovalMissing(f"it names {name} and is signed by {claim.reviewer}")
