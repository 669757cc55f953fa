"""What an order of a job may hold, and what becomes of the address that is to be told of its end."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from typing import Any

import pytest

from service.contract import MAX_WEBHOOK_LENGTH
from service.docs.examples import APPLICANT
from service.jobs import webhooks
from service.runtime import Runtime
from tests.api.client import Api, applicant
from tests.api.ordered_jobs import ended, none_under_way, ordered

ROW = json.dumps(APPLICANT)


@pytest.mark.parametrize(
    "address",
    [
        "", "https://", "https://[", "https://[::1", "https://[name]/", "https://a..b/", "https://.a.b/",
        "https://a:99999/",
        f"https://{'a' * 64}.com/", "https://:secret@example.com/", "https://@example.com/", "https://a\u2100b/",
        "https://a\uff03b/", "https://exämple.com/", "//example.com/", "https:example.com",
        "https://example.com/" + "a" * MAX_WEBHOOK_LENGTH,
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_refused_when_it_is_named(api: Api, address: str) -> None:
    """422 with its place, whichever of the libraries that would read it later stumbles."""
    answer = api.post("/v1/jobs", {"applicants": [{}], "webhook": address})
    assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, "/webhook")
    assert b"secret" not in answer.body


def test_the_longest_address_is_taken(api: Api) -> None:
    """As the description of the API says it."""
    address = "https://example.invalid/".ljust(MAX_WEBHOOK_LENGTH, "a")
    answer = api.post("/v1/jobs", {"applicants": [{}], "webhook": address})
    assert answer.status == 202
    assert api.request("POST", f"/v1/jobs/{answer.json['id']}/cancel").status in (200, 409)


@pytest.mark.parametrize(
    "order",
    [
        '{"applicants":[%s],"applicants":[%s]}',
        '{"applicants":[],"applicants":[%s,%s]}',
        '{"applicants":[%s],"webhook":null,"\\u0077ebhook":null,"applicants":[%s]}',
        '{"webhook":"https://a.example/","applicants":[%s,%s],"webhook":null}',
    ],
)
def test_an_order_that_names_a_key_twice_is_refused(api: Api, order: str) -> None:
    """As in every other body: a proxy might read the first and the service the last."""
    answer = api.post("/v1/jobs", (order % (ROW, ROW)).encode())
    assert (answer.status, answer.json["type"].rpartition(":")[2]) == (400, "duplicate-key")


def test_orders_at_once_are_as_many_as_one_after_the_other(api: Api, runtime: Runtime, new_key: Any) -> None:
    """Of twenty-four sent at one moment ten are taken."""
    none_under_way(api, runtime)
    key = new_key("job-rush", rate=1e-6, burst=60)  # their rows find no token, so that none ends meanwhile
    order = {"applicants": [applicant()] * 50}

    async def rush() -> list[Any]:
        headers, body = {"content-type": "application/json"}, json.dumps(order).encode()
        return await asyncio.gather(*(api.call("POST", "/v1/jobs", body, headers, key=key) for _ in range(24)))

    answers = api.runner.run(rush())
    assert Counter(one.status for one in answers) == {202: 10, 429: 14}
    for one in answers:
        if one.status == 202:
            runtime.jobs.jobs.cancel(one.json["id"])


@pytest.mark.parametrize("error", [UnicodeError("label"), ValueError("server_hostname"), RuntimeError(), OSError()])
def test_whatever_a_strangers_server_brings_about_is_one_try(
    api: Api, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """It is counted, and tried again later: never at once and for ever."""

    def fails(*_: Any) -> None:
        raise error

    monkeypatch.setattr(webhooks, "deliver", fails)
    job = ordered(api, [applicant()], webhook="https://example.invalid/")
    ended(api, runtime, job)
    deadline = time.monotonic() + 30
    while not (found := runtime.jobs.jobs.read(job)).webhook_tries:
        assert time.monotonic() < deadline
        api.runner.run(runtime.jobs.look())
    assert (found.webhook_tries, found.webhook_status) == (1, "pending")
    assert found.webhook_due > time.time()


def test_nothing_is_sent_that_cannot_be_noted(
    api: Api, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """On a full disk a server is not told the same again and again: once when there is room."""
    sent: list[str] = []
    monkeypatch.setattr(webhooks, "deliver", lambda url, *_: sent.append(url))
    save, refusals = runtime.jobs.jobs.save, 0

    def full(record: Any) -> None:
        nonlocal refusals
        if record.ended and record.webhook:
            refusals += 1
            raise OSError(28, "No space left on device")
        save(record)

    due = runtime.jobs.jobs.due
    monkeypatch.setattr(runtime.jobs.jobs, "due", lambda _: [])  # nobody runs it yet
    job = ordered(api, [applicant()], webhook="https://example.invalid/full")
    assert runtime.jobs.jobs.cancel(job).webhook_status == "pending"
    monkeypatch.setattr(runtime.jobs.jobs, "save", full)
    monkeypatch.setattr(runtime.jobs.jobs, "due", due)
    deadline = time.monotonic() + 30
    while refusals < 3:
        assert time.monotonic() < deadline
        api.runner.run(runtime.jobs.look())
    assert not sent and "could not be told" in caplog.text
    monkeypatch.setattr(runtime.jobs.jobs, "save", save)
    while runtime.jobs.jobs.read(job).webhook_status != "delivered":
        assert time.monotonic() < deadline
        api.runner.run(runtime.jobs.look())
    assert sent == ["https://example.invalid/full"]
