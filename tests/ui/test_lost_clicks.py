"""A click that the server never counted is made again by the page's own script, and one that it counted is not."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from infra.settings import ROOT

pytestmark = [pytest.mark.needs_browser, pytest.mark.slow, pytest.mark.xdist_group("chain")]

SCRIPT = (ROOT / "ui" / "components" / "browser_scripts.js").read_text(encoding="utf-8")
# A page of Streamlit's shape whose server counts from the LOST-th click on; each click takes it 300 ms of work.
PAGE = """<div data-testid=stApp data-test-script-state=notRunning>
<div class=st-key-submit><button>Ask</button></div></div>
<script>window.clicksTaken = 0; window.made = 0;
document.querySelector("button").addEventListener("click", () => {
  window.made += 1;
  const app = document.querySelector("[data-testid=stApp]");
  app.dataset.testScriptState = "running";
  setTimeout(() => {
    if (window.made > LOST) window.clicksTaken += 1;
    app.dataset.testScriptState = "notRunning";
  }, 300);
});</script>"""


@pytest.mark.parametrize(("lost", "made"), [(0, 1), (1, 2), (2, 3), (9, 4)])
def test_what_was_lost_is_clicked_again(browser: Browser, lost: int, made: int) -> None:
    """Until it is counted; three times more at most, since a page that cannot count is broken otherwise."""
    page = browser.new_page()
    page.set_content(PAGE.replace("LOST", str(lost)))
    page.add_script_tag(content=SCRIPT)

    page.locator("button").click()
    page.wait_for_function("made => window.made === made", arg=made)
    page.wait_for_function("!document.querySelector('button').dataset.watched")
    page.wait_for_timeout(2_000)  # in which nothing more comes

    assert page.evaluate("window.made") == made
    page.close()
