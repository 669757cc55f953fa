"""Who pays, who is believed, what is noted: limits of a partner over its keys, the security log, traces."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from service.runtime import Runtime
from service.web.logs import RequestLog
from service.web.traces import Traces, trace_of
from tests.api.client import Api, applicant

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def events(runtime: Runtime, key: str) -> list[dict[str, Any]]:
    """The lines of the security log about a key."""
    runtime.access.security.flush()
    folder = runtime.settings.service_dir / "security"
    found = [json.loads(line) for path in folder.glob("*.jsonl") for line in path.read_text().splitlines()]
    return [line for line in found if line.get("key") == key[8:16]]


def test_two_keys_of_a_partner_are_one_purse(api: Api, new_key) -> None:
    """A second live key brings no second burst and no second quota; a narrower key stays narrow."""
    one, two = (new_key("twokeys", rate=0.001, burst=6, daily=6) for _ in range(2))
    statuses = [api.post("/v1/score", applicant(), key=key).status for key in (one, two) * 4]
    assert sorted(statuses) == [200] * 6 + [429] * 2
    wide, narrow = new_key("unequal", rate=0.001, burst=6, daily=6), new_key("unequal", rate=0.001, burst=2, daily=2)
    assert [api.post("/v1/score", applicant(), key=narrow).status for _ in range(3)] == [200, 200, 429]
    assert [api.post("/v1/score", applicant(), key=wide).status for _ in range(5)] == [200] * 4 + [429]


def test_a_test_key_spends_no_token_of_the_live_one(api: Api, new_key) -> None:
    """Trying things out never stops a partner's business."""
    live, test = (new_key("tries", rate=0.001, burst=2, daily=2, test=test) for test in (False, True))
    assert [api.post("/v1/score", applicant(), key=test).status for _ in range(3)] == [200, 200, 429]
    assert [api.post("/v1/score", applicant(), key=live).status for _ in range(3)] == [200, 200, 429]


def test_the_security_log_has_a_line_for_each(api: Api, runtime: Runtime, new_key) -> None:
    """First use, a scope that does not cover, a limit: with key and route, and no address in clear."""
    key = new_key("seen", rate=0.001, burst=1, daily=9)
    api.get("/metrics", key=key)
    api.post("/v1/score", applicant(), key=key)
    api.post("/v1/score", applicant(), key=key)
    found = {line["event"]: line for line in events(runtime, key)}
    assert set(found) == {"key-issued", "key-used-from-new-network", "scope-refused", "limit-hit"}
    assert (found["scope-refused"]["route"], found["limit-hit"]["route"]) == ("/metrics", "/v1/score")
    assert all("time" in line for line in found.values()) and "127.0.0.1" not in str(found)


def test_a_refused_key_is_named_only_if_it_is_one(api: Api, runtime: Runtime, new_key) -> None:
    """A revoked key's id is noted; a text of the caller's is not."""
    key = new_key("gone")
    from service import keys

    keys.revoke(runtime.settings.service_dir, key[8:16])
    runtime.store.refresh()
    assert api.post("/v1/score", applicant(), key=key).status == 401
    assert "key-refused" in {line["event"] for line in events(runtime, key)}
    assert api.post("/v1/score", applicant(), key="qf_live_" + "Zenobia0" * 7 + "abc").status == 401
    runtime.access.security.flush()
    assert not any("Zenobia" in path.read_text() for path in runtime.settings.service_dir.glob("security/*"))


@pytest.mark.parametrize(
    ("shown", "trace"),
    [
        (PARENT, PARENT[3:35]),
        (PARENT.upper(), None),
        ("01" + PARENT[2:], None),
        ("00-" + "0" * 32 + PARENT[35:], None),
        (PARENT + "-x", None),
        ('"}{"', None),
    ],
)
def test_a_trace_is_taken_if_it_is_one(shown: str, trace: str | None) -> None:
    """W3C trace context, version 00; anything else is no trace, and never stands in a log."""
    found = trace_of({b"traceparent": shown.encode()})
    assert (found.trace if found else None) == trace


def test_a_trace_stands_in_the_request_log(api: Api, runtime: Runtime, monkeypatch) -> None:
    """A line with the trace's id; without one nothing is added."""
    noted: list[bytes] = []
    log = RequestLog()
    monkeypatch.setattr(runtime.handler, "log", log)
    api.post("/v1/score", applicant(), {"traceparent": PARENT})
    api.post("/v1/score", applicant())
    noted += log._lines  # pylint: disable=protected-access
    assert [json.loads(line).get("trace") for line in noted] == [PARENT[3:35], None]


def test_spans_reach_a_collector(api: Api, runtime: Runtime, monkeypatch) -> None:
    """One span a request, child of the caller's; a trace that is not sampled is left alone."""
    got: list[dict[str, Any]] = []

    class Collector(BaseHTTPRequestHandler):
        """Takes OTLP in JSON."""

        def do_POST(self) -> None:  # pylint: disable=invalid-name  # how http.server names it
            """Keep what came."""
            assert self.path == "/v1/traces" and self.headers["content-type"] == "application/json"
            got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:  # pylint: disable=arguments-differ
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        traces = Traces(f"http://127.0.0.1:{server.server_port}", "w")
        monkeypatch.setattr(runtime.handler, "traces", traces)
        api.post("/v1/score", applicant(), {"traceparent": PARENT})
        api.post("/v1/score", applicant(), {"traceparent": PARENT[:-2] + "00"})
        api.runner.run(traces.flush())
        thread.join()
    (span,) = got[0]["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert (span["traceId"], span["parentSpanId"], span["name"]) == (PARENT[3:35], PARENT[36:52], "POST /v1/score")
    assert int(span["endTimeUnixNano"]) > int(span["startTimeUnixNano"])
    traces.note.__self__._spans.append(span)  # pylint: disable=protected-access
    api.runner.run(traces.flush())
    assert traces.dropped == 1
