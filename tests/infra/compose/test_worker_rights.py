"""Workers with their own logins to a real Prefect server behind its door: what they need works, nothing else does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from flows.monitoring import alerts
from infra.settings import HOST, ROOT
from infra.stack import prefect_api
from infra.stack.processes import Shelf
from tests.infra import compose_parts
from tests.infra.compose_parts import Parts

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("compose"), pytest.mark.timeout(900)]
PATIENCE_S = 180
FORBIDDEN = {"detail": "a worker may not ask this"}
STRANGE = str(uuid.UUID(int=7))
MAKE = "from infra.compose import bootstrap as b; print(b.make_prefect(b.read_settings()))"


@pytest.fixture(scope="module", name="parts")
def _parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    """Prefect over PostgreSQL with compose's logins, its pool and deployments made by bootstrap's own step."""
    folder = tmp_path_factory.mktemp("duties")
    parts = Parts(folder, {})
    parts.values = compose_parts.credentials(folder, "")
    with ExitStack() as stack:
        stack.enter_context(compose_parts.postgres(parts))
        stack.enter_context(compose_parts.prefect(parts))
        env = {**parts.environment("bootstrap"), "PREFECT_HOME": str(folder / "client"), "PATH": os.environ["PATH"]}
        done = subprocess.run(
            [sys.executable, "-c", MAKE], env=env, cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        yield parts


@pytest.fixture(scope="module", name="people")
def _people(parts: Parts) -> Iterator[httpx.Client]:
    """The API for people and CI: with the server's own password."""
    with prefect_api.client(parts.url("prefect"), f"admin:{parts.values['PREFECT_PASSWORD']}") as http:
        yield http


@pytest.fixture(scope="module", name="model")
def _model(parts: Parts) -> Iterator[httpx.Client]:
    """The API for code of a training: with what its worker's environment holds."""
    with prefect_api.client(parts.url("prefect"), parts.environment("worker-model")["PREFECT_API_AUTH_STRING"]) as http:
        yield http


def deployment(people: httpx.Client, name: str) -> dict[str, Any]:
    """A deployment of prefect.yaml."""
    found: dict[str, Any] = people.get(f"/deployments/name/{name}/{name}").raise_for_status().json()
    return found


def started(people: httpx.Client, which: str, **body: Any) -> str:
    """Id of a new run of a deployment."""
    return str(people.post(f"/deployments/{which}/create_flow_run", json=body).raise_for_status().json()["id"])


def reached(people: httpx.Client, run: str, *states: str) -> dict[str, Any]:
    """The run, once it is in one of these states."""
    deadline = time.monotonic() + PATIENCE_S
    while (now := people.get(f"/flow_runs/{run}").raise_for_status().json())["state_name"] not in states:
        over = now["state_type"] in ("FAILED", "CRASHED", "COMPLETED") or time.monotonic() > deadline
        assert not over, (now["state_name"], now["state"]["message"], texts(people, run))
        time.sleep(0.5)
    return dict(now)


def texts(people: httpx.Client, run: str) -> list[str]:
    """What a run wrote into its log."""
    query = {"logs": {"flow_run_id": {"any_": [run]}}}
    return [line["message"] for line in people.post("/logs/filter", json=query).raise_for_status().json()]


def arrived(people: httpx.Client, path: str, query: Any, within: str = "") -> list[dict[str, Any]]:
    """What runs told by events, which the server takes in by and by."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = people.post(path, json=query).raise_for_status().json()
        rows: list[dict[str, Any]] = found[within] if within else found
        if rows or time.monotonic() > deadline:
            return rows
        time.sleep(0.5)


def refusals(parts: Parts) -> list[str]:
    """What the door refused to workers, as the server's log has it."""
    return re.findall(r"refused to worker (.+)", Shelf(parts.folder).log("prefect").read_text(errors="replace"))


