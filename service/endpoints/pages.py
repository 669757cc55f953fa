"""What is there to read: the documentation, its description for machines, and the model that answers."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs

import msgspec

from service.docs import guide
from service.docs.openapi import document
from service.errors import ProblemError
from service.middleware.rate_limit import Throttle
from service.problems import NOT_FOUND
from service.score.manifest import Manifest
from service.web.exchange import Call, Headers, Reply

_HTML: Final = b"text/html; charset=utf-8"
_PAGE: Final[Headers] = ((b"content-security-policy", guide.PAGE_POLICY),)
ASSETS: Final = "/docs/"


class Pages:
    """The routes that only read what never changes while a worker lives."""

    def __init__(self, manifest: Manifest, engine: str, throttle: Throttle) -> None:
        guide.check()
        self._throttle = throttle
        self._engine = engine.encode()
        self._openapi = msgspec.json.encode(document())
        self._model = msgspec.json.encode(manifest.model_dump(mode="json", exclude={"files"}) | {"engine": engine})

    async def docs(self, call: Call) -> Reply:
        """The guide and the explorer, in the language asked for or the browser's."""
        return Reply(200, guide.page(_language(call)), _HTML, _PAGE)

    async def asset(self, call: Call) -> Reply:
        """A file of that page."""
        found = guide.asset(call.path.removeprefix(ASSETS))
        if found is None:
            raise ProblemError(NOT_FOUND)
        return Reply(200, found[0], found[1])

    async def openapi(self, _call: Call) -> Reply:
        """OpenAPI 3.1."""
        return Reply(200, self._openapi)

    async def model(self, call: Call) -> Reply:
        """The manifest and the engine that answers; it holds no secret and no applicant.

        `qf-scopes` says what the key that asked may do, so that a client shows its user what will work; `qf-engine`
        repeats the engine, so that packing can tell whether its kernel runs where it is served.
        """
        await self._throttle.charge(call, 1)
        scopes = " ".join(sorted(call.owner.scopes)).encode()
        return Reply(200, self._model, headers=((b"qf-scopes", scopes), (b"qf-engine", self._engine)))


def _language(call: Call) -> str:
    asked: str = parse_qs(call.query.decode("latin-1")).get("lang", [""])[0]
    if asked in guide.LANGUAGES:
        return asked
    return "en" if call.headers.get(b"accept-language", b"").lower().startswith(b"en") else "pt"
