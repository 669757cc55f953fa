"""A known vulnerability fails the audit unless a waiver that still holds says why it does not concern us."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from bentos.processes import free_port
from infra.delivery import audit
from infra.delivery.audit import WAIVERS, read_waivers
from infra.errors import StackError

TODAY = date(2026, 11, 24)
PINNED = "idna==3.10 --hash=sha256:946d195a0d259cbba61165e88e65941f16e9b36ea6ddb97f00452bae8b1287d3\n"
KNOWN = {
    "id": "GHSA-test-0001",
    "summary": "an example",
    "details": "an example",
    "modified": "2026-11-01T00:00:00Z",
    "published": "2026-11-01T00:00:00Z",
    "affected": [
        {
            "package": {"name": "idna", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.11"}]}],
            "versions": ["3.10"],
        }
    ],
}


@contextmanager
def osv(vulnerabilities: list[dict[str, Any]]) -> Iterator[str]:
    """Address of a database at the network's edge that knows these of every package."""

    class Handler(BaseHTTPRequestHandler):
        """Answers every query alike."""

        def do_POST(self) -> None:  # pylint: disable=invalid-name  # http.server's own
            """One query, one answer."""
            self.rfile.read(int(self.headers["content-length"]))
            body = json.dumps({"vulns": vulnerabilities} if vulnerabilities else {}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:  # pylint: disable=arguments-differ
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/query"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("known", "waiver", "code"),
    [
        pytest.param([], "", 0, id="nothing-known"),
        pytest.param([KNOWN], "", 1, id="known"),
        pytest.param([KNOWN], "GHSA-test-0001 2999-01-01 no host name comes from outside\n", 0, id="waived"),
        pytest.param([KNOWN], "GHSA-other 2999-01-01 another one\n", 1, id="another-waived"),
        pytest.param([], "GHSA-test-0001 2020-01-01 we forgot\n", 1, id="waiver-ran-out"),
    ],
)
def test_the_audit_has_its_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: list[dict[str, Any]], waiver: str, code: int
) -> None:
    """pip-audit itself, asking a database of ours."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "lock.txt").write_text(PINNED)
    (tmp_path / "waivers.txt").write_text(waiver)
    files = ["--requirements", str(tmp_path / "lock.txt"), "--waivers", str(tmp_path / "waivers.txt")]

    with osv(known) as url:
        assert audit.main([*files, "--osv-url", url, "--cache-dir", str(tmp_path / "cache")]) == code


def test_without_its_database_the_audit_says_so_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No answer is no verdict, and no traceback either."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "lock.txt").write_text(PINNED)
    (tmp_path / "waivers.txt").write_text("")
    files = ["--requirements", str(tmp_path / "lock.txt"), "--waivers", str(tmp_path / "waivers.txt")]
    nobody = f"http://127.0.0.1:{free_port()}/v1/query"

    assert audit.main([*files, "--osv-url", nobody, "--cache-dir", str(tmp_path / "cache")]) == 1
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("audit: the database of vulnerabilities does not answer")


@pytest.mark.parametrize("line", ["GHSA-1", "GHSA-1 2026-12-01", "GHSA-1 tomorrow because"])
def test_a_waiver_says_what_until_when_and_why(tmp_path: Path, line: str) -> None:
    """Anything less is refused with its line."""
    path = tmp_path / "waivers.txt"
    path.write_text(f"# known\n\n{line}\n")

    with pytest.raises(StackError, match=r"waivers\.txt:3: a waiver is"):
        read_waivers(path, TODAY)


def test_the_projects_own_waivers_can_be_read() -> None:
    """Each line is one; whether it still holds is the audit's own question."""
    read_waivers(WAIVERS, date.min)
