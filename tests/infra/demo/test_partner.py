"""The demo partner waits when told to, and repeats safely."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from infra.demo.partner import Api, send, stored_predictions
from infra.errors import StackError

if TYPE_CHECKING:
    from tests.conftest import ObjectStore


class Busy(ThreadingHTTPServer):
    """An API that says `wait` a few times before it answers."""

    def __init__(self, refusals: list[int]) -> None:
        self.refusals = refusals
        self.seen: list[str] = []
        super().__init__(("127.0.0.1", 0), _Answer)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    server: Busy

    def do_POST(self) -> None:  # pylint: disable=invalid-name  # the name http.server calls
        """Refuse as planned, then answer with the applicant's own reference."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.seen.append(self.headers["idempotency-key"])
        status = self.server.refusals.pop(0) if self.server.refusals else 200
        self.send_response(status)
        self.send_header("Retry-After", "0")
        answer = json.dumps({"prediction_id": body["customer_ref"]}).encode()
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_arguments: object) -> None:  # pylint: disable=arguments-differ  # silence
        """Say nothing."""


@pytest.fixture(name="busy")
def _busy() -> Iterator[Busy]:
    server = Busy([])
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("status", [429, 503])
def test_told_to_wait_it_sends_the_same_request_again(busy: Busy, status: int) -> None:
    """The repeated request carries the same idempotency key, so it is one prediction."""
    busy.refusals = [status, status]

    with closing(Api(busy.url, "key")) as api:
        assert api.score({"customer_ref": "a"}) == {"prediction_id": "a"}

    assert len(busy.seen) == 3 and len(set(busy.seen)) == 1


def test_a_refusal_is_no_reason_to_repeat(busy: Busy) -> None:
    """A request that is wrong is reported with its status, not sent again."""
    busy.refusals = [422]

    with closing(Api(busy.url, "key")) as api, pytest.raises(StackError, match="the API answers 422"):
        api.score({"customer_ref": "a"})

    assert len(busy.seen) == 1


def test_an_api_that_is_gone_is_one_line() -> None:
    """The line names the log to look at."""
    gone = "does not answer.*api.log"
    with closing(Api("http://127.0.0.1:9", "key")) as api, pytest.raises(StackError, match=gone):
        api.model()


def test_a_days_traffic_comes_back_in_order(busy: Busy) -> None:
    """Scores belong to the applicants as they were given, whichever connection carried them."""
    names = [str(number) for number in range(40)]

    with closing(Api(busy.url, "key")) as api:
        scores = [score["prediction_id"] for score in send(api, [{"customer_ref": name} for name in names])]

    assert scores == names


def test_ids_are_read_from_every_object_of_the_day(object_store: ObjectStore) -> None:
    """All CSV objects of the day count, those of other days do not."""
    client = object_store.client()
    for key, ids in {
        "predictions/dt=1999-01-01/a-1.csv": ["one", "two"],
        "predictions/dt=1999-01-01/b-1.csv": ["three"],
        "predictions/dt=1999-01-02/a-1.csv": ["four"],
    }.items():
        text = "schema_version,prediction_id\n" + "".join(f"1,{one}\n" for one in ids)
        client.put_object(Bucket="predictions", Key=key, Body=text.encode())

    found = stored_predictions(object_store.endpoint, object_store.pair, "1999-01-01")

    for key in ("1999-01-01/a-1", "1999-01-01/b-1", "1999-01-02/a-1"):
        client.delete_object(Bucket="predictions", Key=f"predictions/dt={key}.csv")
    assert found == {"one", "two", "three"}
