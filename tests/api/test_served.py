"""The service as it is run: `bentoml serve`, two workers, real sockets."""

# pylint: disable=redefined-outer-name  # how pytest hands fixtures over

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bentos.processes import free_port
from service import keys
from service.access.keystore import Scope
from service.docs.examples import APPLICANT
from service.docs.openapi import SAMPLES
from tests.api.client import applicant
from tests.api.running import BODY, ROOT, Served, end, eventually, serve


@pytest.fixture(scope="module")
def served(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Two workers, no object store, no MLflow, no Prefect; a key that is asked for before it is known is no guess."""
    told = {"QF_WORKERS": "2", "QF_HEADER_TIMEOUT_S": "2", "QF_AUTH_FAILURES_PER_MINUTE": "100000"}
    found = serve(tmp_path_factory.mktemp("served"), model_dir, **told)
    yield found
    end(found.process)


def test_nothing_listens_but_the_service_itself(served: Served) -> None:
    """BentoML's supervisor takes commands to run programs: on no port, but in a folder of the service's user alone."""
    processes = [psutil.Process(served.process.pid), *psutil.Process(served.process.pid).children(recursive=True)]
    found = [link for process in processes for link in process.net_connections("tcp") if link.status == "LISTEN"]
    assert {link.laddr.port for link in found} == {served.port}
    sockets = {
        link.laddr for process in processes for link in process.net_connections("unix") if "supervisor-" in link.laddr
    }
    assert {Path(address).name for address in sockets} == {"control", "events"}
    assert {stat.S_IMODE(Path(address).parent.stat().st_mode) for address in sockets} == {0o700}


def test_a_key_of_another_worker_is_the_same_key(served: Served) -> None:
    """Issued and revoked without a restart, on every worker."""
    key = keys.issue(served.folder, "newcomer")
    served.wait_until_known(key)
    assert {served.ask("GET", "/v1/model", key=key)[0] for _ in range(20)} == {200}
    keys.revoke(served.folder, key[8:16])
    served.wait_until_known(key, good=False)
    assert {served.ask("GET", "/v1/model", key=key)[0] for _ in range(20)} == {401}


def test_the_limit_is_exact_over_all_workers(served: Served) -> None:
    """Of 120 requests on 50 tokens, from eight connections on two workers, 50 are admitted."""
    key = keys.issue(served.folder, "limited", rate=1e-6, burst=50, daily=1000)
    served.wait_until_known(key)
    statuses: list[int] = []

    def work() -> None:
        for _ in range(15):
            statuses.append(served.ask("POST", "/v1/score", BODY, key=key)[0])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (statuses.count(200), statuses.count(429)) == (50, 70)


def test_any_worker_reads_and_replays_what_another_answered(served: Served) -> None:
    """Answers and Idempotency-Keys belong to the host, not to the worker."""
    first = served.ask("POST", "/v1/score", BODY, idempotency_key="over-workers")[1]
    assert {served.ask("POST", "/v1/score", BODY, idempotency_key="over-workers")[1] for _ in range(6)} == {first}
    path = f"/v1/predictions/{json.loads(first)['prediction_id']}"
    assert {served.ask("GET", path)[1] for _ in range(6)} == {first}


def test_metrics_add_up_over_workers(served: Served) -> None:
    """Prometheus' own parser reads them; counters are those of both workers and never fall."""
    key = keys.issue(served.folder, "prometheus", scopes=[Scope.METRICS])
    served.wait_until_known(key)
    asked = json.dumps({"applicant": APPLICANT, "target": {"score": 700}}).encode()
    name = "qf_requests_total{'route': '/v1/score/advice', 'status': '200'}"  # which no other test here asks

    def total() -> dict[str, float]:
        text = served.ask("GET", "/metrics", key=None, authorization=f"Bearer {key}")[1].decode()
        families = text_string_to_metric_families(text)
        return {f"{one.name}{one.labels}": one.value for family in families for one in family.samples}

    def after_ten_more(wanted: int) -> dict[str, float]:
        for _ in range(10):
            assert served.ask("POST", "/v1/score", BODY)[0] == 200
            assert served.ask("POST", "/v1/score/advice", asked)[0] == 200
        return eventually(total, lambda found: found.get(name, 0.0) >= wanted)

    assert after_ten_more(10)[name] == 10
    after = after_ten_more(20)
    assert after[name] == 20
    assert after["qf_ready{}"] == 2
    assert any(key.startswith("qf_score_bucket") for key in after)
    assert "acme" not in str(after) and served.key[8:16] not in str(after)


@pytest.mark.parametrize("sample", ["score.sh", "score.py", "score.mjs"])
def test_the_documentations_samples_run(served: Served, sample: str, require_program: Callable[[str], str]) -> None:
    """What partners copy works as it stands."""
    program = {"score.sh": "bash", "score.py": sys.executable, "score.mjs": "node"}[sample]
    if program != sys.executable:
        require_program(program)
    env = {**os.environ, "QF_API_URL": f"http://127.0.0.1:{served.port}", "QF_API_KEY": served.key}
    done = subprocess.run(
        [program, str(SAMPLES / sample)], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"\b(Poor|Standard|Good)\b", done.stdout)


def test_unfinished_and_huge_headers_are_cut_off(served: Served) -> None:
    """Forty connections that never finish are closed in time and nobody waits for them; 200 kB of header is 431."""
    slow = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(40)]
    for one in slow:
        one.sendall(b"POST /v1/score HTTP/1.1\r\nhost: x\r\nx-a")
    assert served.ask("POST", "/v1/score", BODY)[0] == 200
    for one in slow:
        one.settimeout(6)
        assert one.recv(100) == b""
        one.close()
    with socket.create_connection(("127.0.0.1", served.port)) as huge:
        huge.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\nx-a: " + b"a" * 200_000)
        huge.settimeout(6)
        assert huge.recv(100).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /livez HTTP/1.1\r\n\r\n",
        b"garbage\r\n\r\n",
        b"POST /v1/score HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"POST /v1/score HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nhost: x\r\nx-a: a\0b\r\n\r\n",
        b"POST /v1/score HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
    ],
    ids=["no-host", "garbage", "two-lengths", "length-and-chunked", "nul", "negative-length"],
)
def test_bad_http_is_400_in_our_shape(served: Served, raw: bytes) -> None:
    """Problem details even where no request was understood, and nothing of it repeated."""
    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        connection.settimeout(6)
        connection.sendall(raw)
        answer = connection.recv(4000)
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert b"application/problem+json" in answer


