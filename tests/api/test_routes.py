"""Which routes there are, for whom, and what everybody else is told."""

from __future__ import annotations

import pytest

from service.access.keystore import Scope
from service.docs.openapi import document
from service.runtime import Runtime
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
    assert runtime.post is not None
    routes = {(route.method.lower(), route.path) for route in runtime.post.routes.table if route.path != "/docs/{file}"}
    described = {(method, path) for path, item in document()["paths"].items() for method in item}
    assert routes == described


def test_every_answer_carries_an_id_and_protects_itself(api: Api) -> None:
    """Request id, no-store, nosniff and no server banner on successes and errors alike."""
    for answer in (api.score(), api.get("/nowhere"), api.get("/livez", key=None), api.get("/docs")):
        assert answer.headers["x-request-id"]
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers
