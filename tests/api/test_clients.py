"""The clients that are made from the description, against the service as it is run."""

# pylint: disable=redefined-outer-name  # how pytest hands fixtures over

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import time
import typing
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from infra.delivery import clients
from service.docs.clients import CLIENTS, client_files
from service.docs.examples import APPLICANT
from service.docs.schema_types import calls
from service.endpoints.table import description
from tests.api.client import Api
from tests.api.running import Served, end, serve


@pytest.fixture(scope="module")
def served(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One worker, nothing around it."""
    found = serve(tmp_path_factory.mktemp("served"), model_dir, QF_WORKERS="1")
    yield found
    end(found.process)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files as `make clients` writes them."""
    written = tmp_path_factory.mktemp("clients")
    assert {path.name for path in clients.write(written)} == set(CLIENTS)
    return written


def _module(folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("quantumfinance", folder / "quantumfinance.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["quantumfinance"] = module  # where the types look for one another
    spec.loader.exec_module(module)
    return module


def _always(kind: Any) -> set[str]:
    """The keys that every such answer has: of annotations kept as text, the type itself cannot tell."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {name for name, hint in hints.items() if typing.get_origin(hint) is not typing.NotRequired}


def _told(job: Any) -> Any:
    return job["status"], job["rows"], job["done"]


def test_the_python_client_calls_every_route(served: Served, folder: Path) -> None:
    """Each method against the running service: answers as typed, a repeated key replayed, a problem raised."""
    module = _module(folder)
    with module.ScoreApi(f"http://127.0.0.1:{served.port}", served.key) as api:
        score = api.score(APPLICANT, idempotency_key="client-1")
        assert _always(module.Score) <= set(score) <= set(module.Score.__annotations__)
        again = api.score(APPLICANT, idempotency_key="client-1", prediction_set=True)
        assert again == score | {"prediction_set": again["prediction_set"]} and again["prediction_set"]
        assert "prediction_set" not in api.score(APPLICANT, prediction_set=False)
        assert len(api.score_batch({"applicants": [APPLICANT] * 3})["scores"]) == 3
        assert api.advice({"applicant": APPLICANT, "target": {"score": 1}})["reachable"] is True
        assert api.prediction(score["prediction_id"]) == score
        receipt = api.review(score["prediction_id"], {"verdict": "requested", "reviewer": "analyst-17"})
        assert receipt["prediction_id"] == score["prediction_id"]
        outcome = {"prediction_id": score["prediction_id"], "observed_class": "Good", "observed_at": _today(score)}
        assert api.outcome(outcome)["prediction_id"] == score["prediction_id"]
        assert api.model()["name"] == score["model"]["name"]
        job = api.order_job({"applicants": [APPLICANT] * 2})
        deadline = time.monotonic() + 60
        while job["status"] not in ("done", "failed"):
            assert time.monotonic() < deadline
            time.sleep(0.2)
            job = api.job(job["id"])
        assert _told(job) == ("done", 2, 2) and len(api.job(job["id"], offset=1)["results"]) == 1
        with pytest.raises(module.ApiProblem, match="409 The job is done already"):
            api.cancel_job(job["id"])
        with pytest.raises(module.ApiProblem) as caught:
            api.score({**APPLICANT, "interest_rate": 1000})
        assert caught.value.status == 422 and caught.value.problem["errors"][0]["pointer"] == "/interest_rate"
        # What stands in a partner's own log says which field broke which rule.
        assert str(caught.value).startswith("422 1 rule is broken: /interest_rate should be less than or equal to 100")
        assert "1000" not in str(caught.value)


def _today(score: Any) -> str:
    return str(score["created_at"][:10])


def test_every_type_of_the_python_client_resolves(folder: Path) -> None:
    """No annotation names what is not there; every operation has a method."""
    module = _module(folder)
    for name in description()["components"]["schemas"]:
        kind = getattr(module, name)
        if isinstance(kind, type):
            assert typing.get_type_hints(kind)
    offered = {one.snake_name for one in calls(description())}
    methods = {name for name in vars(module.ScoreApi) if not name.startswith("_")}
    assert methods == offered | {"close"}
    for name in offered:
        assert typing.get_type_hints(getattr(module.ScoreApi, name))["return"]


SCRIPT = """
import { ApiProblem, ScoreApi } from "./quantumfinance.mjs";
const applicant = JSON.parse(process.env.APPLICANT);
const api = new ScoreApi(process.env.QF_API_URL + "/", process.env.QF_API_KEY);
const score = await api.score(applicant, { idempotencyKey: "node-1" });
const again = await api.score(applicant, { idempotencyKey: "node-1" });
const { scores } = await api.scoreBatch({ applicants: [applicant, applicant] });
const advice = await api.advice({ applicant, target: { score: 1 } });
const read = await api.prediction(score.prediction_id);
const review = await api.review(score.prediction_id, { verdict: "requested", reviewer: "analyst-17" });
const observed = { observed_class: "Good", observed_at: score.created_at.slice(0, 10) };
const outcome = await api.outcome({ prediction_id: score.prediction_id, ...observed });
const model = await api.model();
let job = await api.orderJob({ applicants: [applicant, applicant] });
for (let i = 0; i < 300 && !["done", "failed"].includes(job.status); i++) {
  await new Promise((resolve) => setTimeout(resolve, 200));
  job = await api.job(job.id, { offset: 1 });
}
let late;
try { await api.cancelJob(job.id); } catch (error) { late = error.status; }
let problem;
try { await api.score({ ...applicant, interest_rate: 1000 }); } catch (error) { problem = error; }
const same = JSON.stringify(again) === JSON.stringify(score) && JSON.stringify(read) === JSON.stringify(score);
console.log(JSON.stringify({
  same, scores: scores.length, reachable: advice.reachable, review: review.prediction_id === score.prediction_id,
  outcome: outcome.prediction_id === score.prediction_id, model: model.name === score.model.name,
  job: [job.status, job.rows, job.results.length], late,
  problem: [problem instanceof ApiProblem, problem.status, problem.problem.errors[0].pointer],
  message: problem.message,
}));
"""


def _node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed")
    return found


def test_the_javascript_client_calls_every_route(served: Served, folder: Path) -> None:
    """The module whose types are TypeScript's, run by Node against the service."""
    (folder / "check.mjs").write_text(SCRIPT, encoding="utf-8")
    environment = {
        "PATH": "/usr/bin:/bin",
        "QF_API_URL": f"http://127.0.0.1:{served.port}",
        "QF_API_KEY": served.key,
        "APPLICANT": json.dumps(APPLICANT),
    }
    done = subprocess.run(
        [_node(), "check.mjs"], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "same": True,
        "scores": 2,
        "reachable": True,
        "review": True,
        "outcome": True,
        "model": True,
        "job": ["done", 2, 1],
        "late": 409,
        "problem": [True, 422, "/interest_rate"],
        "message": "422 1 rule is broken: /interest_rate should be less than or equal to 100",
    }


def test_the_types_for_typescript_declare_what_the_module_has(folder: Path) -> None:
    """A method each, a type each schema; where a compiler is installed, it takes them."""
    module = (folder / "quantumfinance.mjs").read_text("utf-8")
    types = (folder / "quantumfinance.d.mts").read_text("utf-8")
    names = [one.name for one in calls(description())]
    assert re.findall(r"^  async (\w+)\(", module, re.MULTILINE) == names
    assert re.findall(r"^  (\w+)\(.*\): Promise<", types, re.MULTILINE) == names
    declared = re.findall(r"^export (?:interface|type) (\w+)", types, re.MULTILINE)
    assert declared == list(description()["components"]["schemas"])
    compiler = shutil.which("tsc")
    if compiler:
        command = [
            compiler,
            "--noEmit",
            "--strict",
            "--target",
            "es2022",
            "--lib",
            "es2022,dom",
            "quantumfinance.d.mts",
        ]
        subprocess.run(command, cwd=folder, check=True, timeout=120)


def _requests(items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for item in items:
        yield from _requests(item["item"]) if "item" in item else [item]


def test_the_postman_collection_sends_what_the_service_takes(api: Api, folder: Path) -> None:
    """Each example is sent as it stands; only ids of what this service never gave are unknown."""
    collection = json.loads((folder / "quantumfinance.postman_collection.json").read_text("utf-8"))
    assert collection["info"]["schema"].endswith("/v2.1.0/collection.json")
    assert [one["key"] for one in collection["variable"]] == ["baseUrl", "apiKey"]
    seen = {}
    for item in _requests(collection["item"]):
        request = item["request"]
        values = {f":{one['key']}": one["value"] for one in request["url"].get("variable", [])}
        path = "/" + "/".join(values.get(part, part) for part in request["url"]["path"])
        headers = {one["key"]: one["value"].replace("{{$guid}}", "a-guid") for one in request["header"]}
        body = request.get("body", {}).get("raw", "").encode()
        answer = api.request(request["method"], path, body, headers)
        seen[path] = answer.status
        expected = item["response"][0]["code"]
        foreign = {404} if values or path == "/v1/outcomes" else set()
        assert answer.status in {expected, *foreign}, (path, answer.body)
    assert len(seen) == len(list(calls(description())))


def test_the_documentation_links_to_the_files(api: Api, folder: Path) -> None:
    """Who may read the page downloads them: the very bytes that the command writes."""
    page = api.get("/docs").body.decode()
    for name, (content, kind) in client_files(description()).items():
        answer = api.get(f"/docs/{name}")
        assert f'href="/docs/{name}"' in page
        assert (answer.status, answer.headers["content-type"]) == (200, kind.decode())
        assert answer.body == content == (folder / name).read_bytes()
