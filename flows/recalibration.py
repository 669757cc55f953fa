"""The `recalibration` flow: the champion's trees, made honest for a new quarter by the outcomes that came.

Too few outcomes are a result, not a failure: the run says how many are missing. What is registered is a challenger as
any other: the registration flow checks it and waits for a person.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from catboost import CatBoost
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from bentos.errors import ArtefactDamaged, BentosError
from bentos.packing.recalibration import recalibrate
from bentos.registry.catalogue import EVIDENCE_FILE
from bentos.registry.version import Version
from bentos.registry.versions import CHAMPION, Registry
from bentos.revision import git_revision
from bentos.settings import BentosSettings
from flows import artifacts, challenger
from flows.completion import completed
from flows.documents.model_card import CardFacts, model_card
from flows.learning import experiments, reliability
from flows.learning.certainty import thresholds
from flows.learning.experiments import ExperimentRecord
from flows.learning.fit import Learned, Parameters, uncalibrated
from flows.learning.grades import Borders, carried_over
from flows.learning.known_features import known_in
from flows.learning.model_metrics import Figures, LabelledAnswers
from flows.learning.recalibration import (
    LEAST_OUTCOMES,
    POWER,
    Calibrations,
    SettledRows,
    fit_power,
    judged_apart,
    shortfall,
)
from flows.learning.rows import columns
from flows.monitoring import report_store
from flows.monitoring.quarter_outcomes import QuarterOutcomes, read_outcomes
from flows.review import mlflow_run, recalibration_evidence
from flows.review.against_champion import OUT_OF_TIME, UNSEEN, kept_answers, kept_evidence
from flows.review.mlflow_run import Exhibits, Logged
from flows.review.package_facts import describe
from flows.review.recalibration_evidence import RECALIBRATED_FROM, SETTLED, SETTLED_BEFORE, Recalibration
from flows.review.reference_sample import answered_again
from flows.review.release_evidence import Evidence
from flows.review.verdict_form import Name
from flows.settings import FlowSettings
from service.contract import Basis
from service.engine.packed_model import PackedModel
from service.score.features import matrix
from service.score.manifest import MODEL_FILE, REFERENCE_FILE, Manifest, entries

QUARTER, OUTCOMES = "recalibration_quarter", "recalibration_outcomes"
_KEPT_TAGS: Final[tuple[str, ...]] = ("data_sha256", "raw_sha256", "data_dir")


class RecalibrationForm(BaseModel):
    """One recalibration of the champion."""

    model_config = ConfigDict(title="Recalibration", extra="forbid")

    quarter: str = Field(
        default="",
        pattern=r"^(\d{4}-Q[1-4])?$",
        title="Quarter",
        description="Calendar quarter that the answers describe, as 2026-Q4; empty: the latest with enough outcomes.",
    )
    minimum_outcomes: int = Field(
        default=LEAST_OUTCOMES,
        ge=100,
        le=1_000_000,
        title="Minimum outcomes",
        description="Fewer are not fitted on: the run says how many are missing.",
    )
    trainer: Name = Field(
        default="",
        title="Trainer",
        description="Who answers for this version and may not approve it; default the worker's.",
    )
    register_version: bool = Field(
        default=True, title="Register as challenger", description="Off to see the figures alone."
    )


class RecalibrationResult(BaseModel):
    """What came of a run: the registered version, 0 if there is none, and why."""

    model_config = ConfigDict(frozen=True)

    version: int = 0
    quarter: str = ""
    outcomes: int = 0
    missing: int = 0
    text: str


@dataclass(frozen=True)
class Champion:
    """The version to recalibrate, its package on this disk, and what its run kept."""

    version: Version
    package: Path
    manifest: Manifest
    calibrations: Calibrations
    trees: CatBoost
    evidence: Evidence


@flow(name="recalibration", on_completion=[completed], log_prints=True)
def recalibration(form: RecalibrationForm = RecalibrationForm()) -> RecalibrationResult:
    """Fit one number on outcomes of a new quarter and register the champion's trees with it as challenger.

    Args:
        form: Which quarter, how many outcomes at least, and who answers for the version.

    Returns:
        The version, or what is missing.
    """
    settings, bentos = FlowSettings(), BentosSettings()
    registry = Registry.connect(bentos)
    version = registry.by_alias(CHAMPION)
    with tempfile.TemporaryDirectory(prefix="recalibration-") as scratch:
        champion = load(registry, version, Path(scratch))
        quarter = latest(read(form), form.minimum_outcomes)
        if quarter is None:
            missing = form.minimum_outcomes
            return _show(RecalibrationResult(missing=missing, text=f"Nothing fitted: no outcomes, {missing} missing."))
        if refused := refusal(quarter, champion.manifest, form.minimum_outcomes):
            return _show(refused)
        tags = _tags(version, form.trainer or settings.responsible, bentos.home)
        refit, logged = fit_and_log(registry, champion, quarter, Path(scratch), tags)
        link = settings.run_link(logged.experiment_id, logged.run_id)
        artifacts.show_link("recalibration-run", link, "MLflow run", "Everything that was logged")
        register = form.register_version
        registered = challenger.register(bentos, logged, champion.package, tags) if register else None
    result = RecalibrationResult(
        version=registered.number if registered else 0,
        quarter=refit.quarter,
        outcomes=len(refit.ours.labels),
        text=recalibration_evidence.summary(refit, logged.figures),
    )
    if registered:
        challenger.announce(registered)
    return _show(result)


@task(task_run_name="load version {version.number}", cache_policy=NO_CACHE)
def load(registry: Registry, version: Version, scratch: Path) -> Champion:
    """The champion with its trees and what its run kept.

    Raises:
        BentosError: its package does not say how it was calibrated, or is not there.
    """
    package = registry.download(version.number, version.digest, scratch / "package")
    manifest = Manifest.read(package)
    calibrations = Calibrations.recorded(manifest.parameters)
    if calibrations is None:
        raise BentosError(f"version {version.number} does not say how it was calibrated: train again")
    trees = CatBoost().load_model(str(package / MODEL_FILE))
    return Champion(version, package, manifest, calibrations, trees, kept_evidence(registry, version, scratch))


@task(task_run_name="read outcomes", cache_policy=NO_CACHE)
def read(form: RecalibrationForm) -> dict[str, QuarterOutcomes]:
    """Stored answers that have an outcome, by quarter."""
    quarters, aside = read_outcomes(report_store.object_store(), form.quarter, datetime.now(UTC).date())
    log = get_run_logger()
    log.info("outcomes by quarter: %s", {name: len(one.frame) for name, one in quarters.items()} or "none")
    if any(aside.values()):
        log.info("set aside: %s", {reason: count for reason, count in aside.items() if count})
    return quarters


def latest(quarters: dict[str, QuarterOutcomes], least: int) -> QuarterOutcomes | None:
    """The latest quarter with enough outcomes, else the latest of all; None where there is no outcome."""
    ordered = [quarters[name] for name in sorted(quarters)]
    enough = [one for one in ordered if len(one.frame) >= least]
    return (enough or ordered)[-1] if ordered else None


def refusal(quarter: QuarterOutcomes, champion: Manifest, least: int) -> RecalibrationResult | None:
    """Why nothing is fitted on these outcomes; None if there is something to fit."""
    count = len(quarter.frame)
    short = shortfall(quarter.labels, least)
    if not short and len(np.unique(quarter.customers)) < 2:
        short = "all are of one customer, who cannot judge what is fitted on them"
    text = f"Nothing fitted on {quarter.quarter}: {short}." if short else ""
    last_quarter, before = str(champion.parameters.get(QUARTER, "")), champion.parameters.get(OUTCOMES, 0)
    if not text and (last_quarter > quarter.quarter or (last_quarter == quarter.quarter and before == count)):
        text = f"Nothing new: the champion is recalibrated on {before} outcomes of {last_quarter} already."
    if not text:
        return None
    return RecalibrationResult(quarter=quarter.quarter, outcomes=count, missing=max(0, least - count), text=text)


@task(task_run_name="fit on {quarter.quarter} and log", cache_policy=NO_CACHE)
def fit_and_log(
    registry: Registry, champion: Champion, quarter: QuarterOutcomes, scratch: Path, tags: dict[str, str]
) -> tuple[Recalibration, Logged]:
    """One number fitted, the package made anew around the same trees, judged, and logged as a training is."""
    refit = fit(champion, quarter)
    unseen = repack(registry, champion, refit, scratch, tags["git_revision"])
    settings = FlowSettings()
    name = f"recalibration of version {refit.version} by {tags['trainer']}"
    with mlflow_run.run(settings.tracking_uri, settings.experiment, name):
        figures = recalibration_evidence.figures_of(refit, unseen)
        findings = recalibration_evidence.evidence_of(champion.evidence, refit, unseen, figures)
        manifest = Manifest.read(champion.package)
        card = model_card(
            _card_facts(manifest, tags, findings, recalibration_evidence.summary(refit, figures), figures)
        )
        describe(champion.package, figures, findings, card)
        later = kept_answers(registry, champion.version, OUT_OF_TIME, scratch)
        exhibits = Exhibits(
            parameters={**manifest.parameters, "rows": manifest.data.rows, "customers": manifest.data.customers},
            tags=tags,
            texts={"model_card.md": card, EVIDENCE_FILE: findings.model_dump_json(indent=2)},
            answers={UNSEEN: unseen, SETTLED: refit.ours, SETTLED_BEFORE: refit.theirs}
            | ({OUT_OF_TIME: later} if later else {}),
        )
        learned = _learned(champion, manifest, refit.calibrations)
        return refit, mlflow_run.evaluate_and_log_model(learned, unseen, figures, champion.package, exhibits)


def repack(
    registry: Registry, champion: Champion, refit: Recalibration, scratch: Path, revision: str
) -> LabelledAnswers:
    """The package on disk made anew with the new calibration; what it answers to the customers set aside.

    Raises:
        ArtefactDamaged: the champion's run keeps no answers of those customers, so nobody could be compared later.
    """
    recorded: dict[str, JsonValue] = {
        POWER: refit.calibrations.power,
        RECALIBRATED_FROM: refit.version,
        QUARTER: refit.quarter,
        OUTCOMES: len(refit.ours.labels),
    }
    recalibrate(champion.package, refit.calibrations.tables, refit.borders, recorded, revision)
    reference = _answer_reference(champion.package)
    answers = kept_answers(registry, champion.version, UNSEEN, scratch)
    unseen = recalibration_evidence.set_aside(reference, answers, refit.borders) if answers else None
    if unseen is None:
        raise ArtefactDamaged(
            f"the run of version {refit.version} keeps no answers of its reference's rows: train again"
        )
    return unseen


def _tags(version: Version, trainer: str, home: Path) -> dict[str, str]:
    tags = {name: version.tags[name] for name in _KEPT_TAGS if name in version.tags}
    return {**tags, "trainer": trainer, "git_revision": git_revision(home), RECALIBRATED_FROM: str(version.number)}


def fit(champion: Champion, quarter: QuarterOutcomes) -> Recalibration:
    """The number, and the outcomes' answers with it and without."""
    features = quarter.features()
    raw = uncalibrated(champion.trees, features, Parameters.among(champion.manifest.parameters))
    rows = SettledRows(raw, known_in(features), quarter.labels, quarter.customers)
    calibrations = champion.calibrations.raised(fit_power(rows, champion.calibrations))
    before = champion.manifest.grade_borders
    borders = _borders(champion, calibrations)
    ours = rows.answers(judged_apart(rows, champion.calibrations), borders)
    masks = {Basis.APPLICANT: ~rows.known, Basis.KNOWN_CUSTOMER: rows.known}
    kinds = {basis: ours.where(some) for basis, some in masks.items() if some.any()}
    return Recalibration(
        version=champion.version.number,
        quarter=quarter.quarter,
        calibrations=calibrations,
        borders=borders,
        ours=ours,
        theirs=rows.answers(champion.calibrations.probabilities(rows.raw, rows.known), before),
        set_thresholds={basis: thresholds(answers) for basis, answers in kinds.items()},
        reliability={basis: reliability.by_class(answers) for basis, answers in kinds.items()},
    )


