"""Each way in which Redis fails has its name in the log and in the metrics, and none of them refuses a partner."""

from __future__ import annotations

import asyncio
import logging
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from bentos.processes import free_port
from service.access.keystore import PARTNER_SCOPES, ApiKey
from service.access.redis_limits import FAILURES, RemoteLimiter, redis_at
from service.access.shared_limits import SharedLimiter, SharedTable
from service.errors import Misconfigured
from tests.redis_server import redis_server

KEY = ApiKey("limitkey", "acme", frozenset(PARTNER_SCOPES), rate=10.0, burst=20, daily=1_000_000)
PASSWORD = "the-password"
Program = Callable[[str], str]
Place = Callable[[Program, Path], AbstractContextManager[str]]


@contextmanager
def nobody(_program: Program, _folder: Path) -> Iterator[str]:
    """Nothing listens."""
    yield f"redis://:{PASSWORD}@127.0.0.1:{free_port()}"


def saying(answer: bytes) -> Place:
    """Something listens that answers whatever it is sent with this; with nothing, it is silent."""

    class Handler(socketserver.BaseRequestHandler):
        """One connection."""

        def handle(self) -> None:
            while self.request.recv(65536):
                self.request.sendall(answer)

    @contextmanager
    def place(_program: Program, _folder: Path) -> Iterator[str]:
        with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"redis://:{PASSWORD}@127.0.0.1:{server.server_address[1]}"
            server.shutdown()

    return place


def server(*options: str, password: str = "") -> Place:
    """Debian's Redis with these options."""

    @contextmanager
    def place(program: Program, folder: Path) -> Iterator[str]:
        with redis_server(program, folder, *options) as running:
            yield running.url.replace("//", f"//:{password}@") if password else running.url

    return place


@pytest.mark.parametrize(
    ("reason", "place"),
    [
        ("unreachable", nobody),
        ("timeout", saying(b"")),
        ("login", server("--requirepass", "another")),
        ("login", server("--requirepass", "another", password=PASSWORD)),
        ("read-only", server("--replicaof", "127.0.0.1", "1")),
        ("full", server("--maxmemory", "1")),
        ("loading", saying(b"-LOADING Redis is loading the dataset in memory\r\n")),
        ("no-redis", saying(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
        ("other", saying(b"-MISCONF Redis cannot persist\r\n")),
    ],
    ids=["refused", "silent", "no-password", "wrong-password", "replica", "full", "loading", "foreign", "other"],
)
def test_a_failure_is_named_and_counted(
    reason: str, place: Place, require_program: Program, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One line for all requests of an outage, under a reason; limits hold on this host meanwhile."""
    told: list[str] = []

    async def many(url: str) -> list[bool]:
        redis = redis_at(url)
        here = SharedLimiter(SharedTable(tmp_path / "limits.bin"), clock=lambda: 1.0)
        limiter = RemoteLimiter(redis, here, on_failure=told.append)
        try:
            return [(await limiter.take(KEY, 10)).allowed for _ in range(3)]
        finally:
            await redis.aclose()

    with caplog.at_level(logging.INFO, "service.limits"), place(require_program, tmp_path) as url:
        assert asyncio.run(many(url)) == [True, True, False]
    assert told == [reason] * 3
    (line,) = [record.getMessage() for record in caplog.records if record.name == "service.limits"]
    assert next(one.text for one in FAILURES.values() if one.reason == reason) in line
    assert "\n" not in line and PASSWORD not in line


def test_who_is_too_slow_is_not_waited_for_by_everybody(tmp_path: Path) -> None:
    """One request waits for a silent Redis; those of the next second go by this host's limits at once."""
    told: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)

        async def many() -> None:
            redis = redis_at(f"redis://127.0.0.1:{silent.getsockname()[1]}")
            here = SharedLimiter(SharedTable(tmp_path / "limits.bin"), clock=lambda: 1.0)
            limiter = RemoteLimiter(redis, here, on_failure=told.append)
            await limiter.take(KEY, 1)
            limiter._asked_from = time.monotonic() + 60  # pylint: disable=protected-access  # of however slow a machine
            for _ in range(5):
                await limiter.take(KEY, 1)
            await redis.aclose()

        asyncio.run(many())
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()
    assert told == ["timeout"] * 6


def test_redis_that_comes_back_is_said(
    require_program: Program, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Killed and started again: limits hold over all hosts again, without anybody's help."""

    async def outage() -> list[int]:
        redis = redis_at(running.url)
        limiter = RemoteLimiter(redis, SharedLimiter(SharedTable(tmp_path / "limits.bin"), clock=lambda: 1.0))
        left = [(await limiter.take(KEY, 1)).remaining]
        running.kill()
        left.append((await limiter.take(KEY, 5)).remaining)
        running.start()
        left.append((await limiter.take(KEY, 1)).remaining)
        await redis.aclose()
        return left

    with caplog.at_level(logging.INFO, "service.limits"), redis_server(require_program, tmp_path) as running:
        assert asyncio.run(outage()) == [19, 15, 19]
    lines = [record.getMessage() for record in caplog.records if record.name == "service.limits"]
    assert len(lines) == 2 and "cannot be reached" in lines[0] and "answers again" in lines[1]


@pytest.mark.parametrize(
    "url",
    [
        "",
        f"http://:{PASSWORD}@host:6379",
        f"redis://:{PASSWORD}@host:port",
        f"redis://:{PASSWORD}@host?no_such_option=1",
        f":{PASSWORD}@host",
    ],
)
def test_a_wrong_address_ends_the_start(url: str) -> None:
    """One line that names the setting and never the password."""
    with pytest.raises(Misconfigured, match="QF_REDIS_URL: is no address") as caught:
        redis_at(url)
    assert PASSWORD not in str(caught.value) and caught.value.__cause__ is None
