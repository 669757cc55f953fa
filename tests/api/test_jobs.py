"""Jobs: a file scored in its own time, once whatever dies, and told to the partner's server."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from typing import Any

import pytest

from service import files, keys
from service.addresses import networks
from service.contract import JobState
from service.jobs import runner, webhooks
from service.middleware.admission import BYTES_PER_TOKEN
from service.runtime import Runtime
from tests.api.client import Api, applicant
from tests.api.ordered_jobs import ended, none_under_way, ordered


@dataclass
class Receiver:
    """A partner's server that answers with the statuses it is told, the last one for good."""

    statuses: list[int]
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    port: int = 0


@pytest.fixture(name="receiver")
def _receiver() -> Iterator[Receiver]:
    told = Receiver([200])

    class Handler(BaseHTTPRequestHandler):
        """Keeps what came."""

        def do_POST(self) -> None:  # pylint: disable=invalid-name  # how http.server names it
            """One webhook."""
            body = self.rfile.read(int(self.headers["content-length"]))
            told.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(told.statuses.pop(0) if len(told.statuses) > 1 else told.statuses[0])
            self.send_header("location", f"http://127.0.0.1:{told.port}/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:  # pylint: disable=arguments-differ
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        told.port = server.server_port
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield told
        server.shutdown()
        thread.join()


def _allow_loopback(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Partners' servers of these tests are here."""
    monkeypatch.setattr(runtime.jobs, "webhook_networks", networks("127.0.0.1"))
    for endpoint in runtime.handler.routes.table:
        if endpoint.route.path == "/v1/jobs":
            monkeypatch.setattr(endpoint.handler.__self__, "_networks", networks("127.0.0.1"))


def test_more_rows_than_a_batch_are_scored_in_order(api: Api, runtime: Runtime) -> None:
    """1,201 rows as a batch scores them, a page at a time; a bad row is told and stops nobody; the file goes."""
    rows = [applicant(num_bank_accounts=place % 9) for place in range(1201)]
    rows[7] = applicant(interest_rate=1000)
    rows[8] = "no applicant"
    job = ordered(api, rows)
    found = ended(api, runtime, job)
    assert (found.json["status"], found.json["done"], found.json["refused"]) == ("done", 1201, 2)
    results = found.json["results"]
    assert len(results) == 1000 and found.json["next"] == f"/v1/jobs/{job}?offset=1000"
    results += api.get(found.json["next"]).json["results"]
    assert len(results) == 1201
    assert results[7]["errors"][0]["pointer"] == "/interest_rate" and "errors" in results[8]
    sound = [place for place in range(1201) if place not in (7, 8)]
    batch = api.post("/v1/score/batch", {"applicants": [rows[place] for place in sound[:500]]}).json["scores"]
    assert [results[place]["score"] for place in sound[:500]] == [one["score"] for one in batch]
    assert api.get(f"/v1/predictions/{results[1200]['prediction_id']}").json == results[1200]
    folder = runtime.settings.jobs_dir / job
    assert not (folder / "rows.jsonl").exists()
    assert api.get(f"/v1/jobs/{job}?offset=x").status == 422


def test_an_order_that_is_sent_again_is_one_job(api: Api, runtime: Runtime, new_key: Any) -> None:
    """The same answer word for word, also when the job has ended; another body is 422, another's key another job."""
    body, name = {"applicants": [applicant()]}, {"idempotency-key": "order-1"}
    first = api.post("/v1/jobs", body, name)
    assert first.status == 202 and "idempotent-replayed" not in first.headers
    ended(api, runtime, first.json["id"])
    again = api.post("/v1/jobs", body, name)
    assert (again.status, again.body, again.headers["location"]) == (202, first.body, first.headers["location"])
    assert again.headers["idempotent-replayed"] == "true"
    assert api.post("/v1/jobs", {"applicants": [applicant()] * 2}, name).status == 422
    other = api.post("/v1/jobs", body, name, key=new_key("job-namesake"))
    assert other.status == 202 and other.json["id"] != first.json["id"]
    assert api.post("/v1/jobs", body, {"idempotency-key": "é"}).status == 400
    running = runtime.settings.jobs_dir / first.json["id"]
    (running / "job.json").unlink()  # as if its order were still being taken
    with files.locked(running / "lock"):
        assert api.post("/v1/jobs", body, name).status == 409
    assert api.post("/v1/jobs", body, name).json["id"] == first.json["id"]


def test_an_order_pays_for_its_bytes_whatever_becomes_of_it(
    api: Api, runtime: Runtime, new_key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New, sent again, another under its name, one too many: reading it costs the same. Its rows pay no token twice."""
    monkeypatch.setattr(runtime.jobs.jobs, "due", lambda _: [])
    key, left, body = new_key("job-bytes", rate=1e-6, burst=200), 200, {"applicants": [applicant()] * 100}
    price = 1 + len(json.dumps(body)) // BYTES_PER_TOKEN
    assert price > 3
    monkeypatch.setattr("service.endpoints.jobs.OPEN_JOBS", 1)
    for name, other, status in (("a", {}, 202), ("a", {}, 202), ("a", {"webhook": None}, 422), ("b", {}, 429)):
        answer = api.post("/v1/jobs", body | other, {"idempotency-key": name}, key=key)
        left -= price
        assert (answer.status, answer.limits["burst"]) == (status, left)
    job = api.post("/v1/jobs", body, {"idempotency-key": "a"}, key=key).json["id"]
    monkeypatch.undo()
    assert ended(api, runtime, job, key).json["done"] == 100
    assert api.get("/v1/model", key=key).limits["burst"] == left - price - (100 - (price - 1)) - 2  # the page, this


def test_a_job_belongs_to_who_ordered_it(api: Api, new_key) -> None:
    """Another partner's, and a made-up one, are 404."""
    job = ordered(api, [applicant()])
    other = new_key("job-rival")
    for identifier in (job, "job_" + "0" * 32, "..", "x"):
        answer = api.get(f"/v1/jobs/{identifier}", key=other)
        assert answer.status == 404
        assert "results go 7 days after" in answer.json["detail"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"applicants": []}, 422),
        ({"applicants": [{}] * 10_001}, 422),
        ({"applicants": {}}, 422),
        ({"applicants": [{}], "more": 1}, 422),
        (b"{", 400),
        ({"applicants": [{}], "webhook": "http://example.com/"}, 422),
        ({"applicants": [{}], "webhook": "https://me:secret@example.com/"}, 422),
        ({"applicants": [{}], "webhook": "file:///etc/passwd"}, 422),
        ({"applicants": [{}], "webhook": "https://exa mple.com/"}, 422),
    ],
)
def test_an_order_has_rules(api: Api, body: object, status: int) -> None:
    """Refused at once, with a place in the body and nothing repeated."""
    answer = api.post("/v1/jobs", body)
    assert answer.status == status and b"secret" not in answer.body


