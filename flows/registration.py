"""The `registration` flow: check a challenger, wait for a person, move the champion.

The run suspends for the verdict and starts again from the top when a person resumes it, maybe days later and on
another worker. So everything before the verdict is kept with the version and found again; and the form's key names
the version, its bytes and the champion it is compared with: if one of these has changed meanwhile, the checks are made
anew and the person is asked again, instead of applying a verdict to what nobody looked at.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

from prefect import flow, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event
from prefect.flow_runs import suspend_flow_run
from prefect.logging import get_run_logger
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bentos.errors import ArtefactDamaged, BentosError
from bentos.registry.audit_trail import Trail
from bentos.registry.authority import authorize
from bentos.registry.catalogue import EVIDENCE_FILE, checks_file, documents_file
from bentos.registry.decision import Decision
from bentos.registry.evidence import text_sha256
from bentos.registry.products import CHECKED, DOCUMENTED
from bentos.registry.signing import Reviewers, Statement, proved
from bentos.registry.version import Version
from bentos.registry.versions import CHALLENGER, Registry
from bentos.settings import BentosSettings
from flows import artifacts
from flows.completion import completed
from flows.review.release_checks import failed, to_review
from flows.review.release_evidence import ReleaseCheck
from flows.review.verdict_form import VerdictForm, expiry, refusal
from flows.settings import FlowSettings

APPROVED: Final = "quantumfinance.model.approved"
MAX_ATTEMPTS: Final = 20
ACTOR: Final = "registration"  # whom the audit trail names for what this flow wrote


class CheckedVersion(BaseModel):
    """Release checks as they are kept with a version: about which bytes, against which champion."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    digest: str
    champion: int
    champion_digest: str
    findings: str = Field(default="", description="SHA-256 of what the training found, of which the checks are made.")
    checks: tuple[ReleaseCheck, ...]


class Unanswered(BentosError):
    """Too many verdicts in a row could not be accepted."""


@flow(
    name="registration", on_completion=[completed], flow_run_name="registration of version {version}", log_prints=True
)
def registration(version: Annotated[int, Field(ge=0, title="Version")] = 0) -> str:
    """Check a challenger against the champion and apply a person's verdict.

    Args:
        version: Registered version to decide about; 0 for the current challenger.

    Returns:
        "approved" or "rejected".
    """
    settings = FlowSettings()
    registry = Registry.connect(BentosSettings())
    challenger = registry.version(version) if version else registry.by_alias(CHALLENGER)
    challenger = take_up(registry, challenger)
    if done := _already(registry, challenger):
        return done
    champion = registry.champion()
    checked = check(registry, challenger, champion)
    if runtime.flow_run.run_count <= 1:
        show(challenger, checked)
    decision = ask(challenger, checked, settings)
    recheck(registry, challenger, checked)
    outcome = apply(registry, decision)
    artifacts.show_text("verdict", artifacts.verdict_text(decision, outcome), f"Verdict on version {challenger.number}")
    document(registry, challenger, decision, checked)
    if decision.approved:
        announce(challenger)
    get_run_logger().info("version %s %s by %s", challenger.number, outcome, decision.reviewer)
    return outcome


@task(task_run_name="take up version {challenger.number}", cache_policy=NO_CACHE)
def take_up(registry: Registry, challenger: Version) -> Version:
    """The challenger with its bytes proved; the audit trail now names it and who trained it."""
    return registry.take_up(challenger.number)


@task(task_run_name="release checks of version {challenger.number}", cache_policy=NO_CACHE)
def check(registry: Registry, challenger: Version, champion: Version | None) -> CheckedVersion:
    """The release checks, kept with the version: made once for these bytes and this champion."""
    number, digest = (champion.number, champion.digest) if champion else (0, "")
    path = checks_file(challenger.number, number)
    earlier = _earlier_checks(registry.proved_text(challenger, CHECKED, path))
    if earlier and earlier.findings and (earlier.digest, earlier.champion_digest) == (challenger.digest, digest):
        return earlier
    get_run_logger().info("comparing with %s", f"champion {number}" if number else "the default CatBoost")
    # CatBoost, scikit-learn and pandera: seconds that a resumed run, which finds its checks kept, need not spend.
    from flows.review.against_champion import checks_of

    findings = text_sha256(registry.attached(challenger, EVIDENCE_FILE))
    checked = CheckedVersion(
        digest=challenger.digest,
        champion=number,
        champion_digest=digest,
        findings=findings,
        checks=checks_of(registry, challenger, champion),
    )
    registry.keep(challenger, CHECKED, path, checked.model_dump_json(indent=2), actor=ACTOR)
    return checked


