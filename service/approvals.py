"""The check at the start of the service that a reviewer signed for the model that is about to answer.

A signed claim names a version, the bytes of its model and one SHA-256 over the whole package as it was registered. The
packed manifest differs from the registered one in what packing adds (version, verdict, kernel), so the registered one
travels along; it must be the one that was signed for, and say the same of everything that decides an answer. The public
halves of the reviewers' keys come from outside of the package (`QF_REVIEWERS`): a package cannot vouch for itself.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field

from service import files
from service.errors import ModelRefused, SignatureRefused
from service.score.manifest import APPROVED_FILE, MANIFEST_FILE, Manifest
from service.score.manifest_parts import Approval

CLOCKS: Final = timedelta(minutes=5)  # by which the signer's clock may be ahead of ours
CONTEXT: Final = b"credit-score approval 1\n"  # a signature made for anything else is none of ours
PACKED_LATER: Final = {"documents", "version", "approval", "files", "platform"}
"""What packing changes in a manifest; `files` only by the kernel and the registered manifest itself.

`documents` quote the verdict, so they are written after it was signed and no signature can cover them; packing proves
them by the audit trail. They are text that staff and partners read: nothing of them is run, and nothing of them decides
an answer. What they repeat of the verdict stands signed in `approval`, the figures in the part of the manifest that is
compared.
"""


class Statement(BaseModel):
    """What is to be decided: the very bytes, against which champion, on which release checks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(ge=1)
    digest: str
    package_sha256: str
    champion: int
    evidence: str = Field(description="SHA-256 of the release checks as they are kept with the version.")
    failed_checks: tuple[str, ...] = ()


class ApprovalClaim(Statement):
    """A statement that somebody approves, at a time; an override ends on a day."""

    reviewer: str = Field(min_length=1, max_length=80)
    at: datetime
    override_expires: date | None = None

    @property
    def statement(self) -> Statement:
        """The statement that is approved."""
        return Statement.model_validate(self.model_dump(include=set(Statement.model_fields)))


def read_reviewers(path: Path | None) -> dict[str, str]:
    """Ed25519 public keys in hex, by name; empty where there is no list, so that nobody may approve.

    Raises:
        SignatureRefused: the file is none of ours.
    """
    if path is None or not path.exists():
        return {}
    try:
        return _List.model_validate_json(path.read_text(encoding="utf-8")).keys
    except (OSError, ValueError) as error:
        raise SignatureRefused(f"{path.name} is no list of reviewers: restore it from a backup") from error


class _List(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keys: dict[str, str] = {}


def proved(word: str, keys: Mapping[str, str], now: datetime | None = None) -> ApprovalClaim:
    """The claim of a signed word, proved with the key of the reviewer it names.

    Raises:
        SignatureRefused: it is not signed, by nobody on the list, or not by whom it says.
    """
    if not word.strip():
        raise SignatureRefused("it is not signed: `python -m bentos.reviewers sign` with your key makes the signature")
    try:
        text, mark = (_unpacked(part) for part in word.strip().split("."))
        claim = ApprovalClaim.model_validate_json(text)
    except (ValueError, binascii.Error) as error:
        raise SignatureRefused("its signature is no signature of ours: copy the whole word") from error
    public = keys.get(claim.reviewer)
    if public is None:
        raise SignatureRefused(f"{claim.reviewer} is not on the list of reviewers ({len(keys)} are)")
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(mark, CONTEXT + text)
    except (InvalidSignature, ValueError) as error:
        raise SignatureRefused(f"its signature is not {claim.reviewer}'s") from error
    if claim.at > (now or datetime.now(UTC)) + CLOCKS:
        raise SignatureRefused("its signature is dated in the future")
    return claim


def require_signed(directory: Path, manifest: Manifest, reviewers: Path, today: date | None = None) -> None:
    """Make sure that reviewers on the list signed for the model in `directory`, and that their signatures still hold.

    Args:
        directory: the packed model that was loaded.
        manifest: its manifest, as it was loaded: the very object that answers.
        reviewers: the list of reviewers' public keys.
        today: the day it is judged on; an override ends on one.

    Raises:
        ModelRefused: one line says what does not hold; nothing may be served.
    """
    approval = manifest.approval
    if approval is None:
        raise ModelRefused("QF_REVIEWERS asks for a signed model, nobody approved this one: pack an approved version")
    try:
        keys = read_reviewers(reviewers)
        claims = [proved(approval.signature, keys)]
        if approval.override is not None:
            claims.append(proved(approval.second_signature, keys))
        for claim in claims:
            _about(claim, manifest, approval)
        _among(claims, approval)
    except SignatureRefused as error:
        raise ModelRefused(f"version {manifest.version} may not answer, {error}") from error
    if approval.override is not None and (today or datetime.now(UTC).date()) > approval.override.expires:
        raise ModelRefused(f"version {manifest.version} was let out until {approval.override.expires}: approve another")
    _as_registered(directory, manifest, approval)
    if files.combined(approval.package) != claims[0].package_sha256:
        raise ModelRefused(f"version {manifest.version} may not answer, another package was signed for")


def _about(claim: ApprovalClaim, manifest: Manifest, approval: Approval) -> None:
    """Refuse a claim that is about something else than this model."""
    if (str(claim.version), claim.digest) != (manifest.version, manifest.digest):
        raise SignatureRefused("what was signed is another version, or other bytes of this one")
    override = approval.override
    override_terms = ((), None) if override is None else (override.checks, override.expires)
    if (claim.failed_checks, claim.override_expires) != override_terms:
        raise SignatureRefused("what was signed is another verdict on its checks")


def _among(claims: list[ApprovalClaim], approval: Approval) -> None:
    """Refuse a verdict whose names are not those that signed, or one person twice."""
    names = [approval.reviewer, *([] if approval.override is None else [approval.override.second_name])]
    if [claim.reviewer for claim in claims] != names or len(set(names)) != len(names):
        raise SignatureRefused("its verdict names others than signed it")
    if len({claim.package_sha256 for claim in claims}) != 1:
        raise SignatureRefused("its reviewers signed for different packages")


def _as_registered(directory: Path, manifest: Manifest, approval: Approval) -> None:
    """Refuse a package that says or holds something else than the registered one."""
    content = manifest.verified_files(directory).get(APPROVED_FILE, b"")
    if hashlib.sha256(content).hexdigest() != approval.package.get(MANIFEST_FILE):
        raise ModelRefused(f"{APPROVED_FILE} is not the manifest that was signed for: pack again")
    registered = Manifest.parse(content)
    if registered.model_dump(exclude=PACKED_LATER) != manifest.model_dump(exclude=PACKED_LATER):
        raise ModelRefused("the manifest says something else than the one that was signed for: pack again")
    for name, entry in registered.files.items():
        if manifest.files.get(name) != entry or approval.package.get(name) != entry.sha256:
            raise ModelRefused(f"{name} is not the file that was signed for: pack again")


def _unpacked(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
