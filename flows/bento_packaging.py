"""The `packaging` flow: from an approved version to a proved Bento, its image where one can be made, its first answer.

Every step is safe to repeat: a Bento that stands is proved byte by byte and used again, an image that was pushed is
found by its digest. A step that fails takes back what this run made, and the champion stays as it is. What brings the
version in front of partners may need the image (a cluster) or the Bento alone (the embedded stack): QF_IMAGE_FIRST.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from pydantic import BaseModel, ConfigDict, Field

from bentos import publish
from bentos.errors import BentosError, PublishFailed
from bentos.packing import bento
from bentos.packing.bento import Packed
from bentos.packing.golden_requests import golden_applicants
from bentos.packing.serving import served
from bentos.packing.smoke import Identity, SmokeReport
from bentos.publish import GOLDEN_ROWS, Publication, Published, published
from bentos.registry.version import Version
from bentos.registry.versions import CHAMPION, Registry
from bentos.settings import BentosSettings
from flows import artifacts, deploy_command
from flows.completion import completed
from flows.settings import FlowSettings

ACTOR: Final = "packaging"  # whom the audit trail names for what this flow proved
LATER: Final = "is being made; the version does not wait for it"


def _publishing_failed(_task: object, _run: object, state: State[Any]) -> bool:
    """True if engine or registry failed, which another try may mend; what was proved wrong stays wrong."""
    return isinstance(state.result(raise_on_failure=False), PublishFailed)


AGAIN: Final[dict[str, Any]] = {
    "cache_policy": NO_CACHE,
    "retries": 2,
    "retry_delay_seconds": 10,
    "retry_condition_fn": _publishing_failed,
}
"""Of each step with engine or registry: it may be repeated, so a busy disk or a lost connection costs another try."""


class PackagingResult(BaseModel):
    """What a packaging run made."""

    model_config = ConfigDict(frozen=True)

    version: Version
    packed: Packed
    smoke: SmokeReport
    published: Published

    def with_image(self, publication: Published) -> PackagingResult:
        """The same with what became of the image."""
        return self.model_copy(update={"published": publication})


@flow(name="packaging", on_completion=[completed], flow_run_name="packaging of version {version}", log_prints=True)
def packaging(version: Annotated[int, Field(ge=0, title="Version")] = 0) -> str:
    """Pack an approved version, prove what was packed, and bring it in front of partners.

    Args:
        version: Registered version to pack; 0 for the champion.

    Returns:
        Tag of the Bento.
    """
    settings, image_first = BentosSettings(), FlowSettings().image_first
    progress = artifacts.Progress("packaging-progress", "Steps of packaging")
    registry = Registry.connect(settings)
    chosen = registry.version(version) if version else registry.by_alias(CHAMPION)
    progress.at(5)
    with tempfile.TemporaryDirectory(prefix="packaging-") as scratch:
        outcome, work = _packed(settings, registry, chosen, Path(scratch) / "package", progress)
    if image_first:
        outcome = outcome.with_image(publish_or_undo(outcome.packed, work, progress))
    record(registry, outcome)
    line = _in_front(registry, outcome, settings)
    if not image_first:
        progress.at(55)
        outcome = outcome.with_image(publish_while_serving(outcome, work, line, progress))
        record(registry, outcome)
        _show(outcome, line)
    progress.at(100)
    return outcome.packed.tag


def _packed(
    settings: BentosSettings, registry: Registry, version: Version, package: Path, progress: artifacts.Progress
) -> tuple[PackagingResult, Publication]:
    """The Bento, proved; and how its image is made."""
    fetch(registry, version, package, settings.max_model_mb)
    progress.at(15)
    packed = build(registry, version, package, settings)
    progress.at(30)
    work = Publication(
        packed,
        Identity(version=str(version.number), digest=version.digest),
        golden_applicants(package, GOLDEN_ROWS),
        settings,
    )
    with _taken_back(packed, work):
        smoke = smoke_test(packed, work, settings)
    progress.at(45)
    return PackagingResult(version=version, packed=packed, smoke=smoke, published=Published(summary=LATER)), work


def _in_front(registry: Registry, outcome: PackagingResult, settings: BentosSettings) -> str:
    """What answers partners from now on; shown beside what was made, also where it did not get there."""
    try:
        line = in_front(registry, outcome.version, settings)
    except BentosError as error:
        _show(outcome, str(error))
        raise
    _show(outcome, line)
    return line


def publish_while_serving(
    outcome: PackagingResult, work: Publication, line: str, progress: artifacts.Progress
) -> Published:
    """The image of a version that answers already: one that fails is taken back, and the Bento stays, for it serves."""
    try:
        return _published(work, progress)
    except BaseException as error:
        _undone(work)
        _show(outcome.with_image(Published(summary=f"not made: {error}")), line)
        raise


def publish_or_undo(packed: Packed, work: Publication, progress: artifacts.Progress) -> Published:
    """The image, or the reason why there is none; a step that fails leaves nothing behind."""
    with _taken_back(packed, work):
        return _published(work, progress)


def _published(work: Publication, progress: artifacts.Progress) -> Published:
    """The image, step by step in Prefect, or the reason why there is none."""
    if obstacle := work.obstacle():
        get_run_logger().info("image: %s", obstacle)
        return Published(summary=obstacle)
    document = image(work)
    progress.at(65)
    report = run_image(work, work.reference)
    progress.at(75)
    digest, size_mb = push(work)
    progress.at(85)
    by_digest = pull(work, digest)
    progress.at(90)
    run_image(work, by_digest)
    progress.at(95)
    return published(work.reference, digest, report, size_mb, document)


@contextmanager
def _taken_back(packed: Packed, work: Publication) -> Iterator[None]:
    """Leave nothing of a run that fails: registry, engine, Bento store. The champion is never touched."""
    try:
        yield
    except BaseException:
        _undone(work)
        if not packed.reused:
            bento.remove(packed.path)
            get_run_logger().warning("took back %s: it was not proved", packed.tag)
        raise


def _undone(work: Publication) -> None:
    """Take back what this run left in engine and registry, and say so."""
    for line in work.undo():
        get_run_logger().warning(line)


@task(task_run_name="fetch version {version.number}", cache_policy=NO_CACHE)
def fetch(registry: Registry, version: Version, package: Path, max_model_mb: float) -> None:
    """Download the package, prove its bytes and evidence, and complete its manifest with the verdict."""
    decision = publish.fetch_package(registry, version, package, max_model_mb)
    get_run_logger().info("version %s approved by %s, package is intact", version.number, decision.reviewer)


@task(task_run_name="build the Bento of version {version.number}", cache_policy=NO_CACHE)
def build(registry: Registry, version: Version, package: Path, settings: BentosSettings) -> Packed:
    """The Bento, built or found again."""
    packed = publish.pack_version(registry, version, package, settings)
    get_run_logger().info("%s %s", packed.tag, "stands already, byte for byte" if packed.reused else "built")
    return packed


@task(task_run_name="smoke test {packed.tag}", cache_policy=NO_CACHE)
def smoke_test(packed: Packed, work: Publication, settings: BentosSettings) -> SmokeReport:
    """Serve the Bento and hold its answers against the approved model's."""
    with served(packed.path, timeout_s=settings.smoke_timeout_s) as running:
        get_run_logger().info("ready, sending %s requests", settings.smoke_requests)
        report = work.ask(running)
    get_run_logger().info("%s answers right, p50 %.1f ms, p99 %.1f ms", report.requests, report.p50_ms, report.p99_ms)
    return report


