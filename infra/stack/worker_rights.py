"""What a worker, and the runs that it starts, may ask of Prefect's server; `worker_door.py` refuses everything else.

It is a list of what is allowed: the server has more than 180 routes, and a worker needs thirty. No route on it says
what is run or how: deployments, pools, blocks, variables and automations are read at most, and of a run nobody but the
duty that it stands with changes a thing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any, Final

from infra.errors import StackError

DUTIES: Final = ("model", "release", "scoring", "watch", "retention")
"""A queue of prefect.yaml each, with a worker of its own outside of the embedded stack."""
SUBMITTER: Final = "submitter"
"""A worker of every queue that runs no flow itself: the cluster's, which makes a Job of each run."""
LOGINS: Final = (*DUTIES, SUBMITTER)
STARTED: Final[Mapping[str, frozenset[str]]] = {"watch": frozenset({"training", "recalibration"})}
"""Deployments that a duty's own flows start, always with the parameters that they were deployed with."""
SOCKETS: Final = frozenset({"/api/events/in", "/api/events/out"})
"""A worker's own channel is left out: its first word may make a pool, and the same is asked over HTTP without it."""
PASSWORD_MIN: Final = 12
UUID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ID: Final = re.compile(UUID)


class Whose(Enum):
    """What has to be the asking duty's own."""

    ANYBODYS = "nothing"
    RUN = "the run that the path names"
    ARTIFACT = "the run of the artifact that the path names"
    NAMED = "each run that the body names"
    DEPLOYMENT = "the deployment that the path names: the duty's flows start it"


@dataclass(frozen=True)
class WorkerRoute:
    """One route, who may ask it, what must be their own, and which fields of the body may hold anything."""

    method: str
    path: str
    logins: tuple[str, ...] = LOGINS
    whose: Whose = Whose.ANYBODYS
    fields: frozenset[str] | None = None

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The paths that it is about. Matched against what the server's router sees, and whole."""
        literal = re.escape(self.path).replace(r"\{id\}", f"({UUID})")
        return re.compile("/api" + re.sub(r"\\\{\w+\\\}", "[^/]+", literal))

    @property
    def needs_body(self) -> bool:
        """True if the body has to be looked at."""
        return self.fields is not None or self.whose is Whose.NAMED


ROUTES: Final = (
    # To begin with, and to be known as alive.
    WorkerRoute("GET", "/csrf-token"),
    WorkerRoute("GET", "/health"),
    WorkerRoute("GET", "/admin/version"),
    WorkerRoute("GET", "/admin/storage"),
    WorkerRoute("POST", "/work_pools/{name}/workers/heartbeat"),
    WorkerRoute("POST", "/work_pools/{name}/get_scheduled_flow_runs"),
    WorkerRoute("POST", "/v2/concurrency_limits/leases/{id}/renew"),
    # What there is to do, and how it goes.
    WorkerRoute("GET", "/work_pools/{name}"),
    WorkerRoute("POST", "/work_pools/{name}/queues/filter"),
    WorkerRoute("GET", "/work_queues/{id}"),
    WorkerRoute("GET", "/deployments/{id}"),
    WorkerRoute("GET", "/deployments/name/{flow}/{name}"),
    WorkerRoute("POST", "/deployments/filter"),
    WorkerRoute("GET", "/flows/{id}"),
    WorkerRoute("GET", "/flow_runs/{id}"),
    WorkerRoute("POST", "/flow_runs/filter"),
    WorkerRoute("GET", "/task_runs/{id}"),
    WorkerRoute("POST", "/task_runs/filter"),
    # A run's own story.
    WorkerRoute("POST", "/flow_runs/{id}/set_state", whose=Whose.RUN),
    WorkerRoute("PATCH", "/flow_runs/{id}/labels", whose=Whose.RUN),
    WorkerRoute(
        "PATCH",
        "/flow_runs/{id}",
        whose=Whose.RUN,
        fields=frozenset({"name", "tags", "flow_version", "empirical_policy", "infrastructure_pid"}),
    ),
    WorkerRoute("POST", "/flow_runs/{id}/input", DUTIES, Whose.RUN),
    WorkerRoute("GET", "/flow_runs/{id}/input/{key}", DUTIES, Whose.RUN),
    WorkerRoute("POST", "/logs/", whose=Whose.NAMED),
    WorkerRoute("POST", "/artifacts/", DUTIES, Whose.NAMED),
    WorkerRoute("PATCH", "/artifacts/{id}", DUTIES, Whose.ARTIFACT, frozenset({"data", "description"})),
    # What one duty's flows, or the cluster's worker, do beside.
    WorkerRoute("POST", "/events/filter", (SUBMITTER,)),
    WorkerRoute(
        "POST",
        "/deployments/{id}/create_flow_run",
        tuple(STARTED),
        Whose.DEPLOYMENT,
        frozenset({"state", "name", "tags", "idempotency_key", "labels"}),
    ),
    WorkerRoute("GET", "/block_types/slug/{type}/block_documents/name/{name}", ("watch",)),  # whom drift writes to
    WorkerRoute("DELETE", "/flow_runs/{id}", ("retention",), Whose.RUN),  # runs whose forms name whom they erased
)


def route(login: str, method: str, path: str) -> tuple[WorkerRoute, str] | None:
    """What lets this login ask that, and the id in the path; None if nothing does."""
    for one in ROUTES:
        if one.method == method and login in one.logins and (match := one.pattern.fullmatch(path)):
            return one, "".join(match.groups())
    return None


def unwanted(one: WorkerRoute, body: Any) -> bool:
    """True if a body says more than its route takes from a worker; a field that is empty says nothing."""
    if one.fields is None:
        return False
    if not isinstance(body, dict):
        return True
    return any(value not in (None, "", [], {}) for name, value in body.items() if name not in one.fields)


def runs_named(body: Any) -> set[str]:
    """Ids of the runs that a body, or each entry of it, is about; a line of the worker's own log is about none.

    Raises:
        ValueError: it is no such body, or an id is written another way than the server writes it.
    """
    return set(_runs_named(body if isinstance(body, list) else [body]))


def _runs_named(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        if not isinstance(entry, dict):
            raise ValueError("an entry is no object")
        run = entry.get("flow_run_id")
        if run is None:
            continue
        if not isinstance(run, str) or not _ID.fullmatch(run):
            raise ValueError("an id is no id")
        yield run


def template(path: str) -> str:
    """A path without what it names, for a log: Prefect's own words stay."""
    words = [part if re.fullmatch(r"[a-z_-]{0,40}|v2", part) else "{}" for part in path.split("/")]
    return "/".join(words)


def logins(text: str) -> dict[str, str]:
    """The logins of QF_DOOR_WORKERS, `model:PASSWORD,release:PASSWORD`: user and password, and whose each is.

    Raises:
        StackError: one has no password worth the name, or is no login of a worker.
    """
    known: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, _, password = pair.partition(":")
        if name not in LOGINS:
            raise StackError(f"QF_DOOR_WORKERS names a worker that is none of {', '.join(LOGINS)}")
        if len(password) < PASSWORD_MIN:
            raise StackError(f"QF_DOOR_WORKERS: {name} needs a password of {PASSWORD_MIN} signs or more")
        known[pair] = name
    return known
