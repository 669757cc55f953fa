"""A branch's figures are read from what was measured, and stand on its pull request once."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from infra.delivery import branch_figures
from infra.delivery.branch_figures import MARK, CommentSettings, comment, report
from infra.errors import StackError

TOKEN = "ghs-test"  # pragma: allowlist secret


class GitHub(HTTPServer):
    """The comments of one pull request."""

    status = 200
    comments: list[dict[str, object]] = []
    asked: list[tuple[str, str]] = []


class Handler(BaseHTTPRequestHandler):
    """Lists, makes and changes comments."""

    def _answer(self) -> None:
        assert isinstance(self.server, GitHub)
        length = int(self.headers.get("content-length", 0))
        body = json.loads(self.rfile.read(length)) if length else {}
        self.server.asked.append((self.command, self.path.partition("?")[0]))
        assert self.headers["authorization"] == f"Bearer {TOKEN}"
        if self.command == "POST":
            self.server.comments.append({"id": 7, **body})
        if self.command == "PATCH":
            self.server.comments[-1] |= body
        content = json.dumps(self.server.comments).encode()
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = _answer  # their names

    def log_message(self, format: str, *args: object) -> None:  # pylint: disable=redefined-builtin  # its name
        """Say nothing."""


@pytest.fixture(name="github")
def _github() -> Iterator[tuple[GitHub, CommentSettings]]:
    server = GitHub(("127.0.0.1", 0), Handler)
    server.comments, server.asked = [{"id": 3, "body": "a person's"}], []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    api = f"http://127.0.0.1:{server.server_port}"
    yield server, CommentSettings(repository="quantum/score", token=TOKEN, api=api, pull_request=5)
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_figures_are_those_that_were_measured(tmp_path: Path) -> None:
    """Coverage and score from the files of `make test`; what is not there is said."""
    assert report(tmp_path, "").count("not measured") == 2
    (tmp_path / "coverage.json").write_text('{"totals": {"percent_covered": 93.456}}')
    (tmp_path / "pylint.json").write_text('{"statistics": {"score": 10.0}}')

    text = report(tmp_path, "")

    assert text.startswith(MARK)
    assert "| coverage | 93.5 % |" in text and "| pylint | 10.00 of 10 |" in text and "Nothing to compare" in text


def test_metrics_are_compared_by_dvc(tmp_path: Path) -> None:
    """With the same revision nothing differs; with none of that name the reason is told."""
    assert "No metric differs from `HEAD`." in report(tmp_path, "HEAD")
    assert "not measured: ERROR" in report(tmp_path, "no-such-revision")


def test_one_comment_is_kept_true(github: tuple[GitHub, CommentSettings]) -> None:
    """The first run makes it, the next changes it; a person's comment stays."""
    server, settings = github

    comment(settings, f"{MARK} one")
    comment(settings, f"{MARK} two")

    assert [one["body"] for one in server.comments] == ["a person's", f"{MARK} two"]
    assert server.asked[1::2] == [
        ("POST", "/repos/quantum/score/issues/5/comments"),
        ("PATCH", "/repos/quantum/score/issues/comments/7"),
    ]


def test_a_refusal_is_one_line(github: tuple[GitHub, CommentSettings]) -> None:
    """Status told, token not; without settings nothing is sent."""
    server, settings = github
    server.status = 403

    with pytest.raises(StackError, match="^GitHub answers 403 to the comment$"):
        comment(settings, MARK)
    with pytest.raises(StackError, match="QF_GITHUB_PULL_REQUEST"):
        comment(settings.model_copy(update={"pull_request": 0}), MARK)
    assert branch_figures.main(["comment"]) == 1
