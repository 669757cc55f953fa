"""Where a job's report goes: standard output, a file to attach, and the summary page of the job if there is one."""

from __future__ import annotations

import os
from pathlib import Path

SUMMARY = "GITHUB_STEP_SUMMARY"  # the file that the runner of a workflow shows as the job's page


def publish(markdown: str, file: Path) -> None:
    """Print the report, write it to `file`, and append it to the job's page where a runner names one."""
    print(markdown)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(markdown + "\n", encoding="utf-8")
    if page := os.environ.get(SUMMARY):
        with Path(page).open("a", encoding="utf-8") as summary:
            summary.write(markdown + "\n")