def test_log_lines_are_json_with_an_allow_list(served: Served) -> None:
    """Every line parses, request lines hold their seven fields, and no value of an applicant stands in any."""
    served.ask("POST", "/v1/score", json.dumps(applicant(annual_income="Zenobia")).encode())

    def requests() -> list[dict[str, Any]]:
        whole = served.log.read_text().rpartition("\n")[0]
        lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [line for line in lines if "request" in line]

    asked = eventually(requests, lambda lines: any(line["status"] == 422 for line in lines))
    assert any(line["status"] == 422 for line in asked)
    assert {frozenset(line) for line in asked} == {
        frozenset(("time", "request", "route", "method", "status", "ms", "key"))
    }
    text = served.log.read_text()
    assert "Zenobia" not in text and served.key not in text and "Traceback" not in text


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("times", [1, pytest.param(50, marks=[pytest.mark.full, pytest.mark.timeout(1200)])])
def test_sigterm_finishes_every_request(times: int, model_dir: Path, tmp_path: Path) -> None:
    """Readiness goes first, service goes on, connections are asked to leave; no admitted request fails."""
    for number in range(times):
        folder = tmp_path / str(number)
        folder.mkdir()
        own = serve(folder, model_dir, QF_DRAIN_S="6")  # whose last second takes no new connection
        try:
            stop_under_load(own)
        finally:
            end(own.process)  # where it has not ended itself


def stop_under_load(own: Served) -> None:
    """SIGTERM while four clients ask without a pause; every request of theirs must be answered."""
    found: list[int | str] = []
    told_to_leave = threading.Event()

    def work() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", own.port, timeout=20)
        while not told_to_leave.is_set():
            connection.request("POST", "/v1/score", BODY, {"content-type": "application/json", "x-api-key": own.key})
            answer = connection.getresponse()
            answer.read()
            found.append(answer.status)
            if answer.getheader("connection") == "close":
                return

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: len(found), lambda count: count > 20) > 20
    own.process.send_signal(signal.SIGTERM)
    assert eventually(lambda: own.ask("GET", "/readyz", key=None)[0], lambda status: status == 503) == 503
    assert own.ask("POST", "/v1/score", BODY)[0] == 200
    for thread in threads:
        thread.join(20)
    assert own.process.wait(30) == 0
    assert found and set(found) == {200}


def test_the_way_through_bentoml_gives_the_same_answer(model_dir: Path, tmp_path: Path, served: Served) -> None:
    """QF_FAST_ROUTE=false: BentoML's API scores, the edge still guards, refuses and documents."""
    own = serve(tmp_path, model_dir, QF_FAST_ROUTE="false")
    try:
        told = ("score", "band", "probabilities", "reasons", "warnings")
        slow, fast = (json.loads(one.ask("POST", "/v1/score", BODY)[1]) for one in (own, served))
        assert [slow[name] for name in told] == [fast[name] for name in told]
        assert "prediction_set" not in slow
        asked = [one.ask("POST", "/v1/score?prediction_set=true", BODY)[1] for one in (own, served)]
        assert json.loads(asked[0])["prediction_set"] == json.loads(asked[1])["prediction_set"] != []
        assert asked[0].count(b"prediction_set") == 1
        assert own.ask("POST", "/v1/score", b"{}")[0] == 422
        assert own.ask("POST", "/v1/score", BODY, key=None)[0] == 401
        assert own.ask("GET", "/docs.json")[0] == 404
        batch = json.dumps({"applicants": [APPLICANT] * 3}).encode()
        assert len(json.loads(own.ask("POST", "/v1/score/batch", batch)[1])["scores"]) == 3
    finally:
        end(own.process)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"QF_MODEL_DIR": "/nowhere"}, "QF_MODEL_DIR"),
        ({"QF_WORKERS": "many"}, "QF_WORKERS"),
        ({}, "keys.json"),
        ({"QF_SERVICE_DIR": "/dev/null/state"}, "QF_SERVICE_DIR is /dev/null/state, which cannot be written by user"),
        ({"QF_KEYS_DIR": "/dev/null/keys"}, "/dev/null/keys/pepper: cannot be read, or made,"),
    ],
    ids=["model", "setting", "keys", "state", "secret"],
)
def test_a_mistake_stops_the_start_with_one_line(
    model_dir: Path, tmp_path: Path, settings: dict[str, str], named: str
) -> None:
    """Exit code 1 and a line that says what to mend; no traceback."""
    (tmp_path / "service").mkdir()
    if named == "keys.json":
        (tmp_path / "service" / "keys.json").write_text("{broken")
    env = {**os.environ, "QF_MODEL_DIR": str(model_dir), "QF_SERVICE_DIR": str(tmp_path / "service"), **settings}
    command = [sys.executable, "-m", "bentoml", "serve", "service.service:CreditScorer", "-p", str(free_port())]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert named in done.stderr
    assert "Traceback" not in done.stderr
