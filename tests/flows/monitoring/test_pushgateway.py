"""The drift state as Prometheus sees it."""

from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from flows.monitoring import pushgateway
from flows.monitoring.history import ModelInWindow, WindowVerdict
from flows.monitoring.verdict_types import Cause, ColumnVerdict, DriftRule, DriftState

COLUMN = ColumnVerdict(
    name="num_credit_inquiries",
    state=DriftState.AMBER,
    values_state=DriftState.AMBER,
    missing_state=DriftState.GREEN,
    psi=0.17,
)
VERDICT = WindowVerdict(
    state=DriftState.AMBER,
    causes=(
        Cause(
            rule=DriftRule.COLUMNS_MOVED, text="columns moved: num_credit_inquiries", columns=("num_credit_inquiries",)
        ),
    ),
    window={"start": date(2026, 10, 1), "end": date(2026, 10, 8)},
    model=ModelInWindow(name="credit-score", version="3", digest="d" * 64),
    rows=1_000,
    compared_rows=1_000,
    columns=[COLUMN],
    checks=[],
    outcomes={},
    made_at=datetime(2026, 10, 8, tzinfo=UTC),
)


def test_the_verdict_becomes_gauges_by_version_and_column():
    """Amber is 2, the column's PSI is there, and the time of the verdict."""
    registry = pushgateway.registry_of([VERDICT])
    assert registry.get_sample_value("qf_drift_state", {"version": "3"}) == 2
    assert registry.get_sample_value("qf_drift_psi", {"version": "3", "column": "num_credit_inquiries"}) == 0.17
    judged = registry.get_sample_value("qf_drift_judged_timestamp_seconds", {"version": "3"})
    assert judged == VERDICT.made_at.timestamp()


def test_the_gauges_are_put_to_the_gateway():
    """One PUT under the job's name, in Prometheus' text format."""
    taken = []

    class Gateway(BaseHTTPRequestHandler):
        """Takes what is pushed."""

        def do_PUT(self):  # pylint: disable=invalid-name  # the name http.server calls
            """Keep path and body."""
            taken.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_args):  # pylint: disable=arguments-differ  # silence, whatever the arguments
            """Nothing to the terminal."""

    with HTTPServer(("127.0.0.1", 0), Gateway) as server:
        Thread(target=server.handle_request, daemon=True).start()
        pushgateway.push([VERDICT], f"127.0.0.1:{server.server_port}")
    assert taken[0][0] == "/metrics/job/drift"
    assert b'qf_drift_state{version="3"} 2.0' in taken[0][1]


def test_a_gateway_that_is_down_is_an_error_the_flow_can_name():
    """Port 1 of the loopback interface never answers."""
    with pytest.raises(OSError):
        pushgateway.push([VERDICT], "127.0.0.1:1")