def _earlier_checks(text: str | None) -> CheckedVersion | None:
    try:
        return CheckedVersion.model_validate_json(text) if text else None
    except ValidationError:
        return None  # written by other code: made anew


def show(challenger: Version, checked: CheckedVersion) -> None:
    """Put the checks into the run, for the person who decides."""
    artifacts.show_table("release-checks", artifacts.check_rows(checked.checks), f"Version {challenger.number}")
    artifacts.show_table(
        "to-sign", [{"statement": to_sign(challenger, checked).model_dump_json()}], "What an approval is signed over"
    )
    artifacts.show_text("release-summary", question(challenger, checked), "What is to be decided")


def question(challenger: Version, checked: CheckedVersion, refused: str = "") -> str:
    """What the form says above its fields, as markdown."""
    lines = [
        f"Version **{challenger.number}** (`{challenger.digest[:12]}`), trained by {challenger.trainer or 'nobody'}"
    ]
    lines[0] += f", against champion {checked.champion}." if checked.champion else "; there is no champion yet."
    if refused:
        lines.append(f"**The last verdict was not accepted: {refused}.**")
    for title, codes in (("Failed", failed(checked.checks)), ("Look at and note", to_review(checked.checks))):
        if codes:
            lines.append(f"{title}: {', '.join(codes)}.")
    option = ""
    if failed(checked.checks):
        option = " --override-expires YYYY-MM-DD"
        lines.append("Approving needs an override: reason, expiry, and a second person's name and signature.")
    lines.append(
        f"Approving needs your signature: `python -m bentos.reviewers sign 'STATEMENT' --as NAME{option}`, "
        "table `to-sign`."
    )
    lines.append("Figures: table `release-checks` of this run, and the model card of its training.")
    return "\n\n".join(lines)


def ask(challenger: Version, checked: CheckedVersion, settings: FlowSettings) -> Decision:
    """A person's verdict that can be accepted: the run suspends until there is one.

    Raises:
        Unanswered: twenty verdicts in a row could not be accepted.
    """
    refused = ""
    codes, review_codes = failed(checked.checks), to_review(checked.checks)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        form = suspend_flow_run(
            wait_for_input=VerdictForm.with_initial_data(
                description=question(challenger, checked, refused), reviewer="", verdict="reject"
            ),
            timeout=settings.verdict_timeout_s,
            key=f"verdict-{challenger.number}-{challenger.digest[:8]}-against-{checked.champion}-{attempt}",
        )
        now = datetime.now(UTC)
        refused = refusal(form, trainer=challenger.trainer, failed=codes, review_codes=review_codes, today=now.date())
        if not refused:
            decision = decided(form, challenger, checked, now)
            refused = unproved(decision, challenger, checked)
        if not refused:
            return decision
        get_run_logger().warning("verdict not accepted: %s", refused)
    raise Unanswered(f"{MAX_ATTEMPTS} verdicts on version {challenger.number} could not be accepted: start a new run")


def unproved(decision: Decision, challenger: Version, checked: CheckedVersion) -> str:
    """Why an approval is refused: not signed by a listed reviewer, or about other evidence. Empty if it is not."""
    if not decision.approved:
        return ""
    reviewers = Reviewers.read(BentosSettings().reviewers_file)
    try:
        authorize(decision, challenger, reviewers)
        claims = [proved(decision.signature, reviewers)]
        claims += [proved(decision.second_signature, reviewers)] if decision.overridden else []
    except BentosError as error:
        return str(error)
    known = to_sign(challenger, checked)
    return "" if all(claim.statement == known for claim in claims) else "what was signed is other evidence than this"


def to_sign(challenger: Version, checked: CheckedVersion) -> Statement:
    """What an approval is about; it stands in the run for whoever signs it."""
    return Statement(
        version=challenger.number,
        digest=challenger.digest,
        package_sha256=challenger.package_sha256,
        champion=checked.champion,
        evidence=hashlib.sha256(checked.model_dump_json(indent=2).encode()).hexdigest(),
        failed_checks=failed(checked.checks),
    )


