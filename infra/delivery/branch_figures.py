"""`make figures`: what a branch does to coverage, to pylint's score and to the model's metrics; `make comment` shows it
on its pull request.

Read from what `make test` left in `build/` and from DVC, so nothing is measured twice. What was not measured is said.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import httpx
from pydantic import Field

from infra.delivery import job_summary
from infra.delivery.dispatch import TIMEOUT_S, DispatchSettings
from infra.errors import StackError
from infra.settings import ROOT

BUILD: Final = ROOT / "build"
COVERAGE, PYLINT, FIGURES = "coverage.json", "pylint.json", "figures.md"
MARK: Final = "<!-- figures of the branch -->"  # by which the comment of the run before is found and replaced
ABSENT: Final = "not measured"
HEADING: Final = 2  # lines of DVC's table that hold no metric


class CommentSettings(DispatchSettings):
    """The number of the pull request to comment on."""

    pull_request: int = Field(default=0, ge=0, description="Its number.")


def report(build: Path, base: str) -> str:
    """The figures as markdown.

    Args:
        build: where `make test` left coverage.json and pylint.json.
        base: git revision that the metrics are compared with; empty: no comparison.
    """
    rows = [("coverage", _coverage(_read(build / COVERAGE))), ("pylint", _score(_read(build / PYLINT)))]
    lines = [MARK, "# Figures of the branch", "", "| | |", "|---|---|", *(f"| {name} | {of} |" for name, of in rows)]
    return "\n".join([*lines, "", "## Metrics", "", _metrics(base)])


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def _coverage(document: Any) -> str:
    return ABSENT if document is None else f"{document['totals']['percent_covered']:.1f} %"


def _score(document: Any) -> str:
    return ABSENT if document is None else f"{document['statistics']['score']:.2f} of 10"


def _metrics(base: str) -> str:
    """DVC's own table of what changed against `base`.

    The command line is the documented way; DVC's Python API knows no comparison.
    """
    if not base:
        return "Nothing to compare with."
    command = [
        sys.executable,
        "-m",
        "dvc",
        "metrics",
        "diff",
        "--md",
        base,
        "--targets",
        "data/evaluation/metrics.json",
    ]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if process.returncode:
        return f"{ABSENT}: {process.stderr.strip().splitlines()[-1]}"
    table = process.stdout.strip()
    return table if len(table.splitlines()) > HEADING else f"No metric differs from `{base}`."


def comment(settings: CommentSettings, text: str) -> None:
    """Put the text on the pull request, in the place of the one of the run before.

    Raises:
        StackError: settings are missing, or GitHub refuses.
    """
    if not settings.repository or not settings.token.get_secret_value() or not settings.pull_request:
        raise StackError("QF_GITHUB_REPOSITORY, QF_GITHUB_TOKEN and QF_GITHUB_PULL_REQUEST say where the comment goes")
    headers = {
        "Authorization": f"Bearer {settings.token.get_secret_value()}",
        "Accept": "application/vnd.github+json",
    }
    issues = f"{settings.api}/repos/{settings.repository}/issues"
    try:
        with httpx.Client(headers=headers, timeout=TIMEOUT_S) as http:
            answer = http.get(f"{issues}/{settings.pull_request}/comments", params={"per_page": 100}).raise_for_status()
            before = [one["id"] for one in answer.json() if str(one["body"]).startswith(MARK)]
            if before:
                http.patch(f"{issues}/comments/{before[-1]}", json={"body": text}).raise_for_status()
            else:
                http.post(f"{issues}/{settings.pull_request}/comments", json={"body": text}).raise_for_status()
    except httpx.HTTPStatusError as error:
        raise StackError(f"GitHub answers {error.response.status_code} to the comment") from error
    except httpx.HTTPError as error:
        raise StackError(f"GitHub does not answer: {type(error).__name__}") from error


def main(arguments: list[str] | None = None) -> int:
    """`comment` puts the last figures on the pull request; without it they are made. 1 and one line if that failed."""
    parser = argparse.ArgumentParser(prog="python -m infra.delivery.branch_figures", description=main.__doc__)
    parser.add_argument("command", nargs="?", choices=["comment"], help="instead of making the figures, send them")
    if parser.parse_args(arguments).command is None:
        job_summary.publish(report(BUILD, os.environ.get("QF_BASE_REVISION", "")), BUILD / FIGURES)
        return 0
    try:
        comment(CommentSettings(), (BUILD / FIGURES).read_text(encoding="utf-8"))
    except (StackError, FileNotFoundError) as error:
        print(f"comment: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
