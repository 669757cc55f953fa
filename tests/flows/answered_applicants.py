"""Answered applicants as the bucket holds them, with the true class beside: made up, seeded, within the contract."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd

from flows.monitoring import outcomes, performance
from flows.monitoring.history import ModelInWindow
from flows.predictions import columns as watched

TODAY = datetime.now(UTC).date()
MODEL = ModelInWindow(name="credit-score", version="3", digest="d" * 64)
CANARY = "CANARY-7731"


def answers(rows: int, seed: int) -> pd.DataFrame:
    """Applicants within the contract, honest probabilities and true labels."""
    rng = np.random.default_rng(seed)
    columns = watched.contract_columns()
    frame = {}
    for column in columns:
        if column.kind == "number":
            frame[column.name] = np.abs(rng.normal(20, 4, rows))
        elif column.kind == "category":
            frame[column.name] = rng.choice(column.levels, rows)
        else:
            frame[column.name] = rng.choice(["", "auto", "auto|personal"], rows)
    shares = rng.dirichlet((2, 3, 2), rows)
    classes = np.array(outcomes.CLASSES)
    label = classes[(shares.cumsum(axis=1) > rng.random((rows, 1))).argmax(axis=1)]
    predicted = classes[shares.argmax(axis=1)]
    probabilities = dict(zip(performance.PROBABILITIES, shares.T, strict=True))
    return pd.DataFrame(frame | probabilities).assign(
        prediction_id=[f"p{seed}-{i}" for i in range(rows)],
        as_of=TODAY.isoformat(),
        model_version=MODEL.version,
        model_digest=MODEL.digest,
        partner=CANARY,
        customer_ref=[f"{CANARY}-{i}" for i in range(rows)],
        score=(1000 * (shares[:, 2] + shares[:, 1] / 2)).round(),
        band=predicted,
        predicted_class=predicted,
        reasons="DEBT",
        label=label,
    )
