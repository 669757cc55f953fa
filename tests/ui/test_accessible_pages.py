"""Every page in a real Chromium by axe-core, in both languages and themes, on a desktop and on a phone.

axe-core is taken from `QF_AXE` or `.local/npm/node_modules/axe-core/axe.min.js`
(`npm install --prefix .local/npm axe-core`).
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from infra.settings import ROOT
from tests.ui.browsing import LOOKS, Look, Stack, Visit, applicants, serving_page

EVERY_LOOK = [
    *LOOKS,
    ("pt", "pt-BR", 390, 844, "dark"),
    ("en", "en-US", 1280, 900, "light"),
]
pytestmark = [pytest.mark.needs_browser, pytest.mark.slow, pytest.mark.xdist_group("chain"), pytest.mark.timeout(900)]


@pytest.mark.parametrize("look", EVERY_LOOK, ids=lambda look: f"{look[0]} {look[4]}")
def test_every_page_is_accessible(browser: Browser, stack: Stack, look: Look) -> None:
    """axe-core finds nothing serious on any page, in either language and theme, on a desktop and on a phone."""
    visit = Visit(browser, stack, look)
    for path in ("", "batch", "whatif", "model", "developers"):
        visit.open(path)
        if not path:
            visit.advise()
        if path == "model":
            visit.unfold()
        if path == "developers":
            visit.page.locator(".st-key-developers-try button").click()
            expect(visit.page.locator(".st-key-answer").get_by_text("prediction_id").first).to_be_visible()
        visit.settle().page.wait_for_timeout(800)
        visit.shot(path or "score-checked")
        assert grave_faults(visit) == ""
    visit.done()


ENTRANCES = {
    "setup": 'endpoint = "http://127.0.0.1:1"\nkey = ""\n',
    "sign in": (
        'endpoint = "http://127.0.0.1:1"\nkey = "a-key-of-tests"\n[auth]\ncookie_secret = "a-secret-of-tests"\n'
        'redirect_uri = "http://127.0.0.1:1/oauth2callback"\n'
    ),
}


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_every_entrance_is_accessible(browser: Browser, stack: Stack, tmp_path: Path, entrance: str) -> None:
    """Nor on what a visitor sees who is not signed in, or whose page has no key yet; there the language can be chosen,
    and nothing sticks out."""
    with serving_page(tmp_path, ENTRANCES[entrance]) as address:
        for look in EVERY_LOOK:
            visit = Visit(browser, replace(stack, page=address), look).open()
            button = {"setup": "setup.again", "sign in": "visitor.go"}[entrance]
            expect(visit.page.get_by_role("button", name=visit.t(button))).to_be_in_viewport()
            expect(visit.page.get_by_text("Português", exact=True)).to_be_in_viewport()
            visit.shot(entrance.replace(" ", "-"))
            assert grave_faults(visit) == ""
            visit.done()


@pytest.mark.parametrize("look", EVERY_LOOK, ids=lambda look: f"{look[0]} {look[4]}")
def test_every_outcome_is_accessible(browser: Browser, stack: Stack, tmp_path: Path, look: Look) -> None:
    """Nor in what a visitor is led to: refused fields, no connection, a batch's results, the page for staff."""
    visit = Visit(browser, stack, look).open()
    visit.field("annual_income").fill("99999999999")
    visit.press()
    expect(visit.page.locator(".st-key-result [role=alert]")).to_be_visible()
    assert grave_faults(visit) == ""
    stack.gate.shut = True
    visit.field("annual_income").fill("40000")
    visit.press()
    expect(visit.page.get_by_text(visit.t.entries["problem.no_connection"].split("**")[1]).first).to_be_visible()
    expect(visit.page.locator(".st-key-result[data-typing]")).to_have_count(0)  # grey from the first key to the answer
    assert grave_faults(visit) == ""
    stack.gate.shut = False
    visit.open("batch")
    file = tmp_path / "applicants.csv"
    file.write_text(applicants(40).replace("42000.0", "plenty", 1))
    visit.page.locator("input[type=file]").set_input_files(file)
    visit.page.locator(".st-key-batch-send button:visible").first.click()
    visit.page.wait_for_selector(".st-key-scores-csv button")
    visit.settle().page.wait_for_timeout(800)
    assert grave_faults(visit) == ""
    visit.troubles.clear()  # what was refused and cut here was meant
    visit.done()
    stack.gate.key = stack.keys("issue", f"axe-{look[0]}-{look[2]}", "--scope", "read", "--scope", "staff")
    time.sleep(2.5)
    visit = Visit(browser, stack, look).open("health")
    expect(visit.page.get_by_text(visit.t("states.amber")).first).to_be_visible()
    visit.settle().page.wait_for_timeout(800)
    assert grave_faults(visit) == ""
    visit.done()


def grave_faults(visit: Visit) -> str:
    """What axe-core calls serious or critical on the page as it stands, "" for nothing."""
    script = Path(os.environ.get("QF_AXE", ROOT / ".local/npm/node_modules/axe-core/axe.min.js"))
    if not script.is_file():
        (pytest.fail if os.environ.get("QF_REQUIRE_ALL") == "1" else pytest.skip)(
            "axe-core is not installed: npm install --prefix .local/npm axe-core"
        )
    visit.page.evaluate(script.read_text(encoding="utf-8"))
    found = visit.page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    grave = [
        (each["id"], each["nodes"][0]["html"][:200]) for each in found if each["impact"] in ("serious", "critical")
    ]
    return json.dumps(grave, indent=1) if grave else ""
