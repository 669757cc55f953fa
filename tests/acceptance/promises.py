"""The promises, each used as its user uses it; one function a promise, its first line is what is printed."""

from __future__ import annotations

import csv
import io
import re
import shlex
import sys
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import boto3

from tests.acceptance.browser import pages_show_what_was_sent
from tests.acceptance.by_hand import bentoml_by_hand, image_runs_plainly
from tests.acceptance.lost_runs import lost_runs_are_healed
from tests.acceptance.new_quarter import outcomes_recalibrate
from tests.acceptance.partner_traffic import APPLICANT, PartnerTraffic
from tests.acceptance.running_stack import Broken, RunningStack

Promise = Callable[[RunningStack], Generator[None] | None]
REVIEWER, SECOND, TRAINER = "ana.souza", "rui.lima", "eva.prado"
RUN_S: Final = 900.0  # a patience, no promise: the machine may be busy
SWITCH_S: Final = 900.0
PROMISED_S: Final = 120.0  # printed, not failed on: another program may have the processor
FIRING_S: Final = 480.0
ROWS: Final = 300
FAULT: Final = re.compile(r"\b(ERROR|CRITICAL|FATAL)\b")  # as any of the parts writes it
UNMEASURED: Final = ("not measured", "degenerate")
CLICKS, CLICKERS = 200, 4
REFUSED: Final[dict[str, tuple[tuple[dict[str, Any], str], ...]]] = {
    "training": (({"x": 5}, "x"), ({"form": {"learning": {"iterations": 0}}}, "form.learning.iterations")),
    "registration": (({"x": 5}, "x"), ({"version": -1}, "version")),
    "packaging": (({"x": 5}, "x"), ({"version": "newest"}, "version")),
    "drift": (({"x": 5}, "x"), ({"settings": {"window_end": "2026-13-45"}}, "settings.window_end")),
    "recalibration": (({"x": 5}, "x"), ({"form": {"quarter": "2026-Q5"}}, "form.quarter")),
    "scoring": (({"x": 5}, "x"), ({"form": {"chunk_rows": 1}}, "form.chunk_rows")),
    "retention": (({"x": 5}, "x"), ({"form": {"erase_pseudonym": "Ana"}}, "form.erase_pseudonym")),
}


def schedules_are_planned(stack: RunningStack) -> None:
    """Every active schedule has planned runs, and `make status` says that all is well."""
    coming = {
        "expected_start_time": {"after_": datetime.now(UTC).isoformat()},
        "state": {"type": {"any_": ["SCHEDULED"]}},
    }
    planned = {
        (run.get("created_by") or {}).get("id") for run in stack.post("/flow_runs/filter", {"flow_runs": coming})
    }
    deployments = stack.post("/deployments/filter", {})
    for deployment in deployments:
        for schedule in deployment["schedules"]:
            if schedule["active"] and schedule["id"] not in planned:
                raise Broken(f"a schedule of {deployment['name']} is active and has no planned run")
    code, said = stack.shell("make status")
    if code:
        raise Broken([line for line in said.strip().splitlines() if not line.startswith("make")][-1])
    for line in _schedule_history(stack, {one["id"]: one["name"] for one in deployments}):
        print(f"       {line}")


def _schedule_history(stack: RunningStack, names: dict[str, str]) -> list[str]:
    """Which schedules ran already, and when last: on a stack that has stood for an hour at least one did."""
    query = {
        "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}},
        "sort": "EXPECTED_START_TIME_DESC",
        "limit": 200,
    }
    latest: dict[str, str] = {}
    for run in stack.post("/flow_runs/filter", query):
        if run.get("auto_scheduled"):
            latest.setdefault(names[run["deployment_id"]], run["expected_start_time"])
    return [f"{name} ran by its schedule of {at[:16]} UTC" for name, at in latest.items()]


def a_schedule_fires(stack: RunningStack) -> Generator[None]:
    """A schedule added in the page, every minute, really runs."""
    identity = stack.deployment("retention")["id"]
    added = stack.post(
        f"/deployments/{identity}/schedules",
        [{"schedule": {"cron": "* * * * *", "timezone": "UTC"}, "active": True, "slug": "acceptance"}],
    )[0]["id"]
    query = {"flow_runs": {"deployment_id": {"any_": [identity]}, "state": {"type": {"any_": ["COMPLETED"]}}}}
    try:
        yield
        deadline = time.monotonic() + FIRING_S
        while time.monotonic() < deadline:
            runs = stack.post("/flow_runs/filter", query)
            if any((run.get("created_by") or {}).get("id") == added for run in runs):
                return
            time.sleep(2)
        raise Broken(f"no run of it was completed in {FIRING_S:g} s")
    finally:
        stack.prefect.delete(f"/deployments/{identity}/schedules/{added}").raise_for_status()


def forms_refuse(stack: RunningStack) -> None:
    """Each form refuses unknown and impossible parameters and names the field, before a run starts."""
    if new := {one["name"] for one in stack.post("/deployments/filter", {})} - set(REFUSED):
        raise Broken(f"nothing is known that the form of {', '.join(sorted(new))} must refuse")
    for deployment, cases in REFUSED.items():
        for parameters, field in cases:
            if f"'{field}'" not in (said := stack.refusal(deployment, parameters)):
                raise Broken(f"{deployment} refuses {parameters} without naming {field}: {said}")


