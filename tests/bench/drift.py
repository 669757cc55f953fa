"""A daily run of drift over many stored rows: `python -m tests.bench.drift --rows 10000000 --days 100`.

Rows of a hundred days, with outcomes for the older ones, lie in a real object store. The first run meets all of them;
then one more day is stored and the daily run follows, which is the figure that counts. Each run is a process of its
own, from its first import to the report in the bucket; Prefect and the registry are left out (some ten seconds).
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import csv

from bentos import processes
from infra.settings import StackSettings
from infra.stack import object_store, parts
from infra.stack.credentials import Credentials, store_variables
from infra.stack.processes import Shelf, end

if TYPE_CHECKING:
    from flows.monitoring.history import WindowVerdict
    from flows.monitoring.traffic import Traffic

LAST = date(2026, 11, 24)
OBJECT_ROWS = 10_000
OUTCOME_SHARE = 0.8
PAIR = Credentials("qf-bench", "qf-bench-secret")


def fill(client: Any, first: int, last: int, rows_a_day: int) -> None:
    """Store the days from `first` to `last` days ago: predictions, and outcomes of those older than thirty days."""
    from tests.flows.answered_applicants import answers

    frame = answers(OBJECT_ROWS, 1)
    labels = frame.pop("label")
    table = pa.Table.from_pandas(frame.drop(columns="customer_ref").assign(schema_version=1), preserve_index=False)
    for ago in range(first, last - 1, -1):
        for part in range(rows_a_day // OBJECT_ROWS):
            _store(client, table, labels.tolist(), LAST - timedelta(days=ago), part)


def _store(client: Any, table: pa.Table, labels: list[str], day: date, part: int) -> None:
    """One object of predictions, and one of what came of them where thirty days have passed."""
    ids = pa.array([f"{day:%Y%m%d}-bench-{part:x}-{row:x}" for row in range(OBJECT_ROWS)])
    for name, values in (("as_of", pa.array([day.isoformat()] * OBJECT_ROWS)), ("prediction_id", ids)):
        table = table.set_column(table.column_names.index(name), name, values)
    _put(client, f"predictions/dt={day}/bench-{part:04d}.csv", table)
    arrived = day + timedelta(days=25)
    if day <= LAST - timedelta(days=30):
        observed = pa.array([arrived.isoformat()] * OBJECT_ROWS)
        came = pa.table({"prediction_id": ids, "observed_class": pa.array(labels), "observed_at": observed})
        _put(client, f"outcomes/dt={arrived}/bench-{part:04d}.csv", came[: int(OUTCOME_SHARE * OBJECT_ROWS)])


def _put(client: Any, key: str, table: pa.Table) -> None:
    body = io.BytesIO()
    csv.write_csv(table, body)
    client.put_object(Bucket="predictions", Key=key, Body=body.getvalue())


def run_once() -> None:
    """One run, told on standard output."""
    from flows.monitoring import judge_window, report_store, traffic
    from flows.monitoring.evidently_report import ReportComparison, write_report
    from flows.monitoring.history import History
    from flows.monitoring.window_settings import DriftSettings, window_of
    from tests.flows.answered_applicants import MODEL, answers

    settings = DriftSettings()
    moments = [time.monotonic()]
    found = traffic.read_traffic(report_store.object_store(), settings, window_of(settings, LAST), LAST)
    moments.append(time.monotonic())
    reference = judge_window.ReferenceData(MODEL, answers(12_000, 7), ("annual_income",))
    verdict = judge_window.judge(found, reference, settings, History(), LAST)
    moments.append(time.monotonic())
    shown = ReportComparison(
        reference.frame, reference.rows_of(found.current), reference.columns, verdict, settings.thresholds
    )
    with tempfile.TemporaryDirectory() as place:
        write_report(shown, Path(place, "report.html"), Path(place, "report.json"))
    moments.append(time.monotonic())
    print(_told(found, verdict, moments), flush=True)


def _told(found: Traffic, verdict: WindowVerdict, moments: list[float]) -> str:
    """What was read and judged, how long each step took, and what this process has used of a core and of memory."""
    read, judged, drawn = (f"{after - before:.1f} s" for before, after in zip(moments, moments[1:]))
    used = resource.getrusage(resource.RUSAGE_SELF)
    return (
        f"{verdict.state}, {verdict.rows:,} rows in the window, {found.cohort_rows.total():,} in the cohort,"
        f" {len(found.outcomes):,} outcomes, {verdict.compared_rows:,} compared: read {read},"
        f" judged {judged}, drawn {drawn},"
        f" {used.ru_utime + used.ru_stime:.1f} s of a core, peak {used.ru_maxrss / 1024:,.0f} MiB"
    )


def _timed(title: str, environment: dict[str, str]) -> None:
    begun = time.monotonic()
    command = [sys.executable, "-m", "tests.bench.drift", "--once"]
    subprocess.run(command, env=os.environ | environment, check=True)
    print(f"{title}: {time.monotonic() - begun:.1f} s", flush=True)


def measure(folder: Path, rows: int, days: int) -> None:
    """Fill a store of its own, run, add a day, run again."""
    settings = StackSettings(state_dir=folder, port_store=processes.free_port())
    object_store.format_volume(folder / "store")
    part = parts.object_store(settings, PAIR)
    running = Shelf(folder).spawn(part.name, part.recipe)
    try:
        while not processes.answers(part.probe):
            time.sleep(0.2)
        object_store.make_buckets(settings.store_url, PAIR)
        client = object_store.client(settings.store_url, PAIR)
        fill(client, days - 1, 1, rows // days)
        print(f"{rows:,} rows of {days} days stored", flush=True)
        _timed("first run, every row is new", store_variables(settings.store_url, PAIR))
        fill(client, 0, 0, rows // days)
        _timed("daily run, one day is new", store_variables(settings.store_url, PAIR))
    finally:
        end(running, patience_s=5)


def main() -> int:
    """Fill the store, measure, take it down."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.drift", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=100)
    parser.add_argument("--once", action="store_true", help="only run, on the store of the environment")
    options = parser.parse_args()
    if options.once:
        run_once()
        return 0
    with tempfile.TemporaryDirectory() as place:
        measure(Path(place), options.rows, options.days)
    return 0


if __name__ == "__main__":
    sys.exit(main())
