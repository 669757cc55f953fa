"""One request and its answer, as every part of the service passes them on: no framework, no body unless asked for."""

from __future__ import annotations

import hashlib
import itertools
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

from service.access.keystore import ApiKey
from service.problems import MEDIA_TYPE, Problem

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]

JSON: Final = b"application/json"
_COUNT: Final = itertools.count(1)
_RUN: Final = [hashlib.blake2b(key=os.urandom(32), digest_size=12)]


def _new_run() -> None:
    _RUN[0] = hashlib.blake2b(key=os.urandom(32), digest_size=12)


os.register_at_fork(after_in_child=_new_run)


def new_request_id() -> str:
    """An id that no other request of any worker has; how many there were before, it does not tell."""
    digest = _RUN[0].copy()
    digest.update(b"%d" % next(_COUNT))
    return digest.hexdigest()


async def nothing_more() -> Message:
    """There is no body to come."""
    return {"type": "http.disconnect"}


@dataclass(slots=True)
class Call:
    """A request on its way. `key` is set once it was admitted, `limits` once tokens were asked for."""

    method: str
    path: str
    headers: dict[bytes, bytes]
    address: str
    receive: Receive = field(default_factory=lambda: nothing_more)
    request_id: str = field(default_factory=new_request_id)
    started: float = field(default_factory=time.perf_counter)
    route: str = "other"
    key: ApiKey | None = None
    limits: Headers = ()
    query: bytes = b""
    body: bytes | None = None  # where it came whole with the headers
    body_bytes: int = 0  # bytes of the body that were read, also where it never was whole
    tokens: int = 0  # what it paid so far
    turns: int = 1  # that its answer takes if nothing is paid for it, see `service.protocol.turns`
    release: Callable[[], None] | None = None  # gives back the room of its body, once it is answered

    @property
    def owner(self) -> ApiKey:
        """The key of an admitted request."""
        if self.key is None:
            raise RuntimeError("the request was not admitted")
        return self.key


@dataclass(slots=True)
class Reply:
    """An answer: everything that is sent, but the headers that every answer has."""

    status: int
    body: bytes
    media_type: bytes = JSON
    headers: Headers = ()
    close: bool = False


def problem_reply(problem: Problem, call: Call) -> Reply:
    """The problem as the answer to this request."""
    return Reply(problem.status, problem.render(call.request_id), MEDIA_TYPE, problem.headers, problem.close)
