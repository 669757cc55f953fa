"""Which routes there are, for whom, and what everybody else is told."""

from __future__ import annotations

import pytest

from service.access.keystore import Scope
from service.contract import Receipt, Review
from service.docs.examples import RECEIPT
from service.docs.openapi import document
from service.endpoints.table import OWNERS, description
from service.runtime import Runtime
from service.web.exchange import Call, Reply
from service.web.routes import (
    Endpoint,
    Price,
    RequestBody,
    ResponseBody,
    Route,
    Routes,
    answers,
    declared,
    endpoints_of,
)
from tests.api.client import Api, basic

PATHS = [
    "/", "/livez", "/readyz", "/metrics", "/docs", "/docs/", "/docs/start.js", "/openapi.json", "/docs.json",
    "/schema.json", "/healthz", "/v1/score", "/v1/score/", "/v1/score/batch", "/v1/predictions/x",
    "/v1/predictions/x/review", "/v1/predictions/", "/v1/outcomes", "/v1/model", "/static_content/index.css", "/score",
    "/nowhere", "/../etc/passwd",
]  # fmt: skip
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "MADEUP"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", METHODS)
def test_nothing_but_liveness_and_readiness_opens_without_a_key(api: Api, method: str, path: str) -> None:
    """Every path and method without a key is 401, but for the two that say whether the service lives."""
    answer = api.request(method, path, key=None)
    if path in ("/livez", "/readyz"):
        assert answer.status == (200 if method in ("GET", "HEAD") else 405)
    else:
        assert answer.status == 401
        assert answer.json["type"].endswith(":unauthorized")
        assert "ApiKey" in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    "path", ["/", "/docs.json", "/schema.json", "/healthz", "/static_content/index.css", "/v1/score/"]
)
def test_what_is_not_in_the_table_does_not_exist(api: Api, path: str) -> None:
    """BentoML's own routes and made-up ones are 404 with a good key."""
    assert api.get(path).status == 404


def test_whoever_opens_the_address_is_told_where_to_go(api: Api) -> None:
    """A browser shows the answer as it is: how the key is sent, and where the documentation stands."""
    stranger = api.get("/", key=None)
    assert (stranger.status, stranger.headers["content-type"]) == (401, "application/problem+json")
    assert "x-api-key" in stranger.json["detail"] and "/docs" in stranger.json["detail"]
    assert api.get("/docs", basic(api.key), key=None).status == 200
    assert "/docs" in api.get("/").json["detail"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_a_wrong_method_names_the_right_one(api: Api, method: str) -> None:
    """405 with Allow."""
    answer = api.request(method, "/v1/score")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("path", "scope"),
    [("/metrics", Scope.METRICS), ("/docs", Scope.DOCS), ("/openapi.json", Scope.DOCS), ("/v1/model", Scope.READ)],
)
def test_scopes_open_their_routes_alone(api: Api, new_key, path: str, scope: Scope) -> None:
    """A key with one scope opens that scope's routes and is 403 on the others."""
    right = new_key(f"only-{scope}-{path.strip('/').replace('/', '-').replace('.', '-')}", scopes=(scope,))
    wrong = new_key(f"not-{scope}-{path.strip('/').replace('/', '-').replace('.', '-')}", scopes=(Scope.STAFF,))
    assert api.get(path, key=right).status == 200
    assert api.get(path, key=wrong).status == 403


def test_a_browser_opens_the_docs_with_basic_and_nothing_else(api: Api) -> None:
    """The key as a Basic password opens documentation, but no data; without it the browser is asked."""
    assert api.get("/docs", basic(api.key), key=None).status == 200
    assert api.get("/openapi.json", basic(api.key), key=None).status == 200
    assert api.get("/v1/model", basic(api.key), key=None).status == 401
    assert api.get("/docs", key=None).headers["www-authenticate"].startswith(("ApiKey", "Basic"))


def test_prometheus_reads_metrics_with_a_bearer_key(api: Api, staff_key: str) -> None:
    """Bearer counts on /metrics alone."""
    bearer = {"authorization": f"Bearer {staff_key}"}
    assert api.get("/metrics", bearer, key=None).status == 200
    assert api.get("/docs", bearer, key=None).status == 401


def test_every_route_is_documented_and_every_document_is_a_route(runtime: Runtime, api: Api) -> None:
    """The route table and OpenAPI list the same operations, the page's own files aside."""
    assert api.get("/livez", key=None).status == 200
    assert runtime.handler is not None
    table = [endpoint.route for endpoint in runtime.handler.routes.table]
    routes = {(route.method.lower(), route.path) for route in table if not route.hidden}
    described = {(method, path) for path, item in description()["paths"].items() for method in item}
    assert routes == described


ADDED = Route(
    "POST",
    "/v1/added/{id}",
    Scope.READ,
    name="added",
    summary="A route that a test adds",
    tag="afterwards",
    text="And nothing else.",
    price=Price.TOKEN,
    takes=RequestBody(Review, {"verdict": "requested", "reviewer": "analyst-17"}, 2048),
    answer=ResponseBody("Added.", Receipt, RECEIPT, status=201),
    example_id="a-1",
)


class _Adding:
    """Answers the added route."""

    @answers(ADDED)
    async def add(self, call: Call) -> Reply:
        """What stands in the path."""
        return Reply(201, b'{"id":"%s"}' % ADDED.parameter(call.path).encode())


def test_a_route_declared_in_one_place_is_served_counted_and_documented(
    api: Api, runtime: Runtime, new_key, staff_key: str, monkeypatch
) -> None:
    """Dispatch, scope, method, metrics' label, description and page follow from the one declaration."""
    assert runtime.handler is not None
    served = (*runtime.handler.routes.table, *endpoints_of(_Adding()))
    monkeypatch.setattr(runtime.handler, "routes", Routes(served))
    described = document([*declared(*OWNERS), *declared(_Adding)])
    operation = described["paths"]["/v1/added/{id}"]["post"]

    assert api.post("/v1/added/a-7", {}).json == {"id": "a-7"}
    assert api.post("/v1/added/a-7", {}, key=new_key("scoring", scopes=(Scope.SCORE,))).status == 403
    assert api.get("/v1/added/a-7").headers["allow"] == "POST"
    assert b'qf_requests_total{route="/v1/added/{id}",status="201"} 1' in api.get("/metrics", key=staff_key).body
    assert operation["description"] == "Costs one token. At most 2 KiB. And nothing else."
    assert set(operation["responses"]) == {"201", "400", "401", "403", "404", "413", "415", "422", "429", "503"}
    assert operation["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Review"}
    assert operation["parameters"][0]["example"] == "a-1"


def test_a_path_is_declared_once() -> None:
    """Two answers to one path are a mistake that stops the start."""

    async def handler(_call: Call) -> Reply:
        return Reply(200, b"")

    with pytest.raises(ValueError, match="declared twice"):
        Routes([Endpoint(ADDED, handler), Endpoint(ADDED, handler)])


def test_every_answer_carries_an_id_and_protects_itself(api: Api) -> None:
    """Request id, no-store, nosniff and no server banner on successes and errors alike."""
    for answer in (api.score(), api.get("/nowhere"), api.get("/livez", key=None), api.get("/docs")):
        assert answer.headers["x-request-id"]
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers
