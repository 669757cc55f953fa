"""The BentoML service: `bentoml serve service.service:CreditScorer`.

`GuardedService` puts the edge in front of BentoML's whole application, through BentoML's own `service_class`; `Seal`
closes BentoML's routes from within, should the edge ever be missing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import bentoml
from bentoml.exceptions import ServiceUnavailable

from service import files
from service.access.credentials import read_pepper
from service.access.keystore import PARTNER_SCOPES, ApiKey, read_keys
from service.contract import PRODUCT, Applicant, Batch, Score, Scores
from service.docs import guide
from service.endpoints.scores import MANY, ONE
from service.errors import Misconfigured, OutboxFull
from service.middleware.edge import Edge
from service.middleware.seal import CALLER, Seal
from service.protocol import supervisor
from service.protocol.connection_limits import ConnectionLimits
from service.protocol.server import allow_files, install
from service.runtime import Runtime
from service.score.manifest import Manifest
from service.settings import BASE_IMAGE, ServiceSettings, settings
from service.web import logs
from service.web.exchange import App, Message, Receive, Send
from service.web.exchange import Scope as AsgiScope

Inner = TypeVar("Inner")
TIMEOUT_S: Final = 2
"""BentoML's own timer per request; its default of 60 s kept 355 MB of timers alive under load."""
LOCAL: Final = ApiKey("local000", "local", frozenset(PARTNER_SCOPES), 1e6, 1_000_000, 10**12)
"""Who asks when the class is used in Python, without HTTP."""
IMAGE: Final = bentoml.images.Image(
    base_image=os.environ.get("BENTO_BASE_IMAGE", BASE_IMAGE),
    distro="none",  # leaves BentoML's compilers and git out: 535 MB
    python_version="3.11",
    lock_python_packages=False,
).build_include("uv.toml")  # keeps what the lock leaves out from coming back
_opened: list[Runtime] = []
supervisor.close()  # `bentoml serve` imports this module before it makes its supervisor


# BentoML loads its names on demand, so mypy knows none of them.
class GuardedService(bentoml.Service[Inner]):  # type: ignore[misc]
    """A BentoML service whose application answers through the edge."""

    def to_asgi(self, is_main: bool = True) -> App:
        """BentoML's application behind the edge, which starts and stops with it."""
        edge, options = Edge(super().to_asgi(is_main=is_main)), settings()
        allow_files(options.max_connections + options.reserved_connections)
        most, reserve = options.max_connections, options.reserved_connections
        install(edge, ConnectionLimits(most, reserve, options.header_timeout_s, options.body_timeout_s))
        return Guarded(edge)


class Guarded:
    """Runs the edge's worker for as long as the application lives."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Requests go to the edge; lifespan tells when to start and stop."""
        if scope["type"] != "lifespan":
            await self.edge(scope, receive, send)
            return

        async def relay(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                await _opened[-1].start(self.edge)
            elif message["type"] == "lifespan.shutdown.complete":
                await _opened.pop().stop()
            await send(message)

        await self.edge(scope, receive, relay)


def check(options: ServiceSettings) -> None:
    """Look at everything a start needs, before a worker is started.

    Raises:
        Misconfigured: one line that says what to mend.
    """
    allow_files(options.max_connections + options.reserved_connections)
    _require_writable(options.service_dir)
    pepper = read_pepper(options.pepper_file)
    if options.database_url is not None:
        from service.ledger.postgres.host import check as check_database

        check_database(options.database_url.get_secret_value(), pepper)
    else:
        read_keys(options.keys_file)
    Manifest.read(options.model_dir).require_fit()
    guide.check()


def _require_writable(folder: Path) -> None:
    """Make the state folder and a file in it, as every worker will.

    Raises:
        Misconfigured: this user cannot.
    """
    try:
        files.probe(folder)
    except OSError as error:
        reason = f"cannot be written by user {os.getuid()} ({error.strerror})"
        raise Misconfigured(f"QF_SERVICE_DIR is {folder.absolute()}, which {reason}; give it to that user") from None


def _workers() -> int:
    """Read when the module is imported, since BentoML asks then."""
    try:
        return settings().workers
    except Misconfigured as error:
        sys.exit(f"{PRODUCT}: {error}")


@bentoml.service(
    name=PRODUCT,
    service_class=GuardedService,
    image=IMAGE,
    workers=_workers(),
    traffic={"timeout": TIMEOUT_S},
    tracing={"excluded_urls": ".*"},
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},  # the edge counts, in front of BentoML; see service.metrics
    endpoints={"livez": "/livez", "readyz": "/readyz"},
)
class CreditScorer:
    """QuantumFinance's credit score."""

    def __init__(self) -> None:
        logs.configure()
        self.runtime = Runtime.open(settings())
        _opened.append(self.runtime)

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def look_before_start() -> None:
        """Stop the start with one line if anything it needs is missing."""
        try:
            check(settings())
        except Misconfigured as error:
            sys.exit(f"{PRODUCT}: {error}")

    @bentoml.api(route=ONE.path)  # type: ignore[untyped-decorator]
    async def score(self, applicant: Applicant, /) -> Score:
        """Score one applicant."""
        return Score.model_validate_json(await self._answer(self.runtime.scoring.one(_caller(), applicant)))

    @bentoml.api(route=MANY.path)  # type: ignore[untyped-decorator]
    async def score_batch(self, batch: Batch, /) -> Scores:
        """Score up to 1,000 applicants, in order."""
        return Scores.model_validate_json(await self._answer(self.runtime.scoring.many(_caller(), batch.applicants)))

    async def _answer(self, work: Any) -> bytes:
        try:
            return bytes(await work)
        except OutboxFull as error:
            raise ServiceUnavailable(str(error)) from error

    async def __is_ready__(self) -> bool:
        """True if BentoML may say it is ready."""
        return not self.runtime.health.faults_now()


cast(Any, CreditScorer).add_asgi_middleware(Seal)  # pylint: disable=no-member  # the decorator made it a Service


def _caller() -> ApiKey:
    return CALLER.get() or LOCAL
