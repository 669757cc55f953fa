"""An .xlsx file read by a child process: a workbook made to harm ends the child, and the reader gets one sentence."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from service.lexicon.errors import TableRefused, Trouble
from service.lexicon.limits import MIB, ReadLimits

_PROGRAM: Final = Path(__file__).with_name("workbook_child.py")
BUSY_SECONDS: Final = 20  # the child's limit is its processor's time; by the clock a busy host needs longer
_TROUBLES: Final = {
    "broken_excel": Trouble(
        "broken_excel", "this is no workbook that can be opened", "a sound .xlsx file", "save it as .xlsx again"
    ),
    "too_wide": Trouble(
        "not_a_table", "a row has more cells than a table of applicants has columns", "one column a field"
    ),
}


def workbook_rows(content: bytes, limits: ReadLimits) -> Iterator[tuple[int, list[Any]]]:
    """Number and cells of every row of the first visible sheet that is not empty; numbers are Python's own.

    After them, number 0 with first and last row of each block of merged cells; then, for each other visible sheet,
    number -1 and its first rows.

    Raises:
        TableRefused: it is damaged, or larger or slower than the limits.
    """
    with tempfile.TemporaryFile() as packed, tempfile.TemporaryFile() as rows:
        packed.write(content)
        packed.seek(0)
        bounds = (limits.workbook_bytes, limits.workbook_seconds, limits.workbook_memory_bytes, limits.columns)
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-X", "utf8", str(_PROGRAM), *map(str, bounds)],
                stdin=packed,
                stdout=rows,
                stderr=subprocess.PIPE,
                timeout=limits.workbook_seconds + BUSY_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise TableRefused(_too_much(limits)) from None
        if done.returncode:
            raise TableRefused(_TROUBLES.get(done.stderr.decode(errors="replace"), _too_much(limits)))
        rows.seek(0)
        for line in rows:
            number, *cells = json.loads(line)
            yield number, cells


def _too_much(limits: ReadLimits) -> Trouble:
    return Trouble(
        "too_large",
        f"this workbook unpacks to more than {limits.workbook_bytes // MIB} MiB, or needs more than "
        f"{limits.workbook_memory_bytes // MIB} MiB or {limits.workbook_seconds} s to read",
        advice="save the one sheet as CSV, or split it",
    )
