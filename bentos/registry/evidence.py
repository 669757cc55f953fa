"""The check at packing that the evidence beside a version is still what its reviewers signed for.

A claim covers the SHA-256 of the release checks as they were shown, and these say of which findings of the training
they were made. Both lie in MLflow, where whoever trains can write after the verdict; documents are written from them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from bentos.errors import ApprovalMissing
from service.approvals import ApprovalClaim

FINDINGS = "findings"  # in the release checks: SHA-256 of the findings they were made from


def text_sha256(text: str | None) -> str:
    """Hex SHA-256 of a text; of nothing where there is none."""
    return hashlib.sha256((text or "").encode()).hexdigest()


def require_signed(claims: Sequence[ApprovalClaim], checks: str | None, findings: str | None) -> None:
    """Nothing, if every claim is about these release checks, and these were made from these findings.

    Checks of an earlier release do not name their findings; those are then not compared.

    Raises:
        ApprovalMissing: one of them was changed since.
    """
    if checks is None or any(claim.evidence != text_sha256(checks) for claim in claims):
        raise ApprovalMissing("the release checks kept with it are not those that were signed for")
    signed = json.loads(checks).get(FINDINGS)  # signed for, so it is ours
    if signed and signed != text_sha256(findings):
        raise ApprovalMissing("what its training found was changed after it was signed for")
