"""The API at the network's edge, for tests of the page alone: the contract's rules, the headers, and errors on demand.

The score is a plain formula on a few fields, so that tests can say which way it moves. Nothing of the page is replaced:
`FakeApi.transport()` serves httpx in the same process, `FakeApi.serve()` a browser's Streamlit over a real socket.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
from pydantic import ValidationError

from service.contract import RULE_CODES, AdviceRequest, Applicant, Batch, CreditClass

KEY = "qf_live_0123456789abcdefghijklmnop"
TEST_KEY = "qf_test_0123456789abcdefghijklmnop"
ASKED = "?prediction_set=true"
MANIFEST: dict[str, Any] = {"name": "credit-score", "version": "7", "digest": "sha256:" + "ab" * 32}


@dataclass
class FakeApi:
    """Answers requests; set `fail` to a status to answer with that problem instead, `tokens` to what is left."""

    fail: int = 0
    retry_after_s: int = 2
    tokens: float = 1e6
    quota: int = 1000
    test_quota: int = 1000  # of the test key
    delay_s: float = 0.0
    fail_after: int | None = None
    scopes: str = "docs read score"
    manifest: dict[str, Any] = field(default_factory=lambda: dict(MANIFEST))
    requests: list[tuple[str, str, Any, dict[str, str]]] = field(default_factory=list)
    orders: dict[str, list[Any]] = field(default_factory=dict)  # rows by job
    job_pace: int = 10_000  # rows of a job that are done more at each look
    keys: tuple[str, ...] = (KEY, TEST_KEY)
    asked_with: str = ""  # the key of the last request
    refuse_debt: float = -1.0  # a row of a job with this debt is refused

    def transport(self) -> httpx.MockTransport:
        """For `st.session_state["transport"]`."""
        return httpx.MockTransport(self.handle)

    def handle(self, request: httpx.Request) -> httpx.Response:
        """One request answered."""
        status, headers, body = self.answer(
            request.method,
            request.url.raw_path.decode(),
            request.content,
            {k.lower(): v for k, v in request.headers.items()},
        )
        return httpx.Response(status, headers=headers, content=body)

    def answer(
        self, method: str, path: str, content: bytes, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers, body."""
        time.sleep(self.delay_s)
        sent = json.loads(content) if content else None
        self.requests.append((method, path, sent, headers))
        self.asked_with = headers.get("x-api-key", "")
        if self.fail_after is not None and len(self.requests) > self.fail_after:
            return self._problem(503)
        if self.fail:
            return self._problem(self.fail)
        if headers.get("x-api-key") not in self.keys:
            return self._problem(401)
        return self._routed(path, sent, content)

    def _routed(self, path: str, sent: Any, content: bytes) -> tuple[int, dict[str, str], bytes]:
        if path.startswith("/v1/jobs"):
            return self._job(path, sent)
        path, sets = path.removesuffix(ASKED), path.endswith(ASKED)
        if path in ("/v1/score", "/v1/score/batch"):
            return self._scored(path, content, sets)
        if path == "/v1/score/advice":
            return self._json(200, advice_of(AdviceRequest.model_validate_json(content), self.manifest))
        if path != "/v1/model":
            return self._problem(404)
        status, named, body = self._json(200, self.manifest)
        return status, {**named, "qf-scopes": self.scopes}, body

    def _job(self, path: str, sent: Any) -> tuple[int, dict[str, str], bytes]:
        """An order taken, or told how far it is: `job_pace` rows further than at the look before."""
        known = re.fullmatch(r"/v1/jobs/([^?]+)\?offset=(\d+)(&prediction_set=true)?", path)
        if known is None:
            name = f"job_{len(self.orders):032x}"
            self.orders[name] = [Applicant.model_validate_json(json.dumps(row)) for row in sent["applicants"]]
            return self._json(202, self._state(name, 0))
        if known[1] not in self.orders:
            return self._problem(404)
        looks = sum(path.split("?")[0] == asked.split("?")[0] for _, asked, *_ in self.requests)
        done = min(len(self.orders[known[1]]), looks * self.job_pace)
        rows = self.orders[known[1]][int(known[2]) : min(done, int(known[2]) + 1000)]
        fault = {"errors": [{"pointer": "/outstanding_debt", "code": "too-large", "detail": ""}]}
        results = [
            fault if row.outstanding_debt == self.refuse_debt else score_of(row, f"j{place}", self.manifest)
            for place, row in enumerate(rows, int(known[2]))
        ]
        results = [with_set(result) if known[3] and "score" in result else result for result in results]
        return self._json(200, self._state(known[1], done) | {"results": results})

    def _state(self, name: str, done: int) -> dict[str, Any]:
        rows = len(self.orders[name])
        status = "done" if done == rows else "running"
        moment = datetime(2026, 11, 23, 10, 0, tzinfo=UTC).isoformat()
        return {"id": name, "status": status, "rows": rows, "done": done, "refused": 0, "created_at": moment}

    def _scored(self, path: str, content: bytes, sets: bool) -> tuple[int, dict[str, str], bytes]:
        try:
            if path == "/v1/score":
                applicants = [Applicant.model_validate_json(content)]
            else:
                applicants = list(Batch.model_validate_json(content).applicants)
        except ValidationError as error:
            faults = [
                {
                    "pointer": "/" + "/".join(map(str, each["loc"])),
                    "code": RULE_CODES.get(each["type"], "type"),
                    "detail": "",
                }
                for each in error.errors(include_url=False, include_input=False)
            ]
            return self._problem(422, errors=faults)
        if len(applicants) > self.tokens:
            return self._problem(429)
        self.tokens -= len(applicants)
        scores = [
            score_of(applicant, f"p{len(self.requests)}-{place}", self.manifest)
            for place, applicant in enumerate(applicants)
        ]
        scores = [with_set(score) for score in scores] if sets else scores
        return self._json(200, scores[0] if path == "/v1/score" else {"scores": scores})

    def _headers(self) -> dict[str, str]:
        quota = self.test_quota if self.asked_with == TEST_KEY else self.quota
        left = int(min(self.tokens, quota))
        return {
            "ratelimit-policy": f'"burst";q={quota};w=10, "daily";q=100000;w=86400',
            "ratelimit": f'"burst";r={left};t=10, "daily";r=99000;t=40000',
            "x-request-id": "req-1",
        }

    def _json(self, status: int, body: Any) -> tuple[int, dict[str, str], bytes]:
        return (
            status,
            {"content-type": "application/json", **self._headers()},
            json.dumps(body, separators=(",", ":")).encode(),
        )

    def _problem(self, status: int, **extra: Any) -> tuple[int, dict[str, str], bytes]:
        body = {"type": "about:blank", "title": "Problem", "status": status, "instance": "urn:request:req-1", **extra}
        headers = {"content-type": "application/problem+json", **self._headers()}
        if status in (429, 503):
            headers["retry-after"] = str(self.retry_after_s)
        return status, headers, json.dumps(body).encode()

    @contextmanager
    def serve(self, port: int = 0) -> Iterator[str]:
        """The same over a socket; yields the address."""
        api = self

        class Handler(BaseHTTPRequestHandler):
            """One connection."""

            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:  # pylint: disable=invalid-name  # the standard library's name
                """Any request."""
                content = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, answered, body = api.answer(self.command, self.path, content, headers)
                self.send_response(status)
                for name, value in answered.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, format: str, *args: Any) -> None:  # pylint: disable=redefined-builtin
                """Quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def with_set(score: dict[str, Any]) -> dict[str, Any]:
    """The score with its prediction set: the classes with a share of a fifth at least, worst first."""
    return score | {"prediction_set": [each for each in map(str, CreditClass) if score["probabilities"][each] >= 0.2]}


def advice_of(asked: AdviceRequest, manifest: dict[str, Any]) -> dict[str, Any]:
    """Two plans: pay on time, or pay on time and owe nothing; the first that reaches the band."""
    applicant, order = asked.applicant, list(CreditClass)
    now, changes = score_of(applicant, "", manifest), []
    told = now
    for field in ("delay_from_due_date", "outstanding_debt"):
        changes.append({"field": field, "before": getattr(applicant, field), "after": 0.0})
        sets = {each["field"]: each["after"] for each in changes}
        told = score_of(applicant.model_copy(update=sets), "", manifest)
        if order.index(told["band"]) >= order.index(asked.target.band or CreditClass.GOOD):
            break
    reachable = order.index(told["band"]) >= order.index(asked.target.band or CreditClass.GOOD)
    return {
        "score": now["score"],
        "band": now["band"],
        "reachable": reachable,
        "changes": changes if reachable else [],
        "reached_score": told["score"],
        "reached_band": told["band"],
    }


def score_of(applicant: Applicant, prediction_id: str, manifest: dict[str, Any]) -> dict[str, Any]:
    """A formula instead of a model: late payments, debt and cards cost points."""
    lost = {
        "delay_from_due_date": max(applicant.delay_from_due_date, 0) * 6,
        "outstanding_debt": applicant.outstanding_debt / 12,
        "num_credit_cards": applicant.num_credit_cards * 12.0,
        "interest_rate": applicant.interest_rate * 4,
    }
    score = max(0, min(1000, round(1000 - sum(lost.values()))))
    good, poor = score / 1000 * 0.9, (1 - score / 1000) * 0.8
    band = "Poor" if score <= 300 else "Standard" if score <= 700 else "Good"
    shares = {"Poor": poor, "Standard": 1 - good - poor, "Good": good}
    worst = sorted(lost, key=lambda name: -lost[name])[:3]
    return {
        "prediction_id": prediction_id,
        "score": score,
        "band": band,
        "predicted_class": max(shares, key=lambda name: shares[name]),
        "probabilities": shares,
        "borderline": 280 <= score <= 320 or 680 <= score <= 720,
        "reasons": [
            {
                "code": f"R-{name}",
                "text": {"pt": f"Valor alto em {name}", "en": f"High {name}"},
                "feature": name,
                "direction": "too_high",
            }
            for name in worst
            if lost[name] > 30
        ],
        "warnings": [],
        "model": {name: manifest[name] for name in ("name", "version", "digest")},
        "created_at": datetime(2026, 11, 23, 10, 0, tzinfo=UTC).isoformat(),
    }
