"""The verdict of one window for one model version, from what was read. Pure: frames in, verdict out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pandas as pd

from flows.monitoring import cohorts, column_rules, known_cohort, outcomes, performance, window_rules
from flows.monitoring.cohorts import Cohort
from flows.monitoring.history import History, ModelInWindow, WindowVerdict
from flows.monitoring.traffic import Traffic, windows_of
from flows.monitoring.verdict_types import Cause, ColumnVerdict, DriftCheck, DriftRule, DriftState
from flows.monitoring.window_settings import DriftSettings
from flows.predictions import columns as watched
from flows.predictions.columns import WatchedColumn
from service.contract import Basis

ANSWERED = frozenset(column.name for column in watched.ANSWERED)
# Raised when the same rows would be judged otherwise, so that a window that an earlier rule judged is judged anew.
RULES_VERSION = 4


@dataclass(frozen=True)
class ReferenceData:
    """What the model version was judged on: out-of-sample rows with its answers and their labels."""

    model: ModelInWindow
    frame: pd.DataFrame
    key_columns: tuple[str, ...]

    @property
    def columns(self) -> list[WatchedColumn]:
        """The contract's fields and the answer's own columns, as far as the reference holds them."""
        return watched.contract_columns(self.key_columns) + watched.prediction_columns(self.frame.columns)

    @property
    def labelled(self) -> pd.DataFrame:
        """Rows whose true class is known."""
        return self.frame[self.frame["label"].notna()]

    def answered_of(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows that this version answered."""
        return frame[frame["model_version"] == self.model.version]

    def rows_of(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows that this version answered of customers it did not know, as those of the reference are.

        Known customers are another population, with other scores and other errors: how many of them a partner sends is
        no drift of the model. They are judged apart (`flows.monitoring.known_cohort`).
        """
        ours = self.answered_of(frame)
        return ours[ours["basis"] != Basis.KNOWN_CUSTOMER] if "basis" in ours else ours


def judge(
    traffic: Traffic, reference: ReferenceData, settings: DriftSettings, history: History, today: date
) -> WindowVerdict:
    """The verdict of one window for one model version."""
    current, cohort = reference.rows_of(traffic.current), reference.rows_of(traffic.cohort)
    settled = outcomes.settle(cohort, traffic.outcomes, today)
    answers, outcomes_of_all = _all_answered(traffic, reference, today)
    rows = traffic.by_version[reference.model.version]
    base = {
        "window": {"start": traffic.window.start, "end": traffic.window.end},
        "model": reference.model,
        "rows": rows,
        "compared_rows": len(current),
        "known": known_cohort.known_cohorts(answers, outcomes_of_all, settings),
        "outcomes": {"settled": len(settled.frame), **settled.quarantined},
        "fingerprint": _fingerprint(answers, outcomes_of_all, settings),
        "made_at": datetime.now(UTC),
    }
    if len(current) < settings.minimum_rows:
        return WindowVerdict(
            state=DriftState.INSUFFICIENT, causes=(_too_few(len(current), settings),), columns=[], checks=[], **base
        )
    columns = column_rules.judge_columns(reference.columns, reference.frame, current, settings.thresholds)
    volume = window_rules.volume_check(
        rows,
        traffic.window.days,
        history.usual_rows_a_day(traffic.window.start, reference.model.version),
        settings.thresholds,
    )
    checks = [volume, *_multivariate(columns, reference, current, settings)]
    performance_checks, weeks = _performance(reference, current, cohort, settled.frame, traffic, settings)
    decision = window_rules.decide(
        columns,
        checks,
        performance_checks,
        history.amber_before(traffic.window.start, reference.model.version),
        settings.thresholds,
    )
    return WindowVerdict(
        state=decision.state,
        causes=decision.causes,
        data_quality_red=decision.data_quality_red,
        performance_red=decision.performance_red,
        columns=columns,
        checks=checks + performance_checks,
        cohorts=weeks,
        **base,
    )


def _all_answered(traffic: Traffic, reference: ReferenceData, today: date) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the version answered in the window, and its matured answers with an outcome; known customers among both."""
    cohort = reference.answered_of(traffic.cohort)
    return reference.answered_of(traffic.current), outcomes.settle(cohort, traffic.outcomes, today).frame


def _too_few(rows: int, settings: DriftSettings) -> Cause:
    text = f"{rows} predictions, {settings.minimum_rows} are needed"
    return Cause(rule=DriftRule.TOO_FEW_ROWS, text=text, figures={"rows": rows, "needed": settings.minimum_rows})


def _multivariate(
    columns: list[ColumnVerdict], reference: ReferenceData, current: pd.DataFrame, settings: DriftSettings
) -> list[DriftCheck]:
    """The domain classifier over the applicant's columns that could be compared; none where no column could."""
    sound = {verdict.name for verdict in columns if not verdict.broken} - ANSWERED
    comparable = [column for column in reference.columns if column.name in sound]
    if not any(column.kind != "list" for column in comparable):
        return []  # features that were emptied by age, say: every column is told as missing
    return [window_rules.domain_classifier(comparable, reference.frame, current, settings.thresholds)]


def _performance(
    reference: ReferenceData,
    current: pd.DataFrame,
    cohort: pd.DataFrame,
    settled: pd.DataFrame,
    traffic: Traffic,
    settings: DriftSettings,
) -> tuple[list[DriftCheck], list[Cohort]]:
    labelled = reference.labelled
    estimator = performance.Estimator.fit(performance.probabilities_of(labelled), labelled["label"].to_numpy())
    checks = [
        performance.estimated_check(estimator, labelled, current, settings.thresholds),
        *performance.realised_checks(estimator, labelled, settled, len(cohort), settings),
    ]
    *_, span = windows_of(settings, traffic.window)
    return checks, cohorts.by_week(estimator, labelled, cohort, settled, span, settings.window_days)


def _fingerprint(current: pd.DataFrame, settled: pd.DataFrame, settings: DriftSettings) -> str:
    """SHA-256 of which rows and outcomes were compared under which rules and settings."""
    outcomes = zip(settled["hash"].tolist(), settled["observed_class"], strict=True)
    parts = [RULES_VERSION, sorted(current["hash"].tolist()), sorted(map(list, outcomes))]
    text = json.dumps(
        [parts, settings.model_dump(mode="json", exclude={"notify", "recalibrate", "retrain", "after_rows"})]
    )
    return hashlib.sha256(text.encode()).hexdigest()
