"""What a training run leaves in MLflow: one `evaluate_and_log_model`, the only place that logs.

Besides `bentos.registry.versions` this is the only module that imports mlflow, for its fluent logging; versions,
aliases and downloads are the registry's.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bentos.errors import BentosError
from bentos.registry.versions import PACKAGE
from flows.learning.fit import Learned
from flows.learning.model_metrics import Figures, LabelledAnswers, by_slice, judge
from flows.learning.rows import Rows
from flows.learning.search import SearchTrial
from flows.review.evidence import as_frame
from flows.review.plots import pictures
from service.contract import Applicant
from service.score import policy
from service.score.features import FEATURE_NAMES, row
from service.score.manifest import Manifest

if TYPE_CHECKING:
    from mlflow.models.model import ModelInfo

CURVE_POINTS: Final = 20
ANSWERS: Final = "answers"
POOLED: Final = "pooled"
REQUIREMENTS: Final = ("catboost>=1.2.10,<1.3", "numpy>=2.2,<3")
"""Given, not inferred: inference starts a Python of its own and takes longer than the training."""


@dataclass(frozen=True)
class Logged:
    """A finished run: its ids, the logged model's URI, and every figure by slice (`pooled` first)."""

    run_id: str
    experiment_id: str
    model_uri: str
    figures: dict[str, Figures]

    @property
    def metrics(self) -> dict[str, float]:
        """The pooled metrics."""
        return {name: figure.value for name, figure in self.figures[POOLED].items()}


