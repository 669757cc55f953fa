"""On a slow line, what is sent is what was typed last and what is shown, whatever is on its way to whom."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser

from tests.ui.browsing import LOOKS, Stack, Visit
from tests.ui.form_on_screen import as_json, choose, eventually, sent
from ui.texts.wording import texts

pytestmark = [pytest.mark.needs_browser, pytest.mark.slow, pytest.mark.xdist_group("chain"), pytest.mark.timeout(900)]
LAG_MS = 700  # one way
# What the page says to its server, and what the server says, both come late and in order.
SLOW = """(() => {
  const Real = window.WebSocket;
  window.lag = 0;
  window.WebSocket = class extends Real {
    send(data) { setTimeout(() => super.send(data), window.lag); }
    addEventListener(kind, heard, ...more) {
      const late = (event) => setTimeout(() => heard(event), window.lag);
      super.addEventListener(kind, kind === "message" ? late : heard, ...more);
    }
    set onmessage(heard) { super.onmessage = (event) => setTimeout(() => heard(event), window.lag); }
  };
})();"""
Step = Callable[[Visit], None]


def typed(name: str, *texts_typed: str, pause_ms: int = 0) -> Step:
    """Typed and left, and typed anew after a pause; a field left begins a run of the page."""

    def step(visit: Visit) -> None:
        for text in texts_typed:
            visit.field(name).fill(text)
            visit.field(name).press("Tab")
            visit.page.wait_for_timeout(pause_ms)

    return step


def chosen(name: str, option: str) -> Step:
    """An option of a list."""
    return lambda visit: choose(visit, visit.field(name), visit.t.option(option))


def paused(ms: int) -> Step:
    """Nothing for a while."""
    return lambda visit: visit.page.wait_for_timeout(ms)


# By name what is done before the click, which follows at once, and the field with what it must be sent as.
WAYS: dict[str, tuple[list[Step], str, object]] = {
    "number": ([typed("outstanding_debt", "777")], "outstanding_debt", 777.0),
    "not left": ([lambda visit: visit.field("outstanding_debt").fill("777")], "outstanding_debt", 777.0),
    "text": ([typed("customer_ref", "first", "second")], "customer_ref", "second"),
    "choice": ([chosen("credit_mix", "Bad")], "credit_mix", "Bad"),
    "list": ([typed("num_loans", "3"), chosen("loan_types", "student")], "num_loans", 3.0),
    "day": ([typed("as_of", "31012025", pause_ms=LAG_MS)], "as_of", "2025-01-31"),
    "day emptied while a run is under way": (
        [typed("as_of", "31012025"), paused(4 * LAG_MS), typed("annual_income", "30000"), paused(LAG_MS // 2),
         typed("as_of", "")], "as_of", None),
    "typed anew while the first is written back": (
        [typed("annual_income", "34000"), paused(LAG_MS + LAG_MS // 2), typed("annual_income", "50000"),
         paused(LAG_MS)], "annual_income", 50_000.0),
    "typed anew, and another field left": (
        [typed("annual_income", "34000"), paused(LAG_MS + LAG_MS // 2), typed("annual_income", "50000"),
         paused(LAG_MS), typed("num_bank_accounts", "7"), typed("outstanding_debt", "1200")],
        "annual_income", 50_000.0),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_what_was_typed_last_is_sent_and_shown(browser: Browser, stack: Stack, way: str) -> None:
    """Field by field at the API's door and on the screen, however early the click."""
    steps, name, wanted = WAYS[way]
    visit = Visit(browser, stack, LOOKS[0])
    visit.context.add_init_script(SLOW)
    visit.open()
    if way.startswith("day emptied"):  # a day that the form begins with
        typed("as_of", "31012025")(visit)
        visit.settle()
        visit.page.get_by_role("radio", name="English").or_(visit.page.get_by_role("button", name="English")).click()
        visit.language, visit.t = "en", texts("en")
        visit.page.get_by_text(visit.t("groups.loans"), exact=True).wait_for()
        visit.settle()
        steps = steps[2:]
    visit.page.evaluate("lag => { window.lag = lag; }", LAG_MS)
    asked = len(stack.gate.sent)
    for step in steps:
        step(visit)
    visit.page.locator(".st-key-submit button").first.click()
    eventually(lambda: len(stack.gate.sent) > asked, True)
    assert sent(visit).get(name) == wanted
    eventually(lambda: as_json(visit), sent(visit))
    visit.page.wait_for_timeout(3 * LAG_MS)
    assert as_json(visit) == sent(visit) and len(stack.gate.sent) == asked + 1
    visit.troubles.clear()  # a refused input is an answer of 422
    visit.done()
