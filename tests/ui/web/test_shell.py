"""The document before Streamlit has started: its language, its title, and what it leaves alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
import streamlit
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from ui.texts.wording import texts
from ui.web.shell import FirstPaint

DOCUMENT = (
    '<!DOCTYPE html><html lang="en"><head><link rel="shortcut icon" href="./favicon.png" /><title>Streamlit</title>'
    '</head><body><div id="root"></div></body></html>'
)


async def _document(_request: Request) -> Response:
    return HTMLResponse(DOCUMENT, headers={"etag": "old", "cache-control": "no-cache"})


async def _data(_request: Request) -> Response:
    return JSONResponse({"html": DOCUMENT}, headers={"etag": "kept"})


def _answered(path: str, **headers: str) -> httpx.Response:
    app = Starlette(routes=[Route("/", _document), Route("/data", _data)], middleware=[Middleware(FirstPaint)])

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://page.test") as client:
            return await client.get(path, headers={"accept": "text/html", **headers})

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("asked", "lang", "language"), [("pt-BR,pt;q=0.9", "pt-BR", "pt"), ("en-GB", "en", "en"), ("de", "en", "en")]
)
def test_a_document_speaks_the_readers_language(asked: str, lang: str, language: str) -> None:
    """Language, title, promise and a first picture are in the first bytes; no older copy may be confirmed."""
    answer = _answered("/", **{"accept-language": asked})
    assert f'<html lang="{lang}">' in answer.text and f"<title>{texts(language)('app.title')}</title>" in answer.text
    assert texts(language)("app.promise") in answer.text and '<div id="root"></div>' in answer.text
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert "etag" not in answer.headers and answer.headers["vary"] == "accept-language"
    assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]


def test_everything_else_is_left_alone() -> None:
    """Data passes as it is, with its own headers."""
    answer = _answered("/data")
    assert answer.json() == {"html": DOCUMENT} and answer.headers["etag"] == "kept"


def test_streamlits_document_still_has_the_places() -> None:
    """The installed Streamlit's own document holds every mark that is written over."""
    document = (Path(streamlit.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    for place in ('<html lang="en">', "<title>Streamlit</title>", '<div id="root">', "</body>"):
        assert document.count(place) == 1, place
    assert '<link rel="shortcut icon" href="./favicon.png" />' in document
