"""The whole chain on a fresh clone: interrupted, played, looked at in a browser, played again, taken down."""

from __future__ import annotations

import json
import re
import stat
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from infra.demo.partner import stored_predictions
from infra.settings import HOST
from infra.stack import prefect_api
from infra.stack.credentials import Credentials, read_exports
from infra.stack.processes import stack_processes
from tests.chromium import PATIENCE_MS, opened
from tests.e2e import doors
from tests.e2e.conftest import PARTS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.e2e.conftest import Clone

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.xdist_group("chain"),
]

DEMO = ("infra.demo.play", "--data", "sample")
MADE_BY_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "VIRTUAL_ENV")  # of the make that runs the tests


@pytest.fixture(scope="module", name="before")
def _before(clone: Clone) -> str:
    """What git saw as changed before anything ran."""
    return clone.git_status()


@pytest.fixture(scope="module", name="interrupted")
def _interrupted(clone: Clone, before: str) -> tuple[int, str, int]:
    """A demo stopped by Ctrl-C while it trains: exit code, output, processes left."""
    assert before is not None
    code, said = clone.interrupt(*DEMO, at="/runs/flow-run/")
    return code, said, len(stack_processes(clone.state))


@pytest.fixture(scope="module", name="played")
def _played(clone: Clone, interrupted: tuple[int, str, int]) -> str:
    """Everything the whole demo said."""
    assert interrupted
    done = clone.run(*DEMO)
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def summary(said: str) -> dict[str, str]:
    """The rows of the summary."""
    return dict(re.findall(r"^(\w[\w ]*?)  +(.+)$", said[said.rindex("\nscore") :], flags=re.MULTILINE))


def test_ctrl_c_leaves_nothing_running(interrupted: tuple[int, str, int]) -> None:
    """Stopped in a stage: exit 130, the stage and the way on are named, and no process is left."""
    code, said, left = interrupted

    assert code == 130, said[-2000:]
    assert "stopped in: training" in said
    assert said.strip().endswith("`make demo` with the same DATA goes on where it stopped")
    assert left == 0


def test_the_summary_names_score_model_and_pages(played: str, clone: Clone) -> None:
    """One summary: the score, the version, and URLs that answer."""
    rows = summary(played)

    assert re.match(
        r"\d+ of 1000, band (Poor|Standard|Good) \(Poor 0\.\d+, Standard 0\.\d+, Good 0\.\d+\)", rows["score"]
    )
    assert re.match(r"credit-score version \d+, digest [0-9a-f]{9}", rows["model"])
    assert re.match(r"(green|amber): ", rows["drift"])
    for name in ("Prefect", "MLflow", "UI", "drift"):
        address = rows[name].split()[-1]
        # Prefect sends its page for an inner address only to those who take HTML.
        answer = httpx.get(
            address, headers={"accept": "text/html"}, auth=clone.mlflow_login, trust_env=False, follow_redirects=True
        )
        assert answer.status_code == httpx.codes.OK, address
    key = (clone.state / "keys" / "demo").read_text().strip()
    docs = httpx.get(rows["API docs"].split()[0], auth=("demo", key), trust_env=False)
    assert docs.status_code == httpx.codes.OK
    assert stat.S_IMODE((clone.state / "keys" / "demo").stat().st_mode) == 0o600


def test_the_trail_names_the_demo_reviewer(played: str, clone: Clone) -> None:
    """The verdict was given in Prefect's form by `demo`, and the audit trail says so."""
    assert played
    lines = [json.loads(line) for line in (clone.state / "audit" / "registry.jsonl").read_text().splitlines()]

    assert any("demo" in json.dumps(line) and "promot" in json.dumps(line) for line in lines)


