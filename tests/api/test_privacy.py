"""Canaries: values that must never be met again outside the answer's own record."""

from __future__ import annotations

import io
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from service.ledger.records import RecordKind
from service.runtime import Runtime
from service.web.exchange import Call
from service.web.logs import JsonFormatter, RequestLog
from service.web.routes import Routes
from tests.api.client import Api, applicant

CANARIES = ["529982471", "Zenobia", "zenobia", "7654321.25", "777-12-3456"]


def _requests(number: int) -> dict[str, object]:
    kinds: list[dict[str, object]] = [
        applicant(annual_income=7654321.25, customer_ref="Zenobia-529982471"),
        applicant(annual_income="7654321.25"),
        applicant(credit_mix="Zenobia"),
        {**applicant(), "Zenobia": "777-12-3456"},
        applicant(num_loans=529982471),
        applicant(customer_ref="Zenobia 777-12-3456"),
        applicant(as_of="Zenobia"),
        applicant(loan_types=["Zenobia", "529982471"]),
    ]
    return kinds[number % len(kinds)]


@pytest.mark.slow
def test_no_canary_reaches_log_metrics_errors_or_files(
    api: Api, runtime: Runtime, staff_key: str, tmp_path: Path
) -> None:
    """A thousand requests, good and bad, with telling values: none of them in any sink but the recorded features."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(JsonFormatter())
    logging.getLogger().addHandler(handler)
    lines = tmp_path / "requests.log"
    errors = []
    with open(lines, "wb") as file:
        assert runtime.handler is not None
        before, runtime.handler.log = runtime.handler.log, RequestLog(file.fileno())
        try:
            for number in range(1000):
                answer = api.post("/v1/score", _requests(number))
                if answer.status != 200:
                    errors.append(answer.body)
            api.get("/Zenobia/529982471?ssn=777-12-3456")
            api.request("ZENOBIA", "/v1/score")
            runtime.handler.log.flush_now()
        finally:
            runtime.handler.log = before
            logging.getLogger().removeHandler(handler)
    assert len(errors) >= 800
    metrics = api.get("/metrics", key=staff_key).body
    sinks = {
        "request log": lines.read_bytes(),
        "log": out.getvalue().encode(),
        "errors": b"".join(errors),
        "metrics": metrics,
        "keys": runtime.settings.keys_file.read_bytes(),
        "snapshots": b"".join(path.read_bytes() for path in runtime.settings.metrics_dir.iterdir()),
    }
    found = {name: canary for name, text in sinks.items() for canary in CANARIES if canary.encode() in text}
    assert not found
    assert sinks["request log"].count(b"\n") == 1002


def test_a_crash_is_said_without_its_words(api: Api, runtime: Runtime, monkeypatch, caplog) -> None:
    """500 in the common shape; the log has the type and the place, not the text."""

    async def fail(_call: Call) -> None:
        raise ValueError("Zenobia earns 7654321.25")

    assert runtime.handler is not None
    route = runtime.handler.routes.find("/v1/model")
    assert route is not None
    broken = replace(route, handler=fail)
    monkeypatch.setattr(runtime.handler, "routes", Routes([broken]))
    with caplog.at_level(logging.ERROR):
        answer = api.get("/v1/model")
    assert answer.status == 500
    assert answer.json["detail"] == "The service failed; the request id tells us where"
    assert "ValueError" in caplog.text
    assert "Zenobia" not in caplog.text


def test_stored_rows_hold_a_pseudonym(api: Api, runtime: Runtime) -> None:
    """The partner's own reference is in no file of the service."""
    identifier = api.score(customer_ref="Zenobia-529982471").json["prediction_id"]
    ref = api.runner.run(runtime.ledger.read(identifier, "acme", RecordKind.PREDICTION)).row["customer_ref"]
    assert len(ref) == 32
    journals = b"".join(path.read_bytes() for path in (runtime.settings.service_dir / "outbox").rglob("*.qfj"))
    assert ref.encode() in journals
    assert b"Zenobia" not in journals