def probe(people: httpx.Client, duty: str) -> str:
    """A deployment on the duty's queue of the flow in duty_flows.py that does what that duty's flows do."""
    flow = people.post("/flows/", json={"name": f"duty-{duty}"}).raise_for_status().json()["id"]
    body = {
        "name": "duty",
        "flow_id": flow,
        "entrypoint": f"tests.infra.compose.duty_flows.{duty}",
        "work_pool_name": "local",
        "work_queue_name": duty,
        "pull_steps": [{"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}],
    }
    return str(people.post("/deployments/", json=body).raise_for_status().json()["id"])


def secret(people: httpx.Client) -> None:
    """A block that the watch reads."""
    kind = people.get("/block_types/slug/secret").raise_for_status().json()["id"]
    query = {"block_schemas": {"block_type_id": {"any_": [kind]}}}
    schema = people.post("/block_schemas/filter", json=query).raise_for_status().json()[0]["id"]
    block = {"name": "duty", "data": {"value": "told"}, "block_schema_id": schema, "block_type_id": kind}
    people.post("/block_documents/", json=block).raise_for_status()


def forgettable(people: httpx.Client) -> str:
    """A completed run of retention whose form names whom it erased."""
    later = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2099-01-01T00:00:00Z"}}
    form = {"form": {"erase_pseudonym": "0" * 32, "requested_by": "a letter"}}
    run = started(people, deployment(people, "retention")["id"], parameters=form, state=later)
    done = {"state": {"type": "COMPLETED", "name": "Completed"}, "force": True}
    people.post(f"/flow_runs/{run}/set_state", json=done).raise_for_status()
    return run


def test_workers_run_their_flows_to_the_end(parts: Parts, people: httpx.Client) -> None:
    """Logs, artifacts, events, runs of others that drift starts, a person's verdict, runs that retention forgets: all
    with logins of workers, and of what they asked the door refuses the channel alone that they do without."""
    secret(people)
    erased = forgettable(people)
    with ExitStack() as stack:
        for duty in ("watch", "release", "retention"):
            stack.enter_context(compose_parts.worker(parts, duty))
        runs = {duty: started(people, probe(people, duty)) for duty in ("watch", "release", "retention")}
        reached(people, runs["release"], "Suspended")
        verdict = {"run_input": {"verdict": "reject", "reviewer": "ana"}}
        people.post(f"/flow_runs/{runs['release']}/resume", json=verdict).raise_for_status()
        named = {duty: reached(people, run, "Completed")["name"] for duty, run in runs.items()}

    assert named["watch"] == "a watch"
    query = {"artifacts": {"flow_run_id": {"any_": list(runs.values())}}}
    kept = {one["key"]: one["data"] for one in people.post("/artifacts/filter", json=query).json()}
    assert kept == {"duty-progress": 50.0, "duty-text": "# seen", "duty-verdict": "reject by ana"}
    assert {"the task looked", "schedules: 4, block: told"} <= set(texts(people, runs["watch"]))
    assert people.get(f"/flow_runs/{erased}").status_code == httpx.codes.NOT_FOUND
    tasks = arrived(people, "/task_runs/filter", {"flow_runs": {"id": {"any_": [runs["watch"]]}}})
    assert [(one["name"].split("-")[0], one["state_type"]) for one in tasks] == [("look", "COMPLETED")]
    begun = people.post("/flow_runs/filter", json={"deployments": {"name": {"any_": ["training", "recalibration"]}}})
    assert {"model", "watch"} == {one["work_queue_name"] for one in begun.json() if not one["auto_scheduled"]}
    query = {"filter": {"event": {"name": [alerts.DRIFT_DETECTED]}}}
    assert [one["event"] for one in arrived(people, "/events/filter", query, "events")] == [alerts.DRIFT_DETECTED]
    assert {line.partition(": ")[2] for line in refusals(parts)} <= {"socket /api/work_pools/local/workers/connect"}


CHANGES = {"entrypoint": "evil.run", "job_variables": {"command": "evil"}, "pull_steps": [], "work_queue_name": "model"}
NEW = {"name": "evil", "flow_id": STRANGE, "work_pool_name": "local", "work_queue_name": "release"}
ATTACKS: list[tuple[str, str, Any]] = [
    *(("PATCH", "/deployments/{packaging}", {name: value}) for name, value in CHANGES.items()),
    ("POST", "/deployments/", {**NEW, "entrypoint": "evil.run"}),
    ("DELETE", "/deployments/{packaging}", None),
    ("POST", "/deployments/{packaging}/create_flow_run", {"job_variables": {"command": "evil"}}),
    ("POST", "/deployments/{packaging}/create_flow_run", {}),
    ("POST", "/deployments/{training}/create_flow_run", {"work_queue_name": "release"}),
    ("POST", "/deployments/{retention}/create_flow_run", {"parameters": {"form": {"feature_days": 1}}}),
    ("POST", "/deployments/{packaging}/schedules", [{"schedule": {"interval": 60}, "active": True}]),
    ("POST", "/deployments/{drift}/pause_deployment", None),
    ("POST", "/flow_runs/", {**NEW, "job_variables": {"command": "evil"}}),
    ("PATCH", "/flow_runs/{run}", {"job_variables": {"command": "evil"}}),
    ("PATCH", "/flow_runs/{run}", {"parameters": {"version": 1}}),
    ("PATCH", "/flow_runs/{run}", {"name": "another"}),
    ("PATCH", "/flow_runs/{own}", {"job_variables": {"command": "evil"}}),
    ("PATCH", "/flow_runs/{own}", {"parameters": {}, "name": "x", "work_queue_name": "release"}),
    ("POST", "/flow_runs/{run}/set_state", {"state": {"type": "SCHEDULED"}, "force": True}),
    ("POST", "/flow_runs/{run}/set_state", {"state": {"type": "COMPLETED", "data": {"type": "unpersisted"}}}),
    ("POST", "/flow_runs/bulk_set_state", {"state": {"type": "CANCELLED"}}),
    ("POST", "/flow_runs/{run}/resume", {"run_input": {"verdict": "approve"}}),
    ("POST", "/flow_runs/{run}/input", {"key": "verdict-response", "value": "{}"}),
    ("GET", "/flow_runs/{run}/input/verdict-response", None),
    ("DELETE", "/flow_runs/{run}", None),
    ("DELETE", "/flow_runs/{own}", None),
    ("POST", "/flow_runs/bulk_delete", {}),
    ("POST", "/logs/", [{"flow_run_id": "{run}", "name": "x", "level": 20, "message": "all is well", "timestamp": 0}]),
    ("POST", "/artifacts/", {"key": "drift-state", "flow_run_id": "{run}", "data": "green"}),
    ("POST", "/automations/", {"name": "evil", "trigger": {}, "actions": []}),
    ("POST", "/automations/filter", {}),
    ("PATCH", "/work_pools/local", {"base_job_template": {}}),
    ("POST", "/work_pools/", {"name": "evil", "type": "process"}),
    ("DELETE", "/work_pools/local", None),
    ("POST", "/work_pools/local/queues", {"name": "evil"}),
    ("PATCH", "/work_pools/local/queues/release", {"is_paused": True}),
    ("POST", "/variables/", {"name": "evil", "value": "x"}),
    ("POST", "/block_documents/", {"name": "evil"}),
    ("POST", "/block_documents/filter", {"include_secrets": True}),
    ("GET", "/block_types/slug/secret/block_documents/name/duty", None),
    ("POST", "/concurrency_limits/", {"tag": "x", "concurrency_limit": 0}),
    ("POST", "/v2/concurrency_limits/", {"name": "x", "limit": 0}),
    ("POST", "/v2/concurrency_limits/increment", {"names": ["x"], "slots": 1}),
    ("POST", "/events", []),
    ("PUT", "/admin/storage", {"block_document_id": STRANGE}),
    ("POST", "/admin/database/clear", {"confirm": True}),
    ("GET", "/admin/settings", None),
    ("POST", "/flows/", {"name": "evil"}),
    ("POST", "/task_runs/", {"task_key": "x", "dynamic_key": "0"}),
]


@pytest.fixture(name="aims", scope="module")
def _aims(people: httpx.Client) -> dict[str, str]:
    """Ids that an attack is about: deployments, a run of the release that is to come, a run of the training's own."""
    later = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2099-01-01T00:00:00Z"}}
    aims = {name: deployment(people, name)["id"] for name in ("packaging", "training", "retention", "drift")}
    aims["run"] = started(people, aims["packaging"], state=later)
    return {**aims, "own": started(people, aims["training"], state=later)}


def _all(people: httpx.Client, aims: dict[str, str]) -> Any:
    """Everything that an attack would have changed; times that the server itself moves are left out."""
    moving = {"updated", "last_polled", "status", "estimated_run_time", "estimated_start_time_delta", "lateness"}
    found = [
        *(people.post(f"/{kind}/filter", json={}).raise_for_status().json() for kind in ("deployments", "automations")),
        people.post("/work_pools/filter", json={}).raise_for_status().json(),
        people.post("/work_pools/local/queues/filter", json={}).raise_for_status().json(),
        *(people.get(f"/flow_runs/{aims[name]}").raise_for_status().json() for name in ("run", "own")),
    ]

    def still(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: still(one) for key, one in value.items() if key not in moving}
        return [still(one) for one in value] if isinstance(value, list) else value

    return still(found)


def test_code_of_one_duty_has_nothing_run_by_another(
    parts: Parts, people: httpx.Client, model: httpx.Client, aims: dict[str, str]
) -> None:
    """Each try to change, make, start, answer, end or forge what is another's is refused, is one line in the server's
    log that names no body, and nothing there is another than before."""
    before, already = _all(people, aims), len(refusals(parts))

    for method, path, body in ATTACKS:
        sent = json.loads(json.dumps(body).replace("{run}", aims["run"]))
        answer = model.request(method, path.format(**aims), json=sent)
        assert (answer.status_code, answer.json()) == (httpx.codes.FORBIDDEN, FORBIDDEN), (method, path)

    assert _all(people, aims) == before
    lines = refusals(parts)[already:]
    assert {line.split()[0] for line in lines} == {"model:"} and "evil" not in "".join(lines)
    assert len(lines) >= len(ATTACKS)


def test_a_duty_tells_of_its_own_runs(model: httpx.Client, aims: dict[str, str]) -> None:
    """The same routes about a run of its own are let through, so what was refused was refused for whose it is."""
    own = aims["own"]
    line = {"flow_run_id": own, "name": "x", "level": 20, "message": "m", "timestamp": "2026-01-01T00:00:00Z"}
    answers = [
        model.post("/logs/", json=[line]),
        model.post("/artifacts/", json={"key": "note", "flow_run_id": own, "data": "x"}),
        model.patch(f"/flow_runs/{own}", json={"name": "mine", "tags": ["a"]}),
        model.post(f"/flow_runs/{own}/set_state", json={"state": {"type": "CANCELLED", "name": "Cancelled"}}),
    ]
    assert [answer.is_success for answer in answers] == [True] * 4, [answer.text for answer in answers]


@pytest.mark.parametrize(
    "path",
    [
        "//api/deployments/{packaging}",
        "/api//deployments/{packaging}",
        "/api/deployments/{packaging}/",
        "/api/%64eployments/{packaging}",
        "/api/deployments%2F{packaging}",
        "/api/flow_runs/../deployments/{packaging}",
        "/api/flow_runs/%2e%2e/deployments/{packaging}",
        "/api/flow_runs/{own}/../../deployments/{packaging}",
        "/api/flow_runs/{own};/deployments/{packaging}",
        "/API/deployments/{packaging}",
        "/api/flow_runs/{own}%0a",
    ],
)
def test_another_spelling_of_a_path_opens_nothing(
    parts: Parts, model: httpx.Client, people: httpx.Client, aims: dict[str, str], path: str
) -> None:
    """However a path is written, it is held against the list as the server's router reads it."""
    before = _all(people, aims)
    url = httpx.URL(parts.url("prefect")).copy_with(raw_path=path.format(**aims).encode())

    answer = model.patch(url, json={"entrypoint": "evil.run", "job_variables": {"command": "evil"}})

    assert answer.status_code == httpx.codes.FORBIDDEN
    assert _all(people, aims) == before


def socket_closes(url: str, token: str) -> int:
    """The close code after a sign-in on a socket; 0 if it was let in."""
    with connect(url, subprotocols=[Subprotocol("prefect")], proxy=None) as socket:
        socket.send(json.dumps({"type": "auth", "token": token}))
        try:
            return 0 if json.loads(socket.recv(timeout=30))["type"] == "auth_success" else -1
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else -1


@pytest.mark.parametrize(
    ("path", "password", "code"),
    [
        ("events/in", None, 0),
        ("events/out", None, 0),
        ("events/in", "another-password", 1008),
        ("logs/out", None, 1008),
        ("work_pools/local/workers/connect", None, 1008),
        ("task_runs/subscriptions/scheduled", None, 1008),
    ],
)
def test_a_workers_login_opens_the_sockets_that_it_needs(
    parts: Parts, path: str, password: str | None, code: int
) -> None:
    """Events in and out; no other socket, and none with another password."""
    url = f"ws://{HOST}:{parts.ports['prefect']}/api/{path}"
    assert socket_closes(url, f"model:{password or parts.values['WORKER_MODEL_PASSWORD']}") == code


def test_two_logins_at_once_are_none(parts: Parts) -> None:
    """A second Authorization header beside a worker's is not looked at by one and believed by the other."""
    login = httpx.BasicAuth("model", parts.values["WORKER_MODEL_PASSWORD"])
    header = next(login.auth_flow(httpx.Request("GET", "http://x"))).headers["Authorization"]
    for second in (header, "Basic YWRtaW46YWRtaW4="):
        answer = httpx.get(
            f"{parts.url('prefect')}/api/admin/version",
            headers=[("Authorization", header), ("Authorization", second)],
            trust_env=False,
        )
        assert answer.status_code == httpx.codes.UNAUTHORIZED
