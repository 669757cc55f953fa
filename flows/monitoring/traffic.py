"""What was answered and what came of it: the window's rows, the matured cohort's rows and the outcomes that arrived."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import compute

from flows.monitoring.window_settings import DriftSettings, Window
from flows.predictions import daily_digest
from flows.predictions import rows as stored
from flows.predictions.daily_digest import Day

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

DAYS_AT_ONCE: Final = 2
LIST_COLUMNS: Final = ("loan_types", "reasons")
KNOWN, UNKNOWN, ELSEWHERE = "known", "unknown", "elsewhere"


@dataclass
class Sampler:
    """Counts the rows of a window and keeps at most `cap` of each model version: those whose ids hash lowest."""

    window: Window
    cap: int
    rows: Counter[str] = field(default_factory=Counter)
    _samples: list[pa.Table] = field(default_factory=list)

    def add(self, day: Day) -> None:
        """Take a stored day's rows, as far as they describe the window."""
        first, end = self.window.start.isoformat(), self.window.end.isoformat()
        if not day.describes(self.window.start, self.window.end):
            return
        for as_of, version, count in day.ledger.counts:
            if first <= as_of < end:
                self.rows[version] += count
        table = day.rows()
        inside = compute.and_(compute.greater_equal(table["as_of"], first), compute.less(table["as_of"], end))
        self._samples.append(table.filter(inside))
        if sum(map(len, self._samples)) > 4 * self.cap:
            self._samples = [self._lowest()]

    def _lowest(self) -> pa.Table:
        return daily_digest.lowest(pa.concat_tables(self._samples), self.cap, ["model_version"])

    def frame(self) -> pd.DataFrame:
        """The kept rows in a fixed order; empty with the same columns if nothing fell into the window."""
        if not self._samples:
            return pd.DataFrame(columns=list(stored.PREDICTION_COLUMNS))
        frame: pd.DataFrame = self._lowest().to_pandas()
        for name in LIST_COLUMNS:  # an empty cell of a list is an empty list; of anything else it is a missing value
            frame[name] = frame[name].fillna("")
        return frame

    @property
    def total(self) -> int:
        """Rows of the window, repeats counted once."""
        return self.rows.total()


@dataclass(frozen=True)
class Traffic:
    """The rows of a window, of the matured cohort, and the outcomes stored since the cohort began.

    `current` and `cohort` hold the columns of stored predictions, `hash` and `customer`; `outcomes` holds `hash`,
    `partner`, `observed_class`, `observed_at` and `standing` (known, unknown or elsewhere: recorded on a day that was
    not read).
    """

    window: Window
    by_version: Counter[str]
    current: pd.DataFrame
    cohort: pd.DataFrame
    cohort_rows: Counter[str]
    outcomes: pd.DataFrame

    def versions(self, minimum: int) -> list[str]:
        """The versions to judge, the busiest first: all with `minimum` rows, or else the busiest alone."""
        ordered = sorted(self.by_version, key=lambda version: (-self.by_version[version], version))
        return [version for version in ordered if self.by_version[version] >= minimum] or ordered[:1]


def windows_of(settings: DriftSettings, window: Window) -> tuple[Window, Window, Window]:
    """The window, the longer one that ends with it, and the cohort whose outcomes had time to come."""
    longer = window.reaching_back(max(settings.extend_days, settings.window_days))
    age = timedelta(days=settings.maturity_days)
    return window, longer, Window(start=longer.start - age, end=window.end - age)


def read_traffic(client: S3Client, settings: DriftSettings, window: Window, today: date) -> Traffic:
    """Read the window (or, if it holds too few rows, the longer one that ends with it), the cohort and its outcomes.

    A row is never recorded before the day it describes, so folders from the cohort's first day on are all there is.
    """
    chosen, longer, cohort = windows_of(settings, window)
    since = min(longer.start, cohort.start)
    samplers = [Sampler(one, settings.maximum_rows) for one in (chosen, longer, cohort)]
    outcomes = outcomes_since(client, since, today)
    hashes = []
    for day in days(client, "predictions", since, today):
        for sampler in samplers:
            sampler.add(day)
        if len(outcomes):
            hashes.append(day.hashes())
    outcomes["standing"] = standing(outcomes, hashes, since)
    picked = samplers[0] if samplers[0].total >= settings.minimum_rows else samplers[1]
    return Traffic(picked.window, picked.rows, picked.frame(), samplers[2].frame(), samplers[2].rows, outcomes)


def new_rows(client: S3Client, today: date, since: datetime) -> int:
    """Predictions stored after the moment `since`; days that ended before it are not even listed."""
    return sum(day.rows_since(since) for day in days(client, "predictions", since.date(), today))


def days(client: S3Client, kind: str, first: date, last: date) -> Iterable[Day]:
    """The stored days of [first, last] in order, a few read ahead."""
    dates = [day for day in stored.stored_days(client, kind) if first <= day <= last]
    with ThreadPoolExecutor(DAYS_AT_ONCE) as pool:
        for start in range(0, len(dates), DAYS_AT_ONCE):
            results = pool.map(partial(daily_digest.read_day, client, kind), dates[start : start + DAYS_AT_ONCE])
            yield from (day for day in results if day is not None)


def outcomes_since(client: S3Client, first: date, last: date) -> pd.DataFrame:
    """Outcomes recorded on the days [first, last], as they came: repeats and contradictions included."""
    parts = [day.rows() for day in days(client, "outcomes", first, last)]
    if not parts:
        return pd.DataFrame(columns=stored.OUTCOME_COLUMNS)
    frame: pd.DataFrame = pa.concat_tables(parts).to_pandas(strings_to_categorical=True)
    return frame


def standing(outcomes: pd.DataFrame, hashes: Sequence[Any], since: date) -> Any:
    """True for each outcome that names a stored prediction; `recorded` is the day (YYYYMMDD) its id begins with."""
    if outcomes.empty:
        return []
    known = outcomes["hash"].isin(np.concatenate(hashes) if hashes else [])
    recorded = outcomes["recorded"].astype("category").cat
    before = [text.isdigit() and text < since.strftime("%Y%m%d") for text in recorded.categories.astype(str)]
    elsewhere = np.append(before, False)[recorded.codes.to_numpy()]
    return np.select([known, elsewhere], [KNOWN, ELSEWHERE], UNKNOWN)
