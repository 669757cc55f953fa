"""What MLflow knows of the registered model: versions, aliases, verdicts, runs and their files. Reading only."""

from __future__ import annotations

import hashlib
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter, ValidationError

from bentos.digests import combined, file_sha256, fingerprint
from bentos.errors import ApprovalMissing, ArtefactDamaged, BentosError, OverrideEnded, VersionMissing
from bentos.registry.authority import authorize
from bentos.registry.decision import Decision
from bentos.registry.evidence import require_signed
from bentos.registry.signing import Reviewers, proved
from bentos.registry.tracking_server import await_listening
from bentos.registry.version import Version, version_of
from service.score.manifest import MODEL_FILE

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
PREVIOUS: Final = "previous"
_HINTS: Final = {
    CHAMPION: "approve a challenger first",
    PREVIOUS: "there is nothing to go back to, a promotion leaves the one before it",
}
PACKAGE: Final = "package"
EVIDENCE_FILE: Final = "evidence.json"  # what a version's own run found out about it
_DOCUMENTS: Final = TypeAdapter(dict[str, dict[str, str]])


def client_of(tracking_uri: str) -> MlflowClient:
    """A client of the MLflow server at the address.

    Raises:
        BentosError: no address is given, so everything would go to a local folder nobody looks at; or nothing
            listens there.
    """
    if not tracking_uri:
        raise BentosError("MLFLOW_TRACKING_URI is not set: run `make up` and `source .local/env`")
    await_listening(tracking_uri)
    # One bar a file and download would drown the log of a run; MLflow offers nothing but this variable.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri, tracking_uri)


