"""The `scoring` flow: score files of any size with the champion, on Dask workers of this host or of a cluster.

`python -m flows.scoring SOURCE` runs it from a terminal, with a bar; Prefect shows the same progress in the run's page.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from prefect import flow
from prefect.logging import get_run_logger
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from bentos.errors import BentosError
from bentos.registry.versions import CHAMPION, Registry
from bentos.settings import BentosSettings
from flows import artifacts
from flows.batch.errors import BatchRefused
from flows.batch.job import ReadHints, ScoringTally, job_of, score
from flows.batch.roots import hold, within
from flows.batch.workers import workers
from flows.completion import completed
from flows.monitoring import report_store
from flows.monitoring.customer_classes import CustomerClasses, read_classes
from flows.settings import FlowSettings
from service.access.credentials import kept_pepper
from service.access.pseudonyms import partner_key
from service.errors import Misconfigured
from service.settings import settings as service_settings

FILES_SHOWN: Final = 5


class ScoringForm(BaseModel):
    """One job. Running it again goes on where it stopped."""

    model_config = ConfigDict(title="Batch scoring", extra="forbid")

    source: str = Field(
        default="",
        title="File, folder or s3://bucket/prefix",
        description="CSV of any dialect, .gz, a zip of one table, .xlsx, JSON lines or parquet: one column a field.",
    )
    target: str = Field(
        default="",
        title="Result folder or s3://bucket/prefix",
        description="For the parts; beside the source if empty.",
    )
    reasons: bool = Field(
        default=False, title="With reasons", description="At most four a row; about four times slower."
    )
    prediction_sets: bool = Field(
        default=False,
        title="With prediction sets",
        description="The classes that a score leaves open: nine sets in ten hold the true one, class by class.",
    )
    chunk_rows: int = Field(default=100_000, ge=100, le=2_000_000, title="Rows a part, about")
    decimal: Literal[".", ",", ""] = Field(
        default="", title="Decimal mark", description="If the file does not tell: is 2,900 two thousand nine hundred?"
    )
    delimiter: Literal[",", ";", "tab", "|", ""] = Field(
        default="", title="Delimiter", description="Found from the file if empty."
    )
    encoding: str = Field(default="", title="Encoding", description="Found from the file if empty: utf-8, cp1252, ...")
    days: Literal["dmy", "mdy", ""] = Field(
        default="", title="Order of days", description="If as_of does not tell whether 01/02/2026 is in January."
    )
    member: str = Field(default="", title="Table in the zip", description="If a zip holds several.")
    join_outcomes: bool = Field(
        default=False,
        title="Join outcomes",
        description="Rows with a customer_ref and no previous_classes of their own get the classes that the partner "
        "sent as outcomes of that customer, observed before the row's as_of: never a score of ours, never over what "
        "the file says.",
    )
    partner: str = Field(
        default="", title="Partner", description="Whose customers the file describes; needed to join outcomes."
    )
    processes: int = Field(
        default=0, ge=0, le=256, title="Processes", description="Of this host, 0: one a core; a cluster has its own."
    )

    @property
    def hints(self) -> ReadHints:
        """What the caller knows of the files."""
        return ReadHints(**self.model_dump(include=set(ReadHints.model_fields)))

    @property
    def place(self) -> str:
        """Where the parts go.

        Raises:
            BatchRefused: no source, or the parts would lie among what is scored.
        """
        source = self.source.rstrip("/")
        if not source:
            raise BatchRefused("there is nothing to score: give a file, a folder or s3://bucket/prefix as source")
        target = self.target.rstrip("/") or f"{source}.scored"
        if f"{target}/".startswith(f"{source}/"):
            raise BatchRefused("the result folder lies within the source: give another")
        return target

    @property
    def outcomes_of(self) -> str:
        """The partner whose outcomes are joined; empty if none are.

        Raises:
            BatchRefused: they are to be joined, and it is not said whose.
        """
        if self.join_outcomes and not self.partner:
            raise BatchRefused("outcomes are joined by the references of one partner: say whose file this is (partner)")
        return self.partner if self.join_outcomes else ""


@flow(name="scoring", on_completion=[completed], log_prints=True)
def scoring(form: ScoringForm = ScoringForm()) -> str:
    """Score files with the champion.

    Args:
        form: Files, result folder, and how to work.

    Returns:
        The folder that holds the parts.
    """
    target, start, settings = form.place, time.monotonic(), FlowSettings()
    _, folder = (within(address, settings.roots) for address in (form.source, target))
    registry = Registry.connect(BentosSettings())
    champion = registry.by_alias(CHAMPION)
    registry.approved(champion)  # a download is proved by tags, which whoever trains can write; the signature is not
    with tempfile.TemporaryDirectory(prefix="scoring-") as scratch:
        package = registry.download(champion.number, champion.digest, Path(scratch) / "package")
        job = job_of(
            form.source,
            package,
            form.chunk_rows,
            form.reasons,
            form.hints,
            outcomes_of=form.outcomes_of,
            prediction_sets=form.prediction_sets,
        )
        hold(job.sources, settings.roots, settings.scoring_max_gb)
        known, aside = _classes(job.outcomes_of) if job.outcomes_of else (None, {})
        with (
            workers(settings.dask_scheduler, form.processes or os.cpu_count() or 1) as client,
            _Shown(job.size_bytes) as progress,
        ):
            tally = score(job, package, folder, client, progress, known)
    outcome_rows = _joined(tally, known, aside) if known is not None else []
    _show(tally, champion.number, time.monotonic() - start, target, outcome_rows)
    return target


def _classes(partner: str) -> tuple[CustomerClasses, Mapping[str, int]]:
    """What outcomes tell of a partner's customers, and what was set aside.

    Raises:
        BatchRefused: this worker cannot bring a reference to its pseudonym, or there are too many outcomes.
    """
    try:
        key = partner_key(kept_pepper(service_settings().pepper_file), partner)
    except Misconfigured as error:
        raise BatchRefused(f"outcomes cannot be joined: {error}") from error
    known, aside = read_classes(report_store.object_store(), partner, key, datetime.now(UTC).date())
    get_run_logger().info("%s outcomes of customers with a reference", f"{len(known):,}")
    return known, aside


def _joined(tally: ScoringTally, known: CustomerClasses, aside: Mapping[str, int]) -> list[dict[str, str]]:
    return [
        {"figure": "rows known by an outcome", "value": f"{tally.known_by_outcome:,}"},
        {"figure": "outcomes of customers with a reference", "value": f"{len(known):,}"},
        *({"figure": f"outcomes set aside, {why}", "value": f"{count:,}"} for why, count in sorted(aside.items())),
    ]


class _Shown:
    """Progress as a log line a part, a bar in the run's page, and a bar in the terminal if there is one."""

    def __init__(self, size_bytes: int) -> None:
        self._size = max(size_bytes, 1)
        self._log = get_run_logger()
        self._page = artifacts.Progress("scoring-progress", "Share of the bytes that are scored")
        self._at = 0
        self._bar = Progress(
            *(TextColumn("scoring"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[rows]:,} rows")),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task("scoring", total=self._size, rows=0)

    def __enter__(self) -> _Shown:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, so_far: ScoringTally) -> None:
        self._log.info("%s rows in %s parts", f"{so_far.rows:,}", so_far.parts)
        self._bar.update(self._task, completed=so_far.read_bytes, rows=so_far.rows)
        percent = min(100 * so_far.read_bytes // self._size, 100)
        if percent > self._at:  # at most a hundred calls of the server, however many parts
            self._at = percent
            self._page.at(percent)


def _show(tally: ScoringTally, version: int, seconds: float, target: str, outcome_rows: list[dict[str, str]]) -> None:
    rows = [
        {"figure": "rows", "value": f"{tally.rows:,}"},
        {"figure": "rows that break the contract", "value": f"{tally.refused:,}"},
        *({"figure": f"of them in {name}", "value": f"{count:,}"} for name, count in sorted(tally.problems.items())),
        *({"figure": "refused rows, to mend and send again", "value": name} for name in tally.refused_files),
        *({"figure": "read as", "value": sentence} for sentence in tally.read_as[:FILES_SHOWN]),
        {"figure": "columns left out, since they name a person", "value": ", ".join(tally.left_out) or "none"},
        *outcome_rows,
        {"figure": "parts", "value": f"{tally.parts}, of them {tally.found_done} found done"},
        {"figure": "seconds", "value": f"{seconds:.1f}"},
        {"figure": "rows a second and core", "value": f"{tally.rows / tally.cpu_s:,.0f}" if tally.cpu_s else "-"},
        {"figure": "model version", "value": str(version)},
        {"figure": "result", "value": target},
    ]
    artifacts.show_table("scoring", rows, "Batch scoring")


def main(arguments: list[str] | None = None) -> int:
    """Run the flow from a terminal; 1 and one line if the job is refused."""
    parser = argparse.ArgumentParser(prog="python -m flows.scoring", description="Score files with the champion.")
    parser.add_argument("source", help="file, folder or s3://bucket/prefix of tables")
    parser.add_argument(
        "--target", default="", help="folder or s3://bucket/prefix of the parts; SOURCE.scored if left out"
    )
    parser.add_argument("--reasons", action="store_true", help="at most four a row; about four times slower")
    parser.add_argument("--prediction-sets", action="store_true", help="the classes that each score leaves open")
    parser.add_argument("--chunk-rows", type=int, default=100_000, help="rows a part, about")
    parser.add_argument("--processes", type=int, default=0, help="processes of this host; one a core if left out")
    parser.add_argument("--join-outcomes", action="store_true", help="classes that the partner sent make rows known")
    parser.add_argument("--partner", default="", help="whose customers the file describes, to join outcomes")
    parser.add_argument("--decimal", default="", choices=[".", ","], help="decimal mark, if the file does not tell")
    parser.add_argument("--delimiter", default="", choices=[",", ";", "tab", "|"], help="what separates columns")
    parser.add_argument("--encoding", default="", help="utf-8, utf-16, cp1252, ...")
    parser.add_argument("--days", default="", choices=["dmy", "mdy"], help="what stands first in 01/02/2026")
    parser.add_argument("--member", default="", help="the table to take from a zip of several")
    options = parser.parse_args(arguments)
    try:
        form = ScoringForm(**vars(options))
        # Asked before the run: without a stack Prefect would start a server of its own first, for a minute.
        Registry.connect(BentosSettings())
        print(scoring(form))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        print(f"scoring: --{'-'.join(map(str, first['loc'])).replace('_', '-')}: {first['msg']}", file=sys.stderr)
        return 1
    except (BatchRefused, BentosError) as error:
        print(f"scoring: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
