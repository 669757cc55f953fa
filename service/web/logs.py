"""What the service says: one JSON object a line on standard output, and never anything an applicant sent.

Request lines hold an allow-list: request id, route (the template, not the path), method, status, milliseconds, key id.
Other records hold their message; of an exception only its type and where it was raised, since its text may quote a
value.
"""

from __future__ import annotations

import asyncio
import json
import logging
import logging.config
import os
import sys
import time
import traceback
from datetime import UTC, datetime
from typing import Final

from service.web.exchange import Call, Reply
from service.web.traces import trace_of

_CAP_BYTES: Final = 8 << 20  # of lines that a stalled reader of our output may keep waiting


class JsonFormatter(logging.Formatter):
    """A log record as one JSON object without values."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[0]:
            kind, _, trace = record.exc_info
            line["error"] = kind.__name__
            line["at"] = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(trace)[-8:]]
        return json.dumps(line)


class ClientErrorFilter(logging.Filter):
    """Drops what BentoML writes of a refused body: its text quotes the body, and the caller was told already."""

    def filter(self, record: logging.LogRecord) -> bool:
        """True if the record may be written."""
        kind = record.exc_info[0] if record.exc_info else None
        return kind is None or kind.__name__ not in (
            "ValidationError",
            "BadInput",
            "InvalidArgument",
            "JSONDecodeError",
        )


def configure(level: int = logging.INFO) -> None:
    """Send every logger of this process through one handler that keeps values out; call it after BentoML's set-up."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(ClientErrorFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in list(logging.root.manager.loggerDict):
        logger = logging.getLogger(name)
        if logger.handlers and name.split(".")[0] in ("bentoml", "uvicorn", "circus", "service"):
            logger.handlers.clear()
            logger.propagate = True
    access = logging.getLogger("uvicorn.access")  # with a handler in reach uvicorn formats a line a request
    access.handlers.clear()
    access.propagate = False
    for name in ("botocore", "boto3", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)


class RequestLog:
    """Request lines, written in bundles by another thread so that a slow reader never holds up an answer.

    A `kill -9` may cost the last quarter of a second of lines; predictions are elsewhere and durable.
    """

    def __init__(self, descriptor: int = 1, *, enabled: bool = True) -> None:
        self._descriptor = descriptor
        self._enabled = enabled
        self._lines: list[bytes] = []
        self._size = 0
        self._writing = False
        self.dropped = 0

    def write(self, call: Call, reply: Reply, seconds: float) -> None:
        """Note one answered request."""
        if not self._enabled:
            return
        if self._size > _CAP_BYTES:
            self.dropped += 1
            return
        key = call.key.id if call.key else ""
        trace = trace_of(call.headers)
        traced = f',"trace":"{trace.trace}"' if trace else ""
        line = (
            f'{{"time":{time.time():.3f},"request":"{call.request_id}","route":"{call.route}"'
            f',"method":"{_method(call)}","status":{reply.status},"ms":{seconds * 1e3:.2f},"key":"{key}"'
            f"{traced}}}\n"
        ).encode()
        self._lines.append(line)
        self._size += len(line)

    async def flush(self) -> None:
        """Write what waits, unless the last bundle is still being written."""
        if self._lines and not self._writing:
            self._writing = True
            try:
                await asyncio.to_thread(self.flush_now)
            finally:
                self._writing = False

    def flush_now(self) -> None:
        """Write what waits."""
        lines, self._lines, self._size = self._lines, [], 0
        data = memoryview(b"".join(lines))
        while data:
            data = data[os.write(self._descriptor, data) :]


def _method(call: Call) -> str:
    """The method, if it is one: a made-up one is the caller's text."""
    return call.method if call.method in ("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH") else "other"
