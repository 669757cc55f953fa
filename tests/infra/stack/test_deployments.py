"""How the flows reach Prefect, where it does not go well."""

import sys

import httpx
import pytest

from infra.errors import StackError
from infra.stack import deployments


def test_a_machine_too_busy_to_deploy_is_told_in_one_line(monkeypatch):
    """What the start says when deploying does not end in time, instead of a traceback."""
    monkeypatch.setattr(deployments, "DEPLOY_ALL", (sys.executable, "-c", "import time; time.sleep(60)"))
    monkeypatch.setattr(deployments, "DEPLOY_TIMEOUT_S", 0.2)
    with pytest.raises(StackError, match="not over after 0.2 s: the machine is overloaded; run this again") as refused:
        deployments.deploy_all({})
    assert "\n" not in str(refused.value)


def test_a_run_is_started_without_a_program_in_between():
    """The deployment's other variables stay; one that starts so already is left alone."""
    command = f"{sys.executable} -m prefect.engine"
    known = [
        {"id": "d1", "job_variables": {"duty": "model"}},
        {"id": "d2", "job_variables": {"command": command}},
        {"id": "d3", "job_variables": None},
    ]
    changed = {}

    def ask(method, path, body):
        if method == "PATCH":
            changed[path] = body["job_variables"]
        return httpx.Response(200, json=known)

    deployments.start_directly(ask)

    assert changed == {
        "/deployments/d1": {"duty": "model", "command": command},
        "/deployments/d3": {"command": command},
    }