def test_every_answer_lies_in_the_bucket(played: str, clone: Clone) -> None:
    """The traffic of the demo is in bucket `predictions`, by the day it was answered."""
    exports = read_exports(clone.state / "env")
    pair = Credentials(exports["AWS_ACCESS_KEY_ID"], exports["AWS_SECRET_ACCESS_KEY"])
    day = re.search(r"prediction (\d{4})(\d{2})(\d{2})", played)

    days = ["-".join(day.groups())] if day else [httpx.get(clone.url("API") + "/livez").headers["date"]]

    assert len(stored_predictions(exports["AWS_ENDPOINT_URL_S3"], pair, days[0])) >= 500


def test_a_second_demo_uses_what_stands(played: str, clone: Clone) -> None:
    """Nothing is trained, approved or packed again; applicants are scored anew."""
    done = clone.run(*DEMO)

    assert done.returncode == 0, done.stdout[-3000:]
    assert "used again" in done.stdout
    assert "is the champion already" in done.stdout
    assert "is packed already" in done.stdout
    assert summary(done.stdout)["model"] == summary(played)["model"]


def test_drift_can_be_asked_for_at_any_time(played: str, clone: Clone) -> None:
    """`make drift` follows a run of the deployment to its verdict and keeps the report."""
    asked = replace(clone, environment=clone.environment | read_exports(clone.state / "env"))

    done = asked.run("infra.delivery.drift_check")

    assert played and "# Drift" in done.stdout, done.stdout
    assert (clone.state / "reports" / "drift.md").read_text().strip() in done.stdout


class Look:
    """A page opened in the browser, with what its console complained about."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))


@pytest.fixture(name="look")
def _look(browser: Browser, played: str, clone: Clone) -> Iterator[Look]:
    assert played
    user, password = clone.mlflow_login
    context = browser.new_context(
        viewport={"width": 1360, "height": 1600},
        ignore_https_errors=True,
        http_credentials={"username": user, "password": password, "origin": clone.url("MLFLOW")},
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    yield Look(page)
    context.close()  # a page left open draws on, on the processor


def newest_run(clone: Clone, deployment: str, artifact: str) -> dict[str, Any]:
    """The newest run of a deployment with an artifact whose key begins so; an hourly drift run may have none."""
    query = {
        "deployments": {"name": {"any_": [deployment]}},
        "artifacts": {"key": {"like_": artifact}},
        "sort": "CREATED_DESC",
        "limit": 1,
    }
    with prefect_api.client(clone.url("PREFECT"), clone.prefect_auth) as http:
        found = http.post("/artifacts/filter", json=query).json()
        run: dict[str, Any] = http.get(f"/flow_runs/{found[0]['flow_run_id']}").json()
    return run


def test_no_port_lets_a_foreign_page_or_a_stranger_in(played: str, clone: Clone) -> None:
    """Every port that a process of the stack listens on, found from the processes, refuses all that come uninvited."""
    assert played
    ports = doors.listening(stack_processes(clone.state))

    assert {int(clone.environment[f"QF_PORT_{part}"]) for part in PARTS} <= {port.number for port in ports}
    assert not {port.address for port in ports} - {HOST}
    assert not [line for port in ports for line in doors.let_in(port)]


@pytest.mark.needs_browser
@pytest.mark.parametrize(
    ("deployment", "artifact"), [("training", "training-metrics"), ("registration", "release-"), ("drift", "drift-")]
)
def test_prefect_shows_runs_and_their_artifacts(
    deployment: str, artifact: str, look: Look, clone: Clone, screenshots: Path
) -> None:
    """A run's page shows that it completed, and its artifacts by their keys."""
    run = newest_run(clone, deployment, artifact)
    opened(look.page, f"{clone.url('PREFECT')}/login", "input[type=password]")
    look.page.locator("input[type=password]").fill(clone.prefect_auth)
    look.page.keyboard.press("Enter")
    look.page.wait_for_url(lambda url: not url.endswith("/login"))
    look.complaints.clear()  # Prefect's page throws at each 401 until somebody is signed in

    opened(look.page, f"{clone.url('PREFECT')}/runs/flow-run/{run['id']}", f"text={run['name']}")
    look.page.get_by_text("Artifacts", exact=True).first.click()
    look.page.get_by_text(artifact).first.wait_for()
    look.page.wait_for_timeout(1500)
    look.page.screenshot(path=screenshots / f"prefect-{deployment}.png")

    assert not look.complaints


