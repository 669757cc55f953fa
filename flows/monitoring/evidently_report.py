"""The interactive report: Evidently draws it, with the statistics that decided registered in it.

The page begins with a summary of every column and opens only those that moved: drawn whole it was ten megabytes that
nobody read. Its JSON holds every column: the two statistics that decide (PSI; effect with its corrected p-value), then
those kept for the record. Importing Evidently costs ten to twenty seconds, so it happens inside the function. Only the
compared columns go in: no id, no reference of a customer.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import pandas as pd

from flows.monitoring import drift_statistics
from flows.monitoring.drift_statistics import RecordedStatistic
from flows.monitoring.history import WindowVerdict, table_rows
from flows.monitoring.verdict_types import ColumnVerdict, DriftState
from flows.monitoring.window_settings import Thresholds
from flows.predictions.columns import LIST_SEPARATOR, WatchedColumn

Statistic = Callable[[pd.Series, pd.Series, Any, float], tuple[float, bool]]
Result = TypeVar("Result")
_STYLE: Final = (
    "#summary{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:1.5rem auto;padding:0 1rem}"
    "#summary table{border-collapse:collapse;width:100%}#summary td,#summary th{text-align:left;padding:.25rem .6rem;"
    "border-bottom:1px solid #d0d5dd}"
)
NEVER: Final = 1e9  # threshold of a statistic that is shown and decides nothing


@dataclass(frozen=True)
class ReportStatistic:
    """A statistic as the report names it."""

    name: str
    title: str


PSI: Final = {
    "number": ReportStatistic("psi_decile", "PSI over reference deciles"),
    "category": ReportStatistic("psi_category", "PSI over categories"),
    "list": ReportStatistic("psi_items", "PSI over items (the picture has the first item only)"),
}
EFFECT: Final = {
    "number": ReportStatistic("ks_corrected", "KS distance, with p corrected by Benjamini-Hochberg"),
    "category": ReportStatistic(
        "homogeneity", "Cramer's V of a homogeneity test, with p corrected by Benjamini-Hochberg"
    ),
    "list": ReportStatistic("homogeneity_items", "Cramer's V of items, with p corrected by Benjamini-Hochberg"),
}
_BINS: Final = {"number": "over reference deciles", "category": "over categories"}


def _for_the_record(kind: str, one: RecordedStatistic) -> ReportStatistic:
    over = f" {_BINS[kind]}" if one.binned else ""
    return ReportStatistic(f"{one.name}_{kind}", f"{one.title}{over} (for the record)")


RECORD: Final = {
    kind: {_for_the_record(kind, one): one for one in drift_statistics.RECORDED if one.binned or kind == "number"}
    for kind in _BINS
}


@dataclass(frozen=True)
class ReportComparison:
    """What a report shows: two frames, the columns watched and what became of them."""

    reference: pd.DataFrame
    current: pd.DataFrame
    columns: Sequence[WatchedColumn]
    verdict: WindowVerdict
    thresholds: Thresholds

    @property
    def drawable_columns(self) -> list[WatchedColumn]:
        """Columns that can be drawn, most moved first; one that is all missing would stop the whole report."""
        order = {
            one.name: (-(one.psi or 0.0)) for one in self.verdict.columns if not one.broken and one.psi is not None
        }
        return sorted(
            (column for column in self.columns if column.name in order), key=lambda column: order[column.name]
        )


def write_report(comparison: ReportComparison, html: Path, json: Path) -> None:
    """Write Evidently's report of the columns that could be compared, as offline HTML and as JSON.

    What is left out of it (broken columns) stands in the summary with its verdict.
    The page draws the columns that moved, or the one nearest to it where none did.
    """
    _quiet_import()
    _register(comparison)
    columns = comparison.drawable_columns
    json.write_text(_run(comparison, columns, _metrics(columns, comparison.thresholds)).json(), encoding="utf-8")
    states = {one.name: one.state for one in comparison.verdict.columns}
    moved = [column for column in columns if states[column.name] is not DriftState.GREEN] or list(columns[:1])
    document = _run(comparison, moved, _pictures(moved, comparison.thresholds)).get_html_str(as_iframe=False)
    html.write_text(_with_summary(document, comparison.verdict, [column.name for column in moved]), encoding="utf-8")


def _run(comparison: ReportComparison, columns: Sequence[WatchedColumn], metrics: list[Any]) -> Any:
    """Evidently's snapshot of these columns."""
    from evidently import DataDefinition, Dataset, Report

    definition = DataDefinition(
        numerical_columns=[column.name for column in columns if column.kind == "number"],
        categorical_columns=[column.name for column in columns if column.kind != "number"],
    )
    current, reference = (
        Dataset.from_pandas(_prepared(frame, columns), data_definition=definition)
        for frame in (comparison.current, comparison.reference)
    )
    verdict = comparison.verdict
    facts = {"model": verdict.model.version, "digest": verdict.model.digest, "state": str(verdict.state)}
    return Report(metrics).run(current, reference, metadata=facts, name=_title(verdict))


