"""The search keeps its budget, never ends worse than it began, and repeats itself for the same seed."""

from __future__ import annotations

from flows.learning.search import SearchTrial, search
from tests.flows.small_training import QUICK, rows


class Clock:
    """A clock that ticks once each time it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_the_start_is_the_first_trial_and_nothing_ends_worse() -> None:
    """Every trial is told as it ends; the best of the whole ones wins."""
    taught, told = rows(80), list[SearchTrial]()
    start = QUICK.model_copy(update={"iterations": 20})
    found = search(taught, start, seconds=1e6, progress=told.append, most_trials=3)
    assert tuple(told) == found.trials and len(told) == 3
    assert told[0].parameters == start and not told[0].pruned
    losses = {trial.log_loss: trial.parameters for trial in told if not trial.pruned}
    assert found.best == losses[min(losses)]


def test_the_budget_ends_the_search() -> None:
    """No trial begins after the budget is spent; without a budget the start alone is tried."""
    assert len(search(rows(30), QUICK, seconds=0.0).trials) == 1
    # A trial reads the clock twice and the loop once, so two trials after the start's fit into eight ticks.
    assert 2 <= len(search(rows(30), QUICK, seconds=8.0, clock=Clock()).trials) <= 3


def test_the_same_seed_tries_the_same() -> None:
    """The sequence depends on seed and data alone."""
    one = search(rows(30), QUICK, 1e6, most_trials=2, clock=Clock())
    two = search(rows(30), QUICK, 1e6, most_trials=2, clock=Clock())
    assert one == two
