"""The page at /docs: the guide in two languages, made from the code."""

from __future__ import annotations

import pytest

from service import problems
from service.contract import Applicant
from service.docs.guide import LANGUAGES
from service.score.input_warnings import WARNINGS
from tests.api.client import Api


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_guide_is_whole_in_both_languages(api: Api, language: str) -> None:
    """Every field, warning and problem, samples with curl first, numbers without exponents; nothing from elsewhere."""
    page = api.get(f"/docs?lang={language}").body.decode()
    assert f'<html lang="{language}">' in page
    names = [*Applicant.model_fields, *WARNINGS, *(one.slug for one in problems.every())]
    assert [name for name in names if name not in page] == []
    places = [page.index(f"<h3>{name}</h3>") for name in ("curl", "Python", "JavaScript")]
    assert places == sorted(places)
    assert "e+0" not in page and "0 – 10\u202f000\u202f000" in page
    assert "http://" not in page and "https://" not in page


def test_the_browsers_language_decides_where_none_is_asked(api: Api) -> None:
    """English to who prefers it, Portuguese to everybody else."""
    for asked, language in (("en-GB,en;q=0.9", "en"), ("pt-BR", "pt"), ("de", "pt")):
        assert f'<html lang="{language}">' in api.get("/docs", {"accept-language": asked}).body.decode()


def test_portuguese_explains_every_field_in_portuguese(api: Api) -> None:
    """No English meaning is left in the table of fields."""
    page = api.get("/docs?lang=pt").body.decode()
    left = [name for name, field in Applicant.model_fields.items() if field.description and field.description in page]
    assert left == []
