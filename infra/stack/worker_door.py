"""The door that workers come through: a login of their own, which opens what `worker_rights.py` lists and no more.

Prefect's server knows one password. People, CI and whatever deploys have it; a worker has another, which the server
never sees: where the list lets a request through, the door signs it with the server's own.
"""

from __future__ import annotations

import base64
import hmac
import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from infra.stack.asgi import App, Message, Receive, Scope, Send
from infra.stack.worker_rights import (
    SOCKETS,
    STARTED,
    SUBMITTER,
    Whose,
    WorkerRoute,
    route,
    runs_named,
    template,
    unwanted,
)

LOG: Final = logging.getLogger(__name__)
REMEMBERED: Final = 4096  # runs whose queue is known: it never changes
FORBIDDEN: Final = 403
BUSY: Final = 503


class _Busy(Exception):
    """The server does not say whose something is, so nobody is let in to it now."""


@dataclass(frozen=True)
class _Said:
    """What a body that was looked at says; nothing where it was not, and then it goes on as it comes."""

    body: bytes | None = None
    runs: frozenset[str] = frozenset()


class WorkerDoor:
    """In front of an application that asks for `password`: who comes with a worker's login may ask what is listed."""

    def __init__(self, app: App, password: str, logins: Mapping[str, str]) -> None:
        self._app = app
        self._password = password
        self._logins = dict(logins)
        self._queues: OrderedDict[str, str] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on as it is, pass on signed, or answer 403; 503 where the server could not be asked whose a run is."""
        if scope["type"] == "websocket":
            await self._app(scope, self._signing(scope["path"], receive), send)
        elif scope["type"] == "http" and (login := self._worker(scope)):
            await self._ask(login, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _worker(self, scope: Scope) -> str:
        """Whose login it comes with; empty where it is no worker's, which the server may judge."""
        headers = [value for name, value in scope["headers"] if name == b"authorization"]
        return self._known(headers[0], _basic) if len(headers) == 1 else ""

    def _known(self, credential: bytes, form: Callable[[str], bytes]) -> str:
        owner = ""
        for pair, login in self._logins.items():  # each is compared, whichever it is
            if hmac.compare_digest(credential, form(pair)):
                owner = login
        return owner

    async def _ask(self, login: str, scope: Scope, receive: Receive, send: Send) -> None:
        """One request of a worker's."""
        method, path = scope["method"], scope["path"]
        match = route(login, method, path)
        if match is None:
            await _refuse(send, login, method, path, "")
            return
        allowed, which = match
        try:
            verdict = await _judged(allowed, receive)
        except ValueError as error:
            await _refuse(send, login, method, path, str(error))
            return
        try:
            own = login == SUBMITTER or await self._own(login, allowed, which, verdict.runs)
        except _Busy:
            await _answer(send, BUSY, "Prefect's server is busy")
            return
        if not own:
            await _refuse(send, login, method, path, "not of its duty")
            return
        await self._app(*self._signed(scope, receive, verdict.body), send)

    def _signed(self, scope: Scope, receive: Receive, body: bytes | None) -> tuple[Scope, Receive]:
        """The request with the server's own password; a body that was judged goes on as it was understood."""
        replaced = {b"authorization": _basic(self._password)}
        if body is not None:
            replaced |= {b"content-type": b"application/json", b"content-length": str(len(body)).encode()}
        dropped = {*replaced, *((b"transfer-encoding",) if body is not None else ())}
        headers = [(name, value) for name, value in scope["headers"] if name not in dropped]
        return {**scope, "headers": [*headers, *replaced.items()]}, receive if body is None else _replayed(
            body, receive
        )

    async def _own(self, login: str, allowed: WorkerRoute, which: str, run_ids: frozenset[str]) -> bool:
        """True if all that has to be is this duty's own. What does not exist is: the server says so in its words."""
        if allowed.whose is Whose.DEPLOYMENT:
            deployment = await self._read(f"/api/deployments/{which}")
            return deployment is None or deployment["name"] in STARTED[login]
        runs = set(run_ids)
        if allowed.whose is Whose.RUN:
            runs = {which}
        if allowed.whose is Whose.ARTIFACT:
            artifact = await self._read(f"/api/artifacts/{which}")
            run = artifact and artifact["flow_run_id"]
            if artifact and not run:
                return False
            runs = {run} if run else set()
        return all([await self._queue(run) in (login, None) for run in runs])

    async def _queue(self, run: str) -> str | None:
        """The queue that a run stands on, empty if on none; None if there is no such run."""
        if run not in self._queues:
            known = await self._read(f"/api/flow_runs/{run}")
            if known is None:
                return None
            self._queues[run] = known["work_queue_name"] or ""
            if len(self._queues) > REMEMBERED:
                self._queues.popitem(last=False)
        return self._queues[run]

    async def _read(self, path: str) -> Any:
        """What the server behind says of one thing; None if there is none.

        Raises:
            _Busy: it says neither.
        """
        transport = httpx.ASGITransport(app=self._app)
        async with httpx.AsyncClient(transport=transport, base_url="http://behind") as http:
            answer = await http.get(path, headers={"Authorization": _basic(self._password).decode()})
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if not answer.is_success:
            raise _Busy
        return answer.json()

    def _signing(self, path: str, receive: Receive) -> Receive:
        """A socket signs in with its first message: a worker's login is exchanged there, if the path is listed."""
        first = True

        async def received() -> Message:
            nonlocal first
            message = await receive()
            if not first or message["type"] != "websocket.receive":
                return message
            first = False
            return self._exchanged(path, message)

        return received

    def _exchanged(self, path: str, message: Message) -> Message:
        try:
            word = json.loads(message.get("text") or "")
        except ValueError:
            return message
        token = word.get("token") if isinstance(word, dict) and word.get("type") == "auth" else None
        login = self._known(token.encode(), str.encode) if isinstance(token, str) else ""
        if not login:
            return message
        if path not in SOCKETS:
            LOG.warning("refused to worker %s: socket %s", login, template(path))
            return message  # the server does not know the login, and closes
        return {**message, "text": json.dumps({"type": "auth", "token": self._password})}


def _basic(pair: str) -> bytes:
    return b"Basic " + base64.b64encode(pair.encode())


async def _judged(allowed: WorkerRoute, receive: Receive) -> _Said:
    """The body of a request, as it may go on.

    Raises:
        ValueError: it may not; the text says why, and nothing of the body.
    """
    if not allowed.needs_body:
        return _Said()
    try:
        body = json.loads(await _whole(receive))
        runs = frozenset(runs_named(body)) if allowed.whose is Whose.NAMED else frozenset()
    except (ValueError, RecursionError):
        raise ValueError("a body that the door does not understand") from None
    if unwanted(allowed, body):
        raise ValueError("a field that is not a worker's to fill")
    return _Said(json.dumps(body).encode(), runs)


async def _whole(receive: Receive) -> bytes:
    """The whole body; what came of it where the client went away is no JSON."""
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message["type"] == "http.request" and message.get("more_body", False)
    return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body once more, then whatever the connection says."""
    pending = True

    async def received() -> Message:
        nonlocal pending
        if not pending:
            return await receive()
        pending = False
        return {"type": "http.request", "body": body, "more_body": False}

    return received


async def _refuse(send: Send, login: str, method: str, path: str, why: str) -> None:
    LOG.warning("refused to worker %s: %s %s%s", login, method, template(path), f" ({why})" if why else "")
    await _answer(send, FORBIDDEN, "a worker may not ask this")


async def _answer(send: Send, status: int, text: str) -> None:
    body = json.dumps({"detail": text}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
