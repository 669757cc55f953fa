"""Who is told of a change of state, and with what: Prefect's blocks reach a webhook and a mail server."""

import json
import socketserver
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from flows.mail import Mail
from flows.monitoring import alerts
from flows.monitoring.history import summary_markdown
from flows.settings import FlowSettings
from tests.flows.monitoring.test_pushgateway import VERDICT

PLACES = FlowSettings(runbook_url="https://wiki.example/runbook.md", notify_networks="127.0.0.0/8")
RUNBOOK = "https://wiki.example/runbook.md#when-drift-turns-red"


@pytest.fixture(name="events")
def fixture_events(monkeypatch) -> list[dict]:
    """Every event the flow emits."""
    emitted: list[dict] = []
    monkeypatch.setattr(alerts, "emit_event", lambda **event: emitted.append(event))
    return emitted


@pytest.fixture(name="log")
def fixture_log(monkeypatch) -> list[str]:
    """What the run logs as an error."""
    lines: list[str] = []

    class Log:
        """Takes errors."""

        def error(self, text: str, *facts: object) -> None:
            """Keep the line."""
            lines.append(text % facts)

    monkeypatch.setattr(alerts, "get_run_logger", Log)
    return lines


@pytest.fixture(name="webhook")
def fixture_webhook() -> Iterator[tuple[str, list[dict]]]:
    """Address of a web hook, and the messages it was sent."""
    taken: list[dict] = []

    class Hook(BaseHTTPRequestHandler):
        """Takes what is posted."""

        def do_POST(self):  # pylint: disable=invalid-name  # the name http.server calls
            """Keep the body."""
            taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_args):  # pylint: disable=arguments-differ  # silence, whatever the arguments
            """Nothing to the terminal."""

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook", taken
        server.shutdown()


@pytest.fixture(name="mailbox")
def fixture_mailbox() -> Iterator[tuple[int, list[str]]]:
    """Port of a mail server, and the messages it took."""
    taken: list[str] = []

    class Server(socketserver.StreamRequestHandler):
        """As much SMTP as one message needs."""

        def handle(self) -> None:
            """Say yes to everything."""
            self.wfile.write(b"220 ready\r\n")
            for line in self.rfile:
                word = line[:4].upper().strip()
                if word == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    lines = iter(self.rfile.readline, b".\r\n")
                    taken.append(b"".join(lines).decode())
                self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 yes\r\n")
                if word == b"QUIT":
                    return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Server) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], taken
        server.shutdown()


def test_the_event_names_state_columns_and_what_to_do(events):
    """The same verdict gives the same event, whoever sends it again."""
    for _ in range(2):
        alerts.announce(VERDICT, [], PLACES, "")
    assert events[0] == events[1]
    assert events[0]["event"] == "quantumfinance.drift.detected"
    payload = events[0]["payload"]
    assert (payload["state"], payload["worst_columns"]) == ("amber", ["num_credit_inquiries"])
    assert payload["runbook"] == RUNBOOK


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server", "events")
def test_a_webhook_block_gets_the_summary(webhook, log):
    """State, columns, run-book and report arrive in the body of the saved block."""
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    url, taken = webhook
    block = CustomWebhookNotificationBlock(name="risk", url=url, json_data={"title": "{{subject}}", "text": "{{body}}"})
    block.save("risk", overwrite=True)
    alerts.announce(VERDICT, ["custom-webhook/risk"], PLACES, "https://store.example/report")
    assert log == []
    assert taken[0]["title"] == "Drift of model version 3: amber"
    for text in ("num_credit_inquiries", RUNBOOK, "https://store.example/report"):
        assert text in taken[0]["text"]


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server", "events")
def test_a_block_that_points_inwards_is_not_called(webhook, log):
    """Whoever may fill in the form reaches no service of the worker's own machine by a block's name."""
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    url, taken = webhook
    CustomWebhookNotificationBlock(name="in", url=url, json_data={"text": "{{body}}"}).save("in", overwrite=True)
    alerts.announce(VERDICT, ["custom-webhook/in"], PLACES.model_copy(update={"notify_networks": ""}), "")
    assert taken == []
    assert len(log) == 1 and "QF_NOTIFY_NETWORKS" in log[0] and url not in log[0]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # apprise looks whether it is there
@pytest.mark.usefixtures("prefect_server", "events")
def test_a_mail_block_sends_the_summary(mailbox, log):
    """One message over plain SMTP, as the block's address says."""
    port, taken = mailbox
    url = f"mailto://127.0.0.1:{port}?from=drift@example.com&to=risk@example.com"
    Mail(url=url).save("risk", overwrite=True)
    alerts.announce(VERDICT, ["e-mail/risk"], PLACES, "")
    assert log == []
    assert "risk@example.com" in taken[0] and "Drift of model version 3: amber" in taken[0]


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server", "events")
def test_a_block_that_is_not_there_is_logged_and_stops_nothing(webhook, log):
    """The other blocks are told all the same."""
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    url, taken = webhook
    CustomWebhookNotificationBlock(name="ops", url=url, json_data={"text": "{{body}}"}).save("ops", overwrite=True)
    alerts.announce(VERDICT, ["custom-webhook/nobody", "custom-webhook/ops"], PLACES, "")
    assert len(log) == 1 and "custom-webhook/nobody" in log[0]
    assert len(taken) == 1


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("https://wiki.example/r.md", "[run-book](https://wiki.example/r.md#"),
        ("infra/runbook.md", "`infra/runbook.md#"),
    ],
)
def test_a_run_book_without_an_address_is_no_link(place: str, shown: str) -> None:
    """In Prefect's page a link to a file of the repository would lead nowhere."""
    assert f"What to do: {shown}" in summary_markdown(VERDICT, place)


@pytest.mark.usefixtures("prefect_server")
def test_a_block_that_is_not_there_is_told_in_every_run(log):
    """Not first when an alarm has nowhere to go."""
    alerts.check_blocks(["slack-webhook/nobody-made-it", "no block at all"])
    assert [line.split(" cannot be used")[0] for line in log] == [
        "notification block slack-webhook/nobody-made-it",
        "notification block no block at all",
    ]
