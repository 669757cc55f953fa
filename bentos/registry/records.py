"""The catalogue as this host's audit trail bears it out, and what is learned of a version later.

Whoever trains can write to MLflow: aliases, tags and files. So the champion counts only where the trail's last move put
it (`moves`), an approval only with its line, Bento, image and texts only with the digests that packing and registration
wrote (`products`). A host that keeps no trail of versions has MLflow alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bentos.errors import AliasMoved, ApprovalMissing, ArtefactDamaged
from bentos.registry.audit_trail import Trail, TrailEntry
from bentos.registry.catalogue import CHAMPION, PREVIOUS, Catalogue, documents_file
from bentos.registry.decision import Decision
from bentos.registry.evidence import text_sha256
from bentos.registry.identities import same_person
from bentos.registry.moves import (
    PROMOTED,
    REGISTERED,
    REJECTED,
    disagreement,
    holds_versions,
    recorded_champion,
    recorded_previous,
)
from bentos.registry.products import DOCUMENTED, PACKED, PUBLISHED, Products, from_tags, from_trail, text_digest
from bentos.registry.version import Version

if TYPE_CHECKING:
    from mlflow import MlflowClient


class RecordedCatalogue(Catalogue):
    """The registered model `name` on one MLflow server, beside an audit trail."""

    def __init__(self, client: MlflowClient, name: str, *, trail: Trail, reviewers: Path | None = None) -> None:
        super().__init__(client, name, reviewers)
        self._trail = trail

    def approved(self, version: Version) -> Decision:
        """The approving verdict, which the audit trail must hold too, where this host keeps one.

        Raises:
            ApprovalMissing: it does not hold, or the trail knows nothing of it.
            TrailBroken: the audit trail is not intact.
        """
        decision, entries = super().approved(version), self._trail.entries()
        try:
            vouched(version, decision, entries)
        except ApprovalMissing as error:
            raise ApprovalMissing(f"the approval of version {version.number} does not hold: {error}") from error
        return decision

    def by_alias(self, alias: str) -> Version:
        """The version under the alias; the champion only where the audit trail knows it as such.

        Raises:
            VersionMissing: there is none.
            AliasMoved: the audit trail knows another champion.
            TrailBroken: the audit trail is not intact.
        """
        if alias == CHAMPION:
            self.champion()
        return super().by_alias(alias)

    def champion(self) -> Version | None:
        """The champion, None where there is none.

        Raises:
            AliasMoved: the audit trail knows another one.
            TrailBroken: the audit trail is not intact.
        """
        version = self.find(CHAMPION)
        if alias_fault := disagreement(self._trail.entries(), version.number if version else 0):
            raise AliasMoved(alias_fault)
        return version

    def alias_fault(self) -> str:
        """Why the alias of the champion is not believed; empty if it is. For who only reads.

        Raises:
            TrailBroken: the audit trail is not intact.
        """
        version = self.find(CHAMPION)
        return disagreement(self._trail.entries(), version.number if version else 0)

    def recorded_champion(self) -> int:
        """Number of the champion as the audit trail has it, else as the alias says; 0 for none.

        Raises:
            TrailBroken: the audit trail is not intact.
        """
        entries = self._trail.entries()
        if holds_versions(entries):
            return recorded_champion(entries)
        champion = self.find(CHAMPION)
        return champion.number if champion else 0

    def previous(self) -> Version | None:
        """The version a rollback goes to: by the audit trail, else by the alias; None if there is none.

        Raises:
            TrailBroken: the audit trail is not intact.
        """
        entries = self._trail.entries()
        if not holds_versions(entries):
            return self.find(PREVIOUS)
        number = recorded_previous(entries)
        return self.version(number) if number else None

    def record(self, version: Version, tags: Mapping[str, str]) -> None:
        """Keep facts learned later (Bento, image, digests) as tags of the version; an empty value removes the tag."""
        for key, value in tags.items():
            if value:
                self._client.set_model_version_tag(self.name, str(version.number), key, value)
            elif key in version.tags:
                self._client.delete_model_version_tag(self.name, str(version.number), key)

    def products(self, version: Version) -> Products:
        """The bytes that packing proved of the version: by the audit trail, or by MLflow's tags on a host without one.

        Raises:
            TrailBroken: the audit trail is not intact.
        """
        entries = self._trail.entries()
        return from_trail(entries, version) if holds_versions(entries) else from_tags(version)

    def packed(self, version: Version, tag: str, digest: str, *, actor: str) -> None:
        """Keep which Bento was proved, in the audit trail and with the version."""
        known = from_trail(self._trail.entries(), version)
        if (known.bento, known.bento_digest) != (tag, digest):
            self._append(PACKED, version, tag, digest, actor)
        self.record(version, {"bento_tag": tag, "bento_digest": digest})

    def published(self, version: Version, reference: str, digest: str, *, actor: str) -> None:
        """Keep which image was proved and pushed, in the audit trail and with the version."""
        known = from_trail(self._trail.entries(), version)
        if (known.image, known.image_digest) != (reference, digest):
            self._append(PUBLISHED, version, reference, digest, actor)
        self.record(version, {"image": reference, "image_digest": digest})

    def keep(  # pylint: disable=too-many-arguments  # which text, whose, and by whom
        self, version: Version, event: str, path: str, text: str, *, actor: str
    ) -> None:
        """Keep a text with the version's run, and its digest in the audit trail as `event`."""
        self.attach(version, path, text)
        content = text_sha256(text)
        if text_digest(self._trail.entries(), version, event, path) != content:
            self._append(event, version, path, content, actor)

    def _append(  # pylint: disable=too-many-arguments,too-many-positional-arguments  # a line of the trail
        self, event: str, version: Version, artefact: str, content: str, actor: str
    ) -> None:
        self._trail.append(
            event, actor=actor, version=str(version.number), digest=version.digest, artefact=artefact, content=content
        )

    def proved_text(self, version: Version, event: str, path: str) -> str | None:
        """A text as `keep` kept it; None where there is none, or where by the audit trail it is another.

        Raises:
            TrailBroken: the audit trail is not intact.
        """
        text, entries = self.attached(version, path), self._trail.entries()
        believed = not holds_versions(entries) or text_digest(entries, version, event, path) == text_sha256(text)
        return text if believed else None

    def documents(self, version: Version) -> dict[str, dict[str, str]]:
        """The documents of the version's validation, by reader and name, as its registration wrote them.

        Raises:
            ArtefactDamaged: the audit trail has none, or others.
            TrailBroken: the audit trail is not intact.
        """
        path = documents_file(version.number)
        if holds_versions(self._trail.entries()) and self.proved_text(version, DOCUMENTED, path) is None:
            raise ArtefactDamaged(
                f"the documents of version {version.number} are not those that its registration wrote: run it again "
                f"for version {version.number}, it writes them anew"
            )
        return super().documents(version)

    def attach(self, version: Version, path: str, text: str) -> None:
        """Keep a text with the version's run, as artifact `path`."""
        self._client.log_text(version.run_id, text, path)


