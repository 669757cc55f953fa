"""From a proved Bento to an image in the private registry, known by its digest.

The container is proved before it is pushed, and what the registry gives back by digest must be the very image that was
proved. A registry takes the manifest last, so a push that dies leaves no tag behind; a step that fails takes back what
this run made, in the registry too. `python -m bentos.publish` (`make image`) does all of it for the champion.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from bentos.errors import BentosError, PublishFailed
from bentos.packing import bento, container, image, sbom
from bentos.packing.bento import Packed
from bentos.packing.container_engine import ContainerEngine
from bentos.packing.golden_requests import GoldenRequests, golden_applicants
from bentos.packing.image_registry import ImageRegistry
from bentos.packing.serving import Served
from bentos.packing.smoke import Identity, SmokeReport, prove
from bentos.registry.decision import Decision
from bentos.registry.products import BILLED
from bentos.registry.version import Version
from bentos.registry.versions import CHAMPION, Registry
from bentos.revision import git_revision
from bentos.settings import BentosSettings

PUSHED: Final = re.compile(r"digest: (sha256:[0-9a-f]{64})")
GOLDEN_ROWS: Final = 50
MAX_PUSHED_MB: Final = 280
BILL: Final = "packaging/version-{number}.cdx.json"  # the image's bill of materials, with the version in MLflow


class Published(BaseModel):
    """An image in the registry; reference and digest are empty if none was made, and `summary` says why."""

    model_config = ConfigDict(frozen=True)

    reference: str = ""
    digest: str = ""
    summary: str
    pushed_mb: float = 0.0
    sbom: Path | None = None


class Publication:
    """One image on its way into the registry. Each step may be repeated; `undo` takes back what this run made."""

    def __init__(
        self, packed: Packed, identity: Identity, golden: Sequence[GoldenRequests], settings: BentosSettings
    ) -> None:
        self.engine = ContainerEngine(settings.engine)
        self.reference = f"{settings.registry.rstrip('/')}/{packed.tag}"
        self._repository, _, self._tag = self.reference.rpartition(":")
        self._remote = ImageRegistry(self._repository)
        self._packed, self._identity, self._golden, self._settings = packed, identity, golden, settings
        self._built, self._pushed = False, ""

    def obstacle(self) -> str:
        """Why there can be no image here at all: no engine, or nowhere to push. Empty if there can be one.

        Raises:
            PublishFailed: a registry is named, but it does not answer or refuses the login.
        """
        if absence := self.engine.absence():
            return f"skipped: {absence}; the Bento can be served without"
        if not self._settings.registry:
            return "skipped: REGISTRY is not set, so there is nowhere to push"
        self._remote.check()
        return ""

    def build(self) -> bool:
        """True if the image had to be built; one that stands is used again.

        Raises:
            PublishFailed: it cannot be built, or is larger than promised.
        """
        identity = self._identity
        revision = git_revision(self._settings.home)
        labels = image.labels_of(self._packed, identity.version, identity.digest, revision, self._settings.base_image)
        built = image.build(self.engine, self._packed, self.reference, labels, self._settings)
        self._built = self._built or built
        return built

    def bill(self) -> Path:
        """The image's CycloneDX document, written beside the Bento store.

        Raises:
            PublishFailed: the image holds other packages than are locked.
        """
        lock = (self._packed.path / sbom.LOCK).read_text(encoding="utf-8")
        lines = sbom.locked_lines(lock, sbom.inventory(self.engine, self.reference))
        target = self._settings.bento_store / "sbom" / f"{self._tag}.cdx.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(sbom.bill(self._packed, self._identity.version, self._identity.digest, lines), "utf-8")
        return target

    def prove(self, reference: str = "") -> SmokeReport:
        """How the running container answered: the one that was built, or the one at `reference`.

        Raises:
            SmokeFailed: not as the approved model must.
        """
        with container.running(self.engine, reference or self.reference, self._settings.smoke_timeout_s) as running:
            return self.ask(running)

    def ask(self, running: Served) -> SmokeReport:
        """How a running service answered: golden applicants, contract, the smoke test's requests.

        Raises:
            SmokeFailed: not as the approved model must.
        """
        requests = self._settings.smoke_requests
        return prove(running.url, running.key, self._identity, self._golden, requests=requests)

    def push(self) -> str:
        """Digest under which the registry now has the image.

        Raises:
            PublishFailed: the registry refused it, died, or has not got what was pushed.
        """
        before = self._remote.digest(self._tag)
        match = PUSHED.search(self.engine.call("push", self.reference))
        if not match:
            raise PublishFailed(f"the push of {self.reference} named no digest: push again")
        digest = match.group(1)
        if digest != before:
            self._pushed = digest
        return digest

    def size_mb(self, digest: str) -> float:
        """What a machine that has nothing yet pulls, in MB.

        Raises:
            PublishFailed: more than promised.
        """
        size_mb = self._remote.size_mb(digest)
        if size_mb > MAX_PUSHED_MB:
            raise PublishFailed(f"the image weighs {size_mb:.0f} MB in the registry, at most {MAX_PUSHED_MB} promised")
        return round(size_mb, 1)

    def pull(self, digest: str) -> str:
        """The reference by digest, pulled and found to be the very image that was proved.

        Raises:
            PublishFailed: the registry gives back another one.
        """
        by_digest = f"{self._repository}@{digest}"
        self.engine.call("pull", by_digest)
        if self.engine.image_id(by_digest) != self.engine.image_id(self.reference):
            raise PublishFailed(
                f"the registry gives back another image for {digest[:19]} than was proved: do not deploy it"
            )
        return by_digest

    def undo(self) -> list[str]:
        """What was taken back, or could not be, one line each."""
        lines: list[str] = []
        for present, what, take in (
            (bool(self._pushed), f"manifest {self._pushed[:19]} of the registry", self._forget),
            (self._built, f"image {self.reference}", lambda: self.engine.drop(self.reference)),
        ):
            if present:
                try:
                    take()
                    lines.append(f"took back {what}")
                except BentosError as error:
                    lines.append(f"could not take back {what}: {error}")
        self._built, self._pushed = False, ""
        return lines

    def _forget(self) -> None:
        if not self._remote.forget(self._pushed):
            raise PublishFailed("the registry allows no deletion; delete the tag there")


def publish(
    packed: Packed, identity: Identity, golden: Sequence[GoldenRequests], settings: BentosSettings
) -> Published:
    """The Bento's image, built, proved, pushed, and what the registry gives back proved again.

    Raises:
        PublishFailed: engine or registry refused; nothing was published.
        SmokeFailed: the container does not answer as the approved model; nothing was published.
    """
    work = Publication(packed, identity, golden, settings)
    if obstacle := work.obstacle():
        return Published(summary=obstacle)
    try:
        work.build()
        document = work.bill()
        report = work.prove()
        digest = work.push()
        size_mb = work.size_mb(digest)
        work.prove(work.pull(digest))
    except BaseException:
        for line in work.undo():
            print(line, file=sys.stderr)
        raise
    return published(work.reference, digest, report, size_mb, document)


def published(reference: str, digest: str, report: SmokeReport, pushed_mb: float, document: Path) -> Published:
    """The record of an image that went all the way."""
    summary = f"{reference}@{digest}, {report.requests} answers right in the container, p99 {report.p99_ms} ms, "
    summary += f"{pushed_mb} MB to pull"
    return Published(reference=reference, digest=digest, summary=summary, pushed_mb=pushed_mb, sbom=document)


def record(registry: Registry, version: Version, result: Published, actor: str) -> None:
    """Keep the image's reference and digest in the audit trail, and with its bill of materials in MLflow."""
    registry.published(version, result.reference, result.digest, actor=actor)
    if result.sbom is not None:
        bill = BILL.format(number=version.number)
        registry.keep(version, BILLED, bill, result.sbom.read_text("utf-8"), actor=actor)


