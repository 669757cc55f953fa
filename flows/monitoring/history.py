"""What the drift flow leaves behind for people: the verdict of a window, its history, and the pictures of both."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import date, datetime
from statistics import median

from pydantic import BaseModel, ConfigDict, computed_field

from flows.learning.model_metrics import Figure
from flows.monitoring.cohorts import Cohort
from flows.monitoring.known_cohort import KnownCohort
from flows.monitoring.verdict_types import SEVERITY, Cause, ColumnVerdict, DriftCheck, DriftState
from flows.monitoring.window_rules import worst_columns

HISTORY_LENGTH = 400
RUNBOOK = "infra/runbook.md"
RUNBOOK_PLACE = "#when-drift-turns-red"
USUAL_WINDOWS = 28
USUAL_NEEDS = 3
REPLAY_AFTER_DAYS = 7
"""A window that ended so long before it was judged is history gone through again, not today's traffic."""
COLOURS = {
    DriftState.GREEN: "#2e7d32",
    DriftState.AMBER: "#b26a00",
    DriftState.RED: "#b3261e",
    DriftState.INSUFFICIENT: "#5f6368",
}


def is_replay(end: date, made_at: datetime) -> bool:
    """True if a window up to `end` was judged long after."""
    return (made_at.date() - end).days > REPLAY_AFTER_DAYS


class ModelInWindow(BaseModel):
    """The model version that answered."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    digest: str


class WindowVerdict(BaseModel):
    """One window's verdict; `current.json` in bucket `reports` holds the latest, staff pages read it."""

    model_config = ConfigDict(frozen=True)

    state: DriftState
    causes: tuple[Cause, ...] = ()
    window: dict[str, date]
    model: ModelInWindow
    rows: int
    compared_rows: int
    columns: list[ColumnVerdict]
    checks: list[DriftCheck]
    outcomes: dict[str, int]
    cohorts: list[Cohort] = []
    known: list[KnownCohort] = []
    data_quality_red: bool = False
    performance_red: bool = False
    report: str = ""
    fingerprint: str = ""
    made_at: datetime

    @computed_field  # type: ignore[prop-decorator]  # pydantic's own advice: mypy allows nothing on top of a property
    @property
    def reasons(self) -> tuple[str, ...]:
        """The causes in words."""
        return tuple(cause.text for cause in self.causes)

    @computed_field  # type: ignore[prop-decorator]  # as above
    @property
    def replay(self) -> bool:
        """True if an old window was judged again: staff pages say so."""
        return is_replay(self.window["end"], self.made_at)

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """Window, model and data: two verdicts with the same identity are the same verdict.

        The model is named by its version: a recalibrated one has the digest of the version it comes from.
        """
        return self.window["start"].isoformat(), self.window["end"].isoformat(), self.model.version, self.fingerprint

    @property
    def folder(self) -> str:
        """Where its reports lie in bucket `reports`: the same window, model and data, the same folder."""
        start, end, _, fingerprint = self.identity
        return f"drift/dt={end}/{start}_{end}-v{self.model.version}-{fingerprint[:12]}"


def latest(known: WindowVerdict | None, verdict: WindowVerdict) -> WindowVerdict:
    """The verdict of the later window, whichever was made last: a replay of old months is not today's state."""
    return known if known is not None and known.window["end"] > verdict.window["end"] else verdict


class Moment(BaseModel):
    """One line of the history: what the state was, where the report lies, what was started."""

    model_config = ConfigDict(frozen=True)

    state: DriftState
    start: date
    end: date
    version: str
    amber: tuple[str, ...]
    psi: dict[str, float]
    report: str
    made_at: datetime
    rows: int = 0
    retrained: bool = False
    recalibrated: bool = False

    @computed_field  # type: ignore[prop-decorator]  # as above
    @property
    def replay(self) -> bool:
        """True if the window is a replay of history; staff pages say so of its report."""
        return is_replay(self.end, self.made_at)


class History(BaseModel):
    """Every window's state, oldest first; `history.json` in bucket `reports`."""

    moments: tuple[Moment, ...] = ()

    def with_moment(self, moment: Moment) -> History:
        """The history with `moment` added; a window judged again replaces its earlier line; what it started stands."""
        same = (moment.start, moment.end, moment.version)
        others = [m for m in self.moments if (m.start, m.end, m.version) != same]
        same_lines = [moment, *(m for m in self.moments if m not in others)]
        started = {name: any(getattr(m, name) for m in same_lines) for name in ("retrained", "recalibrated")}
        added = moment.model_copy(update=started)
        return History(moments=tuple(sorted([*others, added], key=lambda m: (m.end, m.made_at))[-HISTORY_LENGTH:]))

    def holds(self, verdict: WindowVerdict) -> bool:
        """True if the verdict was recorded, which is the last step after one."""
        return any(m.made_at == verdict.made_at and m.version == verdict.model.version for m in self.moments)

    def state_before(self, end: date, version: str) -> DriftState:
        """The state that people know of: of the version's last window up to this one; green before the first."""
        earlier = [m.state for m in self.moments if m.end <= end and m.version == version]
        return earlier[-1] if earlier else DriftState.GREEN

    def amber_before(self, start: date, version: str) -> frozenset[str]:
        """Columns that were amber in the version's last judged window that shares no day with one from `start` on."""
        earlier = self._judged_before(start, version)
        return frozenset(earlier[-1].amber) if earlier else frozenset()

    def usual_rows_a_day(self, start: date, version: str) -> float | None:
        """Median traffic of the version's windows before `start`, predictions a day; None before there are three."""
        earlier = self._judged_before(start, version)[-USUAL_WINDOWS:]
        a_day = [m.rows / (m.end - m.start).days for m in earlier if m.rows]
        return median(a_day) if len(a_day) >= USUAL_NEEDS else None

    def _judged_before(self, start: date, version: str) -> list[Moment]:
        return [
            m
            for m in self.moments
            if m.end <= start and m.version == version and m.state is not DriftState.INSUFFICIENT
        ]


