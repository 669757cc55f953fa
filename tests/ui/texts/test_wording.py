"""Both languages complete, and no visible text anywhere else."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from service.contract import RULE_CODES, Applicant, CreditMix, LoanType, MinimumPayment, PaymentBehaviour
from ui.api.errors import ApiError
from ui.texts.wording import LANGUAGES, Texts, choose_language, texts

UI = Path(__file__).parents[3] / "ui"
SOURCES = sorted(UI.rglob("*.py"))
PLACEHOLDER = re.compile(r"\{(\w+)\}")
SHOWING = {
    "title",
    "header",
    "subheader",
    "markdown",
    "write",
    "caption",
    "info",
    "warning",
    "error",
    "success",
    "button",
}


def test_same_keys() -> None:
    """Portuguese and English hold the same keys."""
    assert set(texts("pt").entries) == set(texts("en").entries)


def test_same_placeholders() -> None:
    """A text takes the same values in both languages."""
    one, other = (texts(language).entries for language in LANGUAGES)
    assert {key: sorted(PLACEHOLDER.findall(one[key])) for key in one} == {
        key: sorted(PLACEHOLDER.findall(other[key])) for key in other
    }


def test_nothing_left_untranslated() -> None:
    """A longer text is not the same in both languages."""
    one, other = (texts(language).entries for language in LANGUAGES)
    assert not [key for key in one if one[key] == other[key] and len(one[key].split()) > 3]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_key_in_the_code_exists(language: str) -> None:
    """Each literal key that the code asks for has a text; each computed one has its family."""
    entries = texts(language).entries
    for source in SOURCES:
        for call in (node for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.Call)):
            name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
            if name == "plural" and isinstance(call.args[0], ast.Constant):
                assert {f"{call.args[0].value}.one", f"{call.args[0].value}.other"} <= set(entries), call.args[0].value
            if name not in ("t", "texts") or not call.args:
                continue
            first = call.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str) and "." in first.value:
                assert first.value in entries, f"{source.name}: {first.value}"
            if isinstance(first, ast.JoinedStr) and isinstance(first.values[0], ast.Constant):
                prefix = str(first.values[0].value)
                assert any(key.startswith(prefix) for key in entries), f"{source.name}: {prefix}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_contract_is_worded(language: str) -> None:
    """Every field, choice, rule and error of today has words of its own."""
    entries = texts(language).entries
    wanted = {f"fields.{name}.{part}" for name in dict(Applicant.model_fields) for part in ("label", "help")}
    wanted |= {f"options.{item}" for kind in (LoanType, CreditMix, MinimumPayment, PaymentBehaviour) for item in kind}
    wanted |= {f"problem.{kind.code}" for kind in ApiError.__subclasses__()}
    wanted |= {f"faults.{code}" for code in RULE_CODES.values()}
    assert wanted <= set(entries)


def test_what_the_drift_flow_says_is_worded() -> None:
    """Each rule that can speak and each problem of a column has a sentence with the figures the flow gives."""
    from flows.monitoring.verdict_types import PROBLEMS, DriftRule

    entries = texts("pt").entries
    assert {f"causes.{rule}" for rule in DriftRule} <= set(entries)
    for problem, words in PROBLEMS.items():
        assert PLACEHOLDER.findall(entries[f"problems.{problem}"]) == PLACEHOLDER.findall(words)


def test_warnings_of_the_service_are_worded() -> None:
    """Each oddity the service can warn of has a sentence."""
    from service.score.input_warnings import WARNINGS

    assert {f"warnings.{code}" for code in WARNINGS} <= set(texts("pt").entries)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_no_text_outside_the_files(source: Path) -> None:
    """No call that shows something is given a literal with a letter in it."""
    for call in (node for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.Call)):
        if isinstance(call.func, ast.Attribute) and call.func.attr in SHOWING and call.args:
            first = call.args[0]
            assert not (isinstance(first, ast.Constant) and re.search("[a-z]", str(first.value))), ast.unparse(call)


@pytest.mark.parametrize(
    ("locale", "language"),
    [("pt-BR", "pt"), ("pt", "pt"), ("PT-pt", "pt"), ("en-GB", "en"), ("de", "en"), (None, "en"), ("", "en")],
)
def test_language_of_the_browser(locale: str | None, language: str) -> None:
    """Portuguese where the browser asks for it, English elsewhere."""
    assert choose_language(locale) == language


def test_a_new_field_is_shown_by_its_name() -> None:
    """What has no words yet is shown by the contract's own name."""
    words = Texts("en", {})
    assert words.label("months_at_address") == "Months at address"
    assert words.option("very_new") == "Very new"
