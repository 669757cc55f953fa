"""The page at `/docs`: the partner guide in Portuguese and English, and Swagger UI over our own description.

Tables of fields, warnings and problems are made from the code, so they cannot go stale. Swagger UI's files are those
that BentoML installs; the page asks nothing of the internet.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path
from string import Template
from typing import Any, Final

import bentoml

from service import problems
from service.contract import BANDS
from service.docs.changelog import changelog
from service.docs.clients import CLIENTS
from service.docs.openapi import SAMPLE_FILES, SAMPLES, document
from service.docs.reference import anchor, partner_routes, reference, summary
from service.errors import Misconfigured
from service.score.input_warnings import WARNINGS
from service.web.routes import Json, Route

HERE: Final = Path(__file__).parent
LANGUAGES: Final = ("pt", "en")
_BUNDLED: Final = Path(bentoml.__file__).parent / "_internal" / "server" / "static_content"
_ASSETS: Final = {
    "swagger-ui.css": (_BUNDLED, b"text/css"),
    "swagger-ui-bundle.js": (_BUNDLED, b"text/javascript"),
    "style.css": (HERE, b"text/css"),
    "start.js": (HERE, b"text/javascript"),
}
_WORDS: Final = {
    "pt": {
        "title": "QuantumFinance: score de crédito",
        "noscript": "O explorador precisa de JavaScript; o guia acima e /openapi.json não.",
        "fields": ("campo", "tipo", "unidade", "faixa", "significado"),
        "warnings": ("código", "quando"),
        "problems": ("status", "tipo", "significado"),
        "optional": "opcional",
        "contents": "Sumário",
    },
    "en": {
        "title": "QuantumFinance: credit score",
        "noscript": "The explorer needs JavaScript; the guide above and /openapi.json do not.",
        "fields": ("field", "type", "unit", "range", "meaning"),
        "warnings": ("code", "when"),
        "problems": ("status", "type", "meaning"),
        "optional": "optional",
        "contents": "Contents",
    },
}
_HEADING: Final = re.compile(r'<h2(?: id="([a-z-]+)")?>(.*?)</h2>')
PAGE_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page(language: str, routes: Sequence[Route]) -> bytes:
    """The whole page in one of `LANGUAGES`, of the API that has these routes."""
    words = _WORDS[language]
    guide = Template((HERE / f"guide.{language}.html").read_text("utf-8")).substitute(
        samples=_samples(),
        bands=", ".join(f"{band} {low}–{high}" for band, low, high in BANDS),
        fields=_fields(language, document(routes)["components"]["schemas"]),
        warnings=_table(words["warnings"], [(_code(code), escape(text)) for code, text in WARNINGS.items()]),
        problems=_table(words["problems"], _problems()),
        clients="".join(f'<li><a href="/docs/{name}" download>{name}</a></li>' for name in CLIENTS),
        changes="".join(
            f"<li><b>{one.version}</b> ({one.date}): {escape(getattr(one, language))}</li>" for one in changelog()
        ),
        routes=reference(routes, language),
    )
    guide, contents = _with_contents(guide, routes, language)
    frame = Template((HERE / "page.html").read_text("utf-8"))
    text = frame.substitute(
        lang=language,
        title=words["title"],
        guide=guide,
        contents=contents,
        contents_title=words["contents"],
        noscript=words["noscript"],
    )
    return text.encode()


def _with_contents(guide: str, routes: Sequence[Route], language: str) -> tuple[str, str]:
    """The guide with a name on each heading, and the list of links to them; routes stand below theirs."""
    links: list[str] = []

    def anchor(match: re.Match[str]) -> str:
        title = match[2]
        name = match[1] or f"s{len(links) + 1}"
        links.append(
            f'<li><a href="#{name}">{title}</a>{_route_links(routes, language) if name == "routes" else ""}</li>'
        )
        return f'<h2 id="{name}">{title}</h2>'

    guide = _HEADING.sub(anchor, guide)
    return guide, f"<ol>{''.join(links)}</ol>"


def _route_links(routes: Sequence[Route], language: str) -> str:
    links = (
        f'<li><a href="#{anchor(route)}" title="{escape(summary(route, language))}">'
        f"{route.method} {route.path}</a></li>"
        for route in partner_routes(routes)
    )
    return f"<ul>{''.join(links)}</ul>"


@cache
def asset(name: str) -> tuple[bytes, bytes] | None:
    """Content and media type of a file of the page; None if it is none of them."""
    entry = _ASSETS.get(name)
    return ((entry[0] / name).read_bytes(), entry[1]) if entry else None


def check() -> None:
    """Raise Misconfigured if a file of the page is missing, which a new BentoML may cause."""
    for name, (folder, _) in _ASSETS.items():
        if not (folder / name).is_file():
            raise Misconfigured(f"{name} is not where this version of BentoML keeps it: install the locked version")


def _samples() -> str:
    texts = [(name, (SAMPLES / file).read_text("utf-8")) for file, (_, name) in SAMPLE_FILES.items()]
    return "".join(f"<h3>{name}</h3><pre>{escape(text)}</pre>" for name, text in texts)


def _fields(language: str, schemas: Json) -> str:
    schema = schemas["Applicant"]
    meanings = _meanings() if language == "pt" else {}
    rows = []
    for name, field in schema["properties"].items():
        kinds, limits = _kinds(field, schemas), _limits(field)
        if name not in schema["required"]:
            kinds += f", {_WORDS[language]['optional']}"
        meaning = meanings.get(name) or field["description"]
        rows.append((_code(name), escape(kinds), escape(field["unit"]), escape(limits), escape(meaning)))
    return _table(_WORDS[language]["fields"], rows)


def _meanings() -> dict[str, str]:
    lines = (HERE / "fields.pt.txt").read_text("utf-8").splitlines()
    return {name.strip(): text.strip() for name, _, text in (line.partition(":") for line in lines) if text}


def _kinds(field: Json, schemas: Json) -> str:
    parts = field.get("anyOf", [field])
    return " | ".join(_kind(part, schemas) for part in parts)


def _kind(part: Json, schemas: Json) -> str:
    if "$ref" in part:
        target = schemas[part["$ref"].rpartition("/")[2]]
        return " | ".join(target["enum"]) if "enum" in target else f"{{{', '.join(target['properties'])}}}"
    if part["type"] == "array":
        return f"[{_kind(part['items'], schemas)}]"
    return str(part.get("format", part["type"]))


def _limits(field: Json) -> str:
    for part in field.get("anyOf", [field]):
        if "minimum" in part:
            return f"{_plain(part['minimum'])} – {_plain(part['maximum'])}"
        if "pattern" in part:
            return str(part["pattern"])
    return ""


def _plain(number: float) -> str:
    """A number as both languages read it: digits in groups of three, parted by a narrow space."""
    return f"{number:,.0f}".replace(",", "\u202f")


def _problems() -> list[tuple[str, ...]]:
    return [(str(one.status), _code(problems.TYPE_BASE + one.slug), escape(one.title)) for one in problems.every()]


def _table(head: Any, rows: Sequence[tuple[str, ...]]) -> str:
    titles = "".join(f'<th scope="col">{title}</th>' for title in head)
    lines = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table>"


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"