def vouched(version: Version, decision: Decision, entries: Sequence[TrailEntry]) -> None:
    """Make sure that a host's audit trail agrees with MLflow about a version: whoever trains can write to MLflow.

    A signature names no trainer and holds as long as its key: the trail knows who registered the version, and whether
    the last verdict on it was this one, word for word, or a rejection since. A host without a trail says nothing.

    Raises:
        ApprovalMissing: the trail says otherwise.
    """
    if not holds_versions(entries):
        return
    own = [entry for entry in entries if (entry.version, entry.digest) == (str(version.number), version.digest)]
    verdicts = [entry for entry in own if entry.event in (PROMOTED, REJECTED)]
    if not verdicts or verdicts[-1].actor != decision.reviewer:
        raise ApprovalMissing("the audit trail knows nothing of it")
    if verdicts[-1].event == REJECTED:
        raise ApprovalMissing("it was rejected after that, says the audit trail; decide again")
    if verdicts[-1].verdict not in ("", version.tags.get("decision_sha256")):
        raise ApprovalMissing("the stored verdict is not the one that the audit trail knows; decide again")
    if any(entry.event == REGISTERED and not same_person(entry.actor, version.trainer) for entry in own):
        raise ApprovalMissing("the audit trail names another trainer than MLflow does")
