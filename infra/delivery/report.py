"""`make report`: the champion's figures beside those of the last release, for the people who let a release through.

A version counts as released once `make rollout` brought it to production and noted so with it in MLflow; the figures
are those of the versions' own training runs, with the intervals that were logged there.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bentos.errors import BentosError
from bentos.registry.catalogue import CHAMPION, Catalogue, client_of
from bentos.registry.version import Version
from bentos.settings import BentosSettings
from infra.delivery import job_summary

RELEASED_AT: Final = "released_at"  # ISO time, a tag of the version
REPORT_FILE: Final = "reports/release.md"  # under the state folder
RANKS: Final = tuple(
    f"{name}_{of}" for name in ("gini", "ks") for of in ("score_poor", "score_good", "grade_poor", "grade_good")
)
RISES: Final = ("accuracy", "macro_f1", "balanced_accuracy", "auc_ovr", "gini_poor", "ks_poor", *RANKS, "qwk", "r2")
FALLS: Final = ("log_loss", "rps", "ece", "severe_error_rate", "mae", "mse", "mape", "borderline_rate")
FACTS: Final = {
    "trainer": "trained by",
    "reviewer": "approved by",
    "verdict_at": "approved at",
    "override": "override",
    "git_revision": "code",
    "data_sha256": "data",
    "image_digest": "image",
    RELEASED_AT: "released",
}
SHOWN: Final = 40  # of a fact: longer ones are a digest or an essay


@dataclass(frozen=True)
class VersionFigures:
    """A version with what its training run logged: metrics, intervals as `.low` and `.high`."""

    version: Version
    metrics: Mapping[str, float]


def last_released(versions: list[Version]) -> Version | None:
    """The version that went to production last, None before the first release."""
    released = [version for version in versions if version.tags.get(RELEASED_AT)]
    return max(released, key=lambda version: version.tags[RELEASED_AT], default=None)


def render(champion: VersionFigures, released: VersionFigures | None) -> str:
    """The report as markdown: what is to be released, and each metric beside the last release's."""
    lines = [f"# Release of version {champion.version.number}", "", _headline(champion, released), ""]
    sides = [champion] if released is None else [champion, released]
    lines += ["| | " + " | ".join(_name(side) for side in sides) + " |", "|---|" + "---|" * len(sides)]
    lines += ["| model | " + " | ".join(f"`{side.version.digest[:SHOWN]}`" for side in sides) + " |"]
    for tag, title in FACTS.items():
        if any(side.version.tags.get(tag) for side in sides):
            lines.append(f"| {title} | " + " | ".join(_cell(side.version.tags.get(tag, "")) for side in sides) + " |")
    lines += ["", *_metrics(champion, released), "", "Unseen customers, 95 % intervals by customer."]
    if released is not None:
        lines[-1] += " *Better* and *worse* are said only where the two intervals do not touch."
    return "\n".join(lines)


def _headline(champion: VersionFigures, released: VersionFigures | None) -> str:
    if released is None:
        return "Nothing was released before."
    if released.version.number == champion.version.number:
        return f"Version {champion.version.number} is what was released last: the model does not change."
    verdicts = [_verdict(name, champion.metrics, released.metrics) for name in (*RISES, *FALLS)]
    return (
        f"Against version {released.version.number}, released last: {verdicts.count('better')} metrics better, "
        f"{verdicts.count('worse')} worse, {verdicts.count('same')} within their intervals."
    )


def _name(side: VersionFigures) -> str:
    return f"version {side.version.number}"


def _cell(text: str) -> str:
    plain = " ".join(text.replace("|", "/").split())
    return plain if len(plain) <= SHOWN else plain[: SHOWN - 1] + "…"


def _metrics(champion: VersionFigures, released: VersionFigures | None) -> list[str]:
    names = [name for name in (*RISES, *FALLS) if name in champion.metrics]
    if released is None:
        rows = [f"| {name} | {_figure(name, champion.metrics)} |" for name in names]
        return [f"| metric | {_name(champion)} |", "|---|---|", *rows]
    rows = [
        f"| {name} | {_figure(name, champion.metrics)} | {_figure(name, released.metrics)} "
        f"| {_change(name, champion.metrics, released.metrics)} |"
        for name in names
    ]
    return [f"| metric | {_name(champion)} | {_name(released)} | change |", "|---|---|---|---|", *rows]


def _figure(name: str, metrics: Mapping[str, float]) -> str:
    value = metrics.get(name)
    if value is None or math.isnan(value):
        return "not measured"
    low, high = metrics.get(f"{name}.low"), metrics.get(f"{name}.high")
    return f"{value:.4g}" if low is None or high is None else f"{value:.4g} [{low:.4g}, {high:.4g}]"


def _change(name: str, ours: Mapping[str, float], theirs: Mapping[str, float]) -> str:
    if (verdict := _verdict(name, ours, theirs)) == "unknown":
        return "not comparable"
    change = f"{ours[name] - theirs[name]:+.4g}"
    return change if verdict == "same" else f"{change} **{verdict}**"


def _verdict(name: str, ours: Mapping[str, float], theirs: Mapping[str, float]) -> str:
    """`better` or `worse` where the intervals do not touch, `same` where they do, `unknown` where one is missing."""
    if name not in ours or name not in theirs:
        return "unknown"
    # Without an interval the value itself is one of no width.
    low, high = ours.get(f"{name}.low", ours[name]), ours.get(f"{name}.high", ours[name])
    their_low, their_high = theirs.get(f"{name}.low", theirs[name]), theirs.get(f"{name}.high", theirs[name])
    if low > their_high:
        return "better" if name in RISES else "worse"
    if high < their_low:
        return "worse" if name in RISES else "better"
    return "same"


def figures_of(catalogue: Catalogue, version: Version) -> VersionFigures:
    """The version with its run's metrics.

    Raises:
        VersionMissing: MLflow has lost the run.
    """
    return VersionFigures(version, catalogue.run_metrics(version.run_id))


def report(catalogue: Catalogue) -> str:
    """The champion's report as markdown.

    Raises:
        BentosError: there is no champion, or MLflow does not answer.
    """
    champion = figures_of(catalogue, catalogue.by_alias(CHAMPION))
    last = last_released(catalogue.versions())
    return render(champion, figures_of(catalogue, last) if last else None)


def main() -> int:
    """Publish the report; exit code 1 and one line if there is none."""
    settings = BentosSettings()
    try:
        text = report(Catalogue(client_of(settings.tracking_uri), settings.model_name))
    except BentosError as error:
        print(f"report: {error}", file=sys.stderr)
        return 1
    job_summary.publish(text, settings.state_dir / REPORT_FILE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
