"""The routes on the page at `/docs`: of each, what it costs and needs, and a request beside its answer."""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape
from http import HTTPStatus
from string import Template
from typing import Any, Final

from service.docs.schema_types import CLIENT_PATHS, snake
from service.web.routes import Json, Price, ResponseBody, Route

_WORDS: Final = {
    "pt": {
        "costs": "Custo",
        "scope": "Escopo",
        "request": "Requisição",
        "response": "Resposta",
        "errors": "Erros",
        "prices": {
            Price.NOTHING: "nada",
            Price.TOKEN: "um token",
            Price.ROWS: "um token por linha",
            Price.RESULTS: "um token se traz resultados, senão nada",
            Price.ORDER: "um token, e um por linha quando ela é pontuada",
        },
    },
    "en": {
        "costs": "Cost",
        "scope": "Scope",
        "request": "Request",
        "response": "Response",
        "errors": "Errors",
        "prices": {
            Price.NOTHING: "nothing",
            Price.TOKEN: "one token",
            Price.ROWS: "a token a row",
            Price.RESULTS: "one token where it has results, else nothing",
            Price.ORDER: "one token, and one a row when it is scored",
        },
    },
}
_SECTION: Final = Template(
    """<article class="route" id="$id"><h3><code>$method $path</code></h3><p>$summary</p>
<p class="facts">$facts</p>
<div class="pair">
<figure><figcaption>$request</figcaption><pre tabindex="0" aria-label="$request $path">$asked</pre></figure>
<figure><figcaption>$response</figcaption><pre tabindex="0" aria-label="$response $path">$answer_text</pre></figure>
</div></article>
"""
)


def partner_routes(routes: Iterable[Route]) -> list[Route]:
    """The routes that partners' programs call, in their order."""
    return [route for route in routes if route.path.startswith(CLIENT_PATHS) and not route.hidden]


def anchor(route: Route) -> str:
    """The id of the route's place on the page."""
    return f"route-{snake(route.name).replace('_', '-')}"


def summary(route: Route, language: str) -> str:
    """What the route does, in one line."""
    return (route.summary_pt or route.summary) if language == "pt" else route.summary


def reference(routes: Iterable[Route], language: str) -> str:
    """The sections of the routes."""
    return "".join(_section(route, language) for route in partner_routes(routes))


def _section(route: Route, language: str) -> str:
    words: dict[str, Any] = _WORDS[language]
    facts = {
        words["costs"]: words["prices"][route.price],
        words["scope"]: str(route.scope),
        words["errors"]: ", ".join(map(str, route.problem_statuses)),
    }
    return _SECTION.substitute(
        id=anchor(route),
        method=route.method,
        path=escape(route.path),
        summary=escape(summary(route, language)),
        facts=" · ".join(f"{escape(name)}: {escape(value)}" for name, value in facts.items()),
        request=words["request"],
        response=words["response"],
        asked=escape(curl(route)),
        answer_text=escape(answer_text(route.answer)),
    )


def curl(route: Route) -> str:
    """The route's example as a command of a shell."""
    path = route.at(route.example_id) if route.parameters else route.path
    lines = [f'curl "$QF_API_URL{path}"', '-H "x-api-key: $QF_API_KEY"']
    if route.takes:
        lines.append('-H "content-type: application/json"')
    if route.idempotent:
        lines.append('-H "idempotency-key: $(uuidgen)"')
    if route.takes:
        lines.append(f"--data '{_pretty(route.takes.example)}'")
    return " \\\n  ".join(lines)


def answer_text(answer: ResponseBody) -> str:
    """The answer's example, with its status."""
    return f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\n\n{_pretty(answer.example)}"


def _pretty(value: Json) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