@task(**AGAIN, task_run_name="image {work.reference}")
def image(work: Publication) -> Path:
    """Build the image, or find it again, and write down what is in it."""
    get_run_logger().info("built" if work.build() else "stands already, with the Bento's digest as its label")
    document = work.bill()
    get_run_logger().info("holds exactly the locked packages; bill of materials in %s", document.name)
    return document


@task(**AGAIN, task_run_name="run {reference}")
def run_image(work: Publication, reference: str) -> SmokeReport:
    """Run the image as in production and hold its answers against the approved model's."""
    report = work.prove(reference)
    get_run_logger().info("%s answers right, p50 %.1f ms, p99 %.1f ms", report.requests, report.p50_ms, report.p99_ms)
    return report


@task(**AGAIN, task_run_name="push {work.reference}")
def push(work: Publication) -> tuple[str, float]:
    """Push, and weigh what the registry holds, in MB."""
    digest = work.push()
    size_mb = work.size_mb(digest)
    get_run_logger().info("%s, %s MB to pull", digest, size_mb)
    return digest, size_mb


@task(**AGAIN, task_run_name="pull {digest}")
def pull(work: Publication, digest: str) -> str:
    """Fetch back by digest; it must be the very image that was proved."""
    return work.pull(digest)


@task(task_run_name="record version {outcome.version.number}", cache_policy=NO_CACHE)
def record(registry: Registry, outcome: PackagingResult) -> None:
    """Keep tags and digests in the audit trail and with the version in MLflow."""
    registry.packed(outcome.version, outcome.packed.tag, outcome.packed.digest, actor=ACTOR)
    if outcome.published.digest:
        publish.record(registry, outcome.version, outcome.published, ACTOR)
    registry.attach(
        outcome.version, f"packaging/version-{outcome.version.number}.json", outcome.model_dump_json(indent=2)
    )


@task(task_run_name="version {version.number} in front of partners", cache_policy=NO_CACHE)
def in_front(registry: Registry, version: Version, settings: BentosSettings) -> str:
    """What answers partners from now on, in one line; only the champion is brought in front of them.

    Raises:
        BentosError: it did not get there; what answered before answers still.
    """
    log = get_run_logger()
    champion = registry.champion()
    if champion is None or champion.number != version.number:
        line = deploy_command.OVERTAKEN if champion else "NOT answering: there is no champion"
    else:
        line = deploy_command.bring(FlowSettings().deploy_command, version.number, settings.home, log.info)
    (log.warning if line.startswith("NOT") else log.info)(line)
    return line


def _show(outcome: PackagingResult, line: str) -> None:
    smoke = outcome.smoke
    rows = artifacts.step_rows(
        [
            ("Bento", f"{outcome.packed.tag} ({'found again' if outcome.packed.reused else 'built'})"),
            ("Bento digest", outcome.packed.digest),
            (
                "smoke test",
                f"{smoke.requests} requests, {smoke.golden} golden answers, {smoke.contract} refusals by contract; "
                f"p50 {smoke.p50_ms} ms, p99 {smoke.p99_ms} ms, {smoke.engine} engine",
            ),
            ("image", outcome.published.summary),
            ("image digest", outcome.published.digest or "none"),
            ("bill of materials", outcome.published.sbom.name if outcome.published.sbom else "none"),
            ("in front of partners", line),
        ]
    )
    artifacts.show_table("packaging", rows, f"Packaging of version {outcome.version.number}")
    facts = {row["step"]: row["result"] for row in rows}
    artifacts.show_text("packaging-summary", artifacts.facts_text("Packed", outcome.version, facts), "What was made")
