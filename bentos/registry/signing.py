"""Approvals that prove who gave them: an Ed25519 signature by a key that no worker holds.

What is signed is a claim: which version, which bytes, against which champion, on which evidence, by whom and when. The
registry, its tags and its files can be written by training; a claim cannot be made there, since the key is the
reviewer's own and only its public half is known here, in a list that workers can but read. The service proves the
same word again at its start (`service.approvals`), so the claim is written down there.
"""

from __future__ import annotations

import base64
import json
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bentos.errors import ApprovalMissing
from bentos.registry.identities import same_person
from service import approvals
from service.approvals import CONTEXT, ApprovalClaim, Statement
from service.errors import SignatureRefused

__all__ = ["ApprovalClaim", "Reviewers", "Statement", "new_key", "proved", "signed", "statement_of"]


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
        try:
            return cls(keys=approvals.read_reviewers(path))
        except SignatureRefused as error:
            raise ApprovalMissing(str(error)) from error

    def with_key(self, name: str, public: str) -> Reviewers:
        """The list with one more reviewer, or another key for one.

        Raises:
            ApprovalMissing: the name looks like another reviewer's.
        """
        for reviewer in self.keys:
            if reviewer != name and same_person(reviewer, name):
                raise ApprovalMissing(f"{name} looks like reviewer {reviewer}: two people need names that differ")
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
    try:
        return approvals.proved(word, reviewers.keys, now)
    except SignatureRefused as error:
        raise ApprovalMissing(str(error)) from error


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
