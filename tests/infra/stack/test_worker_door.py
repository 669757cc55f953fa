"""The door that workers come through, in front of an application that notes what reaches it."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from typing import Any

import httpx
import pytest
import yaml

from infra.errors import StackError
from infra.settings import ROOT
from infra.stack import worker_rights
from infra.stack.asgi import Message, Receive, Scope, Send
from infra.stack.worker_door import WorkerDoor

OWN, OTHERS, NOBODYS, GONE, BUSY = (f"00000000-0000-0000-0000-00000000000{number}" for number in range(1, 6))
QUEUES = {OWN: "model", OTHERS: "release", NOBODYS: None}
LOGINS = {"model:a-model-password": "model", "submitter:a-submitters-one": "submitter"}
SERVERS = "admin:the-servers-own"


class Behind:
    """An application that knows three runs, and notes every other request."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes, list[str]]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer whose a run is, or note the request."""
        run = scope["path"].rpartition("/")[2]
        status, answer = 200, {"work_queue_name": QUEUES.get(run)}
        if scope["method"] == "GET" and run in (GONE, BUSY):
            status = {GONE: 404, BUSY: 503}[run]
        elif scope["method"] != "GET" or run not in QUEUES:
            body, more = b"", True
            while more:
                message = await receive()
                body, more = body + message["body"], message.get("more_body", False)
            said = [value.decode() for name, value in scope["headers"] if name == b"authorization"]
            self.asked.append((scope["method"], scope["path"], body, said))
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


def basic(pair: str) -> str:
    """The header that a client with this login sends."""
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def ask(method: str, path: str, body: Any = None, login: str = "model:a-model-password") -> tuple[int, Behind]:
    """Status of the answer, and what reached the application."""
    behind = Behind()

    async def asked() -> int:
        transport = httpx.ASGITransport(app=WorkerDoor(behind, SERVERS, LOGINS))
        async with httpx.AsyncClient(transport=transport, base_url="http://door") as http:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            answer = await http.request(method, path, content=content, headers={"Authorization": basic(login)})
            return answer.status_code

    return asyncio.run(asked()), behind


@pytest.mark.parametrize("login", [SERVERS, "admin:guessed", "model:guessed", "release:a-model-password"])
def test_whoever_is_no_worker_is_the_servers_to_judge(login: str) -> None:
    """Such a request goes on as it came, with its own header."""
    status, behind = ask("DELETE", "/api/deployments/x", b"as it is", login)
    assert (status, behind.asked) == (200, [("DELETE", "/api/deployments/x", b"as it is", [basic(login)])])


def test_what_is_listed_goes_on_under_the_servers_own_password() -> None:
    """A worker's login never reaches the server, and the server's never the worker."""
    status, behind = ask("POST", "/api/flow_runs/filter", {"limit": 1})
    assert (status, behind.asked) == (200, [("POST", "/api/flow_runs/filter", b'{"limit": 1}', [basic(SERVERS)])])


@pytest.mark.parametrize(
    ("run", "login", "status"),
    [
        (OWN, "model:a-model-password", 200),
        (OTHERS, "model:a-model-password", 403),
        (NOBODYS, "model:a-model-password", 403),
        (GONE, "model:a-model-password", 200),  # which the server answers with 404
        (BUSY, "model:a-model-password", 503),
        (OTHERS, "submitter:a-submitters-one", 200),
    ],
)
def test_a_run_is_changed_by_the_duty_that_it_stands_with(run: str, login: str, status: int) -> None:
    """By its queue, as the server tells it; where the server is too busy to tell, nobody is let in."""
    answer, behind = ask("POST", f"/api/flow_runs/{run}/set_state", {"state": {"type": "RUNNING"}}, login)
    assert (answer, len(behind.asked)) == (status, int(status == 200))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ([], 200),
        ([{"message": "the worker's own", "flow_run_id": None}], 200),
        ([{"flow_run_id": OWN}, {"flow_run_id": OWN}], 200),
        ([{"flow_run_id": OWN}, {"flow_run_id": OTHERS}], 403),
        ([{"flow_run_id": OTHERS.replace("-", "")}], 403),
        ([{"flow_run_id": f"{OWN}/../{OTHERS}"}], 403),
        ([{"flow_run_id": 1}], 403),
        (["text"], 403),
        (b"{", 403),
        (b"[" * 100_000, 403),
    ],
)
def test_a_log_is_written_by_whose_run_it_is(body: Any, status: int) -> None:
    """Of each line the run is looked at; what is no log, or names a run in another way, is refused."""
    assert ask("POST", "/api/logs/", body)[0] == status