def test_a_worker_that_died_half_way_doubles_nothing(api: Api, runtime: Runtime, monkeypatch) -> None:
    """Results that were scored and not noted are given again, not scored again."""
    none_under_way(api, runtime)  # of what other tests left
    job = ordered(api, [applicant()] * 450)
    real, tries = runtime.jobs.jobs.add_results, 0

    def dies(record: Any, lines: Any) -> None:
        nonlocal tries
        tries += 1
        if tries == 2:
            raise OSError("killed here")
        real(record, lines)

    monkeypatch.setattr(runtime.jobs.jobs, "add_results", dies)
    before = runtime.ledger.outbox.counters.rows
    with suppress(OSError):  # or the worker's own look met it
        api.runner.run(runtime.jobs.look())
    found = ended(api, runtime, job)
    assert tries > 2
    assert (found.json["status"], found.json["done"]) == ("done", 450)
    assert runtime.ledger.outbox.counters.rows == before + 450
    assert len({one["prediction_id"] for one in found.json["results"]}) == 450


def test_a_revoked_key_ends_its_jobs(api: Api, runtime: Runtime, new_key, monkeypatch) -> None:
    """Nothing is scored for a key that opens nothing any more."""
    key, due = new_key("job-revoked"), runtime.jobs.jobs.due
    monkeypatch.setattr(runtime.jobs.jobs, "due", lambda _: [])  # nobody runs it yet
    job = ordered(api, [applicant()] * 3, key=key)
    keys.revoke(runtime.settings.service_dir, key[8:16])
    new = new_key("job-revoked")
    monkeypatch.setattr(runtime.jobs.jobs, "due", due)
    found = ended(api, runtime, job, key=new)
    assert (found.json["status"], found.json["done"]) == ("failed", 0)
    assert "no longer valid" in found.json["because"]


