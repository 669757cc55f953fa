"""Whatever way the form is filled, what is sent is what is shown: driven in a real browser, which holds a state of
its own."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, FloatRect, Locator, expect

from tests.ui.browsing import LOOKS, Look, Stack, Visit
from tests.ui.form_on_screen import as_floats, as_json, eventually, score, sent
from ui.applicant.examples import EXAMPLES
from ui.applicant.fields import FieldKind, contract_fields
from ui.texts.wording import texts

pytestmark = [pytest.mark.needs_browser, pytest.mark.slow, pytest.mark.xdist_group("chain"), pytest.mark.timeout(900)]
AS_A_HAND_MS = 120  # how long a person presses: two messages within a millisecond are no person's
LISTS = (FieldKind.CHOICES, FieldKind.RECORDS)
Way = Callable[[Visit], None]
TYPED = {"num_delayed_payments": "28", "outstanding_debt": "4900", "delay_from_due_date": "62", "interest_rate": "34"}


def fill_some(visit: Visit) -> None:
    """Four fields typed, the last one not left."""
    for name, value in TYPED.items():
        visit.field(name).fill(value)


def example(visit: Visit, name: str) -> None:
    """An example's button, and its values on the screen."""
    visit.page.locator(f".st-key-example-{name} button").click(delay=AS_A_HAND_MS)
    told = EXAMPLES[name].model_dump(mode="json") if name in EXAMPLES else {}
    wanted = {
        each.name: told.get(each.name, [] if each.kind in LISTS else None)
        for each in contract_fields()
        if each.always_sent or told.get(each.name) is not None
    }
    eventually(lambda: as_json(visit), as_floats(wanted))


def over_typed(visit: Visit) -> None:
    """An example chosen while a value is typed and not left."""
    fill_some(visit)
    example(visit, "careful")


def emptied_over_typed(visit: Visit) -> None:
    """Emptied while a value is typed."""
    visit.field("annual_income").fill("77777")
    example(visit, "none")


def over_out_of_range(visit: Visit) -> None:
    """An example chosen over a value that the contract refuses."""
    visit.field("annual_income").fill("99999999999")
    score(visit)
    example(visit, "strained")


def typed_and_sent(visit: Visit) -> None:
    """Sent with the last field not left."""
    fill_some(visit)


def changed_twice(visit: Visit) -> None:
    """An example, edits, another example, an edit."""
    example(visit, "strained")
    fill_some(visit)
    example(visit, "ordinary")
    visit.field("num_credit_cards").fill("9")


def another_page(visit: Visit) -> None:
    """Away with a value typed and not left, and back."""
    visit.field("outstanding_debt").fill("777")
    links = visit.page.get_by_role("link", name=visit.t("nav.developers"))
    links.locator("visible=true").last.click(delay=AS_A_HAND_MS)
    visit.page.get_by_role("heading", name=visit.t("nav.developers"), level=1).wait_for()
    visit.settle().page.go_back()
    visit.page.locator(".st-key-submit").wait_for()
    eventually(lambda: as_json(visit)["outstanding_debt"], 777.0)


def another_language(visit: Visit) -> None:
    """The language switched with a value typed and not left; the page's words are the new language's from then on."""
    visit.field("outstanding_debt").fill("1.234,56" if visit.language == "pt" else "1,234.56")
    other = "English" if visit.language == "pt" else "Português"
    visit.page.get_by_role("radio", name=other).or_(visit.page.get_by_role("button", name=other)).first.click(
        delay=AS_A_HAND_MS
    )
    visit.language = "en" if visit.language == "pt" else "pt"
    visit.t = texts(visit.language)
    expect(visit.page.get_by_text(visit.t("groups.loans"), exact=True)).to_be_visible()
    eventually(lambda: as_json(visit)["outstanding_debt"], 1_234.56)
    visit.settle()  # the old language's chips leave last


def after_a_score(visit: Visit) -> None:
    """Edited after an answer, sent again."""
    score(visit)
    fill_some(visit)


