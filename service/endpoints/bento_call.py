"""Sends an admitted, checked request through BentoML's own API and brings its answer back in our shape."""

from __future__ import annotations

from service.errors import ProblemError
from service.middleware.seal import CALLER
from service.problems import INTERNAL, NOT_DURABLE
from service.web.exchange import App, Call, Message, Reply, Scope
from service.web.traces import trace_of


class Inner:
    """The scoring routes as BentoML answers them (QF_FAST_ROUTE=false); slower, same answers."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, call: Call, body: bytes) -> Reply:
        """BentoML's answer to this request. The body was checked before, so nothing of it can be refused inside.

        Raises:
            ProblemError: BentoML answered anything but 200; its text stays inside.
        """
        status, answer = 0, b""

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            nonlocal status, answer
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                answer += message.get("body", b"")

        mark = CALLER.set(call.owner)
        try:
            await self._app(_scope(call, body), receive, send)
        finally:
            CALLER.reset(mark)
        if status != 200:
            raise ProblemError(NOT_DURABLE if status == 503 else INTERNAL)
        return Reply(200, answer)


def _scope(call: Call, body: bytes) -> Scope:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"host", b"edge")]
    trace = trace_of(call.headers)
    if trace is not None:
        headers.append((b"traceparent", trace.header()))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": call.method,
        "scheme": "http",
        "path": call.path,
        "raw_path": call.path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "server": None,
        "client": (call.address, 0),
        "state": {},
    }
