"""The page at /docs: the guide in two languages, made from the code."""

from __future__ import annotations

import re
from html import escape, unescape

import pytest

from service import problems
from service.contract import Applicant
from service.docs.changelog import changelog
from service.docs.guide import LANGUAGES
from service.docs.reference import anchor, partner_routes, summary
from service.endpoints.table import DECLARED
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
    assert not re.findall(r'(?:src|href|action)="https?:|url\(|@import', page)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_has_contents_and_each_route_shows_a_request_beside_its_answer(api: Api, language: str) -> None:
    """Every heading is linked once; each partner's route has its price, scope, a command and what comes back."""
    page = api.get(f"/docs?lang={language}").body.decode()
    linked = re.findall(r'href="#([a-z0-9-]+)"', page)
    names = re.findall(
        r'<(?:h2|article class="route") id="([a-z0-9-]+)"|<article class="route" id="([a-z0-9-]+)"', page
    )
    placed = {one or other for one, other in names}
    assert placed == set(linked) - {"api"}
    shown = partner_routes(DECLARED)
    assert len(shown) == 10 and page.count('class="route"') == page.count('class="pair"') == len(shown)
    for route in shown:
        section = page.partition(f'id="{anchor(route)}"')[2].partition("</article>")[0]
        assert f"HTTP/1.1 {route.answer.status}" in section and "curl" in section
        assert summary(route, language) in unescape(section) and str(route.scope) in section
    assert all(route.summary_pt for route in shown)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_changes_stand_on_the_page_newest_first(api: Api, language: str) -> None:
    """One home for both languages; the description has the newest version."""
    page = api.get(f"/docs?lang={language}").body.decode()
    changes = changelog()
    versions = [tuple(map(int, one.version.split("."))) for one in changes]
    assert versions == sorted(versions, reverse=True)
    assert [one.date for one in changes] == sorted((one.date for one in changes), reverse=True)
    places = [page.index(escape(getattr(one, language))) for one in changes]
    assert places == sorted(places)
    assert api.get("/openapi.json").json["info"]["version"] == changes[0].version


def test_the_browsers_language_decides_where_none_is_asked(api: Api) -> None:
    """English to who prefers it, Portuguese to everybody else."""
    for asked, language in (("en-GB,en;q=0.9", "en"), ("pt-BR", "pt"), ("de", "pt")):
        assert f'<html lang="{language}">' in api.get("/docs", {"accept-language": asked}).body.decode()


def test_portuguese_explains_every_field_in_portuguese(api: Api) -> None:
    """No English meaning is left in the table of fields."""
    page = api.get("/docs?lang=pt").body.decode()
    left = [name for name, field in Applicant.model_fields.items() if field.description and field.description in page]
    assert left == []