def _title(verdict: WindowVerdict) -> str:
    return f"Drift of {verdict.model.name}, {verdict.window['start']} to {verdict.window['end']}"


def _metrics(columns: Sequence[WatchedColumn], thresholds: Thresholds) -> list[Any]:
    """Column by column what decides and the missing values, then what is for the record."""
    from evidently.metrics import MissingValueCount, ValueDrift

    metrics: list[Any] = []
    for column in columns:
        metrics += [
            ValueDrift(column=column.name, method=PSI[column.kind].name, threshold=thresholds.psi_amber),
            ValueDrift(column=column.name, method=EFFECT[column.kind].name, threshold=thresholds.effect_amber),
            MissingValueCount(column=column.name),
        ]
    record = [(column.name, one.name) for column in columns for one in RECORD.get(column.kind, ())]
    return metrics + [ValueDrift(column=name, method=method, threshold=NEVER) for name, method in record]


def _pictures(columns: Sequence[WatchedColumn], thresholds: Thresholds) -> list[Any]:
    """One picture a column, with what is missing of it."""
    from evidently.metrics import MissingValueCount, ValueDrift

    metrics: list[Any] = []
    for column in columns:
        metrics.append(ValueDrift(column=column.name, method=PSI[column.kind].name, threshold=thresholds.psi_amber))
        metrics.append(MissingValueCount(column=column.name))
    return metrics


def _with_summary(document: str, verdict: WindowVerdict, columns: Sequence[str]) -> str:
    """Evidently's page with a title, and before it the verdict, its causes, and every column and check."""
    rows = table_rows(verdict)
    names = list(rows[0]) if rows else []
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(f"<tr>{''.join(f'<td>{escape(str(row[name]))}</td>' for name in names)}</tr>" for row in rows)
    causes = "".join(f"<li>{escape(reason)}</li>" for reason in verdict.reasons or ("nothing moved",))
    facts = f"Model version {verdict.model.version}, {verdict.rows:,} predictions, {verdict.compared_rows:,} compared."
    summary = (
        f"<style>{_STYLE}</style><section id=summary><h1>{escape(_title(verdict))}: {escape(str(verdict.state))}</h1>"
        f"<p>{escape(facts)}</p><ul>{causes}</ul><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f"<p>Drawn below: {escape(', '.join(columns))}. Every figure of every column is in report.json.</p></section>"
    )
    titled = re.sub(r"<title>.*?</title>", "", document, count=1, flags=re.DOTALL)
    titled = re.sub(r"<head([^>]*)>", rf"<head\1><title>{escape(_title(verdict))}</title>", titled, count=1)
    return re.sub(r"<body([^>]*)>", lambda tag: f"{tag[0]}{summary}", titled, count=1)


