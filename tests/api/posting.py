"""Foreign clients that post a file and say what status they read: what partners use, as it is by default."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

FOREIGN: Final = Path(__file__).with_name("foreign")
Find = Callable[[str], str]
CLIENTS: Final = ("curl", "curl h2c", "requests", "httpx", "urllib", "http.client", "node", "java")


def post(client: str, url: str, key: str, body: Path, find: Find, certificate: str = "") -> str:
    """The status that a client reads, or the end of what it said instead."""
    env = {**os.environ, **({"NODE_EXTRA_CA_CERTS": certificate} if certificate else {})}
    done = subprocess.run(
        _command(client, url, key, body, find, certificate),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=env,
    )
    return done.stdout.strip() if done.returncode == 0 else f"{done.returncode}: {done.stdout}{done.stderr[-300:]}"


def _command(client: str, url: str, key: str, body: Path, find: Find, certificate: str) -> list[str]:
    if client.startswith("curl"):
        trust = ["--cacert", certificate] if certificate else []
        upgrade = ["--http2"] if client.endswith("h2c") else []
        sent = ["-H", f"x-api-key: {key}", "-H", "content-type: application/json", "--data-binary", f"@{body}"]
        return [find("curl"), "-s", "-o", os.devnull, "-w", "%{http_code}", *trust, *upgrade, *sent, url]
    if client == "node":
        return [find("node"), str(FOREIGN / "post.mjs"), url, key, str(body)]
    if client == "java":
        options = ["-Djdk.internal.httpclient.disableHostnameVerification=true"]
        return [find("java"), *options, str(FOREIGN / "Post.java"), url, key, str(body), certificate]
    return [sys.executable, str(FOREIGN / "post.py"), client, url, key, str(body), certificate]
