"""The request as code that runs, with the key read from the environment."""

# pylint: disable=redefined-outer-name  # how pytest hands fixtures over
from __future__ import annotations

import ast
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.ui.fake_api import KEY, FakeApi
from ui.api.client import Client
from ui.api.exchange import KEY_VARIABLE, Exchange, snippets
from ui.applicant.examples import EXAMPLES
from ui.settings import UiSettings


@pytest.fixture
def exchange(api: FakeApi, settings: UiSettings) -> Exchange:
    """A score just made."""
    return (
        Client(settings, api.transport())
        .score(EXAMPLES["ordinary"].model_dump(mode="json", exclude_none=True))
        .exchange
    )


def test_no_key_in_any(exchange: Exchange) -> None:
    """Each snippet names the variable, none the key."""
    for _, code in snippets(exchange, "http://api.test").values():
        assert KEY not in code and KEY_VARIABLE in code


@pytest.mark.parametrize("name", ["curl", "Python"])
def test_it_runs(exchange: Exchange, name: str) -> None:
    """Copied as it stands, it gets the same answer."""
    api = FakeApi()
    with api.serve() as url:
        code = snippets(exchange, url)[name][1]
        command = ["bash", "-c", code] if name == "curl" else [sys.executable, "-c", code]
        environment = {**os.environ, KEY_VARIABLE: KEY, "NO_PROXY": "*", "no_proxy": "*"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert "672" in done.stdout
    assert api.requests[0][2] == exchange.body


def test_a_request_without_a_body(exchange: Exchange) -> None:
    """A GET sends none."""
    got = replace(exchange, method="GET", path="/v1/model", request_body=None)
    made = snippets(got, "http://api.test")
    assert " -d " not in made["curl"][1] and "body" not in made["JavaScript"][1]
    ast.parse(made["Python"][1])
