"""Rows to learn from and answers to judge, made for tests of learning and judgement."""

from __future__ import annotations

import numpy as np
import pandas as pd

from flows.learning.fit import Parameters
from flows.learning.model_metrics import LabelledAnswers
from flows.learning.rows import Rows, rows_of
from service.score.policy import CLASSES
from tests.factories import applicant_columns

QUICK = Parameters(iterations=8, depth=3, learning_rate=0.3, folds=3, threads=1)
MONTHS = 4


def frame(customers: int = 60, seed: int = 0) -> pd.DataFrame:
    """A prepared frame: customers times four months, each customer with one age and occupation."""
    columns, classes = applicant_columns(customers * MONTHS, seed)
    generator = np.random.default_rng(seed)
    people = pd.DataFrame({name: list(values) for name, values in columns.items()})
    people.insert(0, "customer_id", np.repeat([f"C{number:04}" for number in range(customers)], MONTHS))
    people.insert(1, "month", np.tile(np.arange(1, MONTHS + 1), customers))
    people.insert(2, "label", [str(CLASSES[place]) for place in classes])
    people.insert(3, "age", pd.array(np.repeat(generator.integers(18, 70, customers), MONTHS), dtype="Int64"))
    people.insert(4, "occupation", np.repeat(generator.choice(["Lawyer", "Writer"], customers), MONTHS))
    return people


def rows(customers: int = 60, seed: int = 0) -> Rows:
    """The frame's rows as learning takes them."""
    return rows_of(frame(customers, seed))


def answers(count: int = 600, skill: float = 0.6, seed: int = 0, customers: int = 120) -> LabelledAnswers:
    """Answers that are right more often with more skill, four decimals so that some tie."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, count)
    said = (1 - skill) * generator.dirichlet([1, 1, 1], count) + skill * np.eye(3)[labels] * generator.random(
        (count, 1)
    )
    said = np.round(said / said.sum(axis=1, keepdims=True), 2) + 1e-4
    return LabelledAnswers(labels, said / said.sum(axis=1, keepdims=True), generator.integers(0, customers, count))
