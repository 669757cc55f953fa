"""A version reaches partners only after it proved itself, and goes back by itself when it does badly.

Colours are stand-ins that speak real HTTP behind the real proxy; the served Bento is in test_switch.
"""

# pylint: disable=redefined-outer-name  # how pytest hands fixtures over

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from bentos import deploy
from bentos.audit import Trail
from bentos.colours import HOST, BentoRunner, Colour, Colours, Release, carried, marked, spawn
from bentos.deployment import Deployment
from bentos.errors import BentosError, DeployRefused, TakenBack
from bentos.golden import Golden
from bentos.proxy import Proxy, Seen, Switch
from bentos.settings import DeploySettings
from bentos.standing import Book, Trial
from bentos.version import Version
from bentos.watch import Limits, Verdict, p99
from infra.ports import free_port
from service.keystore import read_keys

HOME = Path(__file__).resolve().parents[2]
GOLDEN = tuple(Golden(body={"num_loans": loans}, score=loans * 100) for loans in (1, 2, 5))


class StandIns(BentoRunner):
    """Starts a stand-in; a release's content names its fault."""

    def check(self, release: Release) -> None:
        """There is nothing to look at but what a test forbids."""
        if release.content == "missing":
            raise DeployRefused(f"Bento {release.reference} is not in the store: run the packaging flow")

    def start(self, colour: Colour, release: Release) -> None:
        """A process of its own."""
        port = str(self._settings.port(colour))
        command = [sys.executable, "-m", "tests.bentos.standin", port, release.version, release.digest, release.content]
        untraced = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        spawn(command, self._settings, colour, {**untraced, "PYTHONPATH": str(HOME)})


def release(version: int, fault: str = "none") -> Release:
    """A stand-in's release."""
    return Release(
        version=str(version),
        digest=f"{version:x}" * 64,
        kind="bento",
        reference=f"credit-score:{version}",
        content=fault,
    )


class Host:
    """One host's deployments and what was said about them."""

    def __init__(self, folder: Path) -> None:
        self.settings = DeploySettings(
            home=HOME,
            state_dir=folder / "state",
            service_dir=folder / "service",
            port_blue=free_port(),
            port_green=free_port(),
            port_proxy=free_port(),
            smoke_timeout_s=5,
            golden_requests=6,
            shadow_requests=10,
            watch_s=1,
            watch_slice_s=0.5,
            p99_floor_ms=200,  # half of what a slow stand-in takes; on a busy machine 50 ms are no fault
        )
        self.said: list[str] = []

    def change(self, **settings: Any) -> None:
        """Other settings from now on."""
        self.settings = self.settings.model_copy(update=settings)

    @property
    def deployment(self) -> Deployment:
        """As a new process would make it."""
        colours = Colours(self.settings, {"bento": StandIns(self.settings)})
        return Deployment(self.settings, self.said.append, colours)

    def deploy(self, version: int, fault: str = "none") -> None:
        """Deploy a stand-in."""
        self.deployment.deploy(release(version, fault), GOLDEN, "ana")

    def serves(self) -> str:
        """Version that answers partners."""
        answer = httpx.get(f"{self.settings.public_url}/v1/model", verify=Proxy(self.settings).trust())
        return str(answer.json()["version"]) if answer.status_code == 200 else str(answer.status_code)

    def running(self, colour: Colour) -> int:
        """Number of the colour's processes."""
        return len(marked(self.settings, colour))


@contextmanager
def new_host(folder: Path, nginx: str) -> Iterator[Host]:
    """A host with nothing deployed; nothing is left of it."""
    made = Host(folder)
    made.change(nginx=nginx)
    try:
        yield made
    finally:
        made.deployment.down()
        assert made.running("blue") + made.running("green") == 0


@pytest.fixture
def host(tmp_path: Path, require_program: Callable[[str], str]) -> Iterator[Host]:
    """A host of this test alone."""
    with new_host(tmp_path, require_program("nginx")) as made:
        yield made


@pytest.fixture(scope="module", name="busy")
def _busy(tmp_path_factory: pytest.TempPathFactory, require_program: Callable[[str], str]) -> Iterator[Host]:
    """A host whose blue serves version 1, whatever the tests before tried on it."""
    with new_host(tmp_path_factory.mktemp("busy"), require_program("nginx")) as made:
        made.deploy(1)
        yield made


@pytest.fixture
def settled(busy: Host) -> Iterator[Host]:
    """The busy host, with the settings it began with and blue in front of partners afterwards too."""
    kept = busy.settings
    yield busy
    busy.settings = kept
    assert busy.serves() == "1"
    assert busy.running("green") == 0
    assert Book(kept.deploy_dir).read().trial is None