def test_a_job_that_waits_is_cancelled(api: Api, runtime: Runtime, new_key, monkeypatch) -> None:
    """Once, however often it is asked: no row is scored or paid, the rows go; another partner's is 404."""
    due = runtime.jobs.jobs.due
    monkeypatch.setattr(runtime.jobs.jobs, "due", lambda _: [])  # nobody runs it yet
    key, before = new_key("job-cancel"), runtime.ledger.outbox.counters.rows
    job = ordered(api, [applicant()] * 3, key=key)
    assert api.request("POST", f"/v1/jobs/{job}/cancel", key=new_key("job-cancel-rival")).status == 404
    assert api.request("POST", f"/v1/jobs/job_{'0' * 32}/cancel", key=key).status == 404
    assert api.get(f"/v1/jobs/{job}/cancel", key=key).status == 405
    first, again = (api.request("POST", f"/v1/jobs/{job}/cancel", key=key) for _ in range(2))
    assert (first.status, first.json["status"], first.json["done"]) == (200, "cancelled", 0)
    assert (again.status, again.body) == (200, first.body)
    JobState.model_validate_json(first.body)
    assert not (runtime.settings.jobs_dir / job / "rows.jsonl").exists()
    monkeypatch.setattr(runtime.jobs.jobs, "due", due)
    api.runner.run(runtime.jobs.look())
    found = api.get(f"/v1/jobs/{job}", key=key).json
    assert (found["status"], found["results"], found["finished_at"]) == ("cancelled", [], first.json["finished_at"])
    assert runtime.ledger.outbox.counters.rows == before


@pytest.mark.parametrize(("row", "given_back"), [(applicant(), 200), ({}, 0)], ids=["sound", "refused"])
def test_a_job_is_cancelled_half_way(
    api: Api, runtime: Runtime, new_key, monkeypatch, row: dict[str, Any], given_back: int
) -> None:
    """The chunk done before stays, the one under way is dropped and given back, but for rows whose faults were looked
    for; no other is begun."""
    key = new_key(f"job-half-{given_back}")
    real, taken = runtime.jobs.jobs.add_results, []
    take = runtime.jobs.limiter.take

    def counted(owner: Any, tokens: int) -> Any:
        taken.append(tokens)
        return take(owner, tokens)

    def adds(record: Any, lines: Any) -> None:
        if record.done:
            assert runtime.jobs.jobs.cancel(record.id).status == "cancelled"
        real(record, lines)

    class Counting:
        """The limiter, counted."""

        take = staticmethod(counted)

    none_under_way(api, runtime)
    monkeypatch.setattr(runtime.jobs, "limiter", Counting)
    monkeypatch.setattr(runtime.jobs.jobs, "add_results", adds)
    prepaid = len(json.dumps({"applicants": [row] * 700})) // BYTES_PER_TOKEN
    job = ordered(api, [row] * 700, key=key)
    found = ended(api, runtime, job, key=key)
    assert (found.json["status"], found.json["done"], len(found.json["results"])) == ("cancelled", 200, 200)
    deadline = time.monotonic() + 30
    while len(taken) < 3:  # given back by the service's own worker, if that ran it
        assert time.monotonic() < deadline
        api.runner.run(runtime.jobs.look())
    assert taken == [200 - prepaid, 200, -given_back]


