"""The revision of the code that a run was made with."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

TIMEOUT_S = 20


def git_revision(home: Path) -> str:
    """Commit of the code, with `-dirty` if tracked files differ from it.

    An image has no repository: there QF_GIT_REVISION, set when it was built, says it; "unknown" if nothing does.
    """
    revision = os.environ.get("QF_GIT_REVISION", "")
    if revision:
        return revision
    commit = _git(home, "rev-parse", "HEAD")
    if not commit:
        return "unknown"
    return f"{commit}-dirty" if _git(home, "status", "--porcelain", "--untracked-files=no") else commit


def _git(home: Path, *arguments: str) -> str:
    try:
        answer = subprocess.run(
            ["git", "-C", str(home), *arguments], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""
