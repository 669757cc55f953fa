"""The documentation as a site: built offline, without a request to anybody."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infra.delivery import docs_site
from infra.settings import ROOT
from service.endpoints.table import description


def test_links_between_documents_become_links_between_pages() -> None:
    """A README's link to another leads to that one's page, with its anchor."""
    source = ROOT / "service" / "README.md"

    assert docs_site.with_site_links("[a](../infra/README.md#locks)", source, "guides/service.md") == (
        "[a](../guides/infra.md#locks)"
    )
    assert docs_site.with_site_links("[a](https://example.org/x.md)", source, "guides/service.md") == (
        "[a](https://example.org/x.md)"
    )


def test_the_reference_names_every_route_and_field() -> None:
    """The page of the API holds what the OpenAPI document holds."""
    openapi = description()
    text = docs_site.api_reference(openapi)

    assert all(f"{path}`" in text for path in openapi["paths"])
    assert all(f"`{field}`" in text for field in openapi["components"]["schemas"]["Applicant"]["properties"])


@pytest.mark.slow
def test_the_site_is_built_and_asks_nobody(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Every document becomes a page, no page loads anything from elsewhere, and the first one's place is said."""
    monkeypatch.chdir(ROOT)

    assert docs_site.main() == 0
    assert capsys.readouterr().out.endswith("open build/site/index.html\n") and docs_site.START.is_file()

    built = ROOT / "build" / "site"
    pages = [built / Path(page).with_suffix(".html") for page in docs_site.SOURCES.values()]
    assert all(page.is_file() for page in pages)
    loaded = [
        address
        for page in built.rglob("*.html")
        for address in re.findall(
            r'<(?:script|img|link rel="(?:stylesheet|preconnect)")[^>]*(?:src|href)="(https?:[^"]+)',
            page.read_text(encoding="utf-8"),
        )
    ]
    assert loaded == []
