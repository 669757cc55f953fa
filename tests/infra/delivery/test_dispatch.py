"""An approval tells GitHub, once and with what is needed; a refusal is one line without the token."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from infra.delivery import dispatch

TOKEN = "ghs-test"  # pragma: allowlist secret


class GitHub(HTTPServer):
    """What was asked of it, and what it answers."""

    status = 204
    asked: list[tuple[str, str, bytes]] = []


class Handler(BaseHTTPRequestHandler):
    """Takes events."""

    def do_POST(self) -> None:  # pylint: disable=invalid-name  # its name
        """Note the event."""
        assert isinstance(self.server, GitHub)
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append((self.path, self.headers["authorization"], body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # pylint: disable=redefined-builtin  # its name
        """Say nothing."""


@pytest.fixture(name="github")
def _github(monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    server = GitHub(("127.0.0.1", 0), Handler)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("QF_GITHUB_API", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("QF_GITHUB_REPOSITORY", "quantum/credit-score")
    monkeypatch.setenv("QF_GITHUB_TOKEN", TOKEN)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_release_is_started(github: GitHub, capsys: pytest.CaptureFixture[str]) -> None:
    """The event that release.yml listens to, with the version."""
    assert dispatch.main(["--version", "7"]) == 0

    (path, authorization, body) = github.asked[0]
    assert (path, authorization) == ("/repos/quantum/credit-score/dispatches", f"Bearer {TOKEN}")
    assert json.loads(body) == {"event_type": dispatch.EVENT, "client_payload": {"version": 7}}
    assert "version 7" in capsys.readouterr().out


@pytest.mark.parametrize("status", [401, 404, 500])
def test_a_refusal_is_one_line(github: GitHub, capsys: pytest.CaptureFixture[str], status: int) -> None:
    """Exit 1; the token is in no message."""
    github.status = status

    assert dispatch.main(["--version", "7"]) == 1

    said = capsys.readouterr().err
    assert said == f"dispatch: GitHub answers {status} to the event for quantum/credit-score\n"


def test_without_a_repository_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings are named."""
    monkeypatch.delenv("QF_GITHUB_REPOSITORY", raising=False)

    assert dispatch.main(["--version", "7"]) == 1
