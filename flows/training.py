"""The `training` flow: from prepared data to a registered challenger.

Thin: learning and judging are pure functions beside it, logging is in `flows.review.mlflow_run`, versions are the
registry's. Nothing is registered unless everything before it worked, and the event is the last thing that happens.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger

from bentos.packing.model_package import assemble
from bentos.registry.catalogue import EVIDENCE_FILE
from bentos.registry.versions import CHAMPION, Registry
from bentos.revision import git_revision
from bentos.settings import BentosSettings
from flows import artifacts, challenger
from flows.completion import completed
from flows.documents.model_card import CardFacts, model_card
from flows.learning import baselines, experiments
from flows.learning.experiments import ExperimentRecord
from flows.learning.fit import Learned, Parameters, Progress, learn
from flows.learning.model_metrics import Figures, LabelledAnswers, judge
from flows.learning.prepared_data import (
    QUALITY_REPORT,
    PreparedData,
    before,
    contract_columns,
    during,
    quarters,
    ranges,
    read_prepared,
)
from flows.learning.rows import Rows, rows_of
from flows.learning.search import SearchTrial, search
from flows.review import evidence, mlflow_run
from flows.review.evidence import OUT_OF_TIME
from flows.review.mlflow_run import POOLED, Exhibits, Logged
from flows.review.package_facts import describe
from flows.review.reference_sample import reference_frame
from flows.review.release_evidence import Evidence
from flows.settings import FlowSettings
from flows.training_form import TrainingForm
from service.engine.packed_model import PackedModel
from service.score.manifest import REFERENCE_FILE, Draft
from service.score.manifest_parts import Data

IN_FOLDS: Final = "in_folds"
CHEAP: Final = ("majority", "shallow_tree", "logistic_scorecard", "weight_of_evidence")


@dataclass(frozen=True)
class Trained:
    """What learning gave, before anything is packed or logged; `later` are its recipe's answers out of time."""

    learned: Learned
    later: dict[str, LabelledAnswers]


@dataclass(frozen=True)
class Yardsticks:
    """What the model is compared with besides the champion: baselines' figures, and the default CatBoost's answers."""

    figures: dict[str, Figures] = field(default_factory=dict)
    pooled: LabelledAnswers | None = None
    later: LabelledAnswers | None = None


@flow(name="training", on_completion=[completed], log_prints=True)
def training(form: TrainingForm = TrainingForm()) -> int:
    """Fit, judge and log a model, and register it as challenger.

    Args:
        form: Data, search budget, parameters and who answers for the model.

    Returns:
        Number of the registered version, 0 if none was to be registered.
    """
    settings, bentos = FlowSettings(), BentosSettings()
    progress = artifacts.Progress("training-progress", "Share of the training that is done")
    data = read(form)
    log = get_run_logger()
    log.info("%s rows of %s customers to learn from, %s unseen rows", len(data.train), data.customers, len(data.unseen))
    tags = _tags(data, form.trainer or settings.responsible, bentos.home)
    with (
        mlflow_run.run(settings.tracking_uri, settings.experiment, f"training by {tags['trainer']}"),
        tempfile.TemporaryDirectory(prefix="training-") as scratch,
    ):
        parameters = best_parameters(data, form, _part_progress(progress, 5, 5))
        plain = {} if _champion(bentos) else start_default_catboost(data, parameters.threads)
        trained = fit(data, parameters, _part_progress(progress, 5, 40))
        figures = compare_with_baselines(data, parameters, _part_progress(progress, 40, 60))
        yardsticks = judge_default_catboost(figures, {which: future.result() for which, future in plain.items()})
        progress.at(75)
        package = Path(scratch) / "package"
        logged = judge_and_log(data, trained, yardsticks, package, tags)
        progress.at(90)
        _show(logged, package, settings)
        _show_data(data)
        log.info("judged and logged: %s", _headline(logged))
        version = challenger.register(bentos, logged, package, tags) if form.register_version else None
    progress.at(100)
    if version is None:
        return 0
    challenger.announce(version)
    log.info("version %s is the challenger; the registration flow asks for a verdict", version.number)
    return version.number


@task(task_run_name="read {form.data_dir}", cache_policy=NO_CACHE)
def read(form: TrainingForm) -> PreparedData:
    """The prepared data, checked."""
    return read_prepared(Path(form.data_dir))


