"""What a browser test stands on: the real API, the page, a gate between them, and a visitor who watches the console.

The gate can put in another key or cut the connection, so that a revoked key and a limit are the real thing; a small
server stands for the bucket of drift reports at the network's edge. `make bench` measures the pages on the same stack.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
from playwright.sync_api import Browser, Locator, Page, Request, expect

from bentos.processes import free_port
from infra.settings import ROOT
from tests.chromium import PATIENCE_MS, network_changed, opened
from tests.ui.fake_reports import Reports
from ui.applicant.examples import EXAMPLES
from ui.applicant.fields import contract_fields
from ui.batches.mapping import template
from ui.texts.wording import texts

# A control's value as it stands on the screen: an input's text, a choice's name, the names of all chips.
_SHOWN = """() => Object.fromEntries([...document.querySelectorAll("[class*=st-key-field-]")].map(box => {
  const name = [...box.classList].find(each => each.startsWith("st-key-field-")).slice("st-key-field-".length);
  const multi = box.querySelector("[data-testid=stMultiSelect]"), input = box.querySelector("input");
  const tags = [...box.querySelectorAll("[data-tag]")].filter(tag => !tag.closest("template"));
  return [name, multi ? tags.map(tag => tag.innerText.trim()) : (input?.value ?? "")];
}))"""
Look = tuple[str, str, int, int, str]  # language, locale, width, height, colour scheme
SHOTS = ROOT / ".local" / "screenshots"
expect.set_options(timeout=PATIENCE_MS)  # playwright's own five seconds are too few where both cores are busy
# Streamlit asks for these below the page's own path first, then at the root: a 404 by design.
BY_DESIGN = re.compile(r"/_stcore/(health|host-config)$")
LOOKS = [("pt", "pt-BR", 1280, 900, "light"), ("en", "en-US", 390, 844, "dark")]


class Gate:
    """A door between page and API: another key, no key, or shut."""

    def __init__(self, api: str, key: str) -> None:
        self.api, self.key, self.own_key, self.shut = api, key, key, False
        self.took_s = 0.0  # seconds that the API took for the last single score
        self.sent: list[bytes] = []  # the bodies of the single scores asked for
        self.delay_s = 0.0  # how long a single score is held at the door
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
                time.sleep(gate.delay_s if self.path.split("?")[0] == "/v1/score" else 0)
                asked = time.monotonic()
                answer = gate.client.request(
                    self.command, gate.api + self.path, content=body, headers={**headers, "x-api-key": gate.key}
                )
                if self.path.split("?")[0] == "/v1/score":
                    gate.took_s = time.monotonic() - asked
                    gate.sent.append(body)
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


def applicants(count: int) -> str:
    """The examples in turn as a CSV file of so many rows, told apart by their debt."""
    rows = template(contract_fields(), list(EXAMPLES.values()))
    table = pd.DataFrame([{**rows[place % 3], "outstanding_debt": place} for place in range(count)])
    return str(table.to_csv(index=False))


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
        process = subprocess.Popen(  # pylint: disable=consider-using-with  # ended by `running`
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


@contextmanager
def running(folder: Path, model: Path, reports: Reports | None = None) -> Iterator[Stack]:
    """The API with the packed `model`, the gate and the page, for as long as the block lasts; state is in `folder`."""
    service = {"QF_MODEL_DIR": str(model), "QF_SERVICE_DIR": str(folder / "service")}

    def keys(*arguments: str) -> str:
        command = [sys.executable, "-m", "service.keys", *arguments]
        done = subprocess.run(
            command, env={**os.environ, **service}, cwd=ROOT, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    key = keys("issue", "demo", "--rate", "100000", "--burst", "100000", "--daily", "1000000")
    port = free_port()
    command = ["bentoml", "serve", "service.service:CreditScorer", "--host", "127.0.0.1", "--port", str(port)]
    api = _started(command, folder / "api.log", service, f"http://127.0.0.1:{port}/readyz")
    gate = Gate(f"http://127.0.0.1:{port}", key)
    secrets = f'endpoint = "{gate.url}"\nkey = "{key}"\n' + (reports.secrets() if reports else "")
    try:
        with serving_page(folder, secrets) as page:
            yield Stack(page, gate, keys, folder / "ui.log")
    finally:
        api.terminate()
        api.wait(60)
        gate.close()


@contextmanager
def serving_page(folder: Path, secrets: str) -> Iterator[str]:
    """The page alone with these secrets (TOML), for as long as the block lasts: its address; its log is in `folder`."""
    port, path = free_port(), folder / "secrets.toml"
    path.write_text(secrets)
    command = ["streamlit", "run", "ui/app.py", "--server.address", "127.0.0.1", "--server.port", str(port)]
    page = _started(
        [*command, "--secrets.files", str(path)],
        folder / "ui.log",
        {"QF_STATE_DIR": str(folder / "state")},
        f"http://127.0.0.1:{port}/_stcore/health",
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        page.terminate()
        page.wait(60)


class Visit:
    """One visitor: a page whose console and failed requests are watched."""

    def __init__(self, browser: Browser, stack: Stack, look: Look) -> None:
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
        self._lost: list[str] = []  # addresses that a change of the machine's network took
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
        if network_changed(request):
            self._lost.append(request.url)
        elif request.failure != "net::ERR_ABORTED":  # left behind by going elsewhere
            self.troubles.append(f"failed {request.url}")

    def open(self, path: str = "") -> Visit:
        """A page, settled.

        What it draws are modules of their own: where a change of the machine's network took one, the page is loaded
        again, as a person would.
        """
        while True:
            self._forget_losses()
            opened(self.page, f"{self.stack.page}/{path}", "h1")
            self.settle()
            if not self._lost:
                return self

    def _forget_losses(self) -> None:
        """Drop what was lost, and what the page complained of since."""
        lost, self._lost = self._lost, []
        self.troubles = [each for each in self.troubles if not any(url in each for url in lost)]

    def settle(self) -> Visit:
        """Waited until the script has ended and the page stands still: what scrolls is not hit by a click."""
        self.page.wait_for_function(
            "document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"
        )
        place = "document.querySelector('[data-testid=stMain]').scrollTop"
        before: float = -1
        while (now := float(self.page.evaluate(place))) != before:
            before = now
            self.page.wait_for_timeout(400)
        return self

    def press(self) -> Visit:
        """The score asked for."""
        self.page.locator(".st-key-submit button:visible").first.click()
        self.page.wait_for_function("!document.querySelector('button[data-waits]')")  # made once the form is agreed
        self.page.wait_for_timeout(300)
        return self.settle()

    def advise(self) -> Visit:
        """The score asked for, and the advice below it."""
        self.press()
        self.page.locator(".st-key-advice-go button").click()
        self.page.wait_for_selector(".st-key-advice-told")
        return self

    def unfold(self) -> Visit:
        """Everything that a page folds, opened."""
        for fold in self.page.locator("[class*=st-key-fold-]").all():
            fold.locator("summary").first.click()
        return self.settle()

    def shot(self, name: str) -> None:
        """A picture for whoever looks."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"ui-{name}-{self.name}.png")

    def field(self, name: str) -> Locator:
        """A field's input."""
        return self.page.locator(f".st-key-field-{name} input").first

    def shown(self) -> dict[str, Any]:
        """What a reader of the form sees, by field: texts as they stand, the chosen kinds of loan as a list."""
        found: dict[str, Any] = self.page.evaluate(_SHOWN)
        return found

    def done(self) -> None:
        """Nothing went wrong in the browser or on the server, and nothing stuck out sideways."""
        main = "document.querySelector('[data-testid=stMain]')"
        assert self.page.evaluate(f"{main}.scrollWidth - {main}.clientWidth") <= 0
        assert self.page.locator("[data-testid=stException]").count() == 0
        assert not self.troubles
        self.context.close()
