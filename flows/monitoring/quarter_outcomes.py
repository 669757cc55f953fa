"""Stored outcomes with the answers they are about, by calendar quarter: what a recalibration learns from.

Answers of every model version count, since the trees are asked again: what is kept of an answer are the applicant's
fields. What a partner's test key was answered never reaches the bucket, so its outcomes find no answer here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

from flows.learning.rows import QUARTER_MONTHS, columns
from flows.monitoring import traffic
from flows.monitoring.known_cohort import histories
from flows.monitoring.outcomes import CLASSES, settle
from flows.predictions import rows as stored
from service.score import features

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

QUARTERS_BACK: Final = 4  # outcomes of earlier quarters come too late to say anything of the present one


@dataclass(frozen=True)
class QuarterOutcomes:
    """One quarter's answers that have an outcome, one row each, in the columns of stored predictions and
    `observed_class`."""

    quarter: str
    frame: pd.DataFrame

    def features(self) -> NDArray[np.float64]:
        """The features of each row, as they were when it was answered: shape (n, features)."""
        matrix: NDArray[np.float64] = features.matrix(columns(self.frame) | {"history": histories(self.frame)})
        return matrix

    @property
    def labels(self) -> NDArray[np.int64]:
        """Positions in `policy.CLASSES`."""
        return np.array([CLASSES.index(name) for name in self.frame["observed_class"]], np.int64)

    @property
    def customers(self) -> NDArray[np.int64]:
        """Whose row each is, as numbers."""
        return np.unique(self.frame["customer"].to_numpy(), return_inverse=True)[1].astype(np.int64)


def quarter_of(day: date) -> str:
    """The calendar quarter of a day, as 2026-Q4."""
    return f"{day.year}-Q{(day.month - 1) // QUARTER_MONTHS + 1}"


def first_day(quarter: str) -> date:
    """The first day of a quarter told as 2026-Q4."""
    return date(int(quarter[:4]), QUARTER_MONTHS * (int(quarter[-1]) - 1) + 1, 1)


def _before(quarter: str, count: int) -> str:
    place = int(quarter[:4]) * 4 + int(quarter[-1]) - 1 - count
    return f"{place // 4}-Q{place % 4 + 1}"


def read_outcomes(client: S3Client, quarter: str, today: date) -> tuple[dict[str, QuarterOutcomes], Mapping[str, int]]:
    """Answers with an outcome by quarter, oldest first, and how many outcomes were set aside, by reason.

    Args:
        client: of the object store.
        quarter: the only one that is wanted; empty: all of the last year's.
        today: no outcome is later.
    """
    first = first_day(quarter or _before(quarter_of(today), QUARTERS_BACK - 1))
    outcomes = traffic.outcomes_since(client, first, today)
    if outcomes.empty:
        return {}, {}
    outcome_hashes = pa.array(outcomes["hash"].unique().astype(np.uint64))
    hashes, parts = [], []
    for day in traffic.days(client, "predictions", first, today):
        hashes.append(day.hashes())
        rows = day.rows()
        parts.append(rows.filter(compute.is_in(rows["hash"], value_set=outcome_hashes)))
    outcomes["standing"] = traffic.standing(outcomes, hashes, first)
    if not parts:
        parts = [pa.table({name: pa.array([], pa.string()) for name in stored.PREDICTION_COLUMNS})]
    answers: pd.DataFrame = pa.concat_tables(parts).to_pandas().drop_duplicates("hash")
    answers = answers[answers["as_of"].fillna("") != ""]
    answers["loan_types"] = answers["loan_types"].fillna("")  # an empty cell of a list is an empty list
    settled = settle(answers.astype({"hash": "uint64"}), outcomes, today)
    quarters = settled.frame["as_of"].map(lambda text: quarter_of(date.fromisoformat(text[:10])))
    result = {
        str(name): QuarterOutcomes(str(name), part.reset_index(drop=True))
        for name, part in settled.frame.groupby(quarters, sort=True)
        if not quarter or name == quarter
    }
    return result, settled.quarantined
