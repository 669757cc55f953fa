"""A scheduled look at drift fails on red, and says in one line why there is no verdict."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect import states

from flows.monitoring.history import ModelInWindow, WindowVerdict
from flows.monitoring.verdict_types import Cause, DriftRule, DriftState
from infra.delivery import drift_check
from infra.delivery.drift_check import follow, latest, report_of
from infra.errors import StackError
from tests.conftest import ObjectStore


def verdict(state: DriftState) -> WindowVerdict:
    """A verdict of one window."""
    return WindowVerdict(
        state=state,
        causes=(Cause(rule=DriftRule.KEY_COLUMNS, text="score moved"),),
        window={"start": date(2026, 11, 1), "end": date(2026, 11, 8)},
        model=ModelInWindow(name="credit-score", version="3", digest="d" * 64),
        rows=900,
        compared_rows=900,
        columns=[],
        checks=[],
        outcomes={},
        made_at=datetime(2026, 11, 8, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("state", "code"), [(DriftState.GREEN, 0), (DriftState.AMBER, 0), (DriftState.INSUFFICIENT, 0), (DriftState.RED, 1)]
)
def test_red_alone_fails(state: DriftState, code: int) -> None:
    """The report names state and reason."""
    text, found = report_of(verdict(state))

    assert found == code
    assert f"Drift: {state.upper()}" in text and "score moved" in text


def test_nothing_judged_yet_is_no_failure() -> None:
    """A young service has too few predictions."""
    assert report_of(None)[1] == 0


@pytest.mark.parametrize(
    ("state", "says"),
    [
        pytest.param(states.Failed(), "is failed", id="failed"),
        pytest.param(states.Scheduled(), "does a worker run", id="never-taken"),
        pytest.param(None, "does a worker run", id="no-state"),
    ],
)
def test_a_run_that_did_not_work_is_one_line(state: Any, says: str) -> None:
    """It names the run."""
    with pytest.raises(StackError, match=f"run swift-owl .*{says}"):
        follow(lambda: SimpleNamespace(name="swift-owl", state=state))


def test_a_run_that_worked_is_enough() -> None:
    """Its verdict lies in the bucket."""
    follow(lambda: SimpleNamespace(name="swift-owl", state=states.Completed()))


def test_the_verdict_is_read_from_the_bucket(object_store: ObjectStore) -> None:
    """None before the first; a store that refuses is one line."""
    client = object_store.client()
    client.delete_object(Bucket=drift_check.BUCKET, Key=drift_check.CURRENT)
    assert latest(client) is None
    client.put_object(
        Bucket=drift_check.BUCKET, Key=drift_check.CURRENT, Body=verdict(DriftState.RED).model_dump_json().encode()
    )

    found = latest(client)

    client.delete_object(Bucket=drift_check.BUCKET, Key=drift_check.CURRENT)
    assert found == verdict(DriftState.RED)
    stranger = ObjectStore(object_store.endpoint, "nobody", "nothing").client()
    with pytest.raises(StackError, match="bucket reports refuses"):
        latest(stranger)


def test_a_server_without_the_deployment_is_one_line(
    prefect_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`make drift` against a Prefect that was never deployed to."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_server)
    monkeypatch.setenv("QF_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")

    assert drift_check.main() == 1
    assert capsys.readouterr().err.startswith("drift: Prefect does not start drift/drift: ")
