"""How the flows reach Prefect, where it does not go well."""

import sys

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