def test_one_after_the_other_and_back(host: Host) -> None:
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
def test_what_does_not_prove_itself_is_never_switched_to(settled: Host, fault: str, says: str) -> None:
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
    settled: Host, fault: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof could not see it, live traffic does."""
    monkeypatch.setattr("bentos.watch.SLICE_MIN", 2)
    settled.change(watch_s=30, watch_slice_s=1.5, golden_requests=2, shadow_requests=3)

    with pytest.raises(TakenBack, match=says):
        settled.deploy(2, fault)

    last = Trail(settled.settings.trail_file).entries()[-1]
    assert (last.event, last.version, last.replaced) == ("deployment_rolled_back", "1", "2")


def test_ports_and_programs_that_are_not_there_are_one_line(settled: Host) -> None:
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


def test_one_deployment_at_a_time(settled: Host) -> None:
    """The second is told which process holds the first."""
    book = Book(settled.settings.deploy_dir)

    with book.alone(), pytest.raises(DeployRefused, match=f"under way .process {os.getpid()}.: wait"):
        settled.deploy(2)


def test_a_kill_before_the_switch_is_settled_by_the_next_command(settled: Host) -> None:
    """What was being proved is ended, and blue serves on."""
    runner, book = StandIns(settled.settings), Book(settled.settings.deploy_dir)
    runner.start("green", release(2))
    book.write(book.read().model_copy(update={"trial": Trial(colour="green", release=release(2), actor="ana")}))
    Path(settled.settings.shared_dir / "watch").touch()

    with pytest.raises(DeployRefused, match="nothing to go back to|itself taken back"):
        settled.deployment.rollback("ana")

    assert "a deployment was cut off before its switch: version 2 is stopped" in settled.said
    assert not (settled.settings.shared_dir / "watch").exists()


def test_a_kill_after_the_switch_stands(host: Host) -> None:
    """The switch is the truth: the trial becomes what serves, and the trail has it."""
    host.deploy(1)
    runner, book = StandIns(host.settings), Book(host.settings.deploy_dir)
    runner.start("green", release(2))
    book.write(book.read().model_copy(update={"trial": Trial(colour="green", release=release(2), actor="ana")}))
    Switch(host.settings.shared_dir).turn("green")

    host.deployment.rollback("eva")

    assert host.serves() == "1"
    assert [one.version for one in Trail(host.settings.trail_file).entries()] == ["1", "2", "1"]


def test_a_colour_that_died_is_started_again_to_go_back(host: Host) -> None:
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

        assert Book(tmp_path).interrupt()

        assert holder.wait(10) == 0
    assert not Book(tmp_path).interrupt()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_deployment_takes_itself_back(settled: Host, number: signal.Signals) -> None:
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


def test_the_verdict_needs_more_than_one_odd_answer() -> None:
    """Three errors above the share, or two slow slices in a row."""
    limits = Limits(error_share=0.005, p99_ms=50, slice_s=10)

    def seen(status: int = 200, s: str = "0.010") -> Seen:
        return Seen(at=0, method="POST", uri="/v1/score", status=status, s=s, colour="green")

    rare, often, slow = (Verdict(limits, begun=0) for _ in range(3))
    for index in range(1000):
        rare.add(seen(503 if index < 2 else 200))
        often.add(seen(503 if index % 100 == 0 else 200))
    assert rare.fault(1) == ""
    assert often.fault(1) == "10 of 1000 requests were answered with 5xx"
    for end, expected in ((10, ""), (20, "p99 is 90 ms, at most 50 ms are allowed")):
        for _ in range(30):
            slow.add(seen(s="0.090"))
        assert slow.fault(end) == expected
    assert [p99([]), p99([7]), p99(range(1, 201))] == [0.0, 7, 198]  # type: ignore[arg-type]


def test_what_was_packed_is_what_is_deployed() -> None:
    """By the digests the packaging flow recorded; without them there is nothing to deploy."""
    tags = {"bento_tag": "credit-score:3-a-b", "bento_digest": "d", "image": "r:5000/credit-score:3-a-b"}
    version = Version(number=3, run_id="r", digest="m", package_sha256="p", tags=tags | {"image_digest": "sha256:e"})

    assert deploy.release_of(version, "bento").reference == "credit-score:3-a-b"
    assert deploy.release_of(version, "image").reference == "r:5000/credit-score@sha256:e"
    for kind, says in (("bento", "version 3 is not packed"), ("image", "version 3 has no image: set REGISTRY")):
        with pytest.raises(DeployRefused, match=says):
            deploy.release_of(version.model_copy(update={"tags": {}}), kind)


def test_a_bento_that_is_missing_or_altered_is_refused(tmp_path: Path) -> None:
    """Before anything is started."""
    settings = DeploySettings(state_dir=tmp_path)
    bento = tmp_path / "bentoml" / "bentos" / "credit-score" / "2"

    with pytest.raises(DeployRefused, match="credit-score:2 is not in the store: run the packaging flow"):
        BentoRunner(settings).check(release(2))
    bento.mkdir(parents=True)
    (bento / "bento.yaml").write_text("name: credit-score")
    with pytest.raises(DeployRefused, match="has digest .*, recorded is none: do not use it"):
        BentoRunner(settings).check(release(2))


def test_secrets_are_named_on_the_command_line_and_never_told() -> None:
    """A container gets the service's settings and the store's credentials by name."""
    environment = {"QF_REDIS_URL": "x", "AWS_SECRET_ACCESS_KEY": "s", "QF_SERVICE_DIR": "d", "REGISTRY_PASSWORD": "p"}

    assert carried(environment) == ["AWS_SECRET_ACCESS_KEY", "QF_REDIS_URL"]


@pytest.mark.parametrize(
    ("variables", "arguments", "says"),
    [
        pytest.param({}, ["rollback"], "nothing to go back to", id="nothing"),
        pytest.param({"QF_PORT_BLUE": "none"}, ["status"], "QF_PORT_BLUE: ", id="setting"),
        pytest.param({"MLFLOW_TRACKING_URI": ""}, ["deploy"], "MLFLOW_TRACKING_URI", id="no-mlflow"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    arguments: list[str],
    says: str,
) -> None:
    """And ends with 1."""
    for name, value in {"QF_STATE_DIR": str(tmp_path), **variables}.items():
        monkeypatch.setenv(name, value)
    kept = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        assert deploy.main(arguments) == 1
    finally:
        for one, handler in kept.items():
            signal.signal(one, handler)

    told = capsys.readouterr()
    assert says in told.err and told.err.count("\n") == 1


def test_status_of_an_empty_host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both places are empty, and the address is where it will be."""
    deployment = Deployment(DeploySettings(state_dir=tmp_path))

    assert list(deployment.status()) == ["blue   empty", "green  empty", "proxy  https://127.0.0.1:3443"]
    assert not capsys.readouterr().out