@pytest.mark.needs_browser
def test_mlflow_shows_the_run(look: Look, clone: Clone, screenshots: Path) -> None:
    """The run of the champion with its metrics."""
    alias = f"{clone.url('MLFLOW')}/api/2.0/mlflow/registered-models/alias"
    version = httpx.get(alias, params={"name": "credit-score", "alias": "champion"}, auth=clone.mlflow_login).json()[
        "model_version"
    ]
    run = httpx.get(
        f"{clone.url('MLFLOW')}/api/2.0/mlflow/runs/get", params={"run_id": version["run_id"]}, auth=clone.mlflow_login
    ).json()["run"]
    url = f"{clone.url('MLFLOW')}/#/experiments/{run['info']['experiment_id']}/runs/{version['run_id']}"

    opened(look.page, url, "text=macro_f1")
    look.page.wait_for_timeout(1500)
    look.page.screenshot(path=screenshots / "mlflow-run.png")

    assert not look.complaints


@pytest.mark.needs_browser
def test_the_api_documents_itself(browser: Browser, played: str, clone: Clone, screenshots: Path) -> None:
    """A browser opens the documentation with the key as password, and it names the scoring route."""
    assert played
    key = (clone.state / "keys" / "demo").read_text().strip()
    context = browser.new_context(
        http_credentials={"username": "demo", "password": key}, viewport={"width": 1360, "height": 1600}
    )
    page = context.new_page()

    opened(page, f"{clone.url('API')}/docs", ':text("/v1/score")')
    page.screenshot(path=screenshots / "api-docs.png")
    context.close()


@pytest.mark.needs_browser
def test_the_partner_page_scores_an_applicant(look: Look, clone: Clone, screenshots: Path) -> None:
    """The Streamlit page takes its example to the API and shows the score it got."""
    opened(look.page, clone.url("UI"), ".st-key-submit button")
    look.page.locator(".st-key-submit button").click()

    look.page.locator(".qf-band").wait_for()
    look.page.locator(".qf-inputs").wait_for()  # the last part of a result
    look.page.wait_for_timeout(1500)
    look.page.evaluate("document.querySelector('[data-testid=stMain]').scrollTo(0, 0)")  # the page from its name on
    look.page.screenshot(path=screenshots / "ui-score.png", full_page=True)

    assert not look.complaints


@pytest.mark.needs_browser
@pytest.mark.timeout(3600)  # minutes of work, and whatever else the machine does
def test_every_promise_is_kept(played: str, clone: Clone) -> None:
    """`make acceptance` on this stack: schedules, forms, approval to answer, image, lost runs."""
    assert played
    inherited = {name: value for name, value in clone.environment.items() if name not in MADE_BY_MAKE}
    command = ["make", "--no-print-directory", "acceptance"]

    asked = subprocess.run(command, cwd=clone.folder, env=inherited, capture_output=True, text=True, check=False)

    assert asked.returncode == 0, f"{asked.stdout[-6000:]}\n{asked.stderr[-2000:]}"
    assert "every promise is kept" in asked.stdout


def test_the_clone_stays_clean(played: str, clone: Clone, before: str) -> None:
    """Whatever ran, git sees what it saw before."""
    assert played
    assert clone.git_status() == before


def test_down_stops_every_process(played: str, clone: Clone, require_program: Callable[[str], str]) -> None:
    """After `make down` no process of the stack is left, and what it stored is."""
    assert played and require_program("git")
    done = clone.run("infra.local", "down")

    assert done.returncode == 0, done.stdout
    assert not stack_processes(clone.state)
    assert (clone.state / "mlflow" / "mlflow.db").exists()
