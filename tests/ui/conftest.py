"""The page under test with the API at the network's edge."""

# pylint: disable=redefined-outer-name  # how pytest hands fixtures over
from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright
from pydantic import SecretStr
from streamlit.testing.v1 import AppTest

from tests.chromium import OPTIONS
from tests.ui.browsing import Stack, running
from tests.ui.fake_api import KEY, FakeApi
from tests.ui.fake_reports import Reports
from tests.ui.measured_model import pack_measured_model
from ui.api.client import Client
from ui.session import PageContext
from ui.settings import UiSettings
from ui.texts.formats import Formats
from ui.texts.wording import texts

APP = Path(__file__).parents[2] / "ui" / "app.py"
Open = Callable[..., AppTest]


def go(at: AppTest, page: str) -> AppTest:
    """Opens another page. AppTest's own `switch_page` knows pages of files only; ours are functions."""
    # pylint: disable=protected-access  # there is no public way to a page that is a function
    known = {str(info.get("url_pathname")): found for found, info in at._registered_pages.items()}
    at._page_hash = known["" if page == "score" and "score" not in known else page]
    return at.run()


def field(at: AppTest, name: str) -> Any:
    """The widget of a contract's field on the Score page, in whatever filling of the form."""
    kinds = (at.text_input, at.selectbox, at.multiselect, at.checkbox)
    named = re.compile(rf"applicant\.\d+\.{name}")
    return next(widget for kind in kinds for widget in kind if named.fullmatch(str(widget.key)))


@pytest.fixture
def api() -> FakeApi:
    """An API that answers."""
    return FakeApi()


@pytest.fixture
def settings(tmp_path: Path) -> UiSettings:
    """Settings with the right key."""
    return UiSettings("http://api.test", SecretStr(KEY), "http://api.test", "BRL", tmp_path)


@pytest.fixture
def context(api: FakeApi, settings: UiSettings) -> PageContext:
    """What a view works with, in English."""
    return PageContext(texts("en"), Formats("en"), settings, Client(settings, api.transport()))


@pytest.fixture
def open_page(api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens the application: `open_page("batch", locale="pt-BR")`."""
    monkeypatch.setenv("QF_STATE_DIR", str(tmp_path))
    monkeypatch.setattr("ui.visitors.address", lambda: "127.0.0.1")  # AppTest has no connection

    def begin(page: str = "score", locale: str = "en-US", **secrets: object) -> AppTest:
        at = AppTest.from_file(str(APP), default_timeout=120)
        at.secrets = {"endpoint": "http://api.test", "key": KEY, **secrets}
        at.context = {"locale": locale, "timezone": "America/Sao_Paulo"}
        at.session_state["transport"] = api.transport()
        at.run()
        if page != "score":
            go(at, page)
        assert not at.exception
        return at

    return begin


@pytest.fixture(scope="session")
def running_stack(require_program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The real API, the gate and the page, once for all tests."""
    require_program("chromium")
    folder = tmp_path_factory.mktemp("browser")
    pack_measured_model(folder / "model")
    reports = Reports()
    with running(folder, folder / "model", reports) as found:
        yield found
    reports.close()


@pytest.fixture(scope="module")
def browser(require_program: Callable[[str], str]) -> Iterator[Browser]:
    """Debian's Chromium. Not for the whole session: until it is closed, no other test can run an event loop."""
    path = require_program("chromium")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=OPTIONS)
        yield found
        found.close()


@pytest.fixture
def stack(running_stack: Stack) -> Stack:
    """The same for one test, with an open gate and the right key."""
    running_stack.gate.shut, running_stack.gate.key = False, running_stack.gate.own_key
    running_stack.gate.delay_s = 0.0
    return running_stack
