"""A proxy before the object store that fails on purpose: down, slow, refusing, or keeping an object and denying it."""

from __future__ import annotations

import asyncio
import random
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_REFUSED = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_FAILED = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass
class Faults:
    """What goes wrong now; change it at any time."""

    down: bool = False
    refusing: bool = False
    delay_s: float = 0.0
    lost_acknowledgements: float = 0.0
    cut_uploads: float = 0.0
    random: random.Random = field(default_factory=lambda: random.Random(7))
    seen: dict[str, int] = field(default_factory=dict)

    def count(self, what: str) -> None:
        """Remembers that something happened."""
        self.seen[what] = self.seen.get(what, 0) + 1


class FaultyStore:
    """The proxy, in a thread of its own; `endpoint` is where clients go instead of the store's."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "127.0.0.1", parts.port or 80)
        self.faults = Faults()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self.endpoint = ""

    def __enter__(self) -> Self:
        self._thread.start()
        starting = asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 25)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(10)
        self.endpoint = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        async def end() -> None:
            assert self._server is not None
            self._server.close()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if not self.faults.down:
                writer.write(await self._answer(reader, writer))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client or the store went away: that is what this proxy is for
        finally:
            if self.faults.down:
                writer.transport.abort()
            else:
                writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """One request to the store and back; every connection carries one."""
        head, body = await _read_message(reader, writer)
        faults, put = self.faults, head.startswith(b"PUT")
        if faults.delay_s:
            await asyncio.sleep(faults.delay_s)
        if faults.refusing:
            faults.count("refused")
            return _REFUSED
        if put and faults.random.random() < faults.cut_uploads:
            faults.count("cut")
            await self._send_half(head, body)
            return _FAILED
        answer = await self._forward(head, body)
        if put and faults.random.random() < faults.lost_acknowledgements:
            faults.count("lost")
            return _FAILED
        faults.count("put" if put else "other")
        return answer

    async def _forward(self, head: bytes, body: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*self._upstream, limit=1 << 25)
        try:
            writer.write(_closing(head) + body)
            await writer.drain()
            return await reader.read()
        finally:
            writer.close()

    async def _send_half(self, head: bytes, body: bytes) -> None:
        _, writer = await asyncio.open_connection(*self._upstream)
        writer.write(head + body[: len(body) // 2])
        await writer.drain()
        writer.transport.abort()


def _closing(head: bytes) -> bytes:
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith((b"connection:", b"expect:"))]
    return b"\r\n".join([lines[0], b"Connection: close", *lines[1:]])


async def _read_message(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    if b"expect: 100-continue" in head.lower():
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return head, await reader.readexactly(int(lengths[0].split(b":")[1])) if lengths else b""