def test_what_has_ended_is_not_cancelled(api: Api, runtime: Runtime) -> None:
    """409, and it stays as it ended."""
    job = ordered(api, [applicant()])
    before = ended(api, runtime, job)
    answer = api.request("POST", f"/v1/jobs/{job}/cancel")
    assert (answer.status, answer.json["detail"]) == (409, "The job is done already")
    assert answer.json["type"].endswith("job-ended")
    assert api.get(f"/v1/jobs/{job}").body == before.body


def test_an_order_wakes_its_worker(api: Api, runtime: Runtime, monkeypatch) -> None:
    """It is run though the next look is an hour away."""
    with monkeypatch.context() as patch:
        patch.setattr(runner, "LOOK_S", 3600.0)
        for _ in range(2):  # the first may be met by a look that was begun before
            job, deadline = ordered(api, [applicant()]), time.monotonic() + 30
            while api.get(f"/v1/jobs/{job}").json["status"] != "done":
                assert time.monotonic() < deadline
    runtime.jobs.news.set()  # so that it waits no hour


def test_too_many_jobs_wait_outside(api: Api, runtime: Runtime, new_key, monkeypatch) -> None:
    """Ten of an account; the next is 429 and comes again."""
    monkeypatch.setattr(runtime.jobs.jobs, "due", lambda _: [])  # none of them ends meanwhile
    key = new_key("job-crowd")
    for _ in range(10):
        ordered(api, [applicant()], key=key)
    answer = api.post("/v1/jobs", {"applicants": [applicant()]}, key=key)
    assert (answer.status, answer.headers["retry-after"]) == (429, "30")


def test_a_cancelled_job_is_told(api: Api, runtime: Runtime, receiver: Receiver, monkeypatch) -> None:
    """The partner's server hears of it as of any other end."""
    _allow_loopback(runtime, monkeypatch)
    due = runtime.jobs.jobs.due
    monkeypatch.setattr(runtime.jobs.jobs, "due", lambda _: [])  # nobody runs it yet
    job = ordered(api, [applicant()], webhook=f"http://127.0.0.1:{receiver.port}/scored")
    assert api.request("POST", f"/v1/jobs/{job}/cancel").json["webhook"] == "pending"
    monkeypatch.setattr(runtime.jobs.jobs, "due", due)
    deadline = time.monotonic() + 30
    while api.get(f"/v1/jobs/{job}").json["webhook"] != "delivered":
        assert time.monotonic() < deadline
        api.runner.run(runtime.jobs.look())
    assert json.loads(receiver.got[-1][1])["data"] == {"id": job, "status": "cancelled", "rows": 1, "refused": 0}


def test_the_end_is_told_and_signed(api: Api, runtime: Runtime, receiver: Receiver, monkeypatch) -> None:
    """The partner's server gets it again until it takes it, and can tell that it is ours."""
    _allow_loopback(runtime, monkeypatch)
    monkeypatch.setattr(webhooks, "TRIES_AFTER_S", (0.0,) * 5)
    receiver.statuses = [500, 302, 200]
    job = ordered(api, [applicant()], webhook=f"http://127.0.0.1:{receiver.port}/scored?a=1")
    deadline = time.monotonic() + 30
    while api.get(f"/v1/jobs/{job}").json["webhook"] != "delivered":
        assert time.monotonic() < deadline
        api.runner.run(runtime.jobs.look())
    assert len(receiver.got) == 3
    headers, body = receiver.got[-1]
    assert json.loads(body) == {"type": "job.ended", "data": {"id": job, "status": "done", "rows": 1, "refused": 0}}
    secret = base64.b64decode(keys.webhook_secret(runtime.settings.service_dir, "acme").removeprefix("whsec_"))
    message = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    right = "v1," + base64.b64encode(hmac.digest(secret, message, "sha256")).decode()
    assert headers["webhook-signature"] == right


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "[::1]", "169.254.169.254", "10.0.0.1", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433",
        "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fd00::1]", "[fe80::1]", "100.64.0.1", "224.0.0.1", "0x7f.1",
        "192.0.0.192", "[64:ff9b:1::a9fe:a9fe]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]", "[fec0::1]", "[5f00::1]",
        "168.63.129.16", "[::ffff:168.63.129.16]", "[64:ff9b::a83f:8110]", "[3fff::1]",
        "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
    ],
)  # fmt: skip
def test_a_webhook_reaches_no_inner_address(host: str) -> None:
    """Loopback, private, link-local and metadata addresses in every form are refused before a byte is sent."""
    with pytest.raises(webhooks.WebhookRefused):
        webhooks.deliver(f"https://{host}/", b"{}", b"s" * 32, "job_x", ())


