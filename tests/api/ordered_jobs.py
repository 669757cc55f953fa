"""Jobs as a test orders and awaits them: by looking, since the service's own worker may look at the same time."""

from __future__ import annotations

import time
from typing import Any

from service.contract import JobState
from service.runtime import Runtime
from tests.api.client import Answer, Api

PATIENCE_S = 60.0


def ordered(api: Api, rows: list[Any], key: str = "", **more: Any) -> str:
    """The id of a job that was taken."""
    answer = api.post("/v1/jobs", {"applicants": rows, **more}, key=key)
    assert answer.status == 202, answer.body
    JobState.model_validate_json(answer.body)
    assert answer.headers["location"] == f"/v1/jobs/{answer.json['id']}"
    return str(answer.json["id"])


def ended(api: Api, runtime: Runtime, job: str, key: str = "") -> Answer:
    """The job when it has ended."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        api.runner.run(runtime.jobs.look())
        found = api.get(f"/v1/jobs/{job}", key=key)
        if found.json["status"] in ("done", "failed", "cancelled"):
            return found
    raise AssertionError("the job did not end")


def none_under_way(api: Api, runtime: Runtime) -> None:
    """Every job has ended and was told, those of other tests too: what is counted from now on is the next one's."""
    deadline = time.monotonic() + PATIENCE_S
    while runtime.jobs.jobs.due(time.time()):
        assert time.monotonic() < deadline, "a job of another test does not end"
        api.runner.run(runtime.jobs.look())
