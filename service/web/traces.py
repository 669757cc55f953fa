"""Traces: the caller's W3C `traceparent` is taken, logged and handed on; spans go to a collector that a setting names.

A span is made from what the request log knows, after the answer has left, and sent in bundles by another thread as
OTLP in JSON (which every OpenTelemetry collector takes at `/v1/traces`). Without the setting nothing of it is done.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from service.contract import PRODUCT
from service.errors import in_one_line
from service.web.exchange import Call

_log = logging.getLogger("service.traces")
_PARENT: Final = re.compile(rb"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_MOST: Final = 4096  # spans that wait; more are dropped and counted
_SERVER: Final = 2  # SPAN_KIND_SERVER
_ERROR: Final = 2  # STATUS_CODE_ERROR
_TIMEOUT_S: Final = 5.0


class TraceParent(NamedTuple):
    """What the caller's `traceparent` says: the trace, the span that called, and its flags."""

    trace: str
    span: str
    flags: str

    def header(self, span: str = "") -> bytes:
        """The header to hand on, from this span or the caller's own."""
        return f"00-{self.trace}-{span or self.span}-{self.flags}".encode()


def trace_of(headers: Mapping[bytes, bytes]) -> TraceParent | None:
    """The trace a request belongs to, if its header is one of version 00."""
    header = headers.get(b"traceparent")
    match = _PARENT.fullmatch(header) if header else None
    return TraceParent(*(part.decode() for part in match.groups())) if match else None


class Traces:
    """Sends a span a request to an OpenTelemetry collector."""

    def __init__(self, endpoint: str, worker: str) -> None:
        self.dropped = 0
        self._url = endpoint.rstrip("/") + "/v1/traces"
        self._resource = {"attributes": [_text("service.name", PRODUCT), _text("service.instance.id", worker)]}
        self._spans: list[dict[str, Any]] = []
        self._failing = False

    def note(self, call: Call, status: int, seconds: float) -> None:
        """One answered request; a caller that says its trace is not sampled is obeyed."""
        parent = trace_of(call.headers)
        if parent is not None and not int(parent.flags, 16) & 1:
            return
        if len(self._spans) >= _MOST:
            self.dropped += 1
            return
        end = time.time_ns()
        span: dict[str, Any] = {
            "traceId": parent.trace if parent else os.urandom(16).hex(),
            "spanId": os.urandom(8).hex(),
            "name": f"{call.method} {call.route}" if call.route != "other" else call.route,
            "kind": _SERVER,
            "startTimeUnixNano": str(end - int(seconds * 1e9)),
            "endTimeUnixNano": str(end),
            "attributes": [
                _text("http.route", call.route),
                {"key": "http.response.status_code", "value": {"intValue": str(status)}},
                _text("qf.request", call.request_id),
                _text("qf.key", call.key.id if call.key else ""),
            ],
            "status": {"code": _ERROR} if status >= 500 else {},
        }
        if parent is not None:
            span["parentSpanId"] = parent.span
        self._spans.append(span)

    async def flush(self) -> None:
        """Send what waits; a collector that is away costs spans and nothing else."""
        spans, self._spans = self._spans, []
        if spans:
            await asyncio.to_thread(self._send, spans)

    def _send(self, spans: list[dict[str, Any]]) -> None:
        from urllib.request import Request, urlopen

        scope = {"scope": {"name": "service.web.traces"}, "spans": spans}
        body = msgspec.json.encode({"resourceSpans": [{"resource": self._resource, "scopeSpans": [scope]}]})
        request = Request(self._url, body, {"content-type": "application/json"})
        try:
            with urlopen(request, timeout=_TIMEOUT_S):  # an address of the settings
                self._failing = False
        except OSError as error:
            self.dropped += len(spans)
            if not self._failing:
                _log.warning("traces: the collector does not take them (%s)", in_one_line(error))
            self._failing = True


def _text(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": value}}
