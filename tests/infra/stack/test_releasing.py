"""A version in front of the embedded API's partners: proved, let in without a failed request, or taken back."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bentos.deploying.slots import Release, Slots
from bentos.errors import BentosError, DeployRefused, SmokeFailed, TakenBack
from bentos.processes import free_port
from bentos.registry.audit_trail import Trail
from bentos.settings import DeploySettings
from infra.settings import StackSettings
from infra.stack import listening, parts, releasing
from infra.stack.processes import Recipe, end
from infra.stack.supervisor import NEXT, Stack
from tests.bentos.hosts import GOLDEN, HOME, StandIns, release

pytestmark = pytest.mark.skipif(not listening.POSSIBLE, reason="only Linux's kernel steers connections")


class EmbeddedApi:
    """A stack whose API is a stand-in, and what was said about releases to it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stack = Stack(StackSettings(state_dir=folder, port_api=free_port()))
        self.settings = DeploySettings(
            home=HOME,
            state_dir=folder,
            service_dir=folder / "service",
            bentoml_home=folder / "bentoml",
            smoke_timeout_s=10,
            golden_requests=6,
            shadow_requests=10,
            watch_s=0.5,
            watch_slice_s=0.5,
            p99_floor_ms=700,
        )
        self.said: list[str] = []
        self._known: dict[str, Release] = {}
        monkeypatch.setattr(releasing, "approved_release", lambda _, number: (self._known[f"{number}"], GOLDEN))
        monkeypatch.setattr(releasing, "BentoRunner", StandIns)
        monkeypatch.setattr(releasing, "Slots", lambda found: Slots(found, {"bento": StandIns(found)}))
        monkeypatch.setattr(parts, "api", self._part)

    def _part(self, settings: StackSettings, _: object, reference: str) -> parts.StackPart:
        one = self._known[reference.rpartition(":")[2]]
        port = str(settings.port_api)
        command = (sys.executable, "-m", "tests.bentos.standin", port, one.version, one.digest, one.content)
        recipe = Recipe(command, {"PYTHONPATH": str(HOME)}, HOME, settings.port_api, takes_socket=True)
        return parts.StackPart("api", recipe, f"{settings.api_url}/readyz")

    def release(self, version: int, fault: str = "none", **changes: Any) -> None:
        """Bring a stand-in's version in front of partners."""
        self._known[f"{version}"] = release(version, fault)
        settings = self.settings.model_copy(update=changes)
        releasing.EmbeddedRelease(self.stack, settings, self.said.append).release(version, "ana")

    def rollback(self) -> None:
        """Let the version before answer again."""
        releasing.EmbeddedRelease(self.stack, self.settings, self.said.append).rollback("eva", "bad answers")

    def answers(self) -> str:
        """Version that answers a new connection."""
        return str(httpx.get(f"{self.stack.settings.api_url}/v1/model", trust_env=False).json()["version"])

    def proved(self) -> str | None:
        """What a start of the stack would serve."""
        return parts.served_bento(self.stack.settings)

    def close(self) -> None:
        """End what runs."""
        for name in ("api", NEXT):
            if running := self.stack.shelf.find(name):
                end(running, 2)


