"""A day of the form in a real browser: sent as it is shown, and emptied again."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.ui.browsing import LOOKS, Look, Stack, Visit
from tests.ui.form_on_screen import choose, score, sent
from ui.texts.wording import texts

pytestmark = [pytest.mark.needs_browser, pytest.mark.slow, pytest.mark.xdist_group("chain"), pytest.mark.timeout(900)]

FILLED = "[role=spinbutton][aria-valuenow]"  # the parts of a day that have a number
TRIES = 5


def test_a_day_is_sent_as_it_is_shown(browser: Browser, stack: Stack) -> None:
    """A day to come is no trouble of the browser's own: it is sent, and refused beside its field."""
    visit = Visit(browser, stack, LOOKS[0]).open()
    day = visit.page.locator(".st-key-field-as_of [role=spinbutton]")
    day.first.click()
    visit.page.keyboard.type("31122150")
    visit.page.keyboard.press("Tab")
    visit.page.keyboard.press("Escape")
    score(visit)
    assert sent(visit)["as_of"] == "2150-12-31"
    expect(visit.page.locator(".st-key-field-as_of").get_by_text(visit.t("faults.date-in-future"))).to_be_visible()
    visit.troubles.clear()  # the refusal is an answer of 422, which this page asked for
    visit.done()


def empty(visit: Visit, box: Locator) -> None:
    """Take every part of a day away; again where the page was drawn anew meanwhile, which puts a half of it back."""
    expect(box.locator(FILLED)).to_have_count(3)
    for _ in range(TRIES):
        for part in box.locator("[role=spinbutton]").all():
            part.click()
            for _ in "2025":
                visit.page.keyboard.press("Backspace")
        visit.page.keyboard.press("Tab")
        visit.page.keyboard.press("Escape")
        visit.settle()
        if box.locator(FILLED).count() == 0:
            return
    raise AssertionError(f"a day was not emptied in {TRIES} tries")


@pytest.mark.parametrize("look", LOOKS, ids=["pt", "en"])
def test_a_day_can_be_emptied(browser: Browser, stack: Stack, look: Look) -> None:
    """Also one that the form began with, as after a switch of the language; so can a class observed earlier."""
    visit = Visit(browser, stack, look).open()
    visit.page.locator("[class*=previous_classes-add] button").click()
    boxes = [visit.page.locator(name) for name in (".st-key-field-as_of", "[class*=previous_classes-0-day]")]
    typed = ("31012025", "31122024") if visit.language == "pt" else ("20250131", "20241231")
    for box, digits in zip(boxes, typed, strict=True):
        box.locator("[role=spinbutton]").first.click()
        visit.page.keyboard.type(digits)
        visit.page.keyboard.press("Tab")
        visit.page.keyboard.press("Escape")
        visit.settle()
    observed = visit.page.locator("[class*=previous_classes-0-kind] input")
    choose(visit, observed, visit.t.option("class_Good"))
    other = "English" if visit.language == "pt" else "Português"
    visit.page.get_by_role("radio", name=other).or_(visit.page.get_by_role("button", name=other)).first.click()
    visit.language = "en" if visit.language == "pt" else "pt"
    visit.t = texts(visit.language)
    expect(visit.page.get_by_text(visit.t("groups.loans"), exact=True)).to_be_visible()
    score(visit)
    assert sent(visit)["as_of"] == "2025-01-31"
    assert sent(visit)["previous_classes"] == [{"observed_class": "Good", "observed_at": "2024-12-31"}]
    for box in boxes:
        empty(visit, box)
    choose(visit, observed, visit.t("form.no_class"))
    score(visit)
    assert "as_of" not in sent(visit) and "previous_classes" not in sent(visit)
    visit.done()
