"""A worker of the service, put together from its settings: opened once, started in the event loop, closed in order."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Final, Self

from redis.asyncio import Redis

from service import approvals, memory
from service.access.credentials import read_pepper
from service.access.keystore import FileKeys, KeySource, KeyStore
from service.access.pseudonyms import Pseudonyms
from service.access.redis_limits import RemoteLimiter, redis_at
from service.access.security_log import SecurityLog
from service.access.shared_limits import FailureLimiter, SharedLimiter, SharedTable
from service.access.token_bucket import Limiter
from service.addresses import networks
from service.endpoints.bento_call import Inner
from service.endpoints.jobs import Jobs
from service.endpoints.operations import Health, Operations
from service.endpoints.pages import Pages
from service.endpoints.records import Records
from service.endpoints.scores import ScoreEndpoints
from service.endpoints.table import DECLARED, routes
from service.engine.packed_model import PackedModel
from service.errors import in_one_line
from service.families import counter, gauge
from service.jobs.folders import JobFolders
from service.jobs.runner import JobRunner
from service.jobs.store import JobRepository
from service.ledger.interface import Ledger
from service.ledger.journal.host import JournalLedger
from service.ledger.journal.shipping import KeptLimits, StoreSettings
from service.metrics import Metrics
from service.middleware.admission import Admission, BodyRoom
from service.middleware.authentication import Access
from service.middleware.edge import Edge, RequestHandler
from service.middleware.rate_limit import Throttle
from service.score.prediction_sets import PredictionSets
from service.scoring import Scoring
from service.settings import ServiceSettings
from service.web import exchange
from service.web.bodies import Bodies
from service.web.logs import RequestLog
from service.web.traces import Traces

_log = logging.getLogger("service.runtime")
TICK_S: Final = 0.25
FLUSH_EVERY_TICKS: Final = 4
GC_THRESHOLDS: Final = (50_000, 20, 100)
"""Fewer, later collections: with the loaded model frozen, p99 at 16 connections fell from 270 to 6 ms."""

_LIMITER_DECISIONS: Final = counter("qf_limiter_decisions", "Decisions of the limiter.", "decision")
_LIMITER_REMOTE_FAILURES: Final = counter(
    "qf_limiter_remote_failures", "Redis did not answer, limits held per host.", "reason"
)
_KEY_STORE_FAULT: Final = gauge(
    "qf_key_store_fault", "Workers that run on the last good set of keys: file or database cannot be read."
)
_READY: Final = gauge("qf_ready", "Workers that are ready.")
_IN_FLIGHT: Final = gauge("qf_in_flight", "Requests being answered.")
_BODY_BYTES_HELD: Final = gauge("qf_body_bytes_held", "Bytes of bodies that are being received or answered.")
_SECURITY_LINES_DROPPED: Final = counter(
    "qf_security_lines_dropped", "Lines of the security log that could not be written."
)
_LOG_LINES_DROPPED: Final = counter("qf_log_lines_dropped", "Request lines nobody took from standard output.")
_MODEL_INFO: Final = gauge(
    "qf_model_info", "The model that answers, and with which engine.", "name", "version", "digest", "engine"
)


@dataclass
class Runtime:  # pylint: disable=too-many-instance-attributes  # it is the list of what a worker holds
    """Everything one worker holds."""

    settings: ServiceSettings
    model: PackedModel
    ledger: Ledger
    store: KeyStore
    table: SharedTable
    throttle: Throttle
    room: BodyRoom
    metrics: Metrics
    log: RequestLog
    scoring: Scoring
    health: Health
    access: Access
    jobs: JobRunner
    redis: Redis | None = None
    traces: Traces | None = None
    handler: RequestHandler | None = None
    _loop_task: asyncio.Task[None] | None = None
    _job_task: asyncio.Task[None] | None = None

    @classmethod
    def open(cls, settings: ServiceSettings) -> Self:
        """Load the model, open the stores.

        Raises:
            Misconfigured: one line that says what to mend; nothing is served.
        """
        pepper = read_pepper(settings.pepper_file)
        store = KeyStore(_key_source(settings, pepper), pepper)
        model = PackedModel.load(settings.model_dir, settings.engine)
        if settings.reviewers is not None:
            approvals.require_signed(settings.model_dir, model.manifest, settings.reviewers)
        ledger = _ledger(settings, pepper)
        table = SharedTable(settings.limits_file)
        metrics = Metrics(settings.metrics_dir, _edges(model))
        redis, limiter = _limiter(settings, table, metrics)
        failures = FailureLimiter(
            SharedTable(settings.service_dir / "failures.bin"), per_minute=settings.auth_failures_per_minute
        )
        security = SecurityLog(settings.service_dir, pepper, clear=settings.security_addresses == "clear")
        ref = model.manifest.ref
        metrics.gauges[_MODEL_INFO] = {f"{ref.name}\t{ref.version}\t{ref.digest[:12]}\t{model.engine.name}": 1.0}
        _log.info("%s %s (%s) answers, %s engine", ref.name, ref.version, ref.digest[:12], model.engine.name)
        throttle = Throttle(limiter, settings.max_in_flight, settings.max_in_flight_per_key)
        scoring = Scoring(model, ref, ledger, Pseudonyms(pepper), metrics)
        jobs = JobRunner(
            _jobs(settings),
            scoring,
            ledger,
            limiter,
            store,
            pepper,
            networks(settings.webhook_networks),
        )
        return cls(
            settings=settings,
            jobs=jobs,
            model=model,
            ledger=ledger,
            store=store,
            table=table,
            throttle=throttle,
            room=BodyRoom(settings.max_body_bytes, settings.max_body_bytes_per_key),
            metrics=metrics,
            log=RequestLog(enabled=settings.access_log),
            scoring=scoring,
            health=Health(ledger, store),
            access=Access(store, failures, security, networks(settings.trusted_proxies)),
            traces=Traces(settings.otlp_endpoint, exchange.new_request_id()) if settings.otlp_endpoint else None,
            redis=redis,
        )

    async def start(self, edge: Edge) -> None:
        """Open the doors: hand the routes to the edge and begin the housekeeping."""
        admission = Admission(self.throttle, Bodies(self.settings.body_timeout_s), self.room)
        through = None if self.settings.fast_route else Inner(edge.inner)
        sets = PredictionSets(self.model.manifest.ref, self.model.manifest.set_thresholds)
        scores = ScoreEndpoints(self.scoring, admission, self.ledger, sets, through)
        records = Records(self.ledger, admission, sets)
        pages = Pages(self.model.manifest, self.model.engine.name, self.throttle, DECLARED)
        jobs = Jobs(self.jobs.jobs, admission, self.jobs.webhook_networks, self.jobs.pepper, sets, self.jobs.news)
        operations = Operations(self.health, self.metrics, self.model.manifest.distributions)
        table = routes(scores, jobs, records, pages, operations)
        # Redis, and BentoML's own API, wait for more than the outbox: that takes a task.
        at_once = self.redis is None and self.settings.fast_route
        self.handler = RequestHandler(table, self.access, self.metrics, self.log, at_once, traces=self.traces)
        edge.handler = self.handler
        await _guarded(self.ledger.follow)  # the index of keys is built here and not inside a request
        self.health.model_ready = True
        self.ledger.start()
        self._loop_task = asyncio.create_task(self._housekeeping(), name="housekeeping")
        self._job_task = asyncio.create_task(self.jobs.work(), name="jobs")
        self._drain_on_sigterm()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        memory.keep()

    async def stop(self) -> None:
        """Make durable what waits and let go, in the order that loses nothing."""
        self.health.draining = True
        for task in (self._loop_task, self._job_task):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self.ledger.aclose()
        await asyncio.to_thread(self.store.close)
        await asyncio.to_thread(self.jobs.jobs.close)
        self._observe()
        self.metrics.close()
        self.table.close()
        self.log.flush_now()
        await _guarded(self._save_security)
        if self.traces is not None:
            await _guarded(self.traces.flush)
        if self.redis is not None:
            await self.redis.aclose()

    def _drain_on_sigterm(self) -> None:
        """First say "not ready" and go on serving, so that a proxy looks elsewhere; then let the server end."""
        before = signal.getsignal(signal.SIGTERM)
        if not callable(before):
            return
        loop = asyncio.get_running_loop()

        def drain(number: int, frame: FrameType | None) -> None:
            if self.health.draining:
                before(number, frame)
                return
            self.health.draining = True
            if self.handler is not None:
                self.handler.draining = True
            _log.info("draining for %s s", self.settings.drain_s)
            loop.call_soon_threadsafe(loop.call_later, self.settings.drain_s, before, number, frame)

        signal.signal(signal.SIGTERM, drain)

    async def _housekeeping(self) -> None:
        give_back = memory.MemoryRelease()
        tick, look_every = 0, max(1, round(self.settings.key_reload_s / TICK_S))
        while True:
            await asyncio.sleep(TICK_S)
            tick += 1
            await _guarded(self.log.flush)
            if tick % look_every == 0:
                await _guarded(self._look_at_keys)
            if tick % FLUSH_EVERY_TICKS == 0:
                await _guarded(self._save)
                await _guarded(self._save_security)
                if self.traces is not None:
                    await _guarded(self.traces.flush)
                idle = not self.throttle.in_flight and not self.room.in_use
                await _guarded(partial(give_back.release, idle=idle))
                await _guarded(self.ledger.follow)

    async def _look_at_keys(self) -> None:
        fault = self.store.fault
        if self.store.refresh():
            _log.info("keys: %d in force", len(self.store))
        elif self.store.fault and self.store.fault != fault:
            _log.error("keys: %s; the last good set stays in force", self.store.fault)

    async def _save_security(self) -> None:
        await asyncio.to_thread(self.access.security.flush)

    async def _save(self) -> None:
        self._observe()
        self.metrics.save()

    def _observe(self) -> None:
        gauges, counters, figures = self.metrics.gauges, self.metrics.counters, self.ledger.figures()
        gauges.update({name: {"": value} for name, value in figures.gauges.items()})
        for family, total in figures.counters.items():
            self.metrics.raise_to(family, total)
        gauges[_KEY_STORE_FAULT] = {"": float(bool(self.store.fault))}
        gauges[_READY] = {"": float(not self.health.faults_now())}
        gauges[_IN_FLIGHT] = {"": float(self.throttle.in_flight)}
        gauges[_BODY_BYTES_HELD] = {"": float(self.room.in_use)}
        decisions, self.throttle.decisions = self.throttle.decisions, type(self.throttle.decisions)()
        for name, count in decisions.items():
            counters[_LIMITER_DECISIONS][name] += count
        self.metrics.raise_to(_LOG_LINES_DROPPED, self.log.dropped)
        self.metrics.raise_to(_SECURITY_LINES_DROPPED, self.access.security.dropped)


async def _guarded(work: Callable[[], Awaitable[None]]) -> None:
    """Housekeeping must outlive a bad moment of the disk; every failure is said."""
    try:
        await work()
    except Exception as error:  # pylint: disable=broad-exception-caught
        _log.error("housekeeping: %s failed (%s)", getattr(work, "__name__", "step"), in_one_line(error))


def _key_source(settings: ServiceSettings, pepper: bytes) -> KeySource:
    if settings.database_url is None:
        return FileKeys(settings.keys_file)
    from service.access.database_keys import DatabaseKeys
    from service.ledger.postgres.host import await_check

    url = settings.database_url.get_secret_value()
    await_check(url, pepper)
    keys = DatabaseKeys(url)
    keys.start()
    return keys


def _ledger(settings: ServiceSettings, pepper: bytes) -> Ledger:
    """Without a store rows stay where they were made durable, in files until their cap: a choice, and it is said."""
    store = None
    if settings.store_endpoint is None:
        _log.warning("QF_STORE_ENDPOINT is not set: predictions are kept and are not shipped")
    else:
        store = StoreSettings(bucket=settings.predictions_bucket, endpoint=settings.store_endpoint)
    if settings.database_url is not None:
        from service.ledger.postgres.host import PostgresLedger  # psycopg costs a tenth of a second

        return PostgresLedger.open(
            settings.database_url.get_secret_value(),
            pepper,
            store,
            ship_interval_s=settings.ship_interval_s,
            answers_days=settings.answers_days,
        )
    return JournalLedger.open(
        settings.service_dir / "outbox",
        pepper,
        store,
        cap_bytes=settings.outbox_max_bytes,
        ship_interval_s=settings.ship_interval_s,
        keep=KeptLimits(settings.answers_days, settings.answers_max_bytes),
    )


def _jobs(settings: ServiceSettings) -> JobRepository:
    """The store of jobs; jobs that the host kept in folders move into its database."""
    folders = JobFolders(settings.jobs_dir)
    if settings.database_url is None:
        return folders
    from service.jobs.tables import JobTables

    tables = JobTables(settings.database_url.get_secret_value())
    moved = tables.take_over(folders)
    if moved:
        _log.info("jobs: %d moved from this host into the database", moved)
    return tables


def _edges(model: PackedModel) -> dict[str, tuple[float, ...]]:
    return {name: one.edges for name, one in model.manifest.distributions.items() if one.edges}


def _limiter(settings: ServiceSettings, table: SharedTable, metrics: Metrics) -> tuple[Redis | None, Limiter]:
    here = SharedLimiter(table)
    if settings.redis_url is None:
        return None, here
    redis = redis_at(settings.redis_url.get_secret_value())

    def failed(reason: str) -> None:
        metrics.counters[_LIMITER_REMOTE_FAILURES][reason] += 1

    return redis, RemoteLimiter(redis, here, on_failure=failed)