@pytest.fixture(name="api")
def _api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedApi]:
    """A stack without an API yet."""
    for name in ("QF_CANARY_SHARES", "QF_SERVICE_DIR", "QF_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    made = EmbeddedApi(tmp_path, monkeypatch)
    yield made
    made.close()


@pytest.fixture(name="partner")
def _partner(api: EmbeddedApi) -> Iterator[Callable[[], Counter[str]]]:
    """Somebody who asks all the time, on a new connection each; stopped when asked how it went."""
    seen: Counter[str] = Counter()
    done = threading.Event()

    def ask() -> None:
        while not done.wait(0.01):
            try:
                answer = httpx.get(f"{api.stack.settings.api_url}/v1/model", trust_env=False, timeout=10)
                seen[str(answer.json()["version"])] += 1
            except httpx.HTTPError as error:
                seen[type(error).__name__] += 1

    thread = threading.Thread(target=ask)

    def ended() -> Counter[str]:
        done.set()
        if thread.is_alive():
            thread.join()
        return seen

    api.release(1)
    thread.start()
    yield ended
    ended()


def test_the_first_release_answers(api: EmbeddedApi) -> None:
    """Nothing serves before; the version is proved, answers, is what a start serves, and stands in the trail."""
    api.release(1)

    assert (api.answers(), api.proved()) == ("1", "credit-score:1")
    lines = Trail(api.settings.trail_file).entries()
    assert [(line.event, line.version, line.actor) for line in lines] == [("deployed", "1", "ana")]


def test_the_next_one_takes_over_without_a_failed_request(
    api: EmbeddedApi, partner: Callable[[], Counter[str]]
) -> None:
    """By shares, each watched; then the old one is gone and the new one is the API."""
    old = api.stack.shelf.find("api")

    api.release(2, canary_shares=(0.25, 1.0))

    assert (api.answers(), api.proved()) == ("2", "credit-score:2")
    assert set(partner()) == {"1", "2"}
    assert old is not None and not old.alive()
    assert api.stack.shelf.find(NEXT) is None and api.stack.shelf.find("api") is not None
    shares = [line for line in api.said if line.startswith("version 2 gets") and "connections" in line]
    assert [line.split()[3] for line in shares] == ["25%", "100%"]
    api.release(2)
    assert api.said[-1] == "version 2 answers already"


def test_the_version_before_answers_again(api: EmbeddedApi) -> None:
    """A rollback goes back a step each time, never to what it left, and the trail has who and why."""
    api.release(1)
    with pytest.raises(DeployRefused, match="nothing to go back to"):
        api.rollback()
    for version in (2, 3):
        api.release(version)

    answered = []
    for _ in range(2):
        api.rollback()
        answered.append((api.answers(), api.proved()))

    assert answered == [("2", "credit-score:2"), ("1", "credit-score:1")]
    with pytest.raises(DeployRefused, match="nothing to go back to"):
        api.rollback()
    last = Trail(api.settings.trail_file).entries()[-1]
    assert (last.event, last.actor, last.version, last.replaced, last.note) == (
        *("deployment_rolled_back", "eva", "1", "2"),
        "bad answers",
    )
    api.release(2)
    api.rollback()
    assert api.answers() == "1"


@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        pytest.param("wrong", SmokeFailed, "the approved model", id="wrong-answers-beside"),
        pytest.param("dies", BentosError, "the model was refused", id="dies-beside"),
        pytest.param("missing", DeployRefused, "not in the store", id="not-packed"),
        pytest.param("live-dies", DeployRefused, "does not start on the API's port", id="dies-on-the-port"),
        pytest.param("live-wrong", TakenBack, "a golden applicant scores", id="wrong-in-front"),
        pytest.param("live-errors", TakenBack, "no answer to a golden applicant", id="errors-in-front"),
    ],
)
def test_what_does_not_prove_itself_is_not_in_front(
    api: EmbeddedApi, partner: Callable[[], Counter[str]], fault: str, error: type[Exception], says: str
) -> None:
    """The version before serves on, a start would serve it too, and nothing of the refused one is left running."""
    with pytest.raises(error, match=says):
        api.release(2, fault)

    assert (api.answers(), api.proved()) == ("1", "credit-score:1")
    assert api.stack.shelf.find(NEXT) is None
    assert set(partner()) <= {"1", "2"}
    assert [line.version for line in Trail(api.settings.trail_file).entries()] == ["1"]


def test_what_a_killed_release_left_is_ended(api: EmbeddedApi) -> None:
    """It joined the port and was never proved there: the next command ends it before anything else."""
    api.release(1)
    with pytest.raises(TakenBack):
        api.release(2, "live-wrong")
    left = api._part(api.stack.settings, None, "credit-score:2")  # pylint: disable=protected-access  # as released
    with listening.bound(api.stack.settings.port_api) as door:
        started = api.stack.shelf.spawn(NEXT, left.recipe, door)

    api.release(3)

    assert not started.alive()
    assert "a release was cut off: its version is stopped" in api.said
    assert (api.answers(), api.proved()) == ("3", "credit-score:3")


def test_two_releases_at_once_are_one(api: EmbeddedApi) -> None:
    """The second is told that one is under way and changes nothing."""
    from infra.errors import StackError
    from infra.stack.guards import exclusive

    api.release(1)
    with exclusive(api.stack.settings.state_dir / "release.lock", "release"), pytest.raises(StackError):
        api.release(2)

    assert api.proved() == "credit-score:1"