@dataclass(frozen=True)
class Exhibits:
    """What is logged beside model, package and figures; nothing here is computed by logging."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[str, LabelledAnswers] = field(default_factory=dict)
    baselines: Mapping[str, Figures] = field(default_factory=dict)


@contextmanager
def run(tracking_uri: str, experiment: str, name: str) -> Iterator[str]:
    """Id of an MLflow run that is open, and finished or failed with the block.

    Raises:
        BentosError: no tracking server is set.
    """
    if not tracking_uri:
        raise BentosError("MLFLOW_TRACKING_URI is not set: run `make up` and `source .local/env`")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    mlflow.set_tracking_uri(tracking_uri)
    mlflow.set_experiment(experiment)
    with mlflow.start_run(run_name=name) as active:
        yield str(active.info.run_id)


@contextmanager
def baseline(name: str) -> Iterator[Callable[[Figures], None]]:
    """A nested run for one baseline, and the function that logs its figures.

    `mlflow.autolog()` is on for what it covers, scikit-learn's baselines. It has nothing for CatBoost (mlflow issue
    22852), so the model's own parameters, curves and metrics are logged by hand in `evaluate_and_log_model`; off again
    afterwards, since it would take the calibration's isotonic curves for models worth logging.
    """
    import mlflow

    mlflow.autolog(log_models=False, log_datasets=False, log_input_examples=False, silent=True)
    try:
        with mlflow.start_run(run_name=name, nested=True):
            yield lambda figures: _log_figures({POOLED: figures})
    finally:
        mlflow.autolog(disable=True, silent=True)


def log_trial(trial: SearchTrial) -> None:
    """One trial of the search as a nested run."""
    import mlflow

    with mlflow.start_run(run_name=f"trial {trial.number}", nested=True):
        mlflow.log_params(trial.parameters.model_dump())
        mlflow.set_tag("pruned", str(trial.pruned).lower())
        mlflow.log_metrics({"log_loss": trial.log_loss, "folds_run": trial.folds_run, "seconds": trial.seconds})


def evaluated(
    answers: LabelledAnswers, slices: Mapping[str, NDArray[np.bool_]], further: Mapping[str, Figures]
) -> dict[str, Figures]:
    """Every figure by slice: pooled first, then the named choices of rows, then what was judged elsewhere."""
    return {POOLED: judge(answers), **by_slice(answers, slices), **further}


def learning_curves(learned: Learned, unseen: Rows) -> dict[str, list[float]]:
    """Log loss of unseen rows after each twentieth of the trees, uncalibrated: whether more trees would help."""
    trees = learned.model.tree_count_
    step = max(1, trees // CURVE_POINTS)
    losses = []
    for last in range(step, trees + 1, step):
        raw = learned.model.predict(
            unseen.features, prediction_type="RawFormulaVal", ntree_end=last, thread_count=learned.parameters.threads
        )
        probabilities = policy.probabilities_many(np.asarray(raw, dtype=np.float64), learned.parameters.objective)
        likelihood = probabilities[np.arange(len(unseen.labels)), unseen.labels]
        losses.append(float(-np.log(np.maximum(likelihood, 1e-15)).mean()))
    return {"log_loss_unseen": losses}


def evaluate_and_log_model(
    learned: Learned, answers: LabelledAnswers, figures: dict[str, Figures], package: Path, exhibits: Exhibits
) -> Logged:
    """The open run, with a judged model and everything known about it logged: the one place that does.

    Args:
        learned: model, parameters and calibration.
        answers: what it says of unseen customers; drawn as confusion, reliability, ROC, KS and scores.
        figures: from `evaluated`.
        package: the complete package; logged whole, since a registered version is made from it.
        exhibits: what else belongs into the run.
    """
    import mlflow

    active = mlflow.active_run()
    if active is None:
        raise BentosError("evaluate_and_log_model logs to an open run: call it inside tracking.run")
    mlflow.set_tags(dict(exhibits.tags))
    mlflow.log_params({name: str(value) for name, value in exhibits.parameters.items()})
    _log_curves(active.info.run_id, exhibits.curves)
    with tempfile.TemporaryDirectory(prefix="exhibits-") as scratch:
        _write(Path(scratch), answers, figures, exhibits)
        mlflow.log_artifacts(scratch)
    mlflow.log_artifacts(str(package), PACKAGE)
    model = _log_model(learned, Manifest.read(package).reference.applicant)
    _log_figures(figures, model.model_id)
    return Logged(active.info.run_id, active.info.experiment_id, model.model_uri, figures)


def _write(folder: Path, answers: LabelledAnswers, figures: Mapping[str, Figures], exhibits: Exhibits) -> None:
    """All files of the run but package and model, laid out as they will lie in it: one upload instead of many."""
    for part in ("pictures", ANSWERS):
        (folder / part).mkdir()
    for name, picture in pictures(answers).items():
        picture.savefig(folder / "pictures" / f"{name}.png", dpi=100)
    for name, text in exhibits.texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    for name, group in exhibits.answers.items():
        as_frame(group).to_parquet(folder / ANSWERS / f"{name}.parquet", index=False)
    tables = {"figures": figures, "baselines": exhibits.baselines}
    for name, table in tables.items():
        plain = {place: {key: one.model_dump() for key, one in part.items()} for place, part in table.items()}
        (folder / f"{name}.json").write_text(json.dumps(plain, indent=2), encoding="utf-8")


def _log_figures(figures: Mapping[str, Figures], model_id: str | None = None) -> None:
    """Pooled metrics under their plain names, other slices behind their own; intervals as `.low` and `.high`.

    A model is logged before its figures: of those that its run already has, MLflow asks for each one's history alone,
    hundreds of requests.
    """
    import mlflow

    metrics = {}
    for place, part in figures.items():
        prefix = "" if place == POOLED else f"{place}."
        for name, figure in part.items():
            metrics[f"{prefix}{name}"] = figure.value
            if place == POOLED:
                metrics[f"{name}.low"], metrics[f"{name}.high"] = figure.low, figure.high
    # A rank metric is NaN where a slice lacks a class; MLflow would store it as 0.
    known = {name: value for name, value in metrics.items() if not math.isnan(value)}
    mlflow.log_metrics(known, model_id=model_id)


def _log_curves(run_id: str, curves: Mapping[str, Sequence[float]]) -> None:
    import mlflow
    from mlflow.entities import Metric

    points = [
        Metric(f"curve.{name}", value, 0, step)
        for name, values in curves.items()
        for step, value in enumerate(values, start=1)
    ]
    if points:
        mlflow.MlflowClient().log_batch(run_id, metrics=points)


def _log_model(learned: Learned, typical: Applicant) -> ModelInfo:
    """What MLflow says of the logged model.

    The example is the reference applicant, who is nobody; all columns are float64, since a signature of integers would
    refuse missing values.
    """
    import mlflow
    from mlflow.models import infer_signature

    example = pd.DataFrame([row(typical)], columns=list(FEATURE_NAMES), dtype=np.float64)
    info: ModelInfo = mlflow.catboost.log_model(
        learned.model,
        name="model",
        signature=infer_signature(example, learned.model.predict(example)),
        input_example=example,
        pip_requirements=list(REQUIREMENTS),
    )
    return info
