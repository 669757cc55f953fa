"""The pages in a real Chromium against the real, served API: what AppTest cannot see.

One API process with a small packed model and one Streamlit process serve all tests (`browsing`).
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Browser, expect

from tests.chromium import PATIENCE_MS, lost_once
from tests.ui.browsing import LOOKS, SHOTS, Look, Stack, Visit, applicants
from ui.applicant.fields import contract_fields
from ui.texts.wording import texts

# Where request and answer of a try stand; asked in one look, since each element of a page that is drawn moves others.
_PLACES = """side => {
  const [one, other] = ["request", "answer"].map(name => document.querySelector(`.st-key-${name}`)?.getBoundingClientRect());
  if (!one || !other) return false;
  return side === "beside" ? Math.abs(one.y - other.y) < 2 && other.x >= one.right : other.y >= one.bottom;
}"""

pytestmark = [pytest.mark.needs_browser, pytest.mark.slow, pytest.mark.xdist_group("chain"), pytest.mark.timeout(900)]


@pytest.mark.parametrize("look", LOOKS, ids=["Portuguese desktop light", "English phone dark"])
def test_a_score(browser: Browser, stack: Stack, look: Look) -> None:
    """From the form to gauge, reasons and advice, in view without scrolling; the printable page stands alone."""
    visit = Visit(browser, stack, look).open()
    visit.shot("form")
    visit.press()
    expect(visit.page.locator(".qf-gauge")).to_be_in_viewport()
    # One list says reason, values and points: no second one repeats it.
    expect(visit.page.locator(".qf-waterfall small").first).to_contain_text(
        visit.t("result.step_compared").split("(")[1][:4]
    )
    expect(visit.page.locator(".st-key-result .qf-list")).to_have_count(0)
    visit.page.locator(".st-key-advice-go button").click()
    visit.page.wait_for_selector(".st-key-advice-told")
    visit.settle().shot("score")
    with visit.page.expect_download() as download:
        visit.page.locator(".st-key-print button:visible").first.click()
    printed = Path(download.value.path()).read_text(encoding="utf-8")
    assert visit.t("result.waterfall") in printed and "<script" not in printed and stack.gate.own_key not in printed
    assert stack.gate.own_key not in visit.page.content()
    visit.done()


@pytest.mark.parametrize("look", LOOKS, ids=["pt", "en"])
def test_the_printed_page_is_one_sheet(browser: Browser, stack: Stack, tmp_path: Path, look: Look) -> None:
    """Chromium prints it on one A4 page, with the longest reference, every input and the date on it."""
    visit = Visit(browser, stack, look).open()
    before = visit.field("annual_income").input_value()
    visit.page.locator(".st-key-example-strained button").click()
    expect(visit.field("annual_income")).not_to_have_value(before)  # its run has come, and takes nothing typed
    visit.settle()
    visit.field("customer_ref").fill("R" * 64)
    visit.press()
    with visit.page.expect_download() as download:
        visit.page.locator(".st-key-print button:visible").first.click()
    sheet = tmp_path / "sheet.html"
    sheet.write_bytes(Path(download.value.path()).read_bytes())
    page = visit.context.new_page()
    page.goto(sheet.as_uri())
    for name in (each.name for each in contract_fields() if each.always_sent or each.name == "customer_ref"):
        expect(page.locator(f"dd[data-field={name}]")).to_be_visible()
    expect(page.get_by_text("R" * 64).first).to_be_visible()
    year = str(datetime.now(UTC).year)
    assert year in page.locator("dl.quote").inner_text()
    printed = page.pdf(prefer_css_page_size=True)
    SHOTS.mkdir(parents=True, exist_ok=True)
    (SHOTS / f"ui-printed-{visit.name}.pdf").write_bytes(printed)
    box = re.search(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", printed)
    assert len(re.findall(rb"/Type /Page\b", printed)) == 1
    assert box is not None and [round(float(side)) for side in box.groups()] == [595, 842]
    page.close()
    visit.done()


def test_by_keyboard_alone(browser: Browser, stack: Stack) -> None:
    """A number typed and Enter pressed is a score; the focus goes to the result."""
    visit = Visit(browser, stack, LOOKS[0]).open()
    visit.field("outstanding_debt").focus()
    visit.page.keyboard.press("Control+a")
    visit.page.keyboard.type("300")
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_selector(".qf-inputs")
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
    assert re.sub(r"\D", "", visit.field("annual_income").input_value()) == "4321000"
    visit.done()


@pytest.mark.parametrize("look", LOOKS, ids=["pt", "en"])
def test_errors(browser: Browser, stack: Stack, look: Look) -> None:
    """Revoked key, limit, stopped service, refused input: its own words, nothing typed lost, and a way on."""
    visit = Visit(browser, stack, look).open()
    visit.field("annual_income").fill("43210")
    gate = stack.gate

    def says(key: str) -> None:
        words = visit.t.entries[f"problem.{key}"].split("**")[1]
        visit.press()
        expect(visit.page.get_by_text(words).first).to_be_visible()
        assert re.sub(r"\D", "", visit.field("annual_income").input_value()) == "4321000"
        visit.shot(f"error-{key}")

    gate.key = stack.keys("issue", "gone", "--rate", "10", "--burst", "10")
    listed = [line for line in stack.keys("list").splitlines() if "gone" in line and "revoked" not in line]
    stack.keys("revoke", re.split(r"\s+", listed[-1].strip())[0])
    time.sleep(2.5)
    says("key_refused")
    gate.key = stack.keys("issue", "reader", "--scope", "docs")
    time.sleep(2.5)
    says("not_allowed")
    # One token, and no second however slow the machine: the first press takes it, or what the page asks beside it did.
    gate.key = stack.keys("issue", "slow", "--rate", "0.001", "--burst", "1")
    time.sleep(2.5)
    visit.press()
    says("limit_reached")
    expect(visit.page.get_by_text(re.compile(visit.t("problem.countdown", wait="").strip(" .")[:20]))).to_be_visible()
    gate.shut = True
    says("no_connection")
    gate.shut, gate.key = False, gate.own_key
    visit.field("customer_ref").fill("João Silva")
    says("invalid")
    expect(visit.page.get_by_text(visit.t("faults.pattern"))).to_be_visible()
    visit.field("customer_ref").fill("ref-1")
    visit.press()
    expect(visit.page.locator(".qf-score")).to_be_visible()
    visit.done()
    assert "43210" not in stack.ui_log.read_text() and gate.own_key not in stack.ui_log.read_text()


@pytest.mark.parametrize("look", LOOKS, ids=["pt", "en"])
def test_model_health_for_staff(browser: Browser, stack: Stack, look: Look) -> None:
    """A partner sees no such page; staff see state, columns, versions over time, and open a report on it."""
    visit = Visit(browser, stack, look).open()
    assert visit.page.get_by_text(visit.t("nav.health"), exact=True).count() == 0
    visit.context.close()
    stack.gate.key = stack.keys("issue", f"staff-{look[0]}", "--scope", "read", "--scope", "staff")
    time.sleep(2.5)
    visit = Visit(browser, stack, look).open("health")
    expect(visit.page.get_by_text(visit.t("states.amber")).first).to_be_visible()
    visit.settle().shot("health")
    choice = visit.page.locator(".st-key-health-report input").first
    choice.wait_for()
    visit.settle()
    for _ in range(3):  # a key pressed while the page is drawn anew is lost
        choice.press("ArrowDown")
        choice.press("Enter")
        if visit.settle().page.locator("[data-testid=stIFrame]").count():
            break
    report = visit.page.frame_locator("[data-testid=stIFrame]").get_by_text("the report")
    expect(report).to_be_visible(timeout=PATIENCE_MS)
    visit.done()


@pytest.mark.parametrize("look", LOOKS, ids=["pt", "en"])
def test_batch(browser: Browser, stack: Stack, tmp_path: Path, look: Look) -> None:
    """A file through to charts and download; the address alone brings the results back."""
    visit = Visit(browser, stack, look).open("batch")
    file = tmp_path / "applicants.csv"
    file.write_text(applicants(1_200))
    visit.page.locator("input[type=file]").set_input_files(file)
    visit.page.locator(".st-key-batch-send button:visible").first.click()
    visit.page.wait_for_selector(".st-key-scores-csv button")
    visit.settle()
    with visit.page.expect_download() as download:
        visit.page.locator(".st-key-scores-csv button:visible").first.click()
    separator, decimal = (";", ",") if visit.language == "pt" else (",", ".")
    table = pd.read_csv(download.value.path(), sep=separator, decimal=decimal)
    assert len(table) == 1_200 and table["qf_score"].between(0, 1000).all()
    assert list(table.columns)[0] == applicants(1).split(",", maxsplit=1)[0], "the partner's own columns come first"
    visit.settle().shot("batch-results")
    visit.page.reload()
    visit.page.wait_for_selector(".st-key-scores-csv button")
    visit.done()


@pytest.mark.parametrize("look", LOOKS, ids=["pt", "en"])
def test_a_file_replaced_is_another_file(browser: Browser, stack: Stack, tmp_path: Path, look: Look) -> None:
    """Dropped over the file before it, whose columns had other names: columns, faults and what is sent are the new
    one's; its refused row can be downloaded with line, reason and the cells as they stood there."""
    visit = Visit(browser, stack, look).open("batch")
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_text(applicants(2).replace("annual_income", "Annual_Income", 1).replace("42000.0", "plenty"))
    second.write_text(
        applicants(3)
        .replace("customer_ref,", "ref,", 1)
        .replace("outstanding_debt", "Outstanding_Debt", 1)
        .replace("42000.0", "many")
    )
    chosen = "[class*=st-key-column-][class*=annual_income] input"
    for file, income in ((first, "Annual_Income"), (second, "annual_income")):
        visit.page.locator("input[type=file]").set_input_files(file)
        visit.page.get_by_text(visit.t("batch.columns_lead")).wait_for(state="attached")
        visit.settle()
        expect(visit.page.locator(f"{chosen}[value={income}]")).to_have_count(1, timeout=PATIENCE_MS)
        expect(visit.page.locator(chosen)).to_have_count(1, timeout=PATIENCE_MS)  # those of the file before leave last
    with visit.page.expect_download() as download:
        visit.page.locator(".st-key-faults-csv button:visible").first.click()
    table = pd.read_csv(download.value.path(), sep=";" if visit.language == "pt" else ",", dtype=str)
    assert table["qf_row"].tolist() == ["3"] and table["annual_income"].tolist() == ["many"]
    assert visit.t.label("annual_income") in table["qf_problem"][0] and "Outstanding_Debt" in table.columns
    visit.done()