def decided(form: VerdictForm, challenger: Version, checked: CheckedVersion, now: datetime) -> Decision:
    """The verdict as it is kept with the version."""
    codes = failed(checked.checks)
    overridden = form.verdict == "approve" and bool(codes)
    return Decision(
        version=challenger.number,
        digest=challenger.digest,
        verdict=form.verdict,
        reviewer=form.reviewer,
        trainer=challenger.trainer,
        note=form.note,
        at=now,
        champion=checked.champion,
        failed_checks=codes,
        override_reason=form.override_reason if overridden else "",
        override_expires=expiry(form) if overridden else None,
        second_reviewer=form.second_reviewer if overridden else "",
        signature=form.signature if form.verdict == "approve" else "",  # of a rejected one nothing is left to use
        second_signature=form.second_signature if overridden else "",
    )


@task(task_run_name="look again at version {challenger.number}", cache_policy=NO_CACHE)
def recheck(registry: Registry, challenger: Version, checked: CheckedVersion) -> None:
    """Make sure that the verdict is about what is there now.

    Raises:
        BentosError: the version's bytes are not those that were judged. A champion that moved is refused on promotion.
    """
    now = registry.version(challenger.number)
    if now.digest != checked.digest:
        raise BentosError(f"version {challenger.number} is no longer what was judged: run the registration again")


@task(task_run_name="apply the verdict on version {decision.version}", cache_policy=NO_CACHE)
def apply(registry: Registry, decision: Decision) -> str:
    """Store the verdict, move the aliases, write the audit trail."""
    if decision.approved:
        registry.promote(decision, expected=decision.champion)
        return "approved"
    registry.reject(decision)
    return "rejected"


@task(task_run_name="documents of version {challenger.number}", cache_policy=NO_CACHE)
def document(registry: Registry, challenger: Version, decision: Decision, checked: CheckedVersion) -> None:
    """Write the documents of this validation: with the version's run, where packing finds them, and into this run.

    Raises:
        ApprovalMissing: what they would be written from is not what was signed for.
    """
    from flows.documents.dossier import for_readers
    from flows.documents.facts import DossierFacts
    from flows.review.against_champion import kept_evidence

    if decision.approved:
        registry.evidence(challenger, decision)
    with tempfile.TemporaryDirectory(prefix="documents-") as scratch:
        known = kept_evidence(registry, challenger, Path(scratch))
    facts = DossierFacts(
        decision=decision,
        checks=checked.checks,
        evidence=known,
        incidents=tuple(Trail(BentosSettings().trail_file).entries()),
        data_sha256=challenger.tags.get("data_sha256", ""),
        git_revision=challenger.tags.get("git_revision", ""),
    )
    documents = for_readers(facts)
    text = json.dumps(documents, indent=1, ensure_ascii=False)
    registry.keep(challenger, DOCUMENTED, documents_file(challenger.number), text, actor=ACTOR)
    for name, text in documents["staff"].items():
        title = f"Version {challenger.number}"
        artifacts.show_text(name.replace("_", "-").replace(".", "-"), text, title)


def announce(version: Version) -> None:
    """Tell whoever listens that a version may be packed: the packaging deployment does."""
    emit_event(
        event=APPROVED,
        resource={"prefect.resource.id": f"quantumfinance.model.{version.number}"},
        payload={"version": version.number, "digest": version.digest},
    )


def _already(registry: Registry, challenger: Version) -> str:
    """What was decided before, if the run was killed after its verdict was applied or is asked about the champion.

    A promotion that was cut off between audit trail and alias is finished here: the trail has it, so it was decided.
    """
    if registry.recorded_champion() == challenger.number:
        decision = registry.approved(challenger)
        registry.restore(actor=decision.reviewer, note="finished by its registration, run again")
        if not _documented(registry, challenger):
            signed = CheckedVersion.model_validate_json(registry.evidence(challenger, decision))
            document(registry, challenger, decision, signed)
        announce(challenger)
        get_run_logger().info("version %s is champion already", challenger.number)
        return "approved"
    return ""


def _documented(registry: Registry, version: Version) -> bool:
    try:
        return bool(registry.documents(version))
    except ArtefactDamaged:
        return False
