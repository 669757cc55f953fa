"""A page is opened although the machine's network changes meanwhile; a page that lacks its sign is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Error, Page, sync_playwright

from tests.chromium import OPTIONS, lost_once, opened

pytestmark = [pytest.mark.needs_browser, pytest.mark.xdist_group("chain")]


@pytest.fixture(name="page")
def _page(require_program: Callable[[str], str], tmp_path: Path) -> Iterator[Page]:
    """A page whose first document needs `drawn.js` to show a heading."""
    program = require_program("chromium")
    (tmp_path / "index.html").write_text('<script src="drawn.js"></script>')
    (tmp_path / "drawn.js").write_text('document.write("<h1>drawn</h1>")')
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=OPTIONS)
        yield browser.new_page()
        browser.close()


@pytest.mark.parametrize("lost", ["index.html", "drawn.js"])
def test_what_a_changed_network_lost_is_loaded_again(page: Page, tmp_path: Path, lost: str) -> None:
    """The document or a program of it is lost once: the page still shows its heading."""
    losses = lost_once(page, f"**/{lost}")
    opened(page, (tmp_path / "index.html").as_uri(), "h1")

    assert len(losses) == 1 and page.locator("h1").inner_text() == "drawn"


@pytest.mark.parametrize("fault", ["failed", None])
def test_a_page_that_is_at_fault_itself_is_not_opened(page: Page, tmp_path: Path, fault: str | None) -> None:
    """Its program fails otherwise, or draws something else: the missing sign is named."""
    if fault:
        page.route("**/drawn.js", lambda route: route.abort(fault))

    with pytest.raises(Error, match="h2"):
        opened(page, (tmp_path / "index.html").as_uri(), "h2", patience_ms=300)
