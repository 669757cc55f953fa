"""A deployment, step by step: start beside, prove, shadow, switch, watch; and the ways back.

Until the switch the slot in front of partners is not touched, whatever fails. After it the old slot stays up, so a
way back is the same switch again, without registry or download. Every step may be cut off by a kill: see `state`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from bentos.deploying.probe import asking, proof_key
from bentos.deploying.proof import prove_beside, unwatched
from bentos.deploying.proxy import Proxy, Switch, WatchLog
from bentos.deploying.slots import SLOTS, Release, Slot, Slots, other
from bentos.deploying.state import DeploymentState, Placement, StateFile, SwitchTrial, now, record_deployed
from bentos.deploying.watch import WatchLimits, WatchVerdict, p99
from bentos.errors import BentosError, DeployRefused, SmokeFailed, TakenBack
from bentos.packing.golden_requests import GoldenRequests
from bentos.registry.audit_trail import Trail
from bentos.registry.products import TURNED_BACK
from bentos.settings import DeploySettings

PROBE_PAUSE_S: Final = 0.2


class Deployment:
    """Deploys to one host's two slots."""

    def __init__(
        self, settings: DeploySettings, say: Callable[[str], None] = print, slots: Slots | None = None
    ) -> None:
        self._settings, self._say = settings, say
        self._slots = slots or Slots(settings)
        self._proxy = Proxy(settings)
        self._switch = Switch(settings.shared_dir)
        self._log = WatchLog(settings.shared_dir)
        self._state_file = StateFile(settings.deploy_dir)
        self._trail = Trail(settings.trail_file)

    # -- forward ---------------------------------------------------------------------------------------------------

    def deploy(self, release: Release, golden: Sequence[GoldenRequests], actor: str) -> None:
        """Bring an approved release in front of partners.

        Raises:
            BentosError: it was refused or did not prove itself; the slot that served still serves.
            TakenBack: it did badly after the switch; the old slot serves again.
        """
        with self._state_file.alone():
            self._recover()
            self._trail.entries()  # a broken trail stops a deployment, though never a rollback
            self._slots.check(release)
            self._say(f"version {release.version} is there and is what was approved ({release.reference})")
            self._proxy.ensure()
            old = self._switch.active()
            placement = self._state_file.read().at(old) if old else None
            if old and placement and placement.release == release and self._slots.ready(old):
                self._say(f"version {release.version} serves already ({old})")
                return
            slot = other(old) if old else "blue"
            rows = unwatched(golden)
            with proof_key(self._settings.service_dir, self._settings.database_url) as key:
                self._try(release, slot, old, rows, key, actor)

    def _try(
        self,
        release: Release,
        slot: Slot,
        old: Slot | None,
        golden: Sequence[GoldenRequests],
        key: str,
        actor: str,
    ) -> None:
        trial = SwitchTrial(slot=slot, release=release, actor=actor)
        self._change(lambda state: state.model_copy(update={"trial": trial}))
        self._log.begin()
        try:
            usual_ms = self._prove(release, slot, old, golden, key)
            self._switch.turn(slot)
            self._settle()
            replaced = self._state_file.read().at(old) if old else None
            before = replaced.release.version if replaced else ""
            record_deployed(self._trail, release, actor=actor, note=slot, replaced=before)
            self._say(f"switched: {slot} answers with version {release.version}")
            self._watch(slot, golden, key, usual_ms)
        except BaseException as error:
            self._undo(slot, old, actor, error)
            raise
        finally:
            self._log.end()
        if old:
            self._say(f"{old} stays up for a rollback until the next deployment")

    def _prove(
        self, release: Release, slot: Slot, old: Slot | None, golden: Sequence[GoldenRequests], key: str
    ) -> float:
        """The usual p99 in milliseconds, once everything is right; 0 if there is nothing to compare with."""
        start = time.monotonic()
        self._slots.start(slot, release)
        self._say(f"{slot} is ready after {time.monotonic() - start:.1f} s")
        serving_url = self._slots.url(old) if old and self._slots.ready(old) else ""
        usual_ms = prove_beside(
            self._slots.url(slot), serving_url, release, golden, key, settings=self._settings, say=self._say
        )
        live = [ms for one in self._log.read() if (ms := one.score_ms) is not None and one.slot == old]
        return max(usual_ms, p99(live)) if serving_url else 0.0

    def _watch(self, slot: Slot, golden: Sequence[GoldenRequests], key: str, usual_ms: float) -> None:
        settings, start = self._settings, time.time()
        allowed = max(usual_ms * settings.watch_p99_ratio, settings.p99_floor_ms)
        limits = WatchLimits(error_share=settings.watch_error_share, p99_ms=allowed, slice_s=settings.watch_slice_s)
        verdict = WatchVerdict(limits, start)
        failures = 0
        with asking(settings.public_url, golden, key, self._proxy.trust()) as prober:
            while time.time() < start + settings.watch_s:
                try:
                    prober.ask()
                    failures = 0
                except SmokeFailed as error:
                    failures += 1
                    if failures > 2 or "scores" in str(error):
                        raise TakenBack(str(error)) from error
                for request in self._log.read():
                    if request.slot == slot and request.at >= start:
                        verdict.add(request)
                if fault := verdict.fault(time.time()):
                    raise TakenBack(fault)
                time.sleep(PROBE_PAUSE_S)
        self._say(
            f"watched for {settings.watch_s:g} s: {verdict.requests} requests, {verdict.errors} with 5xx, "
            f"p99 {p99(verdict.times):.1f} ms"
        )

    # -- back ------------------------------------------------------------------------------------------------------

    def rollback(self, actor: str, note: str = "") -> None:
        """Let the slot before answer again.

        Raises:
            DeployRefused: there is nothing to go back to, or it does not start.
        """
        if self._state_file.interrupt():
            self._say("the deployment under way was told to take itself back")
            return
        with self._state_file.alone():
            self._recover()
            active = self._switch.active()
            state = self._state_file.read()
            target = other(active) if active else None
            placement = state.at(target) if target else None
            if active is None or target is None or placement is None:
                raise DeployRefused("there is nothing to go back to: only one version was ever deployed here")
            release = placement.good
            if release is None:
                raise DeployRefused(
                    f"version {placement.release.version} was itself taken back: deploy the version that is wanted"
                )
            if placement.withdrawn:
                self._say(
                    f"version {placement.release.version} was itself taken back, version {release.version} was before"
                )
                self._slots.start(target, release)  # ends the other first
                self._change(lambda state: state.put(target, Placement(release=release)))
            elif not self._slots.ready(target):
                self._say(f"{target} does not run any more, it is started again")
                self._slots.start(target, release)
            self._turn_back(active, target, actor, note)

    def _turn_back(self, bad: Slot, good: Slot, actor: str, note: str) -> None:
        """Switch first; what is written down about it comes after."""
        self._switch.turn(good)
        state = self._state_file.read()
        good_placement, bad_placement = state.at(good), state.at(bad)
        if bad_placement:
            state = state.put(bad, bad_placement.model_copy(update={"withdrawn": True}))
        if good_placement:
            state = state.put(good, good_placement.model_copy(update={"since": now()}))
        self._state_file.write(state)
        version, digest = (
            (good_placement.release.version, good_placement.release.digest) if good_placement else ("", "")
        )
        self._say(f"rolled back: {good} answers with version {version}")
        try:
            replaced = bad_placement.release.version if bad_placement else ""
            self._trail.append(TURNED_BACK, actor=actor, version=version, digest=digest, replaced=replaced, note=note)
        except (BentosError, OSError) as error:
            self._say(f"the audit trail does not have it: {error}")

    def _undo(self, slot: Slot, old: Slot | None, actor: str, error: BaseException) -> None:
        """Take back what a failed deployment did: the switch if it turned, and the new slot."""
        reason = str(error) or type(error).__name__
        if self._switch.active() != slot:
            self._slots.stop(slot)
            self._change(lambda state: state.model_copy(update={"trial": None}))
            self._say(f"not deployed, {slot} is stopped: {old or 'nothing'} serves as before")
            return
        if self._state_file.read().trial:  # cut off between the switch and its note
            self._settle()
        placement = self._state_file.read().at(old) if old else None
        if old is None or placement is None:
            self._say("there is no version to go back to: the new one goes on serving")
            return
        if not self._slots.ready(old):
            self._slots.start(old, placement.release)
        self._turn_back(slot, old, actor, reason)
        self._slots.stop(slot)

    # -- telling, ending -------------------------------------------------------------------------------------------

    def status(self) -> Iterator[str]:
        """One line a slot, the one in front of partners first, and one of the proxy."""
        state, active = self._state_file.read(), self._switch.active()
        order = [active, other(active)] if active else list(SLOTS)
        for slot in order:
            placement = state.at(slot)
            if placement is None:
                yield f"{slot:<6} empty"
                continue
            role = "serves" if slot == active else "withdrawn" if placement.withdrawn else "stands by"
            health = "ready" if self._slots.ready(slot) else "not ready" if self._slots.running(slot) else "stopped"
            release = placement.release
            yield (
                f"{slot:<6} {role}, {health}: version {release.version}, model {release.digest[:12]}, "
                f"{release.reference}, since {placement.since}"
            )
        if state.trial:
            yield f"{state.trial.slot:<6} is being proved: version {state.trial.release.version}"
        yield f"proxy  {self._settings.public_url}"

    def down(self) -> None:
        """Stop the proxy and both slots; what stands is remembered."""
        with self._state_file.alone():
            self._recover()
            self._proxy.stop()
            for slot in SLOTS:
                self._slots.stop(slot)
        self._say("proxy and slots are stopped")

    # -- the state_file ----------------------------------------------------------------------------------------------

    def _recover(self) -> None:
        """Settle what a killed deployment left."""
        self._log.end()
        trial = self._state_file.read().trial
        if trial is None:
            return
        if self._switch.active() == trial.slot:
            self._settle()
            self._say(f"a deployment was cut off after its switch: version {trial.release.version} stands")
            record_deployed(self._trail, trial.release, actor=trial.actor, note="cut off after the switch")
            return
        self._slots.stop(trial.slot)
        self._change(lambda state: state.model_copy(update={"trial": None}))
        self._say(f"a deployment was cut off before its switch: version {trial.release.version} is stopped")

    def _settle(self) -> None:
        def settled(state: DeploymentState) -> DeploymentState:
            trial = state.trial
            assert trial is not None
            replaced = state.at(trial.slot)
            before = replaced.good if replaced else None
            if before == trial.release:
                before = None
            placement = Placement(release=trial.release, since=now(), before=before)
            return state.put(trial.slot, placement).model_copy(update={"trial": None})

        self._change(settled)

    def _change(self, change: Callable[[DeploymentState], DeploymentState]) -> None:
        self._state_file.write(change(self._state_file.read()))