def _quiet_import() -> None:
    """Import Evidently; it warns of its own and its web server's deprecations, which nobody here can mend."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", SyntaxWarning)
        import evidently  # noqa: F401  # pylint: disable=unused-import  # the import itself is what warns


def _register(comparison: ReportComparison) -> None:
    """Make our statistics known to Evidently by name, those of an earlier report replaced."""
    from evidently.legacy.calculations.stattests import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    kinds = {"number": ColumnType.Numerical, "category": ColumnType.Categorical, "list": ColumnType.Categorical}
    for name, (kind, title, function) in _statistics(comparison).items():
        test = StatTest(name=name, display_name=title, allowed_feature_types=[kinds[kind]], default_threshold=NEVER)
        register_stattest(test, default_impl=function)


def _statistics(comparison: ReportComparison) -> dict[str, tuple[str, str, Statistic]]:
    """Kind, title and function by name. Corrected p-values and items of lists are known to the verdict alone."""
    verdicts = {one.name: one for one in comparison.verdict.columns}
    significant = {name for name, one in verdicts.items() if (one.p_value or 0.0) < comparison.thresholds.p_value}
    binned = {"number": _decile_counts, "category": _category_counts}
    result: dict[str, tuple[str, str, Statistic]] = {}

    def add(kind: str, one: ReportStatistic, function: Statistic) -> None:
        result[one.name] = (kind, one.title, function)

    for kind, counts in binned.items():
        add(kind, PSI[kind], _distance(_over(drift_statistics.psi, counts)))
        for record_name, one in RECORD[kind].items():
            add(kind, record_name, _distance(_over(one.measure, counts) if one.binned else one.measure))
    add("number", EFFECT["number"], _effect(drift_statistics.kolmogorov_smirnov, significant))
    add(
        "category",
        EFFECT["category"],
        _effect(_over(drift_statistics.homogeneity, _category_counts), significant),
    )
    add("list", PSI["list"], _known(verdicts, "psi", set(verdicts)))
    add("list", EFFECT["list"], _known(verdicts, "effect", significant))
    return result


def _over(
    measure: Callable[[Any, Any], Result], counts: Callable[[Any, Any], tuple[Any, Any]]
) -> Callable[[Any, Any], Result]:
    return lambda reference, current: measure(*counts(reference, current))


def _distance(measure: Callable[[Any, Any], float]) -> Statistic:
    def statistic(reference: pd.Series, current: pd.Series, _kind: Any, threshold: float) -> tuple[float, bool]:
        value = measure(reference.to_numpy(), current.to_numpy())
        return value, value >= threshold

    return statistic


def _effect(measure: Callable[[Any, Any], drift_statistics.Test], significant: set[str]) -> Statistic:
    def statistic(reference: pd.Series, current: pd.Series, _kind: Any, threshold: float) -> tuple[float, bool]:
        value = measure(reference.to_numpy(), current.to_numpy()).statistic
        return value, value >= threshold and str(current.name) in significant

    return statistic


def _known(verdicts: dict[str, ColumnVerdict], figure: str, deciding: set[str]) -> Statistic:
    def statistic(_reference: pd.Series, current: pd.Series, _kind: Any, threshold: float) -> tuple[float, bool]:
        value = float(getattr(verdicts[str(current.name)], figure))
        return value, value >= threshold and str(current.name) in deciding

    return statistic


def _decile_counts(reference: Any, current: Any) -> tuple[Any, Any]:
    edges = drift_statistics.decile_edges(reference)
    return drift_statistics.bin_counts(reference, edges), drift_statistics.bin_counts(current, edges)


def _category_counts(reference: Any, current: Any) -> tuple[Any, Any]:
    _, before, after = drift_statistics.category_counts(list(reference), list(current))
    return before, after


def _prepared(frame: pd.DataFrame, columns: Sequence[WatchedColumn]) -> pd.DataFrame:
    """The compared columns alone, with the plain types Evidently reads: floats, and texts without empty ones."""
    prepared = {}
    for column in columns:
        values = frame[column.name]
        if column.kind == "number":
            numbers = pd.to_numeric(values, errors="coerce").astype(float)
            prepared[column.name] = numbers.replace([np.inf, -np.inf], np.nan).reset_index(drop=True)
            continue
        texts = values.astype(object).where(values.notna() & (values.astype(str) != ""), None)
        if column.kind == "list":
            texts = texts.map(lambda text: str(text).split(LIST_SEPARATOR, 1)[0] if text else "none")
        prepared[column.name] = texts.reset_index(drop=True)
    return pd.DataFrame(prepared)