@task(task_run_name="search for {form.search_seconds} s", cache_policy=NO_CACHE)
def best_parameters(data: PreparedData, form: TrainingForm, progress: Progress) -> Parameters:
    """The form's parameters, or better ones if there is a budget to find them; every trial is a nested run."""
    if not form.search_seconds:
        return form.learning

    def logged(trial: SearchTrial) -> None:
        mlflow_run.log_trial(trial)
        progress(0.0, f"trial {trial.number}: log loss {trial.log_loss:.4f}{' (pruned)' if trial.pruned else ''}")

    return search(rows_of(data.train), form.learning, form.search_seconds, logged).best


@task(task_run_name="fit", cache_policy=NO_CACHE)
def fit(data: PreparedData, parameters: Parameters, progress: Progress) -> Trained:
    """The model, its calibration, and the same recipe's answers on months it has not seen."""
    learned = learn(rows_of(data.train), parameters, lambda share, what: progress(share * 0.9, what))
    progress(0.9, "the same recipe on earlier months")
    return Trained(learned, evidence.out_of_time(data, parameters, learned.grade_borders))


def start_default_catboost(data: PreparedData, threads: int) -> dict[str, PrefectFuture[LabelledAnswers]]:
    """The default CatBoost, learning beside our own fits: of all months, and of those before the last ones."""
    unseen, alone = rows_of(data.unseen), max(1, threads // 2)
    plain = {POOLED: default_catboost.submit(rows_of(data.train), unseen, alone, "all months")}
    earlier, later = before(data.train, data.out_of_time_months), during(data.unseen, data.out_of_time_months)
    if not earlier.empty and later.labels.size:
        plain[OUT_OF_TIME] = default_catboost.submit(rows_of(earlier), later, alone, "earlier months")
    return plain


@task(task_run_name="default CatBoost of {which}", cache_policy=NO_CACHE)
def default_catboost(rows: Rows, unseen: Rows, threads: int, which: str) -> LabelledAnswers:
    """What CatBoost as it comes says of the unseen rows: a minute of work, needed only while there is no champion."""
    get_run_logger().info("learning from %s rows, %s", len(rows.labels), which)
    return baselines.answer((baselines.YARDSTICK,), rows, unseen, threads)[baselines.YARDSTICK]


@task(task_run_name="baselines", cache_policy=NO_CACHE)
def compare_with_baselines(data: PreparedData, parameters: Parameters, progress: Progress) -> dict[str, Figures]:
    """Figures of the cheap baselines, which learn from the same rows; each is logged."""
    train, unseen = rows_of(data.train), rows_of(data.unseen)
    figures = {}
    for number, name in enumerate(CHEAP):
        progress(number / len(CHEAP), f"baseline {name}")
        with mlflow_run.baseline(name) as log_figures:
            figures[name] = judge(baselines.answer((name,), train, unseen, parameters.threads)[name])
            log_figures(figures[name])
    progress(1.0, "waiting for the default CatBoost, unless there is a champion")
    return figures


@task(task_run_name="judge the default CatBoost", cache_policy=NO_CACHE)
def judge_default_catboost(figures: dict[str, Figures], answers: dict[str, LabelledAnswers]) -> Yardsticks:
    """All yardsticks: the baselines' figures, and what the default CatBoost answered, if it was asked."""
    if not answers:
        return Yardsticks(figures)
    with mlflow_run.baseline(baselines.YARDSTICK) as log_figures:
        figures = {**figures, baselines.YARDSTICK: judge(answers[POOLED])}
        log_figures(figures[baselines.YARDSTICK])
    return Yardsticks(figures, answers[POOLED], answers.get(OUT_OF_TIME))


@task(task_run_name="judge and log", cache_policy=NO_CACHE)
def judge_and_log(
    data: PreparedData, trained: Trained, yardsticks: Yardsticks, package: Path, tags: dict[str, str]
) -> Logged:
    """The judged model with its package and evidence, logged to the open run."""
    pack(data, trained.learned, package, tags)
    unseen = rows_of(data.unseen)
    learned = trained.learned
    answers = LabelledAnswers(
        unseen.labels, learned.probabilities(unseen.features), unseen.customers, learned.grade_borders
    )
    further = {
        evidence.REPAIRED: judge(evidence.repaired(data, learned)),
        IN_FOLDS: judge(evidence.in_folds(data, learned)),
    }
    further |= {place: judge(later) for place, later in trained.later.items()}
    figures = mlflow_run.evaluated(answers, quarters(unseen), further)
    findings = evidence.alone(data, PackedModel.load(package), learned, answers, figures)
    figures |= {place: report.figures for place, report in (findings.known or {}).items()}
    later = trained.later.get(OUT_OF_TIME)
    findings = evidence.compared(findings, 0, (answers, yardsticks.pooled), (later, yardsticks.later))
    card = model_card(_card_facts(data, trained.learned, figures, yardsticks, findings, tags))
    describe(package, figures, findings, card)
    parameters = {**trained.learned.recipe, "rows": len(data.train), "customers": data.customers}
    exhibits = Exhibits(
        parameters=parameters,
        tags=tags,
        curves=mlflow_run.learning_curves(trained.learned, unseen),
        texts={"model_card.md": card, EVIDENCE_FILE: findings.model_dump_json(indent=2)},
        answers={"unseen": answers, **trained.later},
        baselines=yardsticks.figures,
    )
    return mlflow_run.evaluate_and_log_model(trained.learned, answers, figures, package, exhibits)


def pack(data: PreparedData, learned: Learned, package: Path, tags: dict[str, str]) -> None:
    """Put model, manifest, leaf table, golden predictions and drift reference into `package`."""
    draft = Draft(
        objective=learned.parameters.objective,
        calibration=learned.calibration.knots,
        calibration_known=learned.calibration_known.knots,
        grade_borders=learned.grade_borders,
        ranges=ranges(contract_columns(data.train)),
        data=Data(source="data/processed", sha256=data.sha256, rows=len(data.train), customers=data.customers),
        git_revision=tags["git_revision"],
        parameters=learned.recipe,
    )
    labelled = data.train[data.train["label"].notna()]
    assemble(package, learned.model, draft, contract_columns(labelled), (labelled["label"] == "Good").to_numpy())
    reference_frame(package, data.unseen).to_parquet(package / REFERENCE_FILE, index=False)


def _champion(settings: BentosSettings) -> bool:
    return Registry.connect(settings).find(CHAMPION) is not None


def _tags(data: PreparedData, trainer: str, home: Path) -> dict[str, str]:
    return {
        "trainer": trainer,
        "git_revision": git_revision(home),
        "data_sha256": data.sha256,
        "raw_sha256": data.raw_sha256,
        "data_dir": str(data.folder),
    }


def _card_facts(
    data: PreparedData,
    learned: Learned,
    figures: dict[str, Figures],
    yardsticks: Yardsticks,
    findings: Evidence,
    tags: dict[str, str],
) -> CardFacts:
    return CardFacts(
        trainer=tags["trainer"],
        git_revision=tags["git_revision"],
        data_source=f"raw file {data.raw_sha256[:12]}",
        data_sha256=data.sha256,
        rows=len(data.train),
        customers=data.customers,
        parameters={name: str(value) for name, value in learned.recipe.items()},
        figures=figures,
        baselines=yardsticks.figures,
        tried=ExperimentRecord.read(BentosSettings().home / experiments.FILE),
        evidence=findings,
        holdout_uses=Registry.connect(BentosSettings()).judged_on(data.sha256) + 1,
    )


def _part_progress(progress: artifacts.Progress, start: float, end: float) -> Progress:
    """Progress of one part, shown in the log and on the run's bar between two percentages."""
    log = get_run_logger()

    def show(share: float, what: str) -> None:
        percent = start + (end - start) * share
        progress.at(percent)
        log.info("%3.0f %% %s", percent, what)

    return show


def _headline(logged: Logged) -> str:
    names = ("accuracy", "macro_f1", "auc_ovr", "ece", "severe_error_rate")
    return ", ".join(f"{name} {logged.metrics[name]:.3f}" for name in names)


def _show_data(data: PreparedData) -> None:
    """The picture of the data first: rows kept, labels, gaps, gates."""
    report = data.folder / QUALITY_REPORT
    if report.is_file():
        artifacts.show_text("data-quality", report.read_text(encoding="utf-8"), "What preparing did to the data")


def _show(logged: Logged, package: Path, settings: FlowSettings) -> None:
    artifacts.show_table(
        "training-metrics", artifacts.metric_rows(logged.figures[POOLED]), "Unseen customers, 95 % by customer"
    )
    artifacts.show_table("training-slices", artifacts.slice_rows(logged.figures), "The same by slice")
    artifacts.show_text("model-card", (package / "model_card.md").read_text(encoding="utf-8"), "Model card")
    link = settings.run_link(logged.experiment_id, logged.run_id)
    artifacts.show_link("training-run", link, "MLflow run", "Everything that was logged")
