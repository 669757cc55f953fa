"""A client without a network: calls the ASGI application in this process, in the loop of the session."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from service.docs.examples import APPLICANT
from service.web.exchange import App, Message

JSON_TYPE = "application/json"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def limits(self) -> dict[str, int]:
        """`burst` and `daily` tokens left, as the field RateLimit says."""
        parts = (part.strip().split(";") for part in self.headers["ratelimit"].split(","))
        return {part[0].strip('"'): int(part[1].removeprefix("r=")) for part in parts}


def _messages(parts: list[bytes]) -> Iterator[Message]:
    """The body as the server hands it on, piece by piece; the last piece again for whoever asks on."""
    for part in parts[:-1]:
        yield {"type": "http.request", "body": part, "more_body": True}
    while True:
        yield {"type": "http.request", "body": parts[-1], "more_body": False}


class Api:
    """The service as a partner sees it."""

    def __init__(self, app: App, runner: asyncio.Runner, key: str) -> None:
        self.app = app
        self.runner = runner
        self.key = key

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        key: str | None = "",
        chunks: Iterable[bytes] | None = None,
        address: str = "192.0.2.1",
    ) -> Answer:
        """One request; `key` None sends none, the empty text the client's own."""
        return self.runner.run(self.call(method, path, body, headers, key=key, chunks=chunks, address=address))

    async def call(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        key: str | None = "",
        chunks: Iterable[bytes] | None = None,
        address: str = "192.0.2.1",
    ) -> Answer:
        """`request` from within the loop."""
        sent = {"host": "api.test", **(headers or {})}
        if key is not None:
            sent["x-api-key"] = key or self.key
        if chunks is None and "content-length" not in sent:
            sent["content-length"] = str(len(body))
        waiting = _messages(list(chunks) if chunks is not None else [body])
        start: dict[str, Any] = {}
        received = bytearray()

        async def receive() -> Message:
            return next(waiting)

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                received.extend(message.get("body", b""))

        target = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": target[0],
            "query_string": target[2].encode(),
            "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in sent.items()],
            "client": (address, 40000),
        }
        await self.app(scope, receive, send)
        found = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
        return Answer(start["status"], found, bytes(received))

    def post(self, path: str, content: Any, headers: Mapping[str, str] | None = None, **more: Any) -> Answer:
        """Send JSON; bytes are sent as they are."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return self.request("POST", path, body, {"content-type": JSON_TYPE, **(headers or {})}, **more)

    def get(self, path: str, headers: Mapping[str, str] | None = None, **more: Any) -> Answer:
        """Read something."""
        return self.request("GET", path, b"", headers, **more)

    def score(self, **overrides: Any) -> Answer:
        """Score the example applicant, some fields changed."""
        return self.post("/v1/score", applicant(**overrides))


def applicant(**overrides: Any) -> dict[str, Any]:
    """The documentation's example applicant, some fields changed."""
    return {**APPLICANT, **overrides}


def basic(key: str) -> dict[str, str]:
    """The header of a browser that was given a key as password."""
    return {"authorization": "Basic " + base64.b64encode(f"me:{key}".encode()).decode()}
