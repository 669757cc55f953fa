"""The embedded stack as a whole: brought up, taken down, told about."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx

from bentos.digests import require_proved
from bentos.errors import ArtefactDamaged, TrailBroken
from bentos.processes import answers, await_ready, port_obstacle, port_taken, sweep
from bentos.registry.audit_trail import TrailEntry
from bentos.registry.moves import disagreement
from flows import schedules
from flows.schedules import Schedule
from infra.errors import StackError
from infra.settings import ROOT, StackSettings
from infra.stack import parts
from infra.stack.credentials import OPERATOR, credentials, logins, stack_variables, write_exports, write_private
from infra.stack.deployments import Prefect, deploy, work_pool
from infra.stack.guards import exclusive, interruptible, uninterrupted
from infra.stack.mlflow_models import Models
from infra.stack.object_store import format_volume, make_buckets
from infra.stack.partner_keys import demo_key_file, demo_test_key
from infra.stack.parts import StackPart
from infra.stack.processes import Shelf, end, stack_processes

PATIENCE_S: Final = {"api": 15.0, "worker": 8.0}  # the API drains; the others need less
POLL_S: Final = 0.2
NEXT: Final = "api-next"  # a version that is being let in beside the API (infra.stack.releasing)


def say(line: str) -> None:
    """One line for the person who waits."""
    print(line, flush=True)


class Stack:
    """The parts of one state folder."""

    def __init__(self, settings: StackSettings) -> None:
        self.settings = settings
        self.exports = settings.state_dir / "env"
        self.shelf = Shelf(settings.state_dir)
        self.pair = credentials(self.exports)
        self.logins = logins(self.exports)
        self.variables = stack_variables(settings, self.pair, self.logins)
        self._started: list[str] = []

    # -- starting --------------------------------------------------------------------------------------------------

    def up(self) -> None:
        """Start what does not run, wait until all answers; safe to repeat.

        Raises:
            StackError: a port is taken or a part does not come up; nothing that this call started is left running.
        """
        with exclusive(self.settings.state_dir / "stack.lock", "up"), interruptible():
            try:
                self._up()
            except BaseException:
                with uninterrupted():
                    for name in reversed(self._started):
                        self._stop(name)
                raise

    def _up(self) -> None:
        settings = self.settings
        write_exports(self.exports, self.variables)
        format_volume(settings.state_dir / "store")
        store = parts.object_store(settings, self.pair)
        mlflow = parts.mlflow(settings.state_dir / "mlflow", settings.port_mlflow, self._store_env(), self.logins)
        prefect = parts.prefect(settings.state_dir / "prefect", settings.port_prefect, self.logins)
        self._settle_release()
        pool = work_pool()
        worker = parts.worker(settings, self.variables, pool)
        outside = [part for part in (self._api(), self._ui()) if part]
        self._retire_changed((store, mlflow, prefect, worker, *outside))
        self._check_ports((store, mlflow, prefect, *outside))
        self._spawn(prefect)
        self._spawn(store)
        self._await(store)
        make_buckets(settings.store_url, self.pair)
        self._spawn(mlflow)
        for part in outside:
            self._spawn(part)
        self._await(prefect)
        server = Prefect(settings.prefect_url, self.logins.prefect_auth)
        server.ensure_pool(pool)
        if not self.shelf.find(worker.name):
            server.settle_lost_runs()
        self._spawn(worker)  # it comes up while the deployments are made: either takes a core for seconds
        if deploy(settings, self.variables):
            say("  deployments  as prefect.yaml says")
        server.finish_deployments()
        self._await(mlflow)
        self._await(worker, lambda: server.worker_online(pool, parts.WORKER))
        for part in outside:
            self._await(part)
        self._await_schedules(server)

    def _settle_release(self) -> None:
        """End what a killed release left on the API's port; one that is under way is left alone."""
        unfinished = self.shelf.find(NEXT)
        if unfinished is None:
            return
        with suppress(StackError), exclusive(self.settings.state_dir / "release.lock", "up"):
            say("  api          a release was cut off: its version is stopped")
            end(unfinished, PATIENCE_S["api"])
            self.shelf.forget(NEXT)

    def running(self) -> bool:
        """True if any part runs."""
        return any(self.shelf.find(name) for name in parts.NAMES)

    def restart(self, name: str) -> None:
        """Stop and start the API or the UI, which serve what lies in the state folder by then.

        Raises:
            StackError: there is nothing to serve yet, or it does not come up.
        """
        with exclusive(self.settings.state_dir / "stack.lock", f"up (restart of {name})"), interruptible():
            part = self._api() if name == "api" else self._ui()
            if part is None:
                raise StackError(f"there is nothing for part {name} to serve yet; `make demo` packs a Bento")
            self._stop(name)
            self._check_ports((part,))
            self._spawn(part)
            try:
                self._await(part)
            except BaseException:
                with uninterrupted():
                    self._stop(name)
                raise

    def _store_env(self) -> dict[str, str]:
        return {name: value for name, value in self.variables.items() if name.startswith("AWS_")}

    @property
    def demo_key(self) -> Path:
        """The file of the demo partner's key, once it was issued."""
        return demo_key_file(self.settings.state_dir)

    def _api(self) -> StackPart | None:
        try:
            release = self._proved_release()
        except (ArtefactDamaged, StackError) as error:  # the rest comes up: packing it anew needs Prefect and MLflow
            say(f"  api          not started: {error}")
            return None
        return parts.api(self.settings, self.pair, release.artefact) if release else None

    def _proved_release(self) -> TrailEntry | None:
        """The Bento that the audit trail names as let in last; None before the first.

        Raises:
            ArtefactDamaged: its Bento is not there, or not what was proved.
            StackError: the trail is not intact, or keeps no digest of it.
        """
        release = parts.released(self.settings)
        if release is None:
            return None
        if not release.artefact:
            raise StackError(
                f"version {release.version} was let in by an earlier release of this project, which kept no digest "
                "in the audit trail: run the packaging flow, it proves the Bento and lets it in"
            )
        require_proved(self.settings.state_dir / "bentoml", release.artefact, release.content)
        return release

    def _ui(self) -> StackPart | None:
        if not (ROOT / "ui" / "app.py").exists():
            return None
        secrets = self.settings.state_dir / "ui" / "secrets.toml"
        lines = [f'endpoint = "{self.settings.api_url}"']
        if self.demo_key.exists():
            lines.append(f'key = "{self.demo_key.read_text().strip()}"')
            lines.append(f'test_key = "{demo_test_key(self.settings.state_dir)}"')
        text = "\n".join(lines) + "\n"
        write_private(secrets, text)
        return parts.ui(self.settings, secrets, hashlib.sha256(text.encode()).hexdigest())

    def _retire_changed(self, parts_to_run: tuple[StackPart, ...]) -> None:
        """Stop parts that run in another way than wanted now: other port, other Bento, other arguments."""
        for part in parts_to_run:
            running = self.shelf.find(part.name)
            if running and running.recipe != part.recipe.digest:
                say(f"  {part.name:<12} is restarted: its settings changed")
                self._stop(part.name)

    def _check_ports(self, parts_to_run: tuple[StackPart, ...]) -> None:
        for part in parts_to_run:
            port = part.recipe.port
            obstacle = port_obstacle(port) if port and not self.shelf.find(part.name) else ""
            if obstacle == "needs root":
                raise StackError(f"port {port} for {part.name} needs root; set {part.setting} above 1023")
            if obstacle:
                raise StackError(
                    f"port {port} for {part.name} is taken by another program; "
                    f"stop that, or set {part.setting} to a free port"
                )

    def _spawn(self, part: StackPart) -> None:
        if self.shelf.find(part.name):
            return
        self._started.append(part.name)
        self.shelf.spawn(part.name, part.recipe)

    def _await(self, part: StackPart, ready: Callable[[], bool] | None = None) -> None:
        """Wait until the part answers.

        Raises:
            StackError: it ends, or stays silent for longer than QF_START_TIMEOUT_S.
        """
        check = ready or (lambda: answers(part.probe))
        log, patience_s = self.shelf.log(part.name), self.settings.start_timeout_s
        outcome = await_ready(check, lambda: self.shelf.find(part.name) is not None, patience_s, POLL_S)
        if outcome == "ended":
            raise StackError(f"{part.name} ended at its start: {self.shelf.tail(part.name)}; the log is {log}")
        if outcome == "late":
            raise StackError(f"{part.name} gave no answer in {patience_s:.0f} s (QF_START_TIMEOUT_S); the log is {log}")
        note = "" if part.name in self._started else " (was running)"
        say(f"  {part.name:<12} {part.page or part.probe.removesuffix('/minio/health/live') or 'at work'}{note}")

    def _await_schedules(self, server: Prefect) -> None:
        """Wait until every active schedule has planned runs.

        Raises:
            StackError: one has none: it would never fire.
        """
        start = time.monotonic()
        while faults := schedules.faults(active := server.schedules(), datetime.now(UTC)):
            if time.monotonic() - start > self.settings.start_timeout_s:
                raise StackError(f"{faults[0]}; the log is {self.shelf.log('prefect')}")
            time.sleep(1)
        say(f"  schedules    {len(active)} active, the next run at {_next(active)}")

    # -- stopping --------------------------------------------------------------------------------------------------

    def down(self) -> None:
        """Stop every process of the stack, children included; state stays.

        Raises:
            StackError: a process survives.
        """
        if not self.settings.state_dir.exists():
            say("nothing runs")
            return
        with exclusive(self.settings.state_dir / "stack.lock", "down"), uninterrupted():
            stopped = [name for name in reversed(parts.NAMES) if self._stop(name)]
            survivors = sweep(stack_processes(self.settings.state_dir), patience_s=3)
        if survivors:
            raise StackError(f"process {survivors[0].pid} does not end; end it by hand")
        say(
            f"stopped {', '.join(stopped)}; state stays in {self.settings.state_dir}"
            if stopped
            else "nothing was running"
        )

    def _stop(self, name: str) -> bool:
        running = self.shelf.find(name)
        if running:
            end(running, PATIENCE_S.get(name, 5.0))
        self.shelf.forget(name)
        return running is not None

    # -- telling ---------------------------------------------------------------------------------------------------

    def status(self) -> list[tuple[str, str, str, str, str]]:
        """One row a part: name, state, address, process, since."""
        rows = []
        pages = {
            "store": self.settings.store_url,
            "mlflow": self.settings.mlflow_url,
            "prefect": self.settings.prefect_url,
            "worker": "",
            "api": f"{self.settings.api_url}/docs",
            "ui": self.settings.ui_url,
        }
        for name in parts.NAMES:
            running = self.shelf.find(name)
            if not running:
                rows.append((name, "stopped", "", "", ""))
                continue
            since = datetime.fromtimestamp(running.started).strftime("%Y-%m-%d %H:%M:%S")
            listens = not running.port or port_taken(running.port)
            model = parts.answering(self.settings, self.demo_key) if name == "api" and listens else ""
            address = f"{pages[name]} ({model})" if model else pages[name]
            rows.append((name, "running" if listens else "starting", address, str(running.pid), since))
        return rows

    def faults(self) -> list[str]:
        """The promises that a running stack does not keep, one line each; a stopped one promises nothing."""
        if not self.running():
            return []
        stopped = [name for name, state, *_ in self.status() if state == "stopped" and name in parts.ALWAYS]
        lines = [f"{name} does not run" for name in stopped]
        if "prefect" not in stopped:
            lines += self._schedule_faults()
        if "mlflow" not in stopped:
            lines += self._answering_faults()
        return lines

    def _schedule_faults(self) -> list[str]:
        try:
            with closing(Prefect(self.settings.prefect_url, self.logins.prefect_auth)) as server:
                return schedules.faults(server.schedules(), datetime.now(UTC))
        except httpx.HTTPError as error:
            return [f"Prefect does not say what is planned: {error}"]

    def _answering_faults(self) -> list[str]:
        """A fault if the approved version does not answer: it names the version that answers instead."""
        try:
            with closing(Models(self.settings.mlflow_url, (OPERATOR, self.logins.mlflow))) as models:
                champion = models.under("champion")
        except StackError as error:
            return [str(error)]
        if alias_fault := self._alias_fault(champion.number if champion else 0):
            return [alias_fault]
        if champion is None:
            return []
        answering = self.answering()
        if answering == str(champion.number):
            return []
        if answering:
            answer = f"version {answering} answers"
        else:
            try:
                self._proved_release()
            except (ArtefactDamaged, StackError) as error:
                return [f"the API does not run: {error}"]
            answer = "no version answers"
        return [f"champion is version {champion.number}, {answer}: `python -m infra.local release` lets it in"]

    def _alias_fault(self, champion: int) -> str:
        """Why the audit trail does not believe the alias; empty if it does."""
        try:
            return disagreement(parts.trail(self.settings).entries(), champion)
        except TrailBroken as error:
            return str(error)

    def answering(self) -> str:
        """Number of the version that answers partners; empty where none does."""
        bento = parts.served_bento(self.settings)
        return bento.partition(":")[2].partition("-")[0] if bento and self.shelf.find("api") else ""


def _next(active: list[Schedule]) -> str:
    """The time of the first planned run, in this machine's time."""
    times = [one.planned[0] for one in active if one.planned]
    return min(times).astimezone().strftime("%Y-%m-%d %H:%M") if times else "no time"