def approved_is_answering(stack: RunningStack) -> None:
    """Trained by other than defaults, rejected, then approved in the form: the version answers, no request failed."""
    learning = {"iterations": 20, "depth": 3, "learning_rate": 0.2}
    run = stack.completed("training", {"form": {"learning": learning, "trainer": TRAINER}}, RUN_S)
    version = _registered_by(stack, run)
    before = stack.answering()
    _decide(stack, stack.run_for("registration", version, 120), {"reviewer": REVIEWER, "verdict": "reject"})
    if stack.answering() != before:
        raise Broken("a rejected version answers")
    again = stack.start("registration", {"version": version})
    with PartnerTraffic(stack.api_url, stack.key) as partner:
        _decide(stack, again, _approval())
        approved_at = time.monotonic()
        while stack.answering() != version:
            if time.monotonic() - approved_at > SWITCH_S:
                raise Broken(f"version {version} was approved and {stack.answering()} still answers")
            time.sleep(1)
        took = time.monotonic() - approved_at
        state = stack.ended(packed := stack.run_for("packaging", version, 60), RUN_S)
    if partner.failed:
        raise Broken(f"{len(partner.failed)} of a partner's requests failed at the switch: {partner.failed[0]}")
    if state != "COMPLETED":
        raise Broken(f"packaging ended {stack.reason(packed)}")
    if "answering" not in str(stack.artifact(packed, "packaging")):
        raise Broken("packaging does not say what answers")
    late = f", later than the promised {PROMISED_S:g} s" if took > PROMISED_S else ""
    answered = sum(partner.versions.values())
    print(f"       version {version} {took:.0f} s after the verdict{late}; {answered} requests, none failed")


def packed_again(stack: RunningStack) -> None:
    """Packaging by hand of the version that answers finds its Bento again and says that it answers."""
    version = stack.answering()
    run = stack.completed("packaging", {"version": version}, RUN_S)
    told = {each["step"]: each["result"] for each in stack.artifact(run, "packaging")}
    if "found again" not in told["Bento"] or "answers" not in told["in front of partners"]:
        raise Broken(f"packaging of version {version} says {told}")


def files_are_scored(stack: RunningStack) -> None:
    """Batch scoring from Prefect: a path with one process, a bucket prefix with two."""
    row = {name: value for name, value in APPLICANT.items() if name != "as_of"}
    row["loan_types"] = "auto|personal"
    text = io.StringIO()
    table = csv.DictWriter(text, fieldnames=list(row))
    table.writeheader()
    table.writerows([row] * ROWS)
    place = stack.state / "acceptance" / f"{int(time.time())}"
    place.mkdir(parents=True)
    (place / "applicants.csv").write_text(text.getvalue())
    prefix = f"s3://data/acceptance/{place.name}"
    store = boto3.client("s3")
    for name in ("one.csv", "two.csv"):
        store.put_object(Bucket="data", Key=f"acceptance/{place.name}/{name}", Body=text.getvalue().encode())
    for source, processes, rows in ((str(place / "applicants.csv"), 1, ROWS), (prefix, 2, 2 * ROWS)):
        form = {"source": source, "processes": processes, "chunk_rows": 100, "reasons": True}
        run = stack.completed("scoring", {"form": form}, RUN_S)
        figures = {each["figure"]: each["value"] for each in stack.artifact(run, "scoring")}
        if figures["rows"] != f"{rows:,}" or figures["rows that break the contract"] != "0":
            raise Broken(f"{source}: {figures}")


def drift_is_judged(stack: RunningStack) -> None:
    """Drift with another window than the usual one leaves its verdict, and `make drift` follows one and keeps it."""
    settings = {
        "window_days": 3,
        "minimum_rows": 200,
        "window_end": (datetime.now(UTC) + timedelta(days=1)).date().isoformat(),
    }
    run = stack.completed("drift", {"settings": settings}, RUN_S)
    stack.artifact(run, "drift-summary")
    _, said = stack.shell("make drift", RUN_S)  # red is a verdict too
    kept = stack.state / "reports" / "drift.md"
    if "# Drift" not in said or not kept.exists() or kept.read_text().strip() not in said:
        raise Broken(f"`make drift` shows no verdict: {said.strip()[-300:]}")


