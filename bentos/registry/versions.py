"""The model registry: registration, promotion, rollback; what it reads with is `catalogue` and `records`.

MLflow's registry has no transaction: two promotions at once both succeed, a version may point to nothing, and aliases
vanish with their version. So promotion is a compare-and-set of ours: ordered by a lock of this host, refused when the
champion is no longer the one the decision was made against, preceded by a download that proves the bytes, written to
the audit trail before the alias moves. An alias counts only where the trail's last move agrees (`moves`), since whoever
trains can move aliases too. Training registers in MLflow alone; whoever decides takes the version up, proves it and
writes that line of the trail too, so that who trains need not write there. Promotions from several hosts are told apart
by a claim tag that is read back before the alias moves; that narrows the window to one request and does not close it,
so run promotions on one worker.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bentos.digests import combined, fingerprint
from bentos.errors import ApprovalMissing, ArtefactDamaged, PromotionLost, TrailBroken, VersionMissing
from bentos.registry.audit_trail import Trail
from bentos.registry.catalogue import CHALLENGER, CHAMPION, PACKAGE, PREVIOUS, client_of, decision_file
from bentos.registry.decision import Decision
from bentos.registry.evidence import text_sha256
from bentos.registry.identities import same_person
from bentos.registry.moves import (
    FAILED,
    LOST,
    PROMOTED,
    REGISTERED,
    REJECTED,
    RESTORED,
    ROLLED_BACK,
    holds_versions,
    recorded_champion,
    recorded_previous,
    registered,
    taken_down,
)
from bentos.registry.records import RecordedCatalogue
from bentos.registry.signing import Reviewers, proved
from bentos.registry.version import Version, version_of
from bentos.settings import BentosSettings
from service.files import locked
from service.score.manifest import KERNEL_FILE, MODEL_FILE

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["CHALLENGER", "CHAMPION", "PACKAGE", "PREVIOUS", "Registry"]

LOGGED_MODEL: Final = "models:/"


class Registry(RecordedCatalogue):
    """The registered model `name` on one MLflow server."""

    def __init__(
        self, client: MlflowClient, name: str, *, trail: Trail, lock: Path, reviewers: Path | None = None
    ) -> None:
        super().__init__(client, name, trail=trail, reviewers=reviewers)
        self._lock = lock

    @classmethod
    def connect(cls, settings: BentosSettings) -> Registry:
        """The registry the settings name.

        Raises:
            BentosError: no tracking server is set.
        """
        client = client_of(settings.tracking_uri)
        return cls(
            client,
            settings.model_name,
            trail=Trail(settings.trail_file),
            lock=settings.lock_file,
            reviewers=settings.reviewers_file,
        )

    def register(self, run_id: str, package: Path, *, tags: Mapping[str, str], source: str = "") -> Version:
        """A new challenger made from the package that the run logged; the audit trail hears of it by `take_up`.

        Args:
            run_id: the training run; its artifact folder `package` must hold the same files as `package`.
            source: URI of the logged model; the run's package if empty.

        Raises:
            ArtefactDamaged: the run does not hold the package, so the version would point to nothing.
        """
        files = fingerprint(package)
        self._require_logged(run_id, files)
        if not source:
            source = f"{self._client.get_run(run_id).info.artifact_uri}/{PACKAGE}"
        with locked(self._lock):
            self._ensure_model()
            created = self._client.create_model_version(
                self.name,
                source,
                run_id=run_id,
                tags={**tags, "digest": files[MODEL_FILE], "package_sha256": combined(files)},
                # The server refuses a logged model's URI as source unless its id is given beside it.
                model_id=source.removeprefix(LOGGED_MODEL) if source.startswith(LOGGED_MODEL) else None,
            )
            self._client.set_registered_model_alias(self.name, CHALLENGER, str(created.version))
        return self.version(version_of(created).number)

    def take_up(self, number: int) -> Version:
        """The version with its bytes proved, and written down in the audit trail with its trainer, the first time.

        Raises:
            VersionMissing: there is no such version.
            ArtefactDamaged: the version's package is missing or has other bytes.
            ApprovalMissing: MLflow names another trainer than when it was taken up.
            TrailBroken: the audit trail is not intact.
        """
        with locked(self._lock):
            version = self.version(number)
            if registered(self._trail.entries(), version.number, version.digest) is None:
                version = self._proved(number, bare=True)
            self._write_registered(version)
            return version

    def promote(self, decision: Decision, *, expected: int) -> Version:
        """The new champion: the version the decision approves, if the champion still is `expected` (0 for none).

        Raises:
            PromotionLost: somebody else promoted first; nothing was changed.
            AliasMoved: the alias of the champion is not where the audit trail says.
            ApprovalMissing: it rejects, is about other bytes, or was signed before the version was taken down.
            ArtefactDamaged: the version's package is missing or has other bytes.
            TrailBroken: the audit trail is not intact.
        """
        if not decision.approved:
            raise ApprovalMissing(f"version {decision.version} was rejected and cannot become champion")
        with locked(self._lock):
            champion = self._expected_champion(expected, decision)
            version = self._proved(decision.version, bare=True)
            if version.digest != decision.digest:
                raise ApprovalMissing(f"the verdict is about other bytes than version {version.number} has")
            self._require_signed_since(decision, version)
            self._write_registered(version)
            verdict_sha256 = self._store(decision, version)
            replaced = champion.number if champion else 0
            self._move(
                version, replaced, event=PROMOTED, actor=decision.reviewer, note=decision.note, verdict=verdict_sha256
            )
            if replaced not in (0, version.number):
                self._client.set_registered_model_alias(self.name, PREVIOUS, str(replaced))
            self._no_challenger(version)
            return self.version(version.number)

    def reject(self, decision: Decision) -> Version:
        """The rejected version, with its verdict stored and no longer challenger."""
        with locked(self._lock):
            version = self.version(decision.version)
            verdict_sha256 = self._store(decision, version)
            self._no_challenger(version)
            self._trail_event(REJECTED, decision.reviewer, version, note=decision.note, verdict=verdict_sha256)
            return self.version(version.number)

    def rollback(self, *, expected: int, actor: str, note: str) -> Version:
        """The champion before `expected`, champion again; which one that is, the audit trail says, not the aliases.

        Raises:
            VersionMissing: there is no champion, or no previous one.
            PromotionLost: the champion is not `expected`.
        """
        with locked(self._lock):
            champion = self.recorded_champion()
            if not champion:
                self.by_alias(CHAMPION)  # says so
            if champion != expected:
                raise PromotionLost(f"champion is version {champion}, not {expected}: look again")
            previous = self.previous()
            if previous is None:
                raise VersionMissing(
                    f"model {self.name} has no previous: there is nothing to go back to, a promotion leaves the one "
                    "before it"
                )
            version = self._proved(previous.number)
            self.approved(version)
            self._move(version, champion, event=ROLLED_BACK, actor=actor, note=note)
            self._drop(PREVIOUS)
            return self.version(version.number)

    def restore(self, *, actor: str, note: str = "") -> Version | None:
        """The champion of the audit trail, with the aliases as its promotion leaves them; None where it knows of none.

        Nothing is judged anew: whoever packs or deploys it asks for its approval and its bytes.

        Raises:
            VersionMissing: the version is gone from MLflow.
            TrailBroken: the audit trail is not intact.
        """
        with locked(self._lock):
            entries = self._trail.entries()
            current = self.find(CHAMPION)
            if not holds_versions(entries) or recorded_champion(entries) == (current.number if current else 0):
                return current
            number = recorded_champion(entries)
            if not number:
                self._drop(CHAMPION)
                self._trail.append(RESTORED, actor=actor, version="", replaced=_number(current), note=note)
                return None
            version = self.version(number)
            self._trail_event(RESTORED, actor, version, replaced=_number(current), note=note)
            self._client.set_registered_model_alias(self.name, CHAMPION, str(number))
            previous = recorded_previous(entries)
            if previous:
                self._client.set_registered_model_alias(self.name, PREVIOUS, str(previous))
            else:
                self._drop(PREVIOUS)
            self._no_challenger(version)
            return version

    # -- steps --------------------------------------------------------------------------------------------------

    def _ensure_model(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _require_logged(self, run_id: str, files: Mapping[str, str]) -> None:
        if MODEL_FILE not in files:
            raise ArtefactDamaged(f"the package holds no {MODEL_FILE}: nothing to register")
        logged = {Path(item.path).name for item in self._client.list_artifacts(run_id, PACKAGE)}
        missing = sorted({Path(path).parts[0] for path in files} - logged)
        if missing:
            raise ArtefactDamaged(f"run {run_id} does not hold {', '.join(missing)} of its package: train again")

    def _expected_champion(self, expected: int, decision: Decision) -> Version | None:
        champion = self.find(CHAMPION)
        if champion is not None or self._still_there(self.recorded_champion()):
            champion = self.champion()
        number = champion.number if champion else 0
        if number != expected:
            self._trail_event(LOST, decision.reviewer, self.version(decision.version))
            raise PromotionLost(
                f"version {decision.version} lost: champion is version {number or 'none'}, the decision was made "
                f"against {expected or 'none'}; run the registration flow again"
            )
        return champion

    def _write_registered(self, version: Version) -> None:
        trainer = version.trainer or "unknown"
        line = registered(self._trail.entries(), version.number, version.digest)
        if line is None:
            self._trail_event(REGISTERED, trainer, version)
        elif not same_person(line.actor, trainer):
            raise ApprovalMissing(
                f"the audit trail names another trainer of version {version.number} than MLflow does: find out who "
                "changed the tag and set it right, or train and decide anew"
            )

    def _require_signed_since(self, decision: Decision, version: Version) -> None:
        """Refuse a signature that was given before the version was rejected or gone back from.

        It holds for good, and stands in MLflow: whoever may hand in a form could use it once more.
        """
        since = taken_down(self._trail.entries(), version.number)
        if since is None:
            return
        reviewers = Reviewers.read(self._reviewers)
        words = [decision.signature, *([decision.second_signature] if decision.overridden else [])]
        if any(proved(word, reviewers).at <= since for word in words):
            raise ApprovalMissing(
                f"version {version.number} was rejected or gone back from at {since:%Y-%m-%d %H:%M}, after this was "
                "signed: run its registration again and sign anew"
            )

    def _still_there(self, number: int) -> bool:
        """True if MLflow has the version; without it no alias can be where the trail says, and another may follow."""
        try:
            return bool(number and self.version(number))
        except VersionMissing:
            return False

    def _drop(self, alias: str) -> None:
        if self.find(alias) is not None:
            self._client.delete_registered_model_alias(self.name, alias)

    def _no_challenger(self, version: Version) -> None:
        challenger = self.find(CHALLENGER)
        if challenger is not None and challenger.number == version.number:
            self._client.delete_registered_model_alias(self.name, CHALLENGER)

    def _proved(self, number: int, *, bare: bool = False) -> Version:
        """The version with the bytes it was registered with; `bare` ones hold no code of the machine.

        Packing makes the kernel, from what was approved. One that came from training would run wherever the champion is
        loaded: beside the trail, and in front of partners.
        """
        version = self.version(number)
        with tempfile.TemporaryDirectory() as scratch:
            folder = self._fetch(version, Path(scratch))
            if bare and (folder / KERNEL_FILE).exists():
                raise ArtefactDamaged(
                    f"version {number} was registered with a {KERNEL_FILE}, which packing alone makes: train again"
                )
        return version

    def _move(  # pylint: disable=too-many-arguments  # who moves it, why, and on which verdict
        self, version: Version, replaced: int, *, event: str, actor: str, note: str, verdict: str = ""
    ) -> None:
        """Set the champion alias: claim first, trail second, alias last, so that no move is ever unrecorded."""
        claim = uuid.uuid4().hex
        self._client.set_registered_model_tag(self.name, "promotion_claim", claim)
        before = str(replaced) if replaced else ""
        self._trail_event(event, actor, version, replaced=before, note=note, verdict=verdict)
        if self._client.get_registered_model(self.name).tags.get("promotion_claim") != claim:
            self._trail_event(FAILED, actor, version, note="another host claimed the champion")
            raise PromotionLost(f"version {version.number} lost: another host is promoting at this moment; look again")
        try:
            self._client.set_registered_model_alias(self.name, CHAMPION, str(version.number))
        except Exception:  # whatever it is, it is raised again
            # The trail already says that it moved; MLflow may be unreachable, so only the file is told.
            self._trail.append(FAILED, actor=actor, version=str(version.number), digest=version.digest)
            raise

    def _trail_event(self, event: str, actor: str, version: Version, **details: str) -> None:
        head = self._client.get_registered_model(self.name).tags.get("audit_head", "")
        if head and not self._trail.holds(head):
            raise TrailBroken(
                "the audit trail lacks the entry that MLflow remembers (tag audit_head): it was cut off, or this host "
                "has another QF_STATE_DIR; restore the trail before anything is promoted"
            )
        entry = self._trail.append(event, actor=actor, version=str(version.number), digest=version.digest, **details)
        self._client.set_registered_model_tag(self.name, "audit_head", entry.hash)

    def _store(self, decision: Decision, version: Version) -> str:
        """SHA-256 of the verdict as it is now kept with the version."""
        text = decision.model_dump_json(indent=2) + "\n"
        verdict_sha256 = text_sha256(text)
        self._client.log_text(version.run_id, text, decision_file(version.number))
        self.record(
            version,
            {
                "decision_sha256": verdict_sha256,
                "verdict": "approved" if decision.approved else "rejected",
                "reviewer": decision.reviewer,
                "verdict_at": decision.at.isoformat(),
                "verdict_note": decision.note,
                "override": decision.override_reason if decision.overridden else "",
            },
        )
        return verdict_sha256


def _number(version: Version | None) -> str:
    return str(version.number) if version else ""
