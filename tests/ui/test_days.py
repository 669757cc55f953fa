"""A day of the form in a real browser: typed as people type it, sent as it is shown, and emptied again."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.ui.browsing import LOOKS, Look, Stack, Visit
from tests.ui.form_on_screen import choose, eventually, score, sent
from ui.texts.wording import texts

pytestmark = [pytest.mark.needs_browser, pytest.mark.slow, pytest.mark.xdist_group("chain"), pytest.mark.timeout(900)]


def test_a_day_is_sent_as_it_is_shown(browser: Browser, stack: Stack) -> None:
    """A day to come is no trouble of the browser's own: it is sent, and refused beside its field."""
    visit = Visit(browser, stack, LOOKS[0]).open()
    day = visit.field("as_of")
    day.fill("31122150")
    day.press("Tab")
    score(visit)
    assert sent(visit)["as_of"] == "2150-12-31"
    eventually(day.input_value, "31/12/2150")
    expect(visit.page.locator(".st-key-field-as_of").get_by_text(visit.t("faults.date-in-future"))).to_be_visible()
    visit.troubles.clear()  # the refusal is an answer of 422, which this page asked for
    visit.done()


@pytest.mark.parametrize(("look", "typed"), [(LOOKS[0], "31/02/2025"), (LOOKS[1], "01/02/2025")], ids=["none", "two"])
def test_what_is_no_day_stays_and_is_refused_beside_its_field(
    browser: Browser, stack: Stack, look: Look, typed: str
) -> None:
    """A day that no month has, and one that could be either of two: never guessed."""
    visit = Visit(browser, stack, look).open()
    visit.field("as_of").fill(typed)
    score(visit)
    assert sent(visit)["as_of"] == typed == visit.field("as_of").input_value()
    expect(visit.page.locator(".st-key-field-as_of").get_by_text(visit.t("faults.type_date"))).to_be_visible()
    visit.troubles.clear()  # as above
    visit.done()


@pytest.mark.parametrize("look", LOOKS, ids=["pt", "en"])
def test_a_day_can_be_emptied(browser: Browser, stack: Stack, look: Look) -> None:
    """Also one that the form began with, as after a switch of the language; so can a class observed earlier."""
    visit = Visit(browser, stack, look).open()
    visit.page.locator("[class*=previous_classes-add] button").click()
    boxes = [visit.page.locator(f"{name} input") for name in (".st-key-field-as_of", "[class*=previous_classes-0-day]")]
    typed = ("31012025", "31122024") if visit.language == "pt" else ("20250131", "20241231")
    for box, digits in zip(boxes, typed, strict=True):
        box.fill(digits)
        box.press("Tab")
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
    shown = ("2025-01-31", "2024-12-31") if visit.language == "en" else ("31/01/2025", "31/12/2024")
    assert tuple(box.input_value() for box in boxes) == shown
    for box in boxes:
        box.fill("")
    choose(visit, observed, visit.t("form.no_class"))
    score(visit)
    assert "as_of" not in sent(visit) and "previous_classes" not in sent(visit)
    assert [box.input_value() for box in boxes] == ["", ""]
    visit.done()
