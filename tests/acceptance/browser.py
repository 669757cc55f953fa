"""The pages in a browser: what a visitor types is what is sent, and what comes back is what is shown."""

from __future__ import annotations

import csv
import io
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import boto3

from tests.acceptance.running_stack import Broken, RunningStack, Skipped
from tests.chromium import OPTIONS, PATIENCE_MS, PROGRAMS, opened

if TYPE_CHECKING:
    from playwright.sync_api import Page

INCOME: Final = 43_210
SHIPPED_S: Final = 60.0
ARTIFACTS: Final = {"training": "training-metrics", "registration": "release-", "drift": "drift-"}
IDENTITY: Final = re.compile(r"\d{8}-\w+-[0-9a-f]{32}")


def pages_show_what_was_sent(stack: RunningStack) -> None:
    """In a browser: the partner page, the API's documentation, Prefect and MLflow; what is typed is what is stored."""
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        raise Skipped("there is no Chromium here")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=OPTIONS)
        try:
            scored = browser.new_context(locale="en-US", viewport={"width": 1360, "height": 1600}).new_page()
            with _no_complaints(scored):
                _scored(stack, scored)
            docs = browser.new_context(http_credentials={"username": "partner", "password": stack.key}).new_page()
            opened(docs, f"{stack.api_url}/docs", ':text("/v1/score")')
            _shot(stack, docs, "api-docs")
            user, password = stack.mlflow_login
            mlflow = browser.new_context(http_credentials={"username": user, "password": password}).new_page()
            with _no_complaints(mlflow):
                opened(mlflow, _mlflow_run(stack), "text=macro_f1")
                _shot(stack, mlflow, "mlflow-run")
            for deployment, artifact in ARTIFACTS.items():
                page = browser.new_context(viewport={"width": 1360, "height": 1600}).new_page()
                _prefect(stack, page, deployment, artifact)
        finally:
            browser.close()


@contextmanager
def _no_complaints(page: Page) -> Iterator[None]:
    """Nothing that the page's own programs throw meanwhile.

    Raises:
        Broken: they threw.
    """
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield
    if complaints:
        raise Broken(f"{page.url.partition('?')[0]} complains: {complaints[0]}")


def _scored(stack: RunningStack, page: Page) -> None:
    """Another income than the example's, typed and scored; the stored row has it, and the page its score."""
    page.set_default_timeout(PATIENCE_MS)
    opened(page, stack.ui_url, ".st-key-submit button:visible")
    income = page.locator(".st-key-field-annual_income input").first
    income.fill(f"{INCOME}")
    income.press("Tab")
    page.locator(".st-key-submit button:visible").first.click()
    page.locator(".qf-inputs").wait_for()  # the last part of a result
    shown = int(re.sub(r"\D", "", page.locator(".qf-score").first.text_content() or ""))
    _shot(stack, page, "ui-score")
    told = IDENTITY.search(page.inner_text("body"))
    if not told:
        raise Broken("the page shows no prediction's id to quote")
    row = _stored(told[0])
    if float(row["annual_income"]) != INCOME or int(row["score"]) != shown:
        raise Broken(f"typed {INCOME}, shown {shown}; stored {row['annual_income']}, {row['score']}")


def _stored(prediction: str) -> dict[str, Any]:
    """The row of a prediction in the bucket, which takes some seconds to get there."""
    store, prefix = (
        boto3.client("s3"),
        f"predictions/dt={datetime.strptime(prediction[:8], '%Y%m%d').replace(tzinfo=UTC):%Y-%m-%d}/",
    )
    deadline, seen = time.monotonic() + SHIPPED_S, set[str]()
    while time.monotonic() < deadline:
        listed = store.list_objects_v2(Bucket="predictions", Prefix=prefix).get("Contents", [])
        for key in {one["Key"] for one in listed} - seen:
            seen.add(key)
            text = store.get_object(Bucket="predictions", Key=key)["Body"].read().decode()
            for row in csv.DictReader(io.StringIO(text)):
                if row["prediction_id"] == prediction:
                    return row
        time.sleep(1)
    raise Broken(f"the answer that the page quotes is not in the bucket after {SHIPPED_S:g} s")


def _mlflow_run(stack: RunningStack) -> str:
    """The page of the champion's run."""
    run = stack.mlflow("runs/get", run_id=stack.champion()["run_id"])["run"]["info"]
    return f"{stack.mlflow_url}/#/experiments/{run['experiment_id']}/runs/{run['run_id']}"


def _shot(stack: RunningStack, page: Page, name: str) -> None:
    """For whoever looks afterwards."""
    page.wait_for_timeout(1500)
    page.screenshot(path=stack.state / "screenshots" / f"{name}.png", full_page=name.startswith("ui-"))


def _prefect(stack: RunningStack, page: Page, deployment: str, artifact: str) -> None:
    """Signed in, the page of the newest run of a deployment shows its artifacts."""
    run = stack.newest(deployment, artifact)
    page.set_default_timeout(PATIENCE_MS)
    opened(page, f"{stack.prefect_url}/login", "input[type=password]")
    page.locator("input[type=password]").fill(stack.prefect_auth)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: not url.endswith("/login"))
    with _no_complaints(page):  # not before: Prefect's page throws at each 401 until somebody is signed in
        opened(page, f"{stack.prefect_url}/runs/flow-run/{run['id']}", f"text={run['name']}")
        page.get_by_text("Artifacts", exact=True).first.click()
        page.get_by_text(artifact).first.wait_for()
        _shot(stack, page, f"prefect-{deployment}")