def fetch_package(registry: Registry, version: Version, package: Path, max_model_mb: float) -> Decision:
    """The verdict that lets the version out; `package` then holds it, complete with verdict and documents.

    Raises:
        ApprovalMissing: it is not approved, or on other evidence than is kept with it.
        ArtefactDamaged: its package or its documents are not what was registered and written.
        PackFailed: the model is larger than `max_model_mb`.
    """
    decision = registry.approved(version)
    registry.evidence(version, decision)
    documents = registry.documents(version)
    registry.download(version.number, version.digest, package)
    bento.check_size(package, max_model_mb)
    bento.finish(package, version.number, decision, documents)
    return decision


def pack_version(registry: Registry, version: Version, package: Path, settings: BentosSettings) -> Packed:
    """The Bento of a registered version, where this machine's settings put it; built, or found as it was proved.

    Raises:
        ArtefactDamaged: the package's model is not the approved one.
        PackFailed: the Bento could not be built; nothing is left in the store.
    """
    return bento.pack(
        package,
        version=version.number,
        digest=version.digest,
        home=settings.home,
        store=settings.bento_store,
        base_image=settings.base_image,
        proved=registry.products(version).proved,
    )


def publish_champion(settings: BentosSettings) -> Published:
    """The champion packed (or found again) and published."""
    registry = Registry.connect(settings)
    version = registry.by_alias(CHAMPION)
    with tempfile.TemporaryDirectory(prefix="publish-") as scratch:
        package = Path(scratch) / "package"
        fetch_package(registry, version, package, settings.max_model_mb)
        packed = pack_version(registry, version, package, settings)
        identity = Identity(version=str(version.number), digest=version.digest)
        result = publish(packed, identity, golden_applicants(package, GOLDEN_ROWS), settings)
    if result.digest:
        record(registry, version, result, "make image")
    return result


def main() -> int:
    """Publish the champion; exit code 1 if no image was pushed."""
    try:
        result = publish_champion(BentosSettings())
    except BentosError as error:
        print(error, file=sys.stderr)
        return 1
    print(result.summary, file=sys.stdout if result.digest else sys.stderr)
    return 0 if result.digest else 1


if __name__ == "__main__":
    sys.exit(main())
