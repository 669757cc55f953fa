"""Approvals that prove who gave them: an Ed25519 signature by a key that no worker holds.

What is signed is a claim: which version, which bytes, against which champion, on which evidence, by whom and when. The
registry, its tags and its files can be written by training; a claim cannot be made there, since the key is the
reviewer's own and only its public half is known here, in a list that workers can but read.
"""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bentos.errors import ApprovalMissing
from bentos.registry.identities import same_person

CLOCKS: Final = timedelta(minutes=5)  # by which the signer's clock may be ahead of ours
CONTEXT: Final = b"credit-score approval 1\n"  # a signature made for anything else is none of ours


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
        """What it is about."""
        return Statement.model_validate(self.model_dump(include=set(Statement.model_fields)))


class Reviewers(BaseModel):
    """Who may approve: names and the public halves of their keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: dict[str, str] = Field(default_factory=dict, description="Ed25519 public key in hex, by name.")

    @classmethod
    def read(cls, path: Path | None) -> Reviewers:
        """The list at `path`; empty where there is none, so that nobody may approve.

        Raises:
            ApprovalMissing: the file is none of ours.
        """
        if path is None or not path.exists():
            return cls()
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except ValidationError as error:
            raise ApprovalMissing(f"{path.name} is no list of reviewers: restore it from a backup") from error

    def with_key(self, name: str, public: str) -> Reviewers:
        """The list with one more reviewer, or another key for one.

        Raises:
            ApprovalMissing: the name looks like another reviewer's.
        """
        for known in self.keys:
            if known != name and same_person(known, name):
                raise ApprovalMissing(f"{name} looks like reviewer {known}: two people need names that differ")
        return Reviewers(keys={**self.keys, name: public})


def new_key() -> tuple[str, str]:
    """A private key as PEM and its public half in hex."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private.decode(), key.public_key().public_bytes_raw().hex()


def signed(claim: ApprovalClaim, private: str) -> str:
    """The claim with its signature, as one word.

    Raises:
        ApprovalMissing: the key is none.
    """
    try:
        key = serialization.load_pem_private_key(private.encode(), password=None)
    except ValueError as error:
        raise ApprovalMissing("the key file holds no private key of a reviewer") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ApprovalMissing("the key file holds another kind of key than reviewers have")
    text = claim.model_dump_json().encode()
    return f"{_packed(text)}.{_packed(key.sign(CONTEXT + text))}"


def proved(word: str, reviewers: Reviewers, now: datetime | None = None) -> ApprovalClaim:
    """The claim of a signed word, proved with the key of the reviewer it names.

    Raises:
        ApprovalMissing: it is not signed, by nobody on the list, or not by whom it says.
    """
    if not word.strip():
        raise ApprovalMissing("it is not signed: `python -m bentos.reviewers sign` with your key makes the signature")
    try:
        text, mark = (_unpacked(part) for part in word.strip().split("."))
        claim = ApprovalClaim.model_validate_json(text)
    except (ValueError, binascii.Error) as error:
        raise ApprovalMissing("its signature is no signature of ours: copy the whole word") from error
    public = reviewers.keys.get(claim.reviewer)
    if public is None:
        raise ApprovalMissing(f"{claim.reviewer} is not on the list of reviewers ({len(reviewers.keys)} are)")
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(mark, CONTEXT + text)
    except (InvalidSignature, ValueError) as error:
        raise ApprovalMissing(f"its signature is not {claim.reviewer}'s") from error
    if claim.at > (now or datetime.now(UTC)) + CLOCKS:
        raise ApprovalMissing("its signature is dated in the future")
    return claim


def statement_of(text: str) -> Statement:
    """A statement as the run shows it.

    Raises:
        ApprovalMissing: it is none.
    """
    try:
        return Statement.model_validate(json.loads(text))
    except (ValueError, ValidationError) as error:
        raise ApprovalMissing("that is no statement: copy it from table `to-sign` of the run") from error


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _unpacked(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
