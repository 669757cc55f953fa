"""An approved version in front of the embedded API's partners: proved beside it, let in by shares, watched, or taken
back.

The Bento is proved on a port of its own, as `bentos.deploying` does behind a proxy. Then it is started once more on the
API's own port, which both share until the kernel has sent every new connection to the new one (`listening`). Which
Bento a start of the stack serves is written down last, after the watch, in the audit trail: whatever is cut off before
that, what served serves on.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import httpx

from bentos.deploy import approved_release
from bentos.deploying.probe import proof_key
from bentos.deploying.proof import prove_beside, unwatched
from bentos.deploying.slots import BentoRunner, Release, Slots
from bentos.deploying.state import record_deployed
from bentos.deploying.watch import WatchLimits, WatchVerdict
from bentos.errors import DeployRefused, TakenBack
from bentos.packing.golden_requests import GoldenRequests
from bentos.processes import answers, free_port
from bentos.registry.audit_trail import Trail
from bentos.registry.products import EMBEDDED, TURNED_BACK, embedded, embedded_before
from bentos.settings import DeploySettings
from infra.stack import listening, parts
from infra.stack.guards import exclusive
from infra.stack.processes import end
from infra.stack.supervisor import NEXT, PATIENCE_S, POLL_S, Stack

PROBE_PAUSE_S: Final = 0.2
HANDOVER_S: Final = 0.5  # what waits to be accepted by the one that gets no more is accepted long before
PROBE_TIMEOUT_S: Final = 5.0
FAILURES_MAX: Final = 2


class EmbeddedRelease:
    """Releases to the API of one stack."""

    def __init__(self, stack: Stack, settings: DeploySettings, say: Callable[[str], None]) -> None:
        self._stack, self._say = stack, say
        # The proof's port is nobody's business, and several stacks share a machine.
        self._settings = settings.model_copy(update={"port_blue": free_port()})

    def rollback(self, actor: str, note: str = "") -> None:
        """Bring the version that answered before in front of partners again, proved and watched like any other.

        Raises:
            DeployRefused: there was none, or none that no rollback left.
            BentosError: it did not prove itself; what served serves on.
        """
        trail = Trail(self._settings.trail_file)
        entries = trail.entries()
        serving, before = embedded(entries), embedded_before(entries)
        if serving is None or before is None:
            raise DeployRefused("there is nothing to go back to: no other version answered here before")
        self.release(int(before.version), actor, replaced=serving.version)
        trail.append(
            TURNED_BACK,
            actor=actor,
            version=before.version,
            digest=before.digest,
            replaced=serving.version,
            note=note,
        )
        self._say(
            f"the champion of the registry is another question: `python -m bentos.champion rollback`, else the next "
            f"packaging brings version {serving.version} again"
        )

    def release(self, number: int, actor: str, replaced: str = "") -> None:
        """Bring the version (0: the champion) in front of partners.

        Args:
            number: the registered version.
            actor: who is named in the audit trail.
            replaced: the version that a rollback leaves.

        Raises:
            BentosError: it was refused or did not prove itself; what served serves on.
            TakenBack: it did badly in front of partners; what served serves again.
            StackError: another release is under way.
        """
        stack, settings = self._stack, self._settings
        with exclusive(stack.settings.state_dir / "release.lock", "release"):
            Trail(settings.trail_file).entries()  # a broken trail stops a release
            chosen, golden = approved_release(settings, number)
            BentoRunner(settings).check(chosen)
            part = parts.api(stack.settings, stack.pair, chosen.reference)
            running = stack.shelf.find(part.name)
            if (
                running
                and running.recipe == part.recipe.digest
                and parts.served_bento(stack.settings) == chosen.reference
            ):
                self._say(f"version {chosen.version} answers already")
                return
            self.settle()
            rows = unwatched(golden)
            with proof_key(settings.service_dir) as key:
                usual_ms = self._proved(chosen, rows, key)
                self._let_in(part, chosen, rows, key, usual_ms)
            # From here on it is what a start serves.
            record_deployed(Trail(settings.trail_file), chosen, actor=actor, note=EMBEDDED, replaced=replaced)
            self._take_over()
            self._say(f"version {chosen.version} answers at {stack.settings.api_url}")

    def settle(self) -> None:
        """End what a release left that was killed: it never became what the stack serves."""
        unfinished = self._stack.shelf.find(NEXT)
        if unfinished:
            self._say("a release was cut off: its version is stopped")
            end(unfinished, PATIENCE_S["api"])
        self._stack.shelf.forget(NEXT)

    def _proved(self, chosen: Release, golden: Sequence[GoldenRequests], key: str) -> float:
        """The usual p99 in milliseconds, once the version gave the right answers away from partners."""
        slots = Slots(self._settings)
        serving = self._stack.settings.api_url if self._answers() else ""
        slots.start("blue", chosen)
        try:
            return prove_beside(slots.url("blue"), serving, chosen, golden, key, settings=self._settings, say=self._say)
        finally:
            slots.stop("blue")

    def _answers(self) -> bool:
        return self._stack.shelf.find("api") is not None and answers(f"{self._stack.settings.api_url}/readyz")

    def _let_in(
        self, part: parts.StackPart, chosen: Release, golden: Sequence[GoldenRequests], key: str, usual_ms: float
    ) -> None:
        """The version on the API's own port, with every new connection, or gone again."""
        shelf, old = self._stack.shelf, self._stack.shelf.find("api")
        if old and not listening.POSSIBLE:
            end(old, PATIENCE_S["api"])  # without the kernel's filter a port has one owner at a time
        with listening.bound(self._stack.settings.port_api) as door:
            started = shelf.spawn(NEXT, part.recipe, door)
            try:
                self._await_listening(door)
                for share in self._settings.canary_shares if old else (1.0,):
                    self._steer(door, share)
                    self._say(f"version {chosen.version} gets {share:.0%} of new connections")
                    self._watch(chosen, golden, key, usual_ms, self._settings.watch_s if old else 0.0)
            except BaseException:
                self._steer(door, 0.0)
                time.sleep(HANDOVER_S)
                end(started, PATIENCE_S["api"])
                shelf.forget(NEXT)
                if old and not old.alive():
                    self._stack.restart("api")
                self._say("taken back: what served before serves on" if old else "nothing serves, as before")
                raise
            if old:
                time.sleep(HANDOVER_S)
                end(old, PATIENCE_S["api"])
            self._steer(door, 0.0)  # for the one that joins next; alone it gets everything

    @staticmethod
    def _steer(door: socket.socket, share: float) -> None:
        if listening.POSSIBLE:
            listening.steer(door, share)

    def _await_listening(self, door: socket.socket) -> None:
        """Wait until a worker of the new process listens.

        Raises:
            DeployRefused: it ends, or takes too long.
        """
        deadline = time.monotonic() + self._settings.smoke_timeout_s
        while not door.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            if self._stack.shelf.find(NEXT) is None or time.monotonic() > deadline:
                raise DeployRefused(f"it does not start on the API's port: {self._stack.shelf.tail(NEXT)}")
            time.sleep(POLL_S)

    def _watch(
        self, chosen: Release, golden: Sequence[GoldenRequests], key: str, usual_ms: float, seconds: float
    ) -> None:
        """Ask as partners do, a new connection each time, for `seconds` and until the version has answered once.

        Raises:
            TakenBack: wrong, failing or slow answers of the new version.
        """
        settings, start = self._settings, time.time()
        allowed = max(usual_ms * settings.watch_p99_ratio, settings.p99_floor_ms)
        limits = WatchLimits(error_share=settings.watch_error_share, p99_ms=allowed, slice_s=settings.watch_slice_s)
        verdict, failures, count = WatchVerdict(limits, start), 0, 0
        while time.time() < start + seconds or not verdict.requests:
            one = golden[count % len(golden)]
            count += 1
            try:
                answer, elapsed_ms = self._ask(one, key)
                failures = 0
            except (httpx.HTTPError, KeyError, ValueError) as error:
                failures += 1
                if failures > FAILURES_MAX:
                    raise TakenBack(f"no answer to a golden applicant: {type(error).__name__}") from error
                time.sleep(PROBE_PAUSE_S)
                continue
            if str(answer["model"]["version"]) == chosen.version:
                if answer["score"] != one.score:
                    raise TakenBack(f"a golden applicant scores {answer['score']}, the approved model gave {one.score}")
                verdict.note(elapsed_ms)
            if fault := verdict.fault(time.time()):
                raise TakenBack(fault)
            time.sleep(PROBE_PAUSE_S)
        self._say(
            f"watched for {time.time() - start:.0f} s: {verdict.requests} right answers of version {chosen.version}"
        )

    def _ask(self, one: GoldenRequests, key: str) -> tuple[dict[str, Any], float]:
        url = f"{self._stack.settings.api_url}/v1/score"
        # Plain HTTP: the certificates that a client reads at its start would be most of the time that is measured.
        with httpx.Client(timeout=PROBE_TIMEOUT_S, trust_env=False, verify=False) as http:
            start = time.perf_counter()
            answer = http.post(url, json=one.body, headers={"x-api-key": key}).raise_for_status()
            elapsed_ms = (time.perf_counter() - start) * 1000
        return answer.json(), elapsed_ms

    def _take_over(self) -> None:
        """Make the next version the API from now on."""
        with suppress(FileNotFoundError):
            self._stack.shelf.forget("api")
            self._stack.shelf.rename(NEXT, "api")
