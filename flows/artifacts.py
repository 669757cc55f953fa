"""What runs show in Prefect: tables and short texts rendered from results, and one function that puts them there.

Keys are fixed, so each key has a history. Long texts are dedented: Prefect shows indented markdown as code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from bentos.registry.decision import Decision
from bentos.registry.version import Version
from flows.review.release_evidence import ReleaseCheck, Result

if TYPE_CHECKING:
    from flows.learning.model_metrics import Figures


def metric_rows(figures: Figures) -> list[dict[str, Any]]:
    """One row a metric with its 95 % interval."""
    return [
        {"metric": name, "value": f"{one.value:.4f}", "low 95 %": f"{one.low:.4f}", "high 95 %": f"{one.high:.4f}"}
        for name, one in sorted(figures.items())
    ]


def slice_rows(slices: Mapping[str, Figures]) -> list[dict[str, Any]]:
    """One row a slice, one column a metric."""
    return [
        {"slice": place, **{name: f"{one.value:.4f}" for name, one in part.items()}} for place, part in slices.items()
    ]


def check_rows(checks: Iterable[ReleaseCheck]) -> list[dict[str, Any]]:
    """One row a release check: failed ones first, then those that ask for a person's look."""
    order = (Result.FAILED, Result.NEEDS_REVIEW, Result.PASSED, Result.NOT_APPLICABLE)
    return [
        {"check": one.code, "title": one.title, "result": str(one.result), "explanation": one.explanation}
        for one in sorted(checks, key=lambda one: order.index(one.result))
    ]


def verdict_text(decision: Decision, outcome: str) -> str:
    """The verdict as markdown."""
    lines = [
        f"# Version {decision.version}: {outcome}",
        "",
        f"- reviewer: {decision.reviewer}",
        f"- trained by: {decision.trainer}",
        f"- judged against champion: {decision.champion or 'none'}",
        f"- at: {decision.at:%Y-%m-%d %H:%M} UTC",
    ]
    if decision.note:
        lines.append(f"- note: {decision.note}")
    if decision.overridden:
        lines.append(f"- **override** of {', '.join(decision.failed_checks)}: {decision.override_reason}")
        lines.append(f"- second name {decision.second_reviewer}, expires {decision.override_expires}")
    return "\n".join(lines)


def step_rows(steps: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """One row a step of packaging: what was done, or why it was skipped."""
    return [{"step": name, "result": result} for name, result in steps]


def facts_text(title: str, version: Version, facts: Mapping[str, str]) -> str:
    """A title, the version, and a list of facts as markdown."""
    lines = [f"# {title}", "", f"Version {version.number}, digest `{version.digest[:12]}`", ""]
    return "\n".join([*lines, *(f"- {name}: {value}" for name, value in facts.items())])


def show_table(key: str, rows: list[dict[str, Any]], description: str) -> None:
    """Put a table into the run."""
    create_table_artifact(key=key, table=rows, description=description)


def show_text(key: str, markdown: str, description: str) -> None:
    """Put a text into the run."""
    create_markdown_artifact(key=key, markdown=markdown, description=description)


def show_link(key: str, url: str, text: str, description: str) -> None:
    """Put a link into the run."""
    create_link_artifact(key=key, link=url, link_text=text, description=description)


class Progress:
    """A bar in the run's page. Steps are told in percent and never go back."""

    def __init__(self, key: str, description: str) -> None:
        created = create_progress_artifact(progress=0.0, key=key, description=description)
        self._id: Any = created
        self._percent = 0.0

    def at(self, percent: float) -> None:
        """Move the bar to `percent`."""
        if percent > self._percent:
            self._percent = min(percent, 100.0)
            update_progress_artifact(artifact_id=self._id, progress=self._percent)