def test_a_body_goes_on_as_it_was_understood() -> None:
    """A field twice is read once, and the server gets what was read: two readers cannot disagree."""
    twice = b'{"name": "a", "job_variables": {"command": "evil"}, "job_variables": null}'
    status, behind = ask("PATCH", f"/api/flow_runs/{OWN}", twice)
    assert (status, json.loads(behind.asked[0][2])) == (200, {"name": "a", "job_variables": None})
    assert b"evil" not in behind.asked[0][2]


def test_a_refusal_is_one_line_without_what_was_said(caplog: pytest.LogCaptureFixture) -> None:
    """Who, the method and the path without its names; nothing of the body."""
    with caplog.at_level(logging.WARNING):
        ask("PATCH", f"/api/flow_runs/{OWN}", {"job_variables": {"command": "canary"}})
        ask("PUT", "/api/variables/name/canary-7", {"value": "canary"})
    assert caplog.messages == [
        "refused to worker model: PATCH /api/flow_runs/{} (a field that is not a worker's to fill)",
        "refused to worker model: PUT /api/variables/name/{}",
    ]


def test_a_socket_signs_in_with_its_first_message() -> None:
    """A worker's login there is exchanged for the server's own, and no later message is touched."""
    first = {"type": "auth", "token": "model:a-model-password"}
    sent = [{"type": "websocket.connect"}, *({"type": "websocket.receive", "text": json.dumps(first)} for _ in "12")]
    coming, got = iter(sent), []

    async def behind(_scope: Scope, receive: Receive, _send: Send) -> None:
        got.extend([await receive() for _ in sent])

    async def receive() -> Message:
        return next(coming)

    async def send(_message: Message) -> None:
        raise AssertionError("nothing is sent")

    asyncio.run(WorkerDoor(behind, SERVERS, LOGINS)({"type": "websocket", "path": "/api/events/in"}, receive, send))
    assert [json.loads(one["text"])["token"] for one in got[1:]] == [SERVERS, first["token"]]


@pytest.mark.parametrize("text", ["model", "model:short", "trainer:a-long-password", "admin:a-long-password"])
def test_a_login_that_is_none_stops_the_start(text: str) -> None:
    """A worker of no duty, or without a password worth the name; the line has no password in it."""
    with pytest.raises(StackError, match="QF_DOOR_WORKERS") as raised:
        worker_rights.logins(f"release:a-long-password, {text}")
    assert "a-long-password" not in str(raised.value)


def test_every_queue_is_a_duty() -> None:
    """Of prefect.yaml, and what a duty's flows start is deployed there."""
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert {each["work_pool"]["work_queue_name"] for each in deployments} == set(worker_rights.DUTIES)
    assert set().union(*worker_rights.STARTED.values()) <= {each["name"] for each in deployments}


def test_no_right_reaches_what_says_what_is_run() -> None:
    """What is no question changes a run, its log or its artifacts, tells that a worker lives, or starts one of two
    deployments as they are: a route that makes or changes anything else has to be thought about here first."""
    questions = ("/filter", "/get_scheduled_flow_runs")
    changing = {one.path for one in worker_rights.ROUTES if one.method != "GET" and not one.path.endswith(questions)}
    run = "/flow_runs/{id}"
    assert changing == {
        *(run, f"{run}/set_state", f"{run}/labels", f"{run}/input", "/logs/", "/artifacts/", "/artifacts/{id}"),
        *("/work_pools/{name}/workers/heartbeat", "/v2/concurrency_limits/leases/{id}/renew"),
        "/deployments/{id}/create_flow_run",
    }
