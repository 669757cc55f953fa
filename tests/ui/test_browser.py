"""The pages in a real Chromium against the real, served API: what AppTest cannot see.

One API process with a small packed model and one Streamlit process serve all tests. Between them stands a gate that can
put in another key or cut the connection, so that a revoked key and a limit are the real thing.
axe-core is taken from `QF_AXE` or `.local/npm/node_modules/axe-core/axe.min.js`
(`npm install --prefix .local/npm axe-core`).
"""

# pylint: disable=redefined-outer-name  # how pytest hands fixtures over
from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from playwright.sync_api import Browser, Locator, Page, Request, expect, sync_playwright

from infra.ports import free_port
from infra.settings import ROOT
from tests.factories import pack_small_model
from ui.examples import EXAMPLES
from ui.fields import contract_fields
from ui.mapping import template
from ui.wording import texts

pytestmark = [pytest.mark.needs_browser, pytest.mark.slow, pytest.mark.xdist_group("browser"), pytest.mark.timeout(900)]

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
SHOTS = ROOT / ".local" / "screenshots"
PATIENCE_MS = 90_000
# Streamlit asks for these below the page's own path first, then at the root: a 404 by design.
BY_DESIGN = re.compile(r"/_stcore/(health|host-config)$")
LOOKS = [("pt", "pt-BR", 1280, 900, "light"), ("en", "en-US", 390, 844, "dark")]


class Gate:
    """A door between page and API: another key, no key, or shut."""

    def __init__(self, api: str, key: str) -> None:
        self.api, self.key, self.own_key, self.shut = api, key, key, False
        gate = self

        class Handler(BaseHTTPRequestHandler):
            """One connection."""

            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:  # pylint: disable=invalid-name  # the standard library's name
                """Passed on with the gate's key, or cut."""
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                if gate.shut:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                    return
                headers = {
                    name: value for name, value in self.headers.items() if name.lower() not in ("host", "x-api-key")
                }
                answer = gate.client.request(
                    self.command, gate.api + self.path, content=body, headers={**headers, "x-api-key": gate.key}
                )
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name.lower() not in ("content-encoding", "transfer-encoding", "content-length", "connection"):
                        self.send_header(name, value)
                self.send_header("content-length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_POST = do_GET

            def log_message(self, format: str, *args: Any) -> None:  # pylint: disable=redefined-builtin
                """Quiet."""

        self.client = httpx.Client(timeout=60)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        """Where the page finds the API."""
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        """No more."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
        self.client.close()


@dataclass(frozen=True)
class Stack:
    """What runs: the page's address, the gate, and how to make and revoke keys."""

    page: str
    gate: Gate
    keys: Callable[..., str]
    ui_log: Path


def _until_it_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"{url} did not answer: {log.read_text()[-2000:]}")


def _started(command: list[str], log: Path, environment: dict[str, str], ready: str) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        process = subprocess.Popen(  # pylint: disable=consider-using-with  # ended by the fixture
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env={**os.environ, "PYTHONWARNINGS": "ignore", **environment},
            stdout=output,
            stderr=output,
        )
    try:
        _until_it_answers(ready, process, log)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process