def clicks_are_answered(stack: RunningStack) -> None:
    """Two hundred clicks in Prefect's page while a flow runs, every fourth a change: none is answered with an error."""
    variable = {"name": "acceptance_clicks", "value": 0}
    known = stack.post("/variables/filter", {"variables": {"name": {"any_": [variable["name"]]}}})
    identity = known[0]["id"] if known else stack.post("/variables/", variable)["id"]
    run = stack.start("retention", {"form": {"feature_days": 120, "decision_days": 1500}})
    asked = (
        lambda number: stack.prefect.post("/flow_runs/filter", json={"limit": 20}),
        lambda number: stack.prefect.patch(f"/variables/{identity}", json={"value": number}),
        lambda number: stack.prefect.post("/logs/filter", json={"logs": {"flow_run_id": {"any_": [run]}}}),
        lambda number: stack.prefect.get(f"/flow_runs/{run}"),
    )
    try:
        with ThreadPoolExecutor(CLICKERS) as pool:
            answers = list(pool.map(lambda number: asked[number % len(asked)](number), range(CLICKS)))
    finally:
        stack.prefect.delete(f"/variables/{identity}").raise_for_status()
    failed = [f"{one.request.method} {one.request.url.path}: {one.status_code}" for one in answers if one.is_error]
    if failed:
        raise Broken(f"{len(failed)} of {CLICKS} clicks failed: {failed[0]}")
    if stack.ended(run, RUN_S) != "COMPLETED":
        raise Broken(f"the run meanwhile ended {stack.reason(run)}")


def personal_data_goes(stack: RunningStack) -> None:
    """Retention by other ages, and an erasure that names who asked for it."""
    stack.completed("retention", {"form": {"feature_days": 90, "decision_days": 1000}}, RUN_S)
    form = {"erase_pseudonym": "0" * 32, "requested_by": "acceptance"}
    run = stack.completed("retention", {"form": form}, RUN_S)
    stack.artifact(run, "erasure")


def logs_are_clean(stack: RunningStack) -> None:
    """Meanwhile no part of the stack wrote an error into its log."""
    bad = [line for line in stack.new_log_lines() if FAULT.search(line)]
    if bad:
        raise Broken(f"{len(bad)} errors, the first: {bad[0][:200]}")


def _registered_by(stack: RunningStack, run: str) -> int:
    """The version a training registered: the event of the run says it."""
    query = {"deployments": {"name": {"any_": ["registration"]}}, "sort": "EXPECTED_START_TIME_DESC", "limit": 1}
    began = stack.prefect.get(f"/flow_runs/{run}").json()["start_time"]
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = stack.post("/flow_runs/filter", query)
        if found and found[0]["created"] > began:
            return int(found[0]["parameters"]["version"])
        time.sleep(1)
    raise Broken("the training registered no version that anybody is asked about")


def _approval() -> dict[str, str]:
    """A small model fails release checks, so that a second person overrides them for a month."""
    return {
        "reviewer": REVIEWER,
        "verdict": "approve",
        "note": "approved by the acceptance run",
        "override_reason": "the acceptance run needs another version",
        "override_expires": (datetime.now(UTC) + timedelta(days=30)).date().isoformat(),
        "second_reviewer": SECOND,
    }


def _signature(stack: RunningStack, statement: str, name: str, expires: str) -> str:
    """What a reviewer pastes into the form: made in a shell with a key of their own, which is on the list."""
    reviewers = f"{shlex.quote(sys.executable)} -m bentos.reviewers"
    sign = f"{reviewers} sign {shlex.quote(statement)} --as {name} --override-expires {expires}"
    for command in (f"{reviewers} issue {name}", sign):
        code, said = stack.shell(command)
        if code:
            raise Broken(f"`python -m bentos.reviewers` refuses {name}: {said.strip()}")
    return said.strip().splitlines()[-1]


def checks_are_measured(stack: RunningStack, run: str) -> None:
    """Each release check was given its figures: one value that is not a number takes none of the others away.

    Raises:
        Broken: one was not; its own words.
    """
    for row in stack.artifact(run, "release-checks"):
        if row["explanation"].startswith(UNMEASURED):
            raise Broken(f"release check {row['check']}: {row['explanation']}")


def _decide(stack: RunningStack, run: str, form: dict[str, str]) -> None:
    """A person's verdict in the form that a registration waits with."""
    if stack.ended(run, RUN_S, also=frozenset({"PAUSED"})) != "PAUSED":
        raise Broken(f"registration {run} does not wait for a verdict")
    checks_are_measured(stack, run)
    if form["verdict"] == "approve":
        statement = str(stack.artifact(run, "to-sign")[0]["statement"])
        form |= {
            "signature": _signature(stack, statement, REVIEWER, form["override_expires"]),
            "second_signature": _signature(stack, statement, SECOND, form["override_expires"]),
        }
    stack.post(f"/flow_runs/{run}/resume", {"run_input": form})
    deadline = time.monotonic() + RUN_S
    while time.monotonic() < deadline:
        if (state := stack.prefect.get(f"/flow_runs/{run}").json()["state"]["type"]) == "COMPLETED":
            return
        if state in ("FAILED", "CRASHED"):
            raise Broken(f"registration {run} ended after its verdict, {stack.reason(run)}")
        time.sleep(1)
    raise Broken(f"registration {run} does not end after its verdict")


PROMISES: Final[tuple[Promise, ...]] = (
    schedules_are_planned,
    forms_refuse,
    pages_show_what_was_sent,
    bentoml_by_hand,
    a_schedule_fires,
    files_are_scored,
    clicks_are_answered,
    personal_data_goes,
    lost_runs_are_healed,
    approved_is_answering,
    packed_again,
    image_runs_plainly,
    drift_is_judged,
    outcomes_recalibrate,
    logs_are_clean,
)
