"""A version reaches partners only after it proved itself, and goes back by itself when it does badly.

Slots are stand-ins that speak real HTTP behind the real proxy; the served Bento is in test_switch.
"""

# pylint: disable=redefined-outer-name  # how pytest hands fixtures over

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from bentos import deploy
from bentos.deploying.proxy import Switch
from bentos.deploying.state import StateFile, SwitchTrial
from bentos.errors import BentosError, DeployRefused, TakenBack
from bentos.processes import HOST
from bentos.registry.audit_trail import Trail
from service.access.keystore import read_keys
from tests.bentos.hosts import GOLDEN, HOME, StandInHost, StandIns, release


def test_one_after_the_other_and_back(host: StandInHost) -> None:
    """Blue, green, back to blue; the trail, the status and the keys tell the same."""
    with pytest.raises(DeployRefused, match="nothing to go back to"):
        host.deployment.rollback("ana")
    host.deploy(1)
    assert host.serves() == "1"
    host.deploy(2)
    assert host.serves() == "2"
    assert any("blue stays up" in line for line in host.said)

    host.deployment.rollback("eva", "partners complain")

    assert host.serves() == "1"
    assert [(one.event, one.actor, one.version, one.replaced) for one in Trail(host.settings.trail_file).entries()] == [
        ("deployed", "ana", "1", ""),
        ("deployed", "ana", "2", "1"),
        ("deployment_rolled_back", "eva", "1", "2"),
    ]
    first, second, proxy = host.deployment.status()
    assert first.startswith("blue   serves, ready: version 1, model 111111111111")
    assert second.startswith("green  withdrawn, ready: version 2")
    assert proxy == f"proxy  {host.settings.public_url}"
    assert all(record.revoked_at for record in read_keys(host.settings.service_dir / "keys.json").keys)
    with pytest.raises(DeployRefused, match="version 2 was itself taken back"):
        host.deployment.rollback("eva")
    host.deploy(1)
    assert host.said[-1] == "version 1 serves already (blue)"


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        pytest.param("wrong", "scores", id="wrong-answers"),
        pytest.param("never-ready", "green is not ready after 2 s", id="never-ready"),
        pytest.param("dies", "green ended at its start: credit-score: the model was refused", id="dies"),
        pytest.param("slow", "at most .* ms are allowed", id="slow"),
        pytest.param("missing", "is not in the store", id="missing"),
    ],
)
def test_what_does_not_prove_itself_is_never_switched_to(settled: StandInHost, fault: str, says: str) -> None:
    """Blue is not touched and nothing of green is left."""
    settled.change(golden_requests=2, shadow_requests=3, smoke_timeout_s=2 if fault == "never-ready" else 20)

    with pytest.raises(BentosError, match=says):
        settled.deploy(2, fault)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        pytest.param("live-errors", "5xx|answers 500", id="errors"),
        pytest.param("live-wrong", "scores", id="wrong-answers"),
        pytest.param("live-slow", "p99 is ", id="slow"),
    ],
)
def test_what_does_badly_is_taken_back_by_itself(
    settled: StandInHost, fault: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof could not see it, live traffic does."""
    monkeypatch.setattr("bentos.deploying.watch.ODD_MIN", 1)  # of the few that a slice of a second and a half holds
    settled.change(watch_s=30, watch_slice_s=1.5, golden_requests=2, shadow_requests=3)

    with pytest.raises(TakenBack, match=says):
        settled.deploy(2, fault)

    last = Trail(settled.settings.trail_file).entries()[-1]
    assert (last.event, last.version, last.replaced) == ("deployment_rolled_back", "1", "2")


def test_ports_and_programs_that_are_not_there_are_one_line(settled: StandInHost) -> None:
    """Each names the setting that helps."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((HOST, settled.settings.port_green))
        other.listen()
        with pytest.raises(DeployRefused, match="for green is taken by another program: .* QF_PORT_GREEN"):
            settled.deploy(2)
    settled.change(nginx="no-such-nginx")
    with pytest.raises(DeployRefused, match="nginx is not installed; install it, or set QF_NGINX or QF_PROXY_URL"):
        settled.deploy(2)
    settled.change(proxy_url="https://proxy", proxy_dir=settled.settings.state_dir / "none")
    with pytest.raises(DeployRefused, match="shared with the proxy: set QF_PROXY_DIR"):
        settled.deploy(2)


def test_one_deployment_at_a_time(settled: StandInHost) -> None:
    """The second is told which process holds the first."""
    state_file = StateFile(settled.settings.deploy_dir)

    with state_file.alone(), pytest.raises(DeployRefused, match=f"under way .process {os.getpid()}.: wait"):
        settled.deploy(2)


def test_a_kill_before_the_switch_is_settled_by_the_next_command(settled: StandInHost) -> None:
    """What was being proved is ended, and blue serves on."""
    runner, state_file = StandIns(settled.settings), StateFile(settled.settings.deploy_dir)
    runner.start("green", release(2))
    state_file.write(
        state_file.read().model_copy(update={"trial": SwitchTrial(slot="green", release=release(2), actor="ana")})
    )
    Path(settled.settings.shared_dir / "watch").touch()

    with pytest.raises(DeployRefused, match="nothing to go back to|itself taken back"):
        settled.deployment.rollback("ana")

    assert "a deployment was cut off before its switch: version 2 is stopped" in settled.said
    assert not (settled.settings.shared_dir / "watch").exists()


def test_behind_a_version_that_was_taken_back_the_older_one_is_remembered(host: StandInHost) -> None:
    """It was pushed out to make room, not because it was bad: a rollback starts it again."""
    host.deploy(1)
    host.deploy(2)
    host.change(watch_s=30, watch_slice_s=1.5, golden_requests=2, shadow_requests=3)
    with pytest.raises(TakenBack):
        host.deploy(3, "live-wrong")
    assert host.serves() == "2"

    host.deployment.rollback("ana")

    assert host.serves() == "1"
    assert any("version 3 was itself taken back, version 1 was before" in line for line in host.said)
    with pytest.raises(DeployRefused, match="version 2 was itself taken back"):
        host.deployment.rollback("ana")


def test_a_kill_after_the_switch_stands(host: StandInHost) -> None:
    """The switch is the truth: the trial becomes what serves, and the trail has it."""
    host.deploy(1)
    runner, state_file = StandIns(host.settings), StateFile(host.settings.deploy_dir)
    runner.start("green", release(2))
    state_file.write(
        state_file.read().model_copy(update={"trial": SwitchTrial(slot="green", release=release(2), actor="ana")})
    )
    Switch(host.settings.shared_dir).turn("green")

    host.deployment.rollback("eva")

    assert host.serves() == "1"
    assert [one.version for one in Trail(host.settings.trail_file).entries()] == ["1", "2", "1"]


def test_a_slot_whose_mark_shows_late_is_waited_for(host: StandInHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel shows a program's environment only when it has been loaded: until then it has not ended."""
    read, blank = psutil.Process.environ, iter([True] * 5)
    monkeypatch.setattr(psutil.Process, "environ", lambda self: {} if _new(self) and next(blank, False) else read(self))

    host.deploy(1)

    assert host.serves() == "1" and next(blank, "all were read") == "all were read"


def _new(process: psutil.Process) -> bool:
    return "tests.bentos.standin" in process.cmdline()


def test_a_slot_that_died_is_started_again_to_go_back(host: StandInHost) -> None:
    """The way back does not depend on luck; a trail that cannot be written does not stop it either."""
    host.deploy(1)
    host.deploy(2)
    StandIns(host.settings).stop("blue")
    host.settings.trail_file.write_text("broken\n")

    host.deployment.rollback("ana")

    assert host.serves() == "1"
    assert any("is started again" in line for line in host.said)
    assert any("audit trail does not have it" in line for line in host.said)
    with pytest.raises(BentosError, match="line 1 is unreadable"):
        host.deploy(2)


def test_rolling_back_a_deployment_under_way_tells_it_to_end(tmp_path: Path) -> None:
    """The lock's holder gets SIGTERM, which takes a deployment back."""
    script = (
        "import fcntl, os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        f"file = open({str(tmp_path / 'lock')!r}, 'w')\nfcntl.flock(file, fcntl.LOCK_EX)\n"
        "print(os.getpid(), file=file, flush=True)\nprint('held', flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=HOME) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"

        assert StateFile(tmp_path).interrupt()

        assert holder.wait(10) == 0
    assert not StateFile(tmp_path).interrupt()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_deployment_takes_itself_back(settled: StandInHost, number: signal.Signals) -> None:
    """Ctrl-C and a polite kill are no way to leave two halves."""
    settled.change(watch_s=30)
    kept = {one: signal.signal(one, deploy._interrupted) for one in (signal.SIGTERM, signal.SIGINT)}  # pylint: disable=protected-access
    deployment, said = settled.deployment, settled.said

    def kill_once_switched(line: str) -> None:
        said.append(line)
        if line.startswith("switched"):
            os.kill(os.getpid(), number)

    deployment._say = kill_once_switched  # pylint: disable=protected-access
    try:
        with pytest.raises(deploy.Interrupted, match=number.name):
            deployment.deploy(release(2), GOLDEN, "ana")
    finally:
        for one, handler in kept.items():
            signal.signal(one, handler)

    assert "rolled back: blue answers with version 1" in said


def test_a_trial_that_an_earlier_release_wrote_is_read() -> None:
    """It named the slot by `colour`: a deployment that was cut off before an upgrade is settled after it."""
    trial = SwitchTrial(slot="green", release=release(2), actor="ana").model_dump(mode="json")
    earlier = {"colour": trial.pop("slot"), **trial}

    assert SwitchTrial.model_validate(earlier).slot == "green"