def _borders(champion: Champion, calibrations: Calibrations) -> Borders:
    """The grades' borders under the new calibration: each grade keeps its share of the customers set aside."""
    reference = pd.read_parquet(champion.package / REFERENCE_FILE)
    features = matrix(columns(reference))
    raw = uncalibrated(champion.trees, features, Parameters.among(champion.manifest.parameters))
    before, after = (one.probabilities(raw, known_in(features))[:, 0] for one in (champion.calibrations, calibrations))
    return carried_over(champion.manifest.grade_borders, before, after)


def _answer_reference(package: Path) -> pd.DataFrame:
    """The package's reference with the answers of its new calibration, written back; the manifest names it anew."""
    path = package / REFERENCE_FILE
    reference = answered_again(PackedModel.load(package), pd.read_parquet(path))
    reference.to_parquet(path, index=False)
    manifest = Manifest.read(package)
    files = {**manifest.files, **entries({REFERENCE_FILE: path.read_bytes()})}
    manifest.model_copy(update={"files": files}).write(package)
    return reference


def _learned(champion: Champion, manifest: Manifest, calibrations: Calibrations) -> Learned:
    """The trees with their new calibration, as logging takes a model; nothing was learned out of fold here."""
    power = calibrations.power
    parameters = Parameters.among(manifest.parameters)
    nothing = np.empty((0, 3))
    return Learned(
        champion.trees,
        parameters,
        calibrations.unknown * power,
        calibrations.known * power,
        nothing,
        {},
        manifest.grade_borders,
    )


def _card_facts(
    manifest: Manifest,
    tags: dict[str, str],
    findings: Evidence,
    account: str,
    figures: dict[str, Figures],
) -> CardFacts:
    return CardFacts(
        digest=manifest.digest,
        trainer=tags["trainer"],
        git_revision=tags["git_revision"],
        data_source=f"raw file {tags.get('raw_sha256', '')[:12]}",
        data_sha256=manifest.data.sha256,
        rows=manifest.data.rows,
        customers=manifest.data.customers,
        parameters={name: str(value) for name, value in manifest.parameters.items()},
        figures=figures,
        tried=ExperimentRecord.read(BentosSettings().home / experiments.FILE),
        evidence=findings,
        holdout_uses=Registry.connect(BentosSettings()).judged_on(tags.get("data_sha256", "")) + 1,
        recalibration=account,
    )


def _show(result: RecalibrationResult) -> RecalibrationResult:
    """The result, put into the run."""
    headline = f"Version {result.version} is the challenger; the registration flow asks for a verdict.\n\n"
    artifacts.show_text("recalibration", (headline if result.version else "") + result.text, "What came of it")
    get_run_logger().info("%s", result.text.splitlines()[0])
    return result
