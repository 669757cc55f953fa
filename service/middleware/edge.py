"""The outermost ASGI layer: every request is admitted, answered, counted and logged here, or it is refused here.

It stands in front of BentoML's own layers, which would count and time requests that are not even admitted (one
metric label a path an attacker thinks of), and cost more than scoring does. Lifespan messages go through to BentoML.
"""

from __future__ import annotations

import logging
import time
import traceback
from dataclasses import dataclass
from typing import Final

from service.access.keystore import ApiKey
from service.access.keystore import Scope as KeyScope
from service.addresses import subscriber
from service.errors import ProblemError
from service.metrics import Metrics
from service.middleware.authentication import Access
from service.problems import BAD_HEADER, INTERNAL, METHOD_NOT_ALLOWED, NOT_FOUND, Problem
from service.web.exchange import App, Call, Headers, Receive, Reply, Scope, Send, problem_reply
from service.web.fields import headers_by_name
from service.web.logs import RequestLog
from service.web.routes import Route, Routes
from service.web.traces import Traces

_log = logging.getLogger("service.edge")
SECURITY: Final[Headers] = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
_CLOSED: Final = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")


@dataclass(slots=True)
class RequestHandler:
    """Everything that is needed to answer a request; made when the worker starts."""

    routes: Routes
    access: Access
    metrics: Metrics
    log: RequestLog
    at_once: bool = (
        False  # whether whole scoring requests may be answered without a task, see `service.protocol.express`
    )
    draining: bool = False
    traces: Traces | None = None

    async def answer(self, call: Call) -> Reply:
        """The answer to a request, whatever happens."""
        try:
            endpoint = self.routes.find(call.path)
            if endpoint is None:
                return problem_reply(self._refusal(call, None) or NOT_FOUND, call)
            call.route = endpoint.route.path
            refusal = self._refusal(call, endpoint.route)
            if refusal is not None:
                return problem_reply(refusal, call)
            call.turns += endpoint.route.more_turns
            return await endpoint.handler(call)
        except ProblemError as error:
            return problem_reply(error.problem, call)
        except Exception as error:  # pylint: disable=broad-exception-caught  # the last line of defence
            where = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-6:]]
            _log.error("request %s on %s failed: %s at %s", call.request_id, call.route, type(error).__name__, where)
            return problem_reply(INTERNAL, call)
        finally:
            if call.release is not None:
                call.release()

    def vital(self, path: str) -> bool:
        """True if it is a route that tells how the worker is: answered when nothing else is."""
        endpoint = self.routes.find(path)
        return endpoint is not None and (endpoint.route.open or endpoint.route.scope is KeyScope.METRICS)

    def owner(self, call: Call) -> str:
        """The owner of a request's turns: a partner's account, or an address without a good key; apart from probes."""
        if call.key is not None:
            return call.key.account
        return f"{subscriber(self.access.address(call))} {call.route}"

    def _refusal(self, call: Call, route: Route | None) -> Problem | None:
        """Why the request is not answered, if it is not. Without a key nobody learns which routes exist."""
        if route is None or not route.open:
            admitted = self.access.admit(call, route.scope if route else None)
            if not isinstance(admitted, ApiKey):
                return admitted
        if route is None:
            return self._nothing_there(call.path)
        if not route.accepts(call.method):
            return METHOD_NOT_ALLOWED.with_headers((b"allow", route.allow))
        if b"host" not in call.headers:
            return BAD_HEADER.saying("The header Host is missing")
        return None

    def _nothing_there(self, path: str) -> Problem:
        """404; a path that is a route but for its slashes or its case is told the route."""
        match = self.routes.find("/" + path.strip("/").lower())
        return NOT_FOUND.saying(f"There is nothing here; the route is {match.route.path}") if match else NOT_FOUND

    def note(self, call: Call, reply: Reply) -> None:
        """Count and log what was answered."""
        seconds = time.perf_counter() - call.started
        self.metrics.request(call.route, reply.status, seconds)
        if reply.status == 429:
            self.access.limited(call)
        if self.traces is not None:
            self.traces.note(call, reply.status, seconds)
        self.log.write(call, reply, seconds)


class Edge:
    """ASGI application in front of `inner`; `handler` is handed over when the worker has started."""

    def __init__(self, inner: App) -> None:
        self.inner = inner
        self.handler: RequestHandler | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self.inner(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        handler = self.handler
        if handler is None:
            raise RuntimeError("the service has not started")
        call, reply = await _call_and_reply(handler, scope, receive)
        own = own_headers(call, reply, closing=reply.close or handler.draining)
        headers = [*own, *fixed_headers(reply.media_type)]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})
        handler.note(call, reply)


async def _call_and_reply(handler: RequestHandler, scope: Scope, receive: Receive) -> tuple[Call, Reply]:
    """The request that an ASGI server hands on, and its answer."""
    client = scope.get("client")
    call = Call(scope["method"], scope["path"], {}, client[0] if client else "", receive)
    call.query = scope.get("query_string", b"")
    try:
        call.headers = headers_by_name(scope["headers"])
    except ProblemError as error:
        return call, problem_reply(error.problem, call)
    return call, await handler.answer(call)


def own_headers(call: Call, reply: Reply, *, closing: bool) -> Headers:
    """The headers of this very answer; none holds text of the caller's."""
    headers: Headers = (
        (b"content-type", reply.media_type),
        (b"content-length", b"%d" % len(reply.body)),
        (b"x-request-id", call.request_id.encode()),
        *call.limits,
        *reply.headers,
    )
    return (*headers, (b"connection", b"close")) if closing else headers


def fixed_headers(media_type: bytes) -> Headers:
    """The headers that every answer of this kind has."""
    return SECURITY if media_type[:9] == b"text/html" else (*SECURITY, _CLOSED)  # a page brings its own policy