class Catalogue:
    """The registered model `name` on one MLflow server, to read."""

    def __init__(self, client: MlflowClient, name: str, reviewers: Path | None = None) -> None:
        self._client = client
        self.name = name
        self._reviewers = reviewers

    def version(self, number: int) -> Version:
        """The version with this number.

        Raises:
            VersionMissing: there is none.
        """
        from mlflow.exceptions import MlflowException

        try:
            return version_of(self._client.get_model_version(self.name, str(number)))
        except MlflowException as error:
            raise _missing(error, f"model {self.name} has no version {number}: see its versions in MLflow") from error

    def find(self, alias: str) -> Version | None:
        """The version under the alias, None if there is none."""
        from mlflow.exceptions import MlflowException

        try:
            return version_of(self._client.get_model_version_by_alias(self.name, alias))
        except MlflowException as error:
            # An unknown alias is INVALID_PARAMETER_VALUE, an unknown model RESOURCE_DOES_NOT_EXIST.
            if error.error_code in {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"}:
                return None
            raise BentosError(f"MLflow does not answer for model {self.name}: {_line(error)}") from error

    def versions(self) -> list[Version]:
        """Every version, newest first; empty where the model is not registered yet.

        Raises:
            BentosError: MLflow does not answer.
        """
        from mlflow.exceptions import MlflowException

        versions: list[Version] = []
        token: str | None = None
        try:
            while token != "":
                page = self._client.search_model_versions(f"name='{self.name}'", page_token=token)
                versions += map(version_of, page)
                token = page.token or ""
        except MlflowException as error:
            raise BentosError(f"MLflow does not answer for model {self.name}: {_line(error)}") from error
        return sorted(versions, key=lambda version: version.number, reverse=True)

    def judged_on(self, data_sha256: str) -> int:
        """How many versions were judged on the customers set aside of this prepared data.

        Raises:
            BentosError: MLflow does not answer.
        """
        return sum(version.tags.get("data_sha256") == data_sha256 for version in self.versions())

    def by_alias(self, alias: str) -> Version:
        """The version under the alias.

        Raises:
            VersionMissing: there is none.
        """
        version = self.find(alias)
        if version is None:
            raise VersionMissing(
                f"model {self.name} has no {alias}: {_HINTS.get(alias, 'run the training flow first')}"
            )
        return version

    def download(self, number: int, digest: str, target: Path) -> Path:
        """`target`, holding the package of the version, proved against the digest and every file's hash.

        Raises:
            VersionMissing: no such version.
            ArtefactDamaged: missing files or other bytes than were registered. `target` is then not created.
        """
        version = self.version(number)
        if version.digest != digest:
            raise ArtefactDamaged(
                f"version {number} is registered with digest {version.digest[:12]}, not {digest[:12]}: look again"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="download-") as scratch:
            folder = self._fetch(version, Path(scratch))
            folder.rename(target)
        return target

    def decision(self, version: Version) -> Decision:
        """The verdict stored with the version.

        Raises:
            ApprovalMissing: there is none, or it is not the one the version's tags vouch for.
        """
        expected = version.tags.get("decision_sha256")
        if not expected:
            raise ApprovalMissing(f"version {version.number} has no verdict: run the registration flow and decide")
        with tempfile.TemporaryDirectory() as scratch:
            text = self._artifact(version.run_id, decision_file(version.number), Path(scratch)).read_bytes()
        if hashlib.sha256(text).hexdigest() != expected:
            raise ApprovalMissing(f"version {version.number}: the stored verdict was altered; decide again")
        try:
            return Decision.model_validate_json(text)
        except ValidationError as error:
            raise ApprovalMissing(f"version {version.number}: the stored verdict is unreadable") from error

    def approved(self, version: Version) -> Decision:
        """The approving verdict of the version, proved by its reviewer's signature.

        Raises:
            ApprovalMissing: there is no verdict, it rejects, it is about other bytes, or nobody signed for it who may.
            OverrideEnded: it was approved in spite of failed checks, until a day that is over.
        """
        decision = self.decision(version)
        if decision.ended(datetime.now(UTC).date()):
            raise OverrideEnded(
                f"version {version.number} was approved by an override until {decision.override_expires}: "
                "decide on it again, or approve another version"
            )
        if not decision.approved or (decision.version, decision.digest) != (version.number, version.digest):
            raise ApprovalMissing(f"version {version.number} is not approved: only an approved version is packed")
        try:
            authorize(decision, version, Reviewers.read(self._reviewers))
        except ApprovalMissing as error:
            raise ApprovalMissing(f"the approval of version {version.number} does not hold: {error}") from error
        return decision

    def evidence(self, version: Version, decision: Decision) -> str:
        """The release checks that the reviewers of an approving verdict signed for, as they are kept.

        Raises:
            ApprovalMissing: they, or what they were made from, were changed since.
        """
        reviewers = Reviewers.read(self._reviewers)
        words = [decision.signature, *([decision.second_signature] if decision.overridden else [])]
        checks = self.attached(version, checks_file(version.number, decision.champion))
        try:
            claims = [proved(word, reviewers) for word in words]
            require_signed(claims, checks, self.attached(version, EVIDENCE_FILE))
        except ApprovalMissing as error:
            raise ApprovalMissing(
                f"the evidence of version {version.number} does not hold, {error}: find out who changed it and restore "
                "it in MLflow, or train and decide anew"
            ) from error
        return checks or ""

    def run_parameters(self, run_id: str) -> tuple[dict[str, str], dict[str, str]]:
        """Logged parameters and tags of a run.

        Raises:
            VersionMissing: MLflow knows no such run.
        """
        run = self._run(run_id)
        return dict(run.data.params), dict(run.data.tags)

    def run_metrics(self, run_id: str) -> dict[str, float]:
        """Last value of every metric a run logged; intervals stand beside as `.low` and `.high`.

        Raises:
            VersionMissing: MLflow knows no such run.
        """
        return dict(self._run(run_id).data.metrics)

    def run_file(self, run_id: str, path: str, target: Path) -> Path:
        """One file that a run logged, downloaded below `target`.

        Raises:
            ArtefactDamaged: the run holds no such file.
        """
        return self._artifact(run_id, path, target)

    def run_package(self, run_id: str, target: Path) -> Path:
        """The package that a run logged, downloaded below `target`, unproved: for runs that were never registered."""
        target.mkdir(parents=True, exist_ok=True)
        return self._artifact(run_id, PACKAGE, target)

    def attached(self, version: Version, path: str) -> str | None:
        """The text kept under `path`, None if there is none."""
        with tempfile.TemporaryDirectory() as scratch:
            try:
                return self._artifact(version.run_id, path, Path(scratch)).read_text(encoding="utf-8")
            except ArtefactDamaged:
                return None

    def documents(self, version: Version) -> dict[str, dict[str, str]]:
        """The documents of the version's validation, by reader (`partner`, `staff`) and name; none where none are kept.

        Raises:
            ArtefactDamaged: what is kept is no such thing.
        """
        text = self.attached(version, documents_file(version.number))
        if text is None:
            return {}
        try:
            return _DOCUMENTS.validate_json(text)
        except ValidationError as error:
            raise ArtefactDamaged(f"version {version.number}: its documents are unreadable; decide again") from error

    def _run(self, run_id: str) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_run(run_id)
        except MlflowException as error:
            raise _missing(error, f"MLflow knows no run {run_id}: copy the id from the run's page") from error

    def _fetch(self, version: Version, scratch: Path) -> Path:
        folder = self._artifact(version.run_id, PACKAGE, scratch)
        model = folder / MODEL_FILE
        if not model.is_file():
            raise ArtefactDamaged(f"version {version.number} has no {MODEL_FILE} in the store: it cannot be used")
        if (digest := file_sha256(model)) != version.digest:
            raise ArtefactDamaged(
                f"version {version.number}: {MODEL_FILE} in the store has digest {digest[:12]}, registered was "
                f"{version.digest[:12]}: the file was damaged or replaced; train again or restore it"
            )
        if combined(fingerprint(folder)) != version.package_sha256:
            raise ArtefactDamaged(f"version {version.number}: its package is not what was registered; train again")
        return folder

    def _artifact(self, run_id: str, path: str, scratch: Path) -> Path:
        from mlflow.exceptions import MlflowException

        try:
            target = Path(self._client.download_artifacts(run_id, path, str(scratch)))
        except (MlflowException, OSError) as error:
            raise ArtefactDamaged(f"run {run_id} holds no {path} that can be read: {_line(error)}") from error
        if not target.exists() or (target.is_dir() and not any(target.iterdir())):
            raise ArtefactDamaged(f"run {run_id} holds no {path}")
        return target


def checks_file(number: int, champion: int) -> str:
    """Artifact of a run that holds the release checks of version `number` against a champion, 0 for none."""
    return f"checks/version-{number}-against-{champion or 'none'}.json"


def documents_file(number: int) -> str:
    """Artifact of a run that holds the documents of version `number`, as JSON."""
    return f"documents/version-{number}.json"


def decision_file(number: int) -> str:
    """Artifact of a run that holds the verdict about version `number`."""
    return f"decisions/version-{number}.json"


def _missing(error: Any, message: str) -> BentosError:
    if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
        return VersionMissing(message)
    return BentosError(f"MLflow does not answer: {_line(error)}")


def _line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