def test_public_addresses_are_public() -> None:
    """The internet is let through."""
    for text in ("203.0.114.7", "8.8.8.8", "2606:4700::1111"):
        assert webhooks.public(ip_address(text))


def test_a_job_that_rests_holds_nobody_up(api: Api, runtime: Runtime, receiver: Receiver, new_key, monkeypatch) -> None:
    """One without tokens lets another partner's through, and when it is cancelled its server hears of it at once."""
    _allow_loopback(runtime, monkeypatch)
    poor = new_key("job-poor", rate=1e-6, burst=3, daily=10)
    resting = ordered(api, [applicant()] * 3, key=poor, webhook=f"http://127.0.0.1:{receiver.port}/")
    other = ordered(api, [applicant()] * 3, key=new_key("job-neighbour"))

    async def look() -> None:
        await asyncio.wait_for(runtime.jobs.look(), 30)

    deadline = time.monotonic() + 60
    while runtime.jobs.jobs.read(other).status != "done":
        assert time.monotonic() < deadline
        api.runner.run(look())
    assert runtime.jobs.jobs.read(resting).done == 0
    assert runtime.jobs.jobs.cancel(resting).status == "cancelled"
    while runtime.jobs.jobs.read(resting).webhook_status != "delivered":
        assert time.monotonic() < deadline
        api.runner.run(look())


def test_a_server_that_hangs_holds_nobody_up(api: Api, runtime: Runtime, new_key, monkeypatch) -> None:
    """Another partner's job is run and told while one partner's server takes the connection and says nothing."""
    _allow_loopback(runtime, monkeypatch)
    delivered, hangs = webhooks.deliver, threading.Event()

    def deliver(url: str, *arguments: Any) -> None:
        if url.endswith("hang"):
            assert hangs.wait(60)
        delivered("http://127.0.0.1:1/", *arguments)

    monkeypatch.setattr(webhooks, "deliver", deliver)
    try:
        hung, beside = new_key("job-hangs"), new_key("job-beside")
        told = ordered(api, [applicant()], key=hung, webhook="http://127.0.0.1:1/hang")
        ended(api, runtime, told, hung)
        other = ordered(api, [applicant()], key=beside, webhook="http://127.0.0.1:1/")
        ended(api, runtime, other, beside)
        deadline = time.monotonic() + 30
        while not runtime.jobs.jobs.read(other).webhook_tries:
            assert time.monotonic() < deadline
            api.runner.run(runtime.jobs.look())
        assert not runtime.jobs.jobs.read(told).webhook_tries
    finally:
        hangs.set()


def test_a_server_that_drips_its_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is the whole answer's, however often a byte of it comes."""
    monkeypatch.setattr(webhooks, "TIMEOUT_S", 0.5)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            line, _ = server.accept()
            with line, suppress(OSError):
                while not over.wait(0.05):
                    line.sendall(b"H")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            with pytest.raises(OSError):
                webhooks.deliver(
                    f"http://127.0.0.1:{server.getsockname()[1]}/", b"{}", b"s" * 32, "job_x", networks("127.0.0.1")
                )
        finally:
            over.set()
            thread.join()