@pytest.mark.parametrize("path", ["", "model", "developers"], ids=lambda path: path or "score")
def test_the_open_page_is_seen_in_a_phones_row(browser: Browser, stack: Stack, path: str) -> None:
    """The row of pages scrolls: the open one stands in it whole, also the last; the page itself stands at its top."""
    visit = Visit(browser, stack, ("pt", "pt-BR", 390, 844, "light")).open(path)
    chip = visit.page.locator(".st-key-phone-pages").get_by_text(visit.t(f"nav.{path or 'score'}"), exact=True)
    expect(chip).to_be_in_viewport(ratio=1)
    assert visit.page.evaluate("document.querySelector('[data-testid=stMain]').scrollTop") == 0
    visit.page.keyboard.press("Tab")
    for name in ("score", "developers"):  # the row's two ends: whoever goes there by keyboard is not taken back
        link = visit.page.locator(".st-key-phone-pages a").filter(has_text=visit.t(f"nav.{name}"))
        link.evaluate("link => link.scrollIntoView({inline: 'center'})")
        visit.page.wait_for_timeout(3 * 200)  # of the page's own clock, which brings the open page into view
        expect(link).to_be_in_viewport(ratio=0.9)
    visit.done()


BAD_FILES: dict[str, tuple[str, bytes]] = {
    "void.csv": ("empty", b""),
    "blank.csv": ("empty", b"\n\n"),
    "names-only.csv": ("no_rows", b"a,b\n"),
    "one-column.csv": ("one_column", b"a\n1\n"),
    "twice.csv": ("column_twice", b"a,a\n1,2\n"),
    "ragged.csv": ("ragged", b"a,b\n1,2,3\n"),
    "open-quote.csv": ("broken_csv", b'a,b\n"1,2\n'),
    "page.csv": ("not_a_table", b"<html>a,b"),
    "tree.csv": ("one_column", b'{"a": 1}'),
    "picture.csv": ("not_a_table", b"\x89PNG\r\n\x1a\n"),
    "paper.csv": ("not_a_table", b"%PDF-1.7"),
    "bytes.csv": ("not_a_table", bytes(range(1, 9)) + b"\x00abc,\x01"),
    "cut.csv": ("not_a_table", b"\xff\xfea"),
    "wide.txt": ("not_a_table", b",".join(b"c%d" % place for place in range(600)) + b"\n1\n"),
    "old.xlsx": ("old_excel", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1rest"),
    "damaged.xlsx": ("broken_excel", b"PK\x03\x04damaged"),
    "text.xlsx": ("broken_excel", b"a,b\n1,2\n"),
}


@pytest.mark.parametrize("look", LOOKS, ids=["pt", "en"])
def test_bad_files(browser: Browser, stack: Stack, tmp_path: Path, look: Look) -> None:
    """Each of twenty kinds of bad file is said in words; the page lives on after it."""
    visit = Visit(browser, stack, look).open("batch")
    for name, (code, content) in BAD_FILES.items():
        file = tmp_path / name
        file.write_bytes(content)
        visit.page.locator("input[type=file]").set_input_files(file)
        words = re.split(r"[“{]", visit.t.entries[f"sheet.{code}"])[0].strip()
        expect(visit.page.get_by_role("alert").filter(has_text=words).first).to_be_visible()
        visit.open("batch")
    for name, content in {
        "foreign.csv": b"colour,shape\nred,round\n",
        "values.csv": applicants(3).replace("42000.0", "plenty").encode(),
        "excess.csv": applicants(3).replace("42000.0", "1e99").encode(),
    }.items():
        (tmp_path / name).write_bytes(content)
        visit.page.locator("input[type=file]").set_input_files(tmp_path / name)
        expect(visit.page.get_by_role("alert").first).to_be_visible()
        visit.open("batch")
    visit.done()


@pytest.mark.parametrize(("width", "side"), [(1280, "beside"), (390, "below")], ids=["desktop", "phone"])
def test_an_answer_stands_beside_its_request(browser: Browser, stack: Stack, width: int, side: str) -> None:
    """On a desktop both begin at one height, before a try and after it; on a phone the answer comes below."""
    visit = Visit(browser, stack, ("pt", "pt-BR", width, 900, "light")).open("developers")
    for tried in (False, True):
        if tried:
            visit.page.locator(".st-key-developers-try button").click()
            expect(visit.page.locator(".st-key-answer").get_by_text("prediction_id").first).to_be_visible()
            visit.settle()
        visit.page.wait_for_function(_PLACES, arg=side)
    visit.done()


@pytest.mark.parametrize("look", LOOKS, ids=["pt", "en"])
def test_the_model_is_told_before_its_tables(browser: Browser, stack: Stack, look: Look) -> None:
    """What is said in a sentence stands open, every table and picture is folded; opened, a step is whole."""
    visit = Visit(browser, stack, look).open("model")
    for said in ("summary.uses", "summary.not_uses", "summary.bases", "summary.truth", "model.fairness"):
        expect(visit.page.get_by_role("heading", name=visit.t(said), exact=True)).to_be_visible()
    steps = visit.page.locator(".qf-stand")
    expect(visit.page.locator(".qf-stand:visible, [data-testid=stVegaLiteChart]:visible")).to_have_count(0)
    visit.unfold()
    expect(steps.first).to_be_visible()
    assert steps.first.evaluate("box => box.scrollWidth <= box.clientWidth")
    visit.done()


def test_what_a_changed_network_took_of_a_page_is_loaded_again(browser: Browser, stack: Stack) -> None:
    """The module that draws charts is lost once, behind the heading: they are drawn, and nothing is complained of."""
    visit = Visit(browser, stack, LOOKS[1])
    losses = lost_once(visit.page, "**/*Vega*.js")
    visit.open("model").unfold()
    expect(visit.page.locator("[data-testid=stVegaLiteChart]").first).to_be_visible()
    assert len(losses) == 1
    visit.done()
