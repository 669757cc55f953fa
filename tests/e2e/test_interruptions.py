"""Ctrl-C in every stage of `make demo`, one after the other in one clone, and a demo that then goes on to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from infra.stack.processes import stack_processes

if TYPE_CHECKING:
    from tests.e2e.conftest import Clone

pytestmark = [pytest.mark.full, pytest.mark.timeout(3600), pytest.mark.xdist_group("chain")]

DEMO = ("infra.demo.play", "--data", "sample")
STAGES = {
    "[1/8]": "data: DATA=sample, checked",
    "[2/8]": "stack",
    "[3/8]": "data: validated",
    "[4/8]": "training",
    "[5/8]": "registration",
    "[6/8]": "packaging",
    "[7/8]": "scoring",
    "[8/8]": "drift",
}


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_can_be_stopped(stage: str, clone: Clone) -> None:
    """Stopped in a stage, the demo names it, exits with 130 and leaves no process; the next one goes on from there."""
    code, said = clone.interrupt(*DEMO, at=stage, timeout_s=1200)

    assert code == 130, said[-2000:]
    assert f"stopped in: {STAGES[stage]}" in said
    assert not stack_processes(clone.state)
    assert not clone.git_status()


def test_a_demo_stopped_everywhere_still_ends_well(clone: Clone) -> None:
    """After all those stops the demo scores an applicant."""
    done = clone.run(*DEMO)

    assert done.returncode == 0, done.stdout[-3000:]
    assert "of 1000, band" in done.stdout
