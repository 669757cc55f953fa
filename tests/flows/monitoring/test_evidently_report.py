"""The interactive report: what it shows is what decided, it opens with no network, and it names nobody."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.monitoring import column_rules, report_store
from flows.monitoring.evidently_report import EFFECT, PSI, ReportComparison, write_report
from flows.monitoring.history import WindowVerdict
from flows.monitoring.judge_window import ReferenceData
from flows.monitoring.verdict_types import Cause, ColumnVerdict, DriftRule, DriftState
from flows.monitoring.window_settings import Thresholds
from flows.settings import FlowSettings
from tests.chromium import OPTIONS, opened
from tests.flows.answered_applicants import CANARY, MODEL, answers

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("servers")]
THRESHOLDS = Thresholds()


@pytest.fixture(name="made", scope="module")
def fixture_made(tmp_path_factory) -> tuple[Path, list[ColumnVerdict]]:
    """A folder with the report of a window whose incomes doubled and one of whose columns is lost."""
    folder = tmp_path_factory.mktemp("report")
    current = answers(1_000, 2).assign(annual_income=lambda frame: frame["annual_income"] * 2, num_loans=None)
    reference = ReferenceData(MODEL, answers(2_000, 1), ("annual_income",))
    judged = column_rules.judge_columns(reference.columns, reference.frame, current, THRESHOLDS)
    verdict = WindowVerdict(
        state=DriftState.RED,
        causes=(Cause(rule=DriftRule.KEY_COLUMNS, text="it moved"),),
        window={"start": date(2026, 10, 1), "end": date(2026, 10, 8)},
        model=MODEL,
        rows=1_000,
        compared_rows=1_000,
        columns=judged,
        checks=[],
        outcomes={},
        made_at=datetime.now(UTC),
    )
    comparison = ReportComparison(reference.frame, current, reference.columns, verdict, THRESHOLDS)
    write_report(comparison, folder / "report.html", folder / "report.json")
    return folder, judged


def figures(folder: Path, methods: dict[str, Any]) -> dict[str, float]:
    """The report's value of each column under the methods of one role."""
    names = {one.name for one in methods.values()}
    metrics = json.loads((folder / "report.json").read_text())["metrics"]
    found = [(one["config"], one["value"]) for one in metrics if one["config"].get("method") in names]
    return {config["column"]: value for config, value in found}


@pytest.mark.parametrize(("role", "figure"), [(PSI, "psi"), (EFFECT, "effect")], ids=["PSI", "effect"])
def test_the_report_shows_the_figures_that_decided(made, role, figure):
    """Evidently's figures are the verdict's own, column by column, to 1e-12; broken columns are left out."""
    folder, judged = made
    expected = {one.name: getattr(one, figure) for one in judged if not one.broken}
    assert figures(folder, role) == pytest.approx(expected, abs=1e-12)
    assert "num_loans" not in expected and len(expected) == 22


def test_the_page_begins_with_every_column_and_draws_what_moved(made):
    """The summary has a row a column, broken ones too; of the others only what moved is drawn."""
    page = (made[0] / "report.html").read_text(encoding="utf-8")
    summary = page[page.index("<section id=summary>") : page.index("</section>")]
    assert all(f"<td>{one.name}</td>" in summary for one in made[1])
    quiet = [one.name for one in made[1] if one.state == DriftState.GREEN]
    drawn = page.partition("Drawn below: ")[2].partition(". ")[0].split(", ")
    assert quiet and "annual_income" in drawn and not set(quiet) & set(drawn)


def test_no_person_is_in_the_report(made):
    """References, partners and ids of predictions stay out of every form of it."""
    for path in made[0].iterdir():
        text = path.read_text(encoding="utf-8")
        assert CANARY not in text and "p2-17" not in text and "prediction_id" not in text


@pytest.fixture(name="page")
def fixture_page(require_program: Callable[[str], str]) -> Iterator[Any]:
    """A page of Debian's Chromium; what it asks for and complains of is kept in `asked` and `errors`."""
    from playwright.sync_api import sync_playwright

    path = require_program("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=OPTIONS)
        page = browser.new_page()
        page.asked, page.errors = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("console", lambda line: page.errors.append(line.text) if line.type == "error" else None)
        yield page
        browser.close()


def looked_at(page: Any, url: str) -> list[str]:
    """Open the report and wait until its pictures are drawn; what was asked for beside the page itself."""
    opened(page, url, "svg.main-svg")
    return [
        one for one in page.asked if one.split("?")[0] != url.split("?")[0] and not one.startswith(("data:", "blob:"))
    ]


@pytest.mark.needs_browser
def test_the_report_opens_without_a_network(made, page):
    """From a file: pictures are drawn, nothing is asked for, nothing complains."""
    page.context.set_offline(True)
    assert looked_at(page, (made[0] / "report.html").as_uri()) == []
    assert page.errors == []
    assert page.title() == "Drift of credit-score, 2026-10-01 to 2026-10-08"
    assert page.locator("#summary h1").bounding_box()["y"] < 200


@pytest.mark.needs_browser
def test_the_link_of_the_artifact_opens_in_a_browser(made, page, object_store, monkeypatch):
    """A browser that knows no key gets the report from the store, drawn and not downloaded; unsigned, none."""
    for name, value in object_store.variables.items():
        monkeypatch.setenv(name, value)
    key = "drift/dt=2026-10-08/report.html"
    report_store.put(
        report_store.object_store(), key, (made[0] / "report.html").read_bytes(), "text/html; charset=utf-8"
    )
    link = report_store.link(key)
    assert looked_at(page, link) == []
    assert [text for text in page.errors if "favicon" not in text] == []
    assert httpx.get(link.split("?")[0], trust_env=False).status_code == 403
    report_store.object_store().delete_object(Bucket=report_store.REPORTS, Key=key)


def test_a_link_is_made_for_the_address_it_is_opened_at(monkeypatch):
    """In a cluster the worker and the browser reach the store by different names."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x" * 20)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://minio:9000")
    link = report_store.link("a.html", "https://reports.example")
    assert link.startswith("https://reports.example/reports/a.html?X-Amz-Algorithm=AWS4-HMAC-SHA256")
    assert "X-Amz-Expires=604800" in link


def test_where_there_is_a_page_the_link_lasts():
    """It names the report and no signature that runs out."""
    link = report_store.link("drift/dt=2026-10-08/a b.html", "https://reports.example", "https://page.example/")
    assert link == "https://page.example/health?report=drift%2Fdt%3D2026-10-08%2Fa+b.html"


def test_the_demos_page_is_not_taken_for_staffs(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a partner's key and shows no report: on one machine the link leads to the object itself."""
    monkeypatch.setenv("QF_UI_URL", "http://127.0.0.1:8501")
    assert not FlowSettings().staff_url
