"""Reads request bodies: JSON only, no more bytes than the route takes, and within a time."""

from __future__ import annotations

import asyncio
import time
from codecs import BOM_UTF8
from dataclasses import replace
from typing import Final

from service.errors import ProblemError
from service.problems import BODY_TIMEOUT, INCOMPLETE, TOO_LARGE, UNSUPPORTED, Problem
from service.web.exchange import Call

ONE_BYTES: Final = 64 * 1024
BATCH_BYTES: Final = 2 * 1024 * 1024
_PLAIN: Final = frozenset((b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"))
_SWEEP_S: Final = 0.25


class Bodies:
    """Reads bodies under one deadline; a single sweep watches them all, so a body costs no timer of its own."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._waiting: dict[asyncio.Task[object], float] = {}
        self._overdue: set[asyncio.Task[object]] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    def check(self, call: Call, limit: int) -> None:
        """Look at what the head says of the body.

        Raises:
            ProblemError: 415 for anything but JSON in UTF-8, 413 beyond `limit` bytes.
        """
        headers = call.headers
        encoding = headers.get(b"content-encoding", b"")
        if (encoding and encoding.lower() != b"identity") or not _is_json(headers.get(b"content-type", b"")):
            raise ProblemError(UNSUPPORTED)
        length = headers.get(b"content-length")
        if length is not None and int(length) > limit:
            raise ProblemError(_too_large(limit))

    async def read(self, call: Call, limit: int) -> bytes:
        """The whole body, without a byte order mark.

        Raises:
            ProblemError: 413 beyond `limit` bytes, 400 too late or cut off.
        """
        if call.body is not None:
            if len(call.body) > limit:
                raise ProblemError(_too_large(limit))
            return call.body.removeprefix(BOM_UTF8)
        task = asyncio.current_task()
        assert task is not None
        self._waiting[task] = time.monotonic() + self._timeout_s
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)
        try:
            return (await _collect(call, limit)).removeprefix(BOM_UTF8)
        except asyncio.CancelledError:
            if task not in self._overdue:
                raise
            task.uncancel()
            raise ProblemError(BODY_TIMEOUT) from None
        finally:
            self._overdue.discard(task)
            del self._waiting[task]

    def _sweep(self) -> None:
        now = time.monotonic()
        for task, deadline in self._waiting.items():
            if now > deadline:
                self._overdue.add(task)
                task.cancel()
        again = self._waiting.keys() - self._overdue
        self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep) if again else None


async def _collect(call: Call, limit: int) -> bytes:
    parts: list[bytes] = []
    more = True
    while more:
        message = await call.receive()
        if message["type"] == "http.disconnect":
            raise ProblemError(INCOMPLETE)
        parts.append(message.get("body", b""))
        call.body_bytes += len(parts[-1])
        if call.body_bytes > limit:
            raise ProblemError(_too_large(limit))
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(limit: int) -> Problem:
    return replace(TOO_LARGE, detail=f"The route takes at most {limit} bytes")


def _is_json(content_type: bytes) -> bool:
    if content_type in _PLAIN:
        return True
    media, _, parameters = content_type.partition(b";")
    if media.strip().lower() != b"application/json":
        return False
    for parameter in parameters.lower().split(b";"):
        name, _, value = parameter.partition(b"=")
        if name.strip() == b"charset" and value.strip().strip(b'"') not in (b"utf-8", b"utf8"):
            return False
    return True  # a parameter that nobody knows says nothing (RFC 8259, 11)
