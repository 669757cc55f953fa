"""A Portuguese page speaks Portuguese: every visible or spoken word is a word of its texts, Streamlit's own
included."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.ui.browsing import Stack, Visit
from ui.applicant.examples import EXAMPLES
from ui.texts.wording import texts

pytestmark = [pytest.mark.needs_browser, pytest.mark.slow, pytest.mark.xdist_group("chain"), pytest.mark.timeout(900)]
PORTUGUESE = ("pt", "pt-BR", 1280, 900, "light")
# Names, formats of files, and what a date is typed in; the language switch names each language in its own.
NAMES = set(
    "english português curl javascript python logo dd mm min csv tsv txt xlsx gz zip parquet jsonl ndjson".split()
    + "demo generated catboost numpy pydantic".split()  # the small model's own names
)
GATHER = """() => {
  const held = "pre, code, script, style, template, noscript, #qf-first, [data-testid*=Icon]";
  const told = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    if (parent && !parent.closest(held)) told.push(walker.currentNode.textContent.trim());
  }
  for (const name of ["aria-label", "title", "placeholder", "alt"])
    for (const each of document.querySelectorAll(`[${name}]`))
      if (!each.closest(held)) told.push(each.getAttribute(name));
  return told;
}"""


def words(text: str) -> set[str]:
    """The words of a text, in lower case."""
    return {word.lower() for word in re.findall(r"[^\W\d_]{2,}", text)}


def known_to(stack: Stack) -> set[str]:
    """Every word of the Portuguese texts, and of the reasons that the service gives in Portuguese."""
    bodies = [example.model_dump(mode="json", exclude_unset=True) for example in EXAMPLES.values()]
    headers = {"x-api-key": stack.gate.own_key}
    answers: list[dict[str, Any]] = [
        stack.gate.client.post(f"{stack.gate.api}/v1/score", json=body, headers=headers).json() for body in bodies
    ]
    reasons = " ".join(reason["text"]["pt"] for answer in answers for reason in answer["reasons"])
    return words(" ".join(texts("pt").entries.values())) | words(reasons) | NAMES


@pytest.mark.parametrize("path", ["", "batch", "whatif", "model", "developers"], ids=lambda path: path or "score")
def test_no_foreign_word(browser: Browser, stack: Stack, path: str) -> None:
    """No visible word, and none that a screen reader speaks, is outside the Portuguese texts; the page says its
    language."""
    visit = Visit(browser, stack, PORTUGUESE).open(path)
    if not path:
        visit.advise()
    if path == "model":
        visit.unfold()
        for tab in visit.page.get_by_role("tab").all():
            tab.click()
            visit.settle()
    visit.settle()
    known = known_to(stack)
    foreign = {text: words(text) - known for text in visit.page.evaluate(GATHER)}
    assert {text: found for text, found in foreign.items() if found} == {}
    assert visit.page.evaluate("document.documentElement.lang") == "pt-BR"
    visit.done()