def test_an_unreadable_book_stops_a_deployment(tmp_path: Path) -> None:
    """Nobody guesses what stands where."""
    (tmp_path / "standing.json").write_text("{")

    with pytest.raises(DeployRefused, match="is unreadable: put a backup back"):
        Book(tmp_path).read()


def test_the_proxy_keeps_its_promises(settled: Host) -> None:
    """TLS only, HSTS, sizes, no metrics, headers in time; each refusal in the shape of all others."""
    trust, port = Proxy(settled.settings).trust(), settled.settings.port_proxy
    assert isinstance(trust, ssl.SSLContext)
    with httpx.Client(base_url=settled.settings.public_url, verify=trust) as client:
        right = client.get("/v1/model")
        refused = [
            client.get("/metrics"),
            client.get("/v1/model", headers={"x-large": "x" * 17_000}),
            client.post("/v1/score", content=b" " * (2**21 + 1)),
            httpx.get(f"http://{HOST}:{port}/livez"),
        ]

    assert right.status_code == 200
    assert right.headers["strict-transport-security"] == "max-age=31536000"
    assert [answer.status_code for answer in refused] == [404, 431, 413, 400]
    for answer in refused:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code
        assert answer.json()["instance"].startswith("urn:request:")
    with socket.create_connection((HOST, port)) as raw, trust.wrap_socket(raw) as slow:
        slow.sendall(b"GET /livez HTTP/1.1\r\nhost: h\r\nx-slow: ")
        slow.settimeout(15)
        assert slow.recv(100) == b""


def test_no_colour_is_never_guessed(settled: Host) -> None:
    """Without the sign that a colour is up, or with a colour gone, the answer is 503 and says when to ask again."""
    switch, trust = Switch(settled.settings.shared_dir), Proxy(settled.settings).trust()
    answers = []
    try:
        for spoil in (switch.close, lambda: switch.turn("green")):
            spoil()
            answers.append(httpx.get(f"{settled.settings.public_url}/v1/model", verify=trust))
    finally:
        switch.turn("blue")

    for answer in answers:
        assert (answer.status_code, answer.json()["status"], answer.headers["retry-after"]) == (503, 503, "1")
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
