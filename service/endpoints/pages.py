"""Routes that only read: the documentation, its description for machines, and the manifest of the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from service.access.keystore import Scope
from service.docs import guide
from service.docs.clients import client_files
from service.docs.examples import MANIFEST
from service.docs.openapi import document
from service.errors import ProblemError
from service.middleware.rate_limit import Throttle
from service.problems import INVALID, NOT_FOUND
from service.score.manifest import Manifest
from service.web.exchange import Call, Headers, Reply
from service.web.query import option_values
from service.web.routes import Price, ResponseBody, Route, answers

_HTML: Final = b"text/html; charset=utf-8"
_PAGE: Final[Headers] = ((b"content-security-policy", guide.PAGE_POLICY),)

DOCS: Final = Route(
    "GET",
    "/docs",
    Scope.DOCS,
    name="docs",
    summary="The partner guide and this description, to try out",
    tag="service",
    answer=ResponseBody(
        "A page.", {"type": "string"}, '<!doctype html>\n<html lang="pt">…</html>\n', media_type="text/html"
    ),
    query=({"name": "lang", "schema": {"type": "string", "enum": list(guide.LANGUAGES)}},),
    problems=(INVALID,),
)
ASSET: Final = Route(
    "GET",
    "/docs/{file}",
    Scope.DOCS,
    name="docsFile",
    summary="A file of that page",
    tag="service",
    answer=ResponseBody("The file.", {"type": "string"}, "", media_type="text/css"),
    problems=(NOT_FOUND,),
    hidden=True,
)
OPENAPI: Final = Route(
    "GET",
    "/openapi.json",
    Scope.DOCS,
    name="openapi",
    summary="This description",
    tag="service",
    answer=ResponseBody("OpenAPI 3.1.", {"type": "object"}, {"openapi": "3.1.0"}),
)
MODEL: Final = Route(
    "GET",
    "/v1/model",
    Scope.READ,
    name="model",
    summary="The model that answers: origin, figures, approval",
    summary_pt="O modelo que responde: origem, números, aprovação",
    tag="service",
    price=Price.TOKEN,
    answer=ResponseBody(
        "The manifest, the model card and the documents of its validation; what is for staff alone is empty.",
        {"type": "object"},
        MANIFEST,
        headers=("qf-scopes", "qf-engine"),
    ),
)


class Pages:
    """The routes that only read what never changes while a worker lives."""

    def __init__(self, manifest: Manifest, engine: str, throttle: Throttle, routes: Sequence[Route]) -> None:
        """`routes` are all that is documented."""
        guide.check()
        description = document(routes)
        self._throttle = throttle
        self._engine = engine.encode()
        self._openapi = msgspec.json.encode(description)
        self._clients = client_files(description)
        self._guide = {language: guide.page(language, routes) for language in guide.LANGUAGES}
        self._model = msgspec.json.encode(manifest.partners() | {"engine": engine})
        self._model_for_staff = msgspec.json.encode(manifest.staffs() | {"engine": engine})

    @answers(DOCS)
    async def docs(self, call: Call) -> Reply:
        """The guide and the explorer, in the language asked for or the browser's."""
        return Reply(200, self._guide[_language(call)], _HTML, _PAGE)

    @answers(ASSET)
    async def asset(self, call: Call) -> Reply:
        """A file of that page, or a client that it links to."""
        name = ASSET.parameter(call.path)
        file = self._clients.get(name) or guide.asset(name)
        if file is None:
            raise ProblemError(NOT_FOUND)
        return Reply(200, file[0], file[1])

    @answers(OPENAPI)
    async def openapi(self, _call: Call) -> Reply:
        """OpenAPI 3.1."""
        return Reply(200, self._openapi)

    @answers(MODEL)
    async def model(self, call: Call) -> Reply:
        """The manifest and the engine that answers; it holds no secret and no applicant, and for partners no person.

        `qf-scopes` says what the key that asked may do, so that a client shows its user what will work; `qf-engine`
        repeats the engine, so that packing can tell whether its kernel runs where it is served.
        """
        await self._throttle.charge(call, MODEL.price.tokens())
        scopes = " ".join(sorted(call.owner.scopes)).encode()
        body = self._model_for_staff if Scope.STAFF in call.owner.scopes else self._model
        return Reply(200, body, headers=((b"qf-scopes", scopes), (b"qf-engine", self._engine)))


def _language(call: Call) -> str:
    choices = option_values(call.query, "lang")
    if choices and choices[0] in guide.LANGUAGES:
        return choices[0]
    return "en" if call.headers.get(b"accept-language", b"").lower().startswith(b"en") else "pt"