WAYS: list[Way] = [
    over_typed,
    emptied_over_typed,
    over_out_of_range,
    typed_and_sent,
    changed_twice,
    another_page,
    another_language,
    after_a_score,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("look", LOOKS, ids=["pt", "en"])
def test_what_is_sent_is_what_is_shown(browser: Browser, stack: Stack, look: Look, way: Way) -> None:
    """The body at the API's door holds, field by field, what the screen shows before and after the click."""
    visit = Visit(browser, stack, look).open()
    way(visit)
    before = as_json(visit)
    score(visit)
    assert sent(visit) == before
    eventually(lambda: as_json(visit), before)
    visit.troubles.clear()  # a refused input is an answer of 422, which this page asked for
    visit.done()


# One click and then another, without a hand between them, so that a run of the page is ended at every stage.
_TWO_CLICKS = """([first, second, wait]) => new Promise(done => {
  document.querySelector(first).click();
  setTimeout(function again() {
    const other = document.querySelector(second);  // nobody clicks what is not drawn
    if (!other) { setTimeout(again, 10); return; }
    other.click(); done();
  }, wait);
})"""
EARLY_MS = (120, 150, 180, 210, 250, 300, 400, 500, 700)  # from a hand on: sooner, the browser makes one of two clicks


def test_an_example_is_whole_though_its_run_is_ended_early(browser: Browser, stack: Stack) -> None:
    """The score asked for while the page still draws the example: every field shows it, and it is what was sent."""
    visit = Visit(browser, stack, LOOKS[0]).open()
    for turn, wait_ms in enumerate(EARLY_MS):
        name, asked = ("strained", "careful")[turn % 2], len(stack.gate.sent)
        clicks = [f".st-key-example-{name} button", ".st-key-submit-above button"]
        for selector in clicks[:2]:
            visit.page.locator(selector).wait_for()
        visit.page.evaluate(_TWO_CLICKS, [*clicks, wait_ms])
        wanted = as_floats(EXAMPLES[name].model_dump(mode="json"))
        wanted = {field: value for field, value in wanted.items() if field in as_json(visit)}
        eventually(lambda before=asked: len(stack.gate.sent) > before, True)
        eventually(lambda: as_json(visit), wanted)
        assert sent(visit) == wanted, wait_ms
        visit.settle()
    visit.done()


@pytest.mark.parametrize("wait_ms", [120, 250])
def test_an_example_right_after_the_question_greys_its_answer(browser: Browser, stack: Stack, wait_ms: int) -> None:
    """However soon it is chosen: it is asked once, the example stands whole, and the answer is greyed where it was
    given for other inputs."""
    visit = Visit(browser, stack, LOOKS[0]).open()
    asked = len(stack.gate.sent)
    visit.page.evaluate(_TWO_CLICKS, [".st-key-submit-above button", ".st-key-example-careful button", wait_ms])
    eventually(lambda: len(stack.gate.sent) > asked, True)
    wanted = as_floats(EXAMPLES["careful"].model_dump(mode="json"))
    eventually(lambda: as_json(visit), {name: value for name, value in wanted.items() if name in as_json(visit)})
    expect(visit.page.locator(".qf-gauge .qf-band")).to_have_count(1)
    visit.settle()
    assert len(stack.gate.sent) == asked + 1
    eventually(lambda: (visit.page.locator(".qf-stale").count() > 0) == (sent(visit) != as_json(visit)), True)
    visit.done()


def test_a_double_click_asks_once(browser: Browser, stack: Stack) -> None:
    """Two clicks of one hand are one request, which is paid for once."""
    visit = Visit(browser, stack, LOOKS[0]).open()
    asked = len(stack.gate.sent)
    visit.page.locator(".st-key-submit-above button").dblclick()
    visit.page.wait_for_selector(".qf-gauge .qf-band")
    visit.settle().page.wait_for_timeout(1_000)
    assert len(stack.gate.sent) == asked + 1
    visit.done()


def box_at_rest(visit: Visit, element: Locator) -> FloatRect:
    """Where an element is on the screen once the page no longer scrolls: a hand clicks what it sees."""
    element.scroll_into_view_if_needed()
    before, box = None, element.bounding_box()
    while box is None or box != before:
        visit.page.wait_for_timeout(150)
        before, box = box, element.bounding_box()
    return box


@pytest.mark.parametrize("delay_s", [0.0, 0.6], ids=["at-once", "slow-answer"])
@pytest.mark.parametrize("button", ["submit-above", "submit"])
def test_a_click_between_two_fields_is_answered(browser: Browser, stack: Stack, button: str, delay_s: float) -> None:
    """Typed, clicked and typed on without a pause: every click asks once, and what stands is of what is shown or
    greyed."""
    visit = Visit(browser, stack, LOOKS[0]).open()
    for turn in range(6):
        asked = len(stack.gate.sent)
        visit.field("annual_income").fill(str(30_000 + turn))
        box = box_at_rest(visit, visit.page.locator(f".st-key-{button} button"))
        stack.gate.delay_s = delay_s
        visit.page.mouse.click(box["x"] + 40, box["y"] + 10)
        visit.page.wait_for_timeout(20 * turn)
        visit.field("num_bank_accounts").fill(str(turn + 1))
        visit.field("num_bank_accounts").press("Tab")
        eventually(lambda before=asked: len(stack.gate.sent) > before, True)
        expect(visit.page.locator(".qf-gauge .qf-band")).to_have_count(
            1
        )  # a new one stands beside the old for a moment
        visit.settle()
        assert len(stack.gate.sent) == asked + 1
        assert sent(visit)["annual_income"] == 30_000.0 + turn
        # Asked of the screen until it stands: between two runs of the page it is neither old nor new.
        eventually(lambda: (visit.page.locator(".qf-stale").count() > 0) == (sent(visit) != as_json(visit)), True)
    visit.done()


NUMBERS = [
    ("pt", "R$ 42.000,00", 42_000.0),
    ("pt", "4.000", 4_000.0),
    ("pt", "3480,50", 3_480.5),
    ("pt", "1.234,56", 1_234.56),
    ("en", "R$ 42,000.00", 42_000.0),
    ("en", "4,000", 4_000.0),
    ("en", "3480.50", 3_480.5),
    ("en", "1,234.56", 1_234.56),
]


@pytest.mark.parametrize("locale", ["pt-BR", "en-US"])
def test_numbers_as_people_type_them(browser: Browser, stack: Stack, locale: str) -> None:
    """The page's language decides on the marks, never the browser's; what was understood is written back."""
    visit = Visit(browser, stack, ("pt", locale, 1280, 900, "light")).open()
    for language, text, value in NUMBERS:
        name = {"pt": "Português", "en": "English"}[language]
        visit.page.get_by_role("radio", name=name).or_(visit.page.get_by_role("button", name=name)).first.click(
            delay=AS_A_HAND_MS
        )
        visit.language, visit.t = language, texts(language)
        visit.settle().field("annual_income").fill(text)
        score(visit)
        assert sent(visit)["annual_income"] == value, text
        eventually(lambda: as_json(visit)["annual_income"], value)
        eventually(lambda: visit.field("annual_income").input_value()[:3], "R$ ")
    visit.done()


@pytest.mark.parametrize("look", LOOKS, ids=["pt", "en"])
def test_a_refusal_stands_by_its_field(browser: Browser, stack: Stack, look: Look) -> None:
    """Out of range: said beside the field in the page's language, the field focused, the value kept, the answer
    gone."""
    visit = Visit(browser, stack, look).open()
    visit.press()
    expect(visit.page.locator(".qf-score")).to_be_visible()
    visit.field("outstanding_debt").fill("99999999999")
    visit.press()
    box = visit.page.locator(".st-key-field-outstanding_debt")
    low, high = ("0", "10.000.000") if visit.language == "pt" else ("0", "10,000,000")
    expect(box.get_by_text(visit.t("form.range", low=low, high=high))).to_be_in_viewport()
    expect(visit.field("outstanding_debt")).to_be_focused()
    assert "99" in visit.field("outstanding_debt").input_value()
    expect(visit.page.locator(".qf-band")).to_have_count(0)
    visit.shot("refused")
    visit.troubles.clear()
    visit.done()


@pytest.mark.parametrize("look", LOOKS, ids=["pt", "en"])
def test_an_answer_is_greyed_the_moment_the_form_differs(browser: Browser, stack: Stack, look: Look) -> None:
    """From the first key pressed; it names the inputs it was given for; put back, it is whole again."""
    visit = Visit(browser, stack, look).open()
    visit.press()
    gauge = visit.page.locator(".st-key-result > *", has=visit.page.locator(".qf-gauge")).first
    expect(gauge).to_have_css("opacity", "1")
    income = visit.field("annual_income")
    old = income.input_value()
    income.press_sequentially("7")
    expect(gauge).to_have_css("opacity", "0.45")
    income.blur()
    expect(visit.page.locator(".qf-stale")).to_be_visible()
    visit.settle().shot("stale")
    visit.page.locator(".qf-inputs summary").click()
    amount = visit.page.locator(".qf-inputs dd[data-field=annual_income]")
    assert amount.inner_text().replace("\u00a0", " ") == old
    income.fill(old)
    income.blur()
    expect(visit.page.locator(".qf-stale")).to_have_count(0)
    expect(gauge).to_have_css("opacity", "1")
    assert EXAMPLES["ordinary"].annual_income == json.loads(stack.gate.sent[-1])["annual_income"]
    visit.done()