def moment_of(verdict: WindowVerdict, retrained: bool, recalibrated: bool = False) -> Moment:
    """The verdict as one line of history, with what it started."""
    return Moment(
        state=verdict.state,
        start=verdict.window["start"],
        end=verdict.window["end"],
        version=verdict.model.version,
        amber=tuple(c.name for c in verdict.columns if c.state is DriftState.AMBER),
        psi={c.name: c.psi for c in verdict.columns if c.psi is not None},
        report=verdict.report,
        made_at=verdict.made_at,
        rows=verdict.rows,
        retrained=retrained,
        recalibrated=recalibrated,
    )


def summary_markdown(verdict: WindowVerdict, runbook: str = RUNBOOK, report: str = "") -> str:
    """A short summary for artifact and alert: state, why, the three worst columns, what to do.

    Args:
        verdict: of one window.
        runbook: address of the run-book.
        report: address of the interactive report, if there is one.
    """
    lines = [
        f"# Drift: {verdict.state.upper()}",
        "",
        f"Window {verdict.window['start']} to {verdict.window['end']} (end excluded), model version"
        f" {verdict.model.version} ({verdict.model.digest[:12]}), {verdict.rows:,} predictions,"
        f" {verdict.compared_rows:,} compared.",
        "",
        *(f"- {reason}" for reason in verdict.reasons or ("nothing moved",)),
        "",
    ]
    worst = worst_columns(verdict.columns)
    if worst:
        lines += ["| worst columns | state | PSI | effect | missing |", "|---|---|---:|---:|---|"]
        lines += [
            f"| {c.name} | {c.state} | {_figure(c.psi)} | {_figure(c.effect)} |"
            f" {_share(c.missing_reference)} → {_share(c.missing_current)} |"
            for c in worst
        ]
        lines.append("")
    if verdict.state is not DriftState.GREEN:
        # A file of the repository is no address: as a link in Prefect's page it would lead nowhere.
        place = f"{runbook}{RUNBOOK_PLACE}"
        lines.append(f"What to do: {f'[run-book]({place})' if '://' in place else f'`{place}`'}")
    if report:
        lines.append(f"\n[Interactive report]({report})")
    return "\n".join(lines)


def table_rows(verdict: WindowVerdict) -> list[dict[str, str]]:
    """Every column and check as rows of a Prefect table artifact, worst first."""
    ordered = sorted(verdict.columns, key=lambda c: (-SEVERITY[c.state], -(c.psi or 0.0)))
    rows = [
        {
            "what": column.name,
            "state": column.state,
            "values": column.values_state,
            "missing": f"{column.missing_state}"
            f" ({_share(column.missing_reference)} → {_share(column.missing_current)})",
            "PSI": _figure(column.psi),
            "effect": _figure(column.effect),
            "p (adjusted)": _figure(column.p_value),
            "note": column.note,
        }
        for column in ordered
    ]
    checks = [
        {
            "what": c.name,
            "state": str(c.state),
            "values": "",
            "missing": "",
            "PSI": "",
            "effect": _figure(c.value),
            "p (adjusted)": "",
            "note": c.explanation,
        }
        for c in verdict.checks
    ]
    return checks + rows


def cohort_rows(verdict: WindowVerdict) -> list[dict[str, str]]:
    """One row a cohort: coverage, realised and estimated accuracy, metrics with their 95 % intervals."""
    names = list(dict.fromkeys(name for one in verdict.cohorts for name in one.metrics))
    return [
        {
            "cohort": f"{one.start} to {one.end}" if one.start else one.name,
            "predictions": f"{one.rows}",
            "outcomes": f"{one.outcomes} ({one.outcomes / one.rows:.0%})",
            **{name: _interval(one.metrics.get(name)) for name in names},
            "estimated accuracy": _figure(one.estimated),
            "realised - estimated": _interval(one.gap),
        }
        for one in verdict.cohorts
    ]


def known_rows(verdict: WindowVerdict) -> list[dict[str, str]]:
    """One row a group of known customers, by the age of their last class."""
    return [
        {
            "known customers": one.name,
            "state": str(one.state),
            "predictions": f"{one.rows}",
            "outcomes": f"{one.settled}",
            "accuracy": _interval(one.accuracy),
            "accuracy - promised": _interval(one.gap),
            "accuracy - repeating the last class": _interval(one.gain),
        }
        for one in verdict.known
    ]


def trend_picture(history: History, columns: Sequence[str] = ("score",)) -> bytes:
    """PSI of the named columns over the last windows, each point in its window's colour, as PNG."""
    from matplotlib.figure import Figure as Drawing

    moments = history.moments[-60:]
    figure = Drawing(figsize=(8, 3.2), layout="constrained")
    axes = figure.add_subplot()
    labels = [m.end.isoformat() for m in moments]
    for name in columns:
        axes.plot(labels, [m.psi.get(name, float("nan")) for m in moments], label=name, linewidth=1.2)
    axes.scatter(labels, [0.0] * len(moments), c=[COLOURS[m.state] for m in moments], s=60, zorder=3, label="state")
    axes.set(ylabel="PSI", title="Drift by window")
    axes.tick_params(axis="x", rotation=60, labelsize=7)
    axes.legend(fontsize=8)
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=120)
    return target.getvalue()


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _interval(figure: Figure | None) -> str:
    return "" if figure is None else f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"
