"""`make drift`: the drift deployment started and waited for; fails on red, so that a scheduled job tells somebody.

Prefect runs the same deployment every day by itself; this is the second pair of eyes, and the way to ask at any time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from flows.monitoring.history import WindowVerdict, summary_markdown
from flows.monitoring.report_store import CURRENT
from flows.monitoring.verdict_types import DriftState
from infra.delivery import job_summary
from infra.errors import StackError
from infra.settings import StackSettings
from service.s3 import REPORTS_BUCKET, read_object, s3_client

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

DEPLOYMENT: Final = "drift/drift"
PATIENCE_S: Final = 3600.0
REPORT_FILE: Final = "reports/drift.md"  # under the state folder
BUCKET: Final = REPORTS_BUCKET


def follow(start: Callable[[], Any]) -> None:
    """Start the run and wait for its end.

    Args:
        start: gives the Prefect run after it ended or after its patience was over.

    Raises:
        StackError: Prefect does not answer, no worker took the run in time, or it failed.
    """
    try:
        run = start()
    except Exception as error:  # pylint: disable=broad-exception-caught  # whatever Prefect's client says is one line
        raise StackError(f"Prefect does not start {DEPLOYMENT}: {str(error).splitlines()[0][:200]}") from error
    state = run.state
    if state is None or not state.is_final():
        raise StackError(f"run {run.name} is not over after {PATIENCE_S:g} s: does a worker run?")
    if not state.is_completed():
        raise StackError(f"run {run.name} is {state.name.lower()}: see its log in Prefect")


def latest(client: S3Client) -> WindowVerdict | None:
    """The verdict that was written last, None before the first."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        body = read_object(client, BUCKET, CURRENT)
    except ClientError as error:
        raise StackError(f"bucket {BUCKET} refuses: {error.response['Error']['Code']}") from error
    except BotoCoreError as error:
        raise StackError(f"the object store does not answer: {type(error).__name__}") from error
    return WindowVerdict.model_validate_json(body) if body is not None else None


def report_of(verdict: WindowVerdict | None) -> tuple[str, int]:
    """The report as markdown, and the exit code: 1 if the state is red."""
    if verdict is None:
        return "# Drift\n\nNothing was judged yet: too few predictions were stored.", 0
    return summary_markdown(verdict), int(verdict.state is DriftState.RED)


def _start() -> Any:
    from prefect.deployments import run_deployment

    return run_deployment(DEPLOYMENT, timeout=PATIENCE_S, poll_interval=5, as_subflow=False)


def main() -> int:
    """Exit code 0 for green, amber or too little to judge; 1 for red, and with one line if there is no verdict."""
    try:
        follow(_start)
        text, code = report_of(latest(s3_client()))
    except StackError as error:
        print(f"drift: {error}", file=sys.stderr)
        return 1
    job_summary.publish(text, StackSettings().state_dir / REPORT_FILE)
    return code


if __name__ == "__main__":
    sys.exit(main())
