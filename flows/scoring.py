"""The `scoring` flow: score a file of any size with the champion, chunk by chunk, on processes of this host."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from prefect import flow
from prefect.logging import get_run_logger
from pydantic import BaseModel, ConfigDict, Field

from bentos.registry import CHAMPION, Registry
from bentos.settings import BentosSettings
from flows import artifacts
from flows.batch import Tally, job_of, score_file


class ScoringForm(BaseModel):
    """One job. Running it again goes on where it stopped."""

    model_config = ConfigDict(title="Batch scoring", extra="forbid")

    source: str = Field(default="", title="File", description="CSV or parquet with one column a contract field.")
    target: str = Field(default="", title="Result folder", description="For the parts; beside the file if empty.")
    reasons: bool = Field(
        default=False, title="With reasons", description="At most four a row; about five times slower."
    )
    chunk_rows: int = Field(default=100_000, ge=100, le=2_000_000, title="Rows a chunk")
    processes: int = Field(default=0, ge=0, le=256, title="Processes", description="0: one a core.")


@flow(name="scoring", log_prints=True)
def scoring(form: ScoringForm = ScoringForm()) -> str:
    """Score a file with the champion.

    Args:
        form: File, result folder, and how to work.

    Returns:
        The folder that holds the parts.
    """
    registry = Registry.connect(BentosSettings())
    champion = registry.by_alias(CHAMPION)
    source = Path(form.source)
    target = Path(form.target) if form.target else source.with_name(f"{source.name}.scored")
    log, started = get_run_logger(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="scoring-") as scratch:
        package = registry.download(champion.number, champion.digest, Path(scratch) / "package")
        job = job_of(source, package, form.chunk_rows, form.reasons)
        tally = score_file(
            job,
            package,
            target,
            processes=form.processes or os.cpu_count() or 1,
            told=lambda so_far: log.info("%s rows in %s chunks", f"{so_far.rows:,}", so_far.chunks),
        )
    _show(tally, champion.number, time.monotonic() - started, target)
    return str(target)


def _show(tally: Tally, version: int, seconds: float, target: Path) -> None:
    rows = [
        {"figure": "rows", "value": f"{tally.rows:,}"},
        {"figure": "rows that break the contract", "value": f"{tally.refused:,}"},
        {"figure": "chunks", "value": f"{tally.chunks}, of them {tally.found_done} found done"},
        {"figure": "seconds", "value": f"{seconds:.1f}"},
        {"figure": "model version", "value": str(version)},
        {"figure": "result", "value": str(target)},
    ]
    artifacts.show_table("scoring", rows, "Batch scoring")