@pytest.fixture(scope="module")
def stack(require_program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The real API, the gate and the page, once for all tests."""
    require_program("chromium")
    folder = tmp_path_factory.mktemp("browser")
    pack_small_model(folder / "model")
    service = {"QF_MODEL_DIR": str(folder / "model"), "QF_SERVICE_DIR": str(folder / "service")}

    def keys(*arguments: str) -> str:
        command = [sys.executable, "-m", "service.keys", *arguments]
        done = subprocess.run(
            command, env={**os.environ, **service}, cwd=ROOT, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    key = keys("issue", "demo", "--rate", "500", "--burst", "2000", "--daily", "1000000")
    port, page_port = free_port(), free_port()
    command = ["bentoml", "serve", "service.service:CreditScorer", "--host", "127.0.0.1", "--port", str(port)]
    api = _started(command, folder / "api.log", service, f"http://127.0.0.1:{port}/readyz")
    gate = Gate(f"http://127.0.0.1:{port}", key)
    secrets = folder / "secrets.toml"
    secrets.write_text(f'endpoint = "{gate.url}"\nkey = "{key}"\n')
    command = ["streamlit", "run", "ui/app.py", "--server.address", "127.0.0.1", "--server.port", str(page_port)]
    page = _started(
        [*command, "--secrets.files", str(secrets)],
        folder / "ui.log",
        {"QF_STATE_DIR": str(folder / "state")},
        f"http://127.0.0.1:{page_port}/_stcore/health",
    )
    try:
        yield Stack(f"http://127.0.0.1:{page_port}", gate, keys, folder / "ui.log")
    finally:
        for process in (page, api):
            process.terminate()
            process.wait(60)
        gate.close()


@pytest.fixture(scope="module")
def browser(require_program: Callable[[str], str]) -> Iterator[Browser]:
    """Debian's Chromium."""
    path = require_program("chromium")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield found
        found.close()


class Visit:
    """One visitor: a page whose console and failed requests are watched."""

    def __init__(self, browser: Browser, stack: Stack, look: tuple[str, str, int, int, str]) -> None:
        self.language, locale, width, height, scheme = look
        self.t, self.stack, self.name = texts(self.language), stack, f"{self.language}-{width}-{scheme}"
        self.context = browser.new_context(
            locale=locale,
            viewport={"width": width, "height": height},
            color_scheme=scheme,  # type: ignore[arg-type]
            timezone_id="America/Sao_Paulo",
            accept_downloads=True,
        )
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.troubles: list[str] = []
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("response", lambda answer: self._answered(answer.status, answer.url))
        self.page.on("requestfailed", self._failed)
        self.page.on(
            "console",
            lambda said: (
                self.troubles.append(said.text)
                if said.type == "error" and "Failed to load resource" not in said.text
                else None
            ),
        )

    def _answered(self, status: int, url: str) -> None:
        if status >= 400 and not BY_DESIGN.search(url):
            self.troubles.append(f"{status} {url}")

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # what a visitor leaves behind by going elsewhere
            self.troubles.append(f"failed {request.url}")

    def open(self, path: str = "") -> Visit:
        """A page, settled."""
        self.page.goto(f"{self.stack.page}/{path}")
        self.page.wait_for_selector("h1")
        return self.settle()

    def settle(self) -> Visit:
        """Waited until the script has ended and the page stands still."""
        self.page.wait_for_function(
            "document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"
        )
        self.page.wait_for_timeout(400)
        return self

    def press(self) -> Visit:
        """The score asked for."""
        self.page.locator(".st-key-submit button:visible").first.click()
        self.page.wait_for_timeout(300)
        return self.settle()

    def shot(self, name: str) -> None:
        """A picture for whoever looks."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"ui-{name}-{self.name}.png")

    def field(self, name: str) -> Locator:
        """A number field's input."""
        return self.page.locator(f".st-key-applicant-{name} input")

    def done(self) -> None:
        """Nothing went wrong in the browser or on the server, and nothing stuck out sideways."""
        main = "document.querySelector('[data-testid=stMain]')"
        assert self.page.evaluate(f"{main}.scrollWidth - {main}.clientWidth") <= 0
        assert self.page.locator("[data-testid=stException]").count() == 0
        assert not self.troubles
        self.context.close()


@pytest.fixture(autouse=True)
def put_right(stack: Stack) -> Iterator[None]:
    """Each test begins with an open gate and the right key."""
    stack.gate.shut, stack.gate.key = False, stack.gate.own_key
    yield


@pytest.mark.parametrize("look", LOOKS, ids=["Portuguese desktop light", "English phone dark"])
def test_a_score(browser: Browser, stack: Stack, look: tuple[str, str, int, int, str]) -> None:
    """From the form to gauge, reasons and advice, in view without scrolling; the printable page stands alone."""
    visit = Visit(browser, stack, look).open()
    visit.shot("form")
    visit.press()
    expect(visit.page.locator(".qf-gauge")).to_be_in_viewport()
    visit.page.wait_for_selector(".qf-gain")
    visit.settle().shot("score")
    with visit.page.expect_download() as download:
        visit.page.locator(".st-key-print button:visible").first.click()
    printed = Path(download.value.path()).read_text(encoding="utf-8")
    assert visit.t("result.reasons") in printed and "<script" not in printed and stack.gate.own_key not in printed
    assert stack.gate.own_key not in visit.page.content()
    visit.done()


def test_by_keyboard_alone(browser: Browser, stack: Stack) -> None:
    """A number typed and Enter pressed is a score; the focus goes to the result."""
    visit = Visit(browser, stack, LOOKS[0]).open()
    visit.field("outstanding_debt").focus()
    visit.page.keyboard.press("Control+a")
    visit.page.keyboard.type("300")
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_selector(".qf-gain")
    visit.settle()
    assert visit.page.evaluate("document.activeElement.classList.contains('st-key-result')")
    visit.done()


def test_what_is_typed_stays(browser: Browser, stack: Stack) -> None:
    """A value typed and not yet sent survives the switch of language."""
    visit = Visit(browser, stack, LOOKS[0]).open()
    visit.field("annual_income").fill("43210")
    visit.page.get_by_role("radio", name="English").or_(visit.page.get_by_role("button", name="English")).first.click()
    expect(visit.page.get_by_text(texts("en").label("annual_income")).first).to_be_visible()
    visit.settle()
    assert visit.field("annual_income").input_value().startswith("43210")
    visit.done()


@pytest.mark.parametrize("look", LOOKS, ids=["pt", "en"])
def test_errors(browser: Browser, stack: Stack, look: tuple[str, str, int, int, str]) -> None:
    """Revoked key, limit, stopped service, refused input: its own words, nothing typed lost, and a way on."""
    visit = Visit(browser, stack, look).open()
    visit.field("annual_income").fill("43210")
    gate = stack.gate

    def says(key: str) -> None:
        words = visit.t.entries[f"problem.{key}"].split("**")[1]
        visit.press()
        expect(visit.page.get_by_text(words).first).to_be_visible()
        assert visit.field("annual_income").input_value().startswith("43210")
        visit.shot(f"error-{key}")

    gate.key = stack.keys("issue", "gone", "--rate", "10", "--burst", "10")
    listed = [line for line in stack.keys("list").splitlines() if "gone" in line and "revoked" not in line]
    stack.keys("revoke", re.split(r"\s+", listed[-1].strip())[0])
    time.sleep(2.5)
    says("key_refused")
    gate.key = stack.keys("issue", "reader", "--scope", "docs")
    time.sleep(2.5)
    says("not_allowed")
    gate.key = stack.keys("issue", "slow", "--rate", "0.05", "--burst", "1")
    time.sleep(2.5)
    visit.press()
    says("limit_reached")
    expect(visit.page.get_by_text(re.compile(visit.t("problem.countdown", wait="").strip(" .")[:20]))).to_be_visible()
    gate.shut = True
    says("no_connection")
    gate.shut, gate.key = False, gate.own_key
    visit.page.locator(".st-key-applicant-customer_ref input").fill("João Silva")
    says("invalid")
    expect(visit.page.get_by_text(visit.t("faults.pattern"))).to_be_visible()
    visit.page.locator(".st-key-applicant-customer_ref input").fill("ref-1")
    visit.press()
    expect(visit.page.locator(".qf-score")).to_be_visible()
    visit.done()
    assert "43210" not in stack.ui_log.read_text() and gate.own_key not in stack.ui_log.read_text()


def _rows(count: int) -> str:
    rows = template(contract_fields(), list(EXAMPLES.values()))
    table = pd.DataFrame([{**rows[place % 3], "outstanding_debt": place} for place in range(count)])
    return str(table.to_csv(index=False))


@pytest.mark.parametrize("look", LOOKS, ids=["pt", "en"])
def test_batch(browser: Browser, stack: Stack, tmp_path: Path, look: tuple[str, str, int, int, str]) -> None:
    """A file through to charts and download; the address alone brings the results back."""
    visit = Visit(browser, stack, look).open("batch")
    file = tmp_path / "applicants.csv"
    file.write_text(_rows(1_200))
    visit.page.locator("input[type=file]").set_input_files(file)
    visit.page.locator(".st-key-batch-send button:visible").first.click()
    with visit.page.expect_download() as download:
        visit.page.locator(".st-key-scores-csv button:visible").first.click()
    separator, decimal = (";", ",") if visit.language == "pt" else (",", ".")
    table = pd.read_csv(download.value.path(), sep=separator, decimal=decimal)
    assert len(table) == 1_200 and table["score"].between(0, 1000).all() and list(table["row"])[:2] == [2, 3]
    visit.settle().shot("batch-results")
    visit.page.reload()
    visit.page.wait_for_selector(".st-key-scores-csv button")
    visit.done()


BAD_FILES: dict[str, tuple[str, bytes]] = {
    "blank.csv": ("empty", b"\n\n"),
    "names-only.csv": ("no_rows", b"a,b\n"),
    "one-column.csv": ("one_column", b"a\n1\n"),
    "twice.csv": ("column_twice", b"a,a\n1,2\n"),
    "ragged.csv": ("ragged", b"a,b\n1,2,3\n"),
    "open-quote.csv": ("broken_csv", b'a,b\n"1,2\n'),
    "page.csv": ("not_a_table", b"<html>a,b"),
    "tree.csv": ("not_a_table", b'{"a": 1}'),
    "picture.csv": ("not_a_table", b"\x89PNG\r\n\x1a\n"),
    "paper.csv": ("not_a_table", b"%PDF-1.7"),
    "bytes.csv": ("not_a_table", bytes(range(1, 9)) + b"\x00abc,\x01"),
    "cut.csv": ("not_a_table", b"\xff\xfea"),
    "wide.txt": ("not_a_table", b",".join(b"c%d" % place for place in range(600)) + b"\n1\n"),
    "old.xlsx": ("old_excel", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1rest"),
    "damaged.xlsx": ("broken_excel", b"PK\x03\x04damaged"),
    "text.xlsx": ("broken_excel", b"a,b\n1,2\n"),
}


def test_bad_files(browser: Browser, stack: Stack, tmp_path: Path) -> None:
    """Each kind of bad file is said in words; the page lives on and takes a good one afterwards."""
    visit = Visit(browser, stack, LOOKS[0]).open("batch")
    for name, (code, content) in BAD_FILES.items():
        file = tmp_path / name
        file.write_bytes(content)
        visit.page.locator("input[type=file]").set_input_files(file)
        words = re.split(r"[“{]", visit.t.entries[f"sheet.{code}"])[0].strip()
        expect(visit.page.get_by_role("alert").filter(has_text=words).first).to_be_visible()
        visit.open("batch")
    for name, content in {
        "foreign.csv": b"colour,shape\nred,round\n",
        "values.csv": _rows(3).replace("42000.0", "plenty").encode(),
        "excess.csv": _rows(3).replace("42000.0", "1e99").encode(),
    }.items():
        (tmp_path / name).write_bytes(content)
        visit.page.locator("input[type=file]").set_input_files(tmp_path / name)
        expect(visit.page.get_by_role("alert").first).to_be_visible()
        visit.open("batch")
    visit.done()


@pytest.mark.parametrize("look", LOOKS, ids=["pt light", "en dark"])
def test_every_page_is_accessible(browser: Browser, stack: Stack, look: tuple[str, str, int, int, str]) -> None:
    """axe-core finds nothing serious on any page."""
    script = Path(os.environ.get("QF_AXE", ROOT / ".local/npm/node_modules/axe-core/axe.min.js"))
    if not script.is_file():
        (pytest.fail if os.environ.get("QF_REQUIRE_ALL") == "1" else pytest.skip)(
            "axe-core is not installed: npm install --prefix .local/npm axe-core"
        )
    visit = Visit(browser, stack, look)
    for path in ("", "batch", "whatif", "model", "developers"):
        visit.open(path)
        if not path:
            visit.press()
            visit.page.wait_for_selector(".qf-gain")
        visit.settle().page.wait_for_timeout(800)
        visit.shot(path or "score-checked")
        visit.page.evaluate(script.read_text(encoding="utf-8"))
        found = visit.page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
        grave = [
            (each["id"], each["nodes"][0]["html"][:200]) for each in found if each["impact"] in ("serious", "critical")
        ]
        assert grave == [], json.dumps(grave, indent=1)
    visit.done()
