"""A search for better parameters: seeded, within a time budget, pruned fold by fold, each trial told to the caller."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from flows.learning.fit import Parameters, fit_model, folds, uncalibrated
from flows.learning.rows import Rows

if TYPE_CHECKING:
    import optuna

_WARM_UP_TRIALS = 4  # no trial is pruned before there is something to compare with


class SearchTrial(BaseModel):
    """One finished trial. `log_loss` is the mean over the folds that ran; a pruned one ran fewer than all."""

    model_config = ConfigDict(frozen=True)

    number: int
    parameters: Parameters
    log_loss: float
    folds_run: int
    pruned: bool
    seconds: float


class Found(BaseModel):
    """The best parameters and every trial that led there, the start's own first."""

    model_config = ConfigDict(frozen=True)

    best: Parameters
    trials: tuple[SearchTrial, ...] = Field(min_length=1)


def search(
    rows: Rows,
    start: Parameters,
    seconds: float,
    progress: Callable[[SearchTrial], None] | None = None,
    *,
    most_trials: int = 200,
    clock: Callable[[], float] = time.monotonic,
) -> Found:
    """Parameters with the lowest log loss on grouped folds, found within about `seconds`.

    The first trial is `start` itself, so the result is never worse than it on these folds. No trial begins after the
    budget is spent; the one that runs is finished. The same seed gives the same sequence of trials; how many fit
    into the budget depends on the machine.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="minimize",
        sampler=optuna.samplers.TPESampler(seed=start.seed, n_startup_trials=_WARM_UP_TRIALS),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_WARM_UP_TRIALS, n_warmup_steps=1),
    )
    began = clock()
    trials: list[SearchTrial] = []
    while not trials or (clock() - began < seconds and len(trials) < most_trials):
        proposal = study.ask()
        parameters = start if not trials else _suggest(proposal, start)
        trial = _run(proposal, rows, parameters, clock)
        if trials:
            # The start's values need not lie in the search space, so the sampler learns from its own trials only.
            state = optuna.trial.TrialState.PRUNED if trial.pruned else None
            study.tell(proposal, None if trial.pruned else trial.log_loss, state=state)
        else:
            study.tell(proposal, state=optuna.trial.TrialState.FAIL)
        trials.append(trial)
        if progress:
            progress(trial)
    whole = [trial for trial in trials if not trial.pruned]
    return Found(best=min(whole, key=lambda trial: trial.log_loss).parameters, trials=tuple(trials))


def _suggest(trial: optuna.trial.Trial, start: Parameters) -> Parameters:
    return start.model_copy(
        update={
            "objective": trial.suggest_categorical("objective", ["MultiClass", "MultiLogloss"]),
            "iterations": trial.suggest_int("iterations", 150, 600, step=50),
            "depth": trial.suggest_int("depth", 4, 7),
            "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.1, log=True),
            "l2_leaf_reg": trial.suggest_float("l2_leaf_reg", 3.0, 100.0, log=True),
            "feature_share": trial.suggest_float("feature_share", 0.2, 0.8),
            "row_share": trial.suggest_float("row_share", 0.4, 0.9),
            "random_strength": trial.suggest_float("random_strength", 0.0, 4.0),
            "recency": trial.suggest_float("recency", 0.5, 2.0),
        }
    )


def _run(proposal: optuna.trial.Trial, rows: Rows, parameters: Parameters, clock: Callable[[], float]) -> SearchTrial:
    began, losses, pruned = clock(), [], False
    for number, (learn, hold) in enumerate(folds(rows.customers, parameters.folds, parameters.seed)):
        model = fit_model(rows.where(learn), parameters)
        probabilities = uncalibrated(model, rows.features[hold], parameters)
        losses.append(float(-np.log(np.maximum(probabilities[np.arange(len(hold)), rows.labels[hold]], 1e-15)).mean()))
        proposal.report(float(np.mean(losses)), number)
        if number + 1 < parameters.folds and proposal.should_prune():
            pruned = True
            break
    return SearchTrial(
        number=proposal.number,
        parameters=parameters,
        log_loss=float(np.mean(losses)),
        folds_run=len(losses),
        pruned=pruned,
        seconds=clock() - began,
    )
