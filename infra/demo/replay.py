"""`make replay`: an unlabelled Kaggle file sent month by month through the API, drift judged after each month.

Each row is cleaned by itself, as a partner has it who knows nothing else of the customer, stamped with the last day of
its month (`as_of`) and sent as one partner's production traffic, so that what the monitor sees is what it would have
seen. Rows are repaired from the customers' past only where it is given (`--past`). Safe to repeat: an applicant
keeps its idempotency key, so a month sent twice within a day is scored once.
"""

from __future__ import annotations

import argparse
import calendar
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final

from infra.demo.partner import Api, await_stored
from infra.demo.runs import Runs
from infra.demo.stages import Stages, tell
from infra.errors import StackError
from infra.settings import read_settings
from infra.stack.partner_keys import partner_key
from infra.stack.supervisor import Stack

PARTNER: Final = "replay"
BATCH_ROWS: Final = 500
RATE: Final = 5_000.0  # rows a second; the replay is not there to test the limiter
DAILY: Final = 10_000_000
SHIPPED_PATIENCE_S: Final = 180.0


def last_days(months: list[int], today: date) -> dict[int, date]:
    """The last day of each month (1 to 12), all in the latest year in which every one of them is over.

    Raises:
        StackError: a month is no month.
    """
    wrong = [month for month in months if not 1 <= month <= 12]
    if wrong or not months:
        raise StackError("MONTHS takes numbers from 1 to 12 with commas between, for instance MONTHS=9,10")
    year = today.year if max(months) < today.month else today.year - 1
    return {month: date(year, month, calendar.monthrange(year, month)[1]) for month in sorted(months)}


def applicants_of(path: Path, days: dict[int, date], past: Path | None = None) -> dict[int, list[dict[str, Any]]]:
    """Clean applicants by month, each stamped with its month's last day.

    Args:
        path: the table that is replayed.
        days: its months, each with its last day.
        past: a table of the same customers' earlier months, of which rows are repaired; none: each stands alone.

    Raises:
        StackError: the file is not there, is no Kaggle file, or lacks a month.
    """
    import pandas as pd

    from flows.cleaning.applicants import to_applicants
    from flows.cleaning.pipeline import clean_rows
    from flows.cleaning.raw_table import LABEL_COLUMN
    from flows.data.raw_reading import read_raw
    from flows.errors import SourceError

    try:
        tables = [read_raw(one, labelled=False) for one in (path, *([past] if past else []))]
    except SourceError as error:
        raise StackError(str(error)) from error
    raw = pd.concat([table.drop(columns=LABEL_COLUMN, errors="ignore") for table in tables], ignore_index=True)
    frame = clean_rows(raw, as_served=past is None).frame
    frame = frame[frame.index < len(tables[0])]
    by_month = {month: frame[frame["month"] == month].reset_index(drop=True) for month in days}
    empty = [month for month, rows in by_month.items() if rows.empty]
    if empty:
        raise StackError(f"{path.name} holds no rows of month {', '.join(map(str, empty))}")
    return {
        month: [row | {"as_of": days[month].isoformat()} for row in to_applicants(rows)]
        for month, rows in by_month.items()
    }


def batches(rows: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The rows in pieces that one request takes."""
    source = iter(rows)
    while piece := list(islice(source, BATCH_ROWS)):
        yield piece


def play(path: Path, months: list[int], past: Path | None = None) -> dict[int, str]:
    """Send every month and judge it; the drift run's page by month.

    Raises:
        StackError: the stack does not run, or a month could not be sent or judged.
    """
    for one in (path, past):
        if one is not None and not one.is_file():
            raise StackError(
                f"{one}: there is no such file; DATA and PAST are paths to Kaggle's test.csv and train.csv"
            )
    stack = Stack(read_settings())
    settings = stack.settings
    days = last_days(months, datetime.now(UTC).date())
    traffic = applicants_of(path, days, past)
    key = partner_key(
        settings.state_dir / "service", settings.state_dir / "keys" / PARTNER, PARTNER, rate=RATE, daily=DAILY
    )
    api, stages = Api(settings.api_url, key), Stages(len(days))
    runs = Runs(settings.prefect_url, tell, stack.logins.prefect_auth)
    pages = {}
    for month, rows in traffic.items():
        end = days[month] + timedelta(days=1)
        with stages.stage(f"{calendar.month_name[month]} {days[month].year}: {len(rows):,} applicants, then drift"):
            await_stored(settings.store_url, stack.pair, _send(api, rows), SHIPPED_PATIENCE_S)
            window = {"window_end": end.isoformat(), "window_days": days[month].day}
            run = runs.follow(runs.start("drift", {"settings": window}))
            pages[month] = runs.page(run)
    return pages


def _send(api: Api, rows: list[dict[str, Any]]) -> set[str]:
    """Score the rows; the ids of their answers."""
    start, ids = time.monotonic(), set[str]()
    for piece in batches(rows):
        ids.update(str(score["prediction_id"]) for score in api.score_batch(piece))
        if len(ids) % (10 * BATCH_ROWS) == 0 or len(ids) == len(rows):
            tell(f"{len(ids):,} of {len(rows):,} scored, {len(ids) / (time.monotonic() - start):,.0f} a second")
    return ids


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when every month was sent and judged, 1 and one line otherwise."""
    parser = argparse.ArgumentParser(prog="python -m infra.demo.replay", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="Kaggle's test.csv, plain or .gz")
    parser.add_argument("--months", default="9,10,11,12", help="numbers of months, with commas between")
    parser.add_argument(
        "--past", type=Path, help="the same customers' earlier months, to repair rows from; none: alone"
    )
    options = parser.parse_args(arguments)
    try:
        months = [int(part) for part in options.months.split(",")]
    except ValueError:
        print(
            "replay: MONTHS takes numbers from 1 to 12 with commas between, for instance MONTHS=9,10", file=sys.stderr
        )
        return 1
    try:
        pages = play(options.data, months, options.past)
    except StackError as error:
        print(f"replay: {error}", file=sys.stderr)
        return 1
    for month, page in pages.items():
        print(f"{calendar.month_name[month]:<10} {page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
