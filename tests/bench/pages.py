"""The partner demo as a visitor meets it: `python -m tests.bench.pages --model DIR`. Needs chromium.

First paint and the moment the form can be used, with an empty and with a warm cache; from click to score, beyond
what the API takes; from page to page; and a batch of 10,000 rows as the page sends it, as a ratio to the time a bare
client needs for the same rows in parts, in the same run.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import httpx
from playwright.sync_api import Browser, sync_playwright
from pydantic import SecretStr, TypeAdapter

from service.contract import MAX_BATCH_ROWS, Applicant
from tests.chromium import OPTIONS
from tests.ui.browsing import LOOKS, Stack, Visit, running
from ui.api.client import Client
from ui.applicant.examples import EXAMPLES
from ui.batches.jobs import JobStore
from ui.batches.orders import by_limits
from ui.settings import UiSettings

ROWS: Final = 10_000
VISITS: Final = 5
ROUNDS: Final = 5
DRAWN: Final = "document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"


def opened_ms(browser: Browser, stack: Stack) -> dict[str, list[float]]:
    """Milliseconds to the first content and to a form that takes a click, with an empty and a warm cache."""
    found: dict[str, list[float]] = {}
    for _ in range(VISITS):
        visit = Visit(browser, stack, LOOKS[0])
        for cache in ("cold", "warm"):
            begun = time.monotonic()
            visit.page.goto(stack.page)
            visit.page.locator(".st-key-submit button:visible").first.wait_for()
            visit.page.wait_for_function(DRAWN)
            found.setdefault(f"form usable, {cache} cache, ms", []).append((time.monotonic() - begun) * 1000)
            paint = visit.page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
            found.setdefault(f"first paint, {cache} cache, ms", []).append(float(paint))
        visit.context.close()
    return found


def clicked_ms(browser: Browser, stack: Stack) -> list[float]:
    """Milliseconds from the click to the gauge on the screen, less those that the API took."""
    found = []
    for _ in range(VISITS):
        visit = Visit(browser, stack, LOOKS[0]).open()
        begun = time.monotonic()
        visit.page.locator(".st-key-submit button:visible").first.click()
        visit.page.locator(".qf-gauge .qf-band").wait_for()
        found.append((time.monotonic() - begun - stack.gate.took_s) * 1000)
        visit.context.close()
    return found


def switched_ms(browser: Browser, stack: Stack) -> list[float]:
    """Milliseconds from a click in the navigation to the other page, drawn to its end; every page once before."""
    visit = Visit(browser, stack, LOOKS[0])
    for path in ("batch", "whatif", "model", "developers", ""):
        visit.open(path)
    found = []
    for name in ("batch", "developers", "model", "score") * 2:
        begun = time.monotonic()
        visit.page.get_by_role("link", name=visit.t(f"nav.{name}"), exact=True).locator("visible=true").first.click()
        title = visit.t("app.title") if name == "score" else visit.t(f"nav.{name}")
        visit.page.get_by_role("heading", name=title, level=1).wait_for()
        visit.page.wait_for_function(DRAWN)
        found.append((time.monotonic() - begun) * 1000)
    visit.context.close()
    return found


def applicants() -> Sequence[Applicant]:
    """`ROWS` different applicants."""
    examples = list(EXAMPLES.values())
    return [examples[row % 3].model_copy(update={"outstanding_debt": float(row)}) for row in range(ROWS)]


def batch_ratios(stack: Stack, folder: Path) -> list[float]:
    """Time of the page's job over that of a bare client which sends the same rows in parts, round by round."""
    rows = applicants()
    found = []
    for number in range(ROUNDS):
        bare = _bare_s(stack, rows)
        settings = UiSettings(stack.gate.api, SecretStr(stack.gate.own_key), stack.gate.api, "BRL", folder)
        store = JobStore(folder / f"batch-{number}")
        store.open(range(ROWS))
        client = Client(settings)
        limits = client.model().limits
        begun = time.perf_counter()
        job = by_limits(ROWS, store, limits)(f"{number:064d}", rows, store, client, limits=limits)
        job.start()
        job.join(600)
        took = time.perf_counter() - begun
        if job.progress().done != ROWS:
            raise SystemExit(f"the job stopped: {job.progress().error}")
        found.append(took / bare)
    return found


def _bare_s(stack: Stack, rows: Sequence[Applicant]) -> float:
    """Seconds the API needs for the rows, asked by a client that keeps nothing."""
    adapter = TypeAdapter(Sequence[Applicant])
    cuts = [*range(0, ROWS, MAX_BATCH_ROWS), ROWS]
    bodies = [b'{"applicants":' + adapter.dump_json(rows[a:b]) + b"}" for a, b in zip(cuts, cuts[1:])]
    headers = {"x-api-key": stack.gate.own_key, "content-type": "application/json"}
    with httpx.Client(base_url=stack.gate.api, headers=headers, timeout=60, trust_env=False) as client:
        begun = time.perf_counter()
        for body in bodies:
            client.post("/v1/score/batch", content=body).raise_for_status()
        return time.perf_counter() - begun


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", type=Path, required=True, help="packed model")
    options = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("chromium is not installed: apt-get install chromium")
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch, sync_playwright() as playwright:
        folder = Path(scratch)
        browser = playwright.chromium.launch(executable_path=chromium, args=OPTIONS)
        with running(folder, options.model.resolve()) as stack:
            Visit(browser, stack, LOOKS[0]).open().context.close()  # the first visitor pays the server's imports
            figures = {
                **opened_ms(browser, stack),
                "click to score beyond the API's own time, ms": clicked_ms(browser, stack),
                "from page to page, ms": switched_ms(browser, stack),
                f"batch of {ROWS:,} rows, time over the API's own": batch_ratios(stack, folder),
            }
        browser.close()
    print("| the partner demo | median | lowest | highest |\n|---|---:|---:|---:|")
    for name, found in figures.items():
        print(f"| {name} | {statistics.median(found):.2f} | {min(found):.2f} | {max(found):.2f} |")


if __name__ == "__main__":
    main()
