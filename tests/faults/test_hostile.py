"""Crowds that mean no good, over real sockets: S5 to S7 of the fault matrix and the long soak, in their full form.

Their quick forms run with the API's tests: unfinished headers, exact limits, wrong keys (tests/api).
"""

# pylint: disable=redefined-outer-name  # how pytest hands fixtures over

from __future__ import annotations

import http.client
import resource
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from service import keys
from tests.api.running import BODY, Served, end, serve
from tests.factories import pack_small_model

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]

SLOW = 1000
SOAK = 200_000
RSS_MAX = 350 * 2**20


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One worker, as the figures are given for one."""
    folder = tmp_path_factory.mktemp("hostile")
    pack_small_model(folder / "model")
    found = serve(folder, folder / "model", QF_WORKERS="1", QF_ACCESS_LOG="false")
    yield found
    end(found.process)


def percentile_99_ms(served: Served, count: int = 600) -> float:
    """Of valid requests on one connection, one after the other."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    took = []
    for _ in range(count):
        begun = time.perf_counter()
        connection.request("POST", "/v1/score", BODY, {"content-type": "application/json", "x-api-key": served.key})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        took.append((time.perf_counter() - begun) * 1000)
    connection.close()
    return sorted(took)[int(count * 0.99)]


def test_a_crowd_of_slow_senders_holds_nobody_up(served: Served) -> None:
    """A thousand connections that send their headers or bodies byte by byte: valid requests stay within twice."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * SLOW)), hard))
    alone = percentile_99_ms(served)
    head = b"POST /v1/score HTTP/1.1\r\nhost: x\r\n"
    body = head + f"x-api-key: {served.key}\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n".encode()
    crowd = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(SLOW)]
    for place, one in enumerate(crowd):
        one.sendall(body if place % 2 else head)
    over = threading.Event()

    def drip() -> None:
        while not over.wait(0.5):
            for one in crowd:
                try:
                    one.sendall(b" ")
                except OSError:  # it was cut off, as it should be
                    continue

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        beside = percentile_99_ms(served)
    finally:
        over.set()
        thread.join()
        for one in crowd:
            one.close()
    print(f"\np99 alone {alone:.2f} ms, beside {SLOW} slow senders {beside:.2f} ms")
    assert beside <= 2 * alone


def test_a_minute_of_too_much_is_admitted_to_the_token(served: Served) -> None:
    """6,000 requests in a minute on 10 a second with a burst of 20: 620 are admitted, give or take one."""
    key = keys.issue(served.folder, "greedy", rate=10, burst=20, daily=10**6)
    time.sleep(2)
    found: Counter[int] = Counter()
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    begun = time.monotonic()
    for number in range(6000):
        time.sleep(max(0.0, begun + number / 100 - time.monotonic()))
        connection.request("POST", "/v1/score", BODY, {"content-type": "application/json", "x-api-key": key})
        answer = connection.getresponse()
        answer.read()
        found[answer.status] += 1
    took_s = time.monotonic() - begun
    connection.close()
    print(f"\n{dict(found)} in {took_s:.2f} s")
    assert set(found) == {200, 429}
    assert abs(found[200] - (20 + 10 * took_s)) <= 1


def test_guessing_keys_is_slowed_and_locks_nobody_out(served: Served) -> None:
    """Of 20,000 guesses from one address 99 % get 429; a good key from that very address is answered all along."""
    found: Counter[int] = Counter()
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    for number in range(20_000):
        guess = f"qf_live_guess{number:05}_" + "x" * 47
        connection.request("GET", "/v1/model", headers={"x-api-key": guess})
        answer = connection.getresponse()
        answer.read()
        found[answer.status] += 1
        if number % 1000 == 0:
            assert served.ask("POST", "/v1/score", BODY)[0] == 200
    connection.close()
    print(f"\n{dict(found)}")
    assert set(found) == {401, 429} and found[429] >= 0.99 * 20_000


def test_a_soak_leaves_memory_as_it_was(served: Served, require_program: Callable[[str], str], tmp_path: Path) -> None:
    """200,000 answered requests: below 350 MiB, and no growth in the second half."""
    script = tmp_path / "score.lua"
    script.write_text(
        f"wrk.method = 'POST'\nwrk.body = [[{BODY.decode()}]]\n"
        f"wrk.headers['x-api-key'] = '{served.key}'\nwrk.headers['content-type'] = 'application/json'\n"
    )

    def answered() -> int:
        command = [require_program("wrk"), "-t1", "-c16", "-d10s", "-s", str(script)]
        said = subprocess.run(
            [*command, f"http://127.0.0.1:{served.port}/v1/score"], capture_output=True, text=True, check=True
        ).stdout
        assert "Non-2xx" not in said, said
        return int(next(line.split()[0] for line in said.splitlines() if "requests in" in line))

    def rss() -> int:
        tree = [psutil.Process(served.process.pid), *psutil.Process(served.process.pid).children(recursive=True)]
        return max(process.memory_info().rss for process in tree)

    done, sizes = 0, []
    while done < SOAK:
        done += answered()
        sizes.append((done, rss()))
    half = next(size for count, size in sizes if count >= SOAK / 2)
    print(f"\n{done} requests; largest process {half / 2**20:.0f} MiB half way, {sizes[-1][1] / 2**20:.0f} at the end")
    assert sizes[-1][1] < RSS_MAX
    assert sizes[-1][1] <= 1.02 * half
