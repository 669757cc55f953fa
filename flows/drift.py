"""The `drift` flow: compare what production was asked and answered with what the approved model was judged on.

Thin on purpose: reading is in `predictions`, judging in `monitor` and `performance`, drawing in `drift_report`, texts
in `verdicts`. Running a window twice changes nothing and alerts nobody a second time.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from prefect import flow, task
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from prefect.events import emit_event
from prefect.logging import get_run_logger

from flows import monitor, performance, predictions, verdicts
from flows.monitor import Check, Column, ColumnVerdict, State
from flows.settings import FlowSettings
from flows.verdicts import History, ModelInWindow, WindowVerdict
from flows.windows import DriftSettings, Window, window_of

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

REPORTS = "reports"
REFERENCE_FILE = "reference.parquet"
LINK_LIFETIME = timedelta(days=7)  # the longest a presigned link may live
DRIFT_DETECTED = "quantumfinance.drift.detected"
KEY_COLUMNS = 10


class NoReference(RuntimeError):
    """The model version that answered cannot be found with its reference, so there is nothing to compare with."""


@dataclass(frozen=True)
class Reference:
    """What the model version was judged on: out-of-sample rows with its answers and their labels."""

    model: ModelInWindow
    frame: pd.DataFrame
    key_columns: tuple[str, ...]


@dataclass(frozen=True)
class Traffic:
    """What production answered: the window's rows, the matured cohort's rows, and the outcomes that came."""

    window: Window
    rows: int
    by_version: Counter[str]
    current: pd.DataFrame
    cohort: pd.DataFrame
    outcomes: pd.DataFrame


@task(task_run_name="read predictions of {window.name}")
def read_traffic(settings: DriftSettings, window: Window, today: date) -> Traffic:
    """Read the window (or, if it holds too few rows, the longer one that ends with it) and the matured cohort."""
    client = _store()
    longer = window.reaching_back(max(settings.extend_days, settings.window_days))
    matured = Window(
        start=longer.start - timedelta(days=settings.maturity_days),
        end=window.end - timedelta(days=settings.maturity_days),
    )
    samplers = [predictions.Sampler(w, settings.maximum_rows) for w in (window, longer, matured)]
    keys = predictions.object_keys(client, "predictions", today, settings.arrival_days)
    get_run_logger().info("reading %d objects for %s", len(keys), window.name)
    predictions.sample(predictions.tables(client, keys, predictions.PREDICTION_TYPES), samplers)
    chosen = samplers[0] if samplers[0].distinct_rows >= settings.minimum_rows else samplers[1]
    return Traffic(
        window=chosen.window,
        rows=chosen.distinct_rows,
        by_version=chosen.rows,
        current=chosen.frame(),
        cohort=samplers[2].frame(),
        outcomes=predictions.read_outcomes(client, today, settings.arrival_days),
    )


@task(task_run_name="reference of version {version}")
def load_reference(version: str, digest: str) -> Reference:
    """The reference packed with the model that answered, proved against the digest in the answers.

    Raises:
        NoReference: the version or its reference is not there.
    """
    from bentos.registry import Registry
    from bentos.settings import BentosSettings
    from service.manifest import Manifest

    if not version.isdigit():
        raise NoReference(f"answers name model version {version}, which no registry issued: serve a registered model")
    with tempfile.TemporaryDirectory() as folder:
        registry = Registry.connect(BentosSettings())
        package = registry.download(int(version), digest, Path(folder, "package"))
        path = package / REFERENCE_FILE
        if not path.exists():
            raise NoReference(f"model version {version} has no {REFERENCE_FILE} in its package: train again")
        manifest = Manifest.read(package)
        frame = pd.read_parquet(path)
    model = ModelInWindow(name=manifest.name, version=version, digest=manifest.digest)
    return Reference(model, frame, tuple(manifest.key_fields(KEY_COLUMNS)))


def judge(
    traffic: Traffic, reference: Reference, settings: DriftSettings, history: History, today: date
) -> WindowVerdict:
    """The verdict of one window for one model version. Pure."""
    current = traffic.current[traffic.current["model_version"] == reference.model.version]
    settled = performance.settle(_of(traffic.cohort, reference), traffic.outcomes, today)
    base = {
        "window": {"start": traffic.window.start, "end": traffic.window.end},
        "model": reference.model,
        "rows": traffic.by_version[reference.model.version],
        "compared_rows": len(current),
        "outcomes": {"settled": len(settled.frame), **settled.quarantined},
        "fingerprint": _fingerprint(current, settled.frame, settings),
        "made_at": datetime.now(UTC),
    }
    if len(current) < settings.minimum_rows:
        why = f"{len(current)} predictions of version {reference.model.version}, {settings.minimum_rows} are needed"
        return WindowVerdict(state=State.INSUFFICIENT, reasons=(why,), columns=[], checks=[], **base)
    columns = watched_columns(reference)
    judged = monitor.judge_columns(columns, reference.frame, current, settings.thresholds)
    checks = _window_checks(columns, judged, reference, current, settings)
    measured = _performance_checks(reference, current, settled.frame, len(_of(traffic.cohort, reference)), settings)
    amber = history.amber_before(traffic.window.end, reference.model.version)
    decision = monitor.decide(judged, checks, measured, amber, settings.thresholds)
    return WindowVerdict(
        state=decision.state, reasons=decision.reasons, columns=judged, checks=checks + measured, **base
    )


def watched_columns(reference: Reference) -> list[Column]:
    """The contract's fields and the answer's own columns, as far as the reference holds them."""
    answered = monitor.prediction_columns(reasons="reasons" in reference.frame)
    return monitor.contract_columns(reference.key_columns) + answered


def _of(frame: pd.DataFrame, reference: Reference) -> pd.DataFrame:
    return frame[frame["model_version"] == reference.model.version]


def _window_checks(
    columns: list[Column],
    judged: list[ColumnVerdict],
    reference: Reference,
    current: pd.DataFrame,
    settings: DriftSettings,
) -> list[Check]:
    """The multivariate check over the applicant's columns that could be compared."""
    sound = {v.name for v in judged if v.method != "data quality"} - {"score", "predicted_class", "reasons"}
    comparable = [column for column in columns if column.name in sound]
    return [monitor.domain_classifier(comparable, reference.frame, current, settings.thresholds)]


def _performance_checks(
    reference: Reference, current: pd.DataFrame, settled: pd.DataFrame, cohort_rows: int, settings: DriftSettings
) -> list[Check]:
    labelled = reference.frame[reference.frame["label"].notna()]
    estimator = performance.Estimator.fit(performance.probabilities_of(labelled), labelled["label"].to_numpy())
    return [
        performance.estimated_check(estimator, labelled, current, settings.thresholds),
        *performance.realised_checks(estimator, labelled, settled, cohort_rows, settings),
    ]


def _fingerprint(current: pd.DataFrame, settled: pd.DataFrame, settings: DriftSettings) -> str:
    """SHA-256 of which rows and outcomes were compared under which settings."""
    outcomes = zip(settled["prediction_id"], settled["observed_class"], strict=True)
    parts = [sorted(current["prediction_id"]), sorted(map(list, outcomes))]
    text = json.dumps([parts, settings.model_dump(mode="json", exclude={"notify", "retrain"})])
    return hashlib.sha256(text.encode()).hexdigest()


@task(task_run_name="report {verdict.window[start]} to {verdict.window[end]}")
def publish(verdict: WindowVerdict, traffic: Traffic, reference: Reference, settings: DriftSettings) -> WindowVerdict:
    """Write Evidently's HTML and JSON and the summary to bucket `reports`; the verdict with the report's key."""
    from flows.drift_report import Comparison, write_report

    client = _store()
    window = f"{verdict.window['start']}_{verdict.window['end']}"
    folder = f"drift/dt={verdict.window['end']}/{window}-v{verdict.model.version}-{verdict.fingerprint[:12]}"
    if verdict.state is not State.INSUFFICIENT:
        current = _of(traffic.current, reference)
        with tempfile.TemporaryDirectory() as place:
            html, data = Path(place, "report.html"), Path(place, "report.json")
            columns = watched_columns(reference)
            shown = Comparison(reference.frame, current, columns, verdict.columns, settings.thresholds)
            write_report(shown, html, data)
            _put(client, f"{folder}/report.html", html.read_bytes(), "text/html; charset=utf-8")
            _put(client, f"{folder}/report.json", data.read_bytes(), "application/json")
        verdict = verdict.model_copy(update={"report": f"{folder}/report.html"})
    _put(client, f"{folder}/summary.json", verdict.model_dump_json(indent=1).encode(), "application/json")
    return verdict


@task
def show(verdict: WindowVerdict, history: History) -> None:
    """Publish the Prefect artifacts: state, table, link to the report, trend picture."""
    client = _store()
    create_markdown_artifact(
        verdicts.summary_markdown(verdict), key="drift-summary", description="Drift of the last window"
    )
    create_table_artifact(verdicts.table_rows(verdict), key="drift-columns", description="Every column and check")
    if verdict.report:
        link = _link(client, verdict.report)
        create_link_artifact(
            link, "Open the interactive report", key="drift-report", description="Evidently, works offline"
        )
    worst = [column.name for column in monitor.worst_columns(verdict.columns)]
    _put(client, "drift/trend.png", verdicts.trend_picture(history, ["score", *worst]), "image/png")
    create_image_artifact(_link(client, "drift/trend.png"), key="drift-trend", description="State and PSI by window")


def announce(verdict: WindowVerdict, changed: bool, settings: DriftSettings) -> None:
    """Tell people once per change of state: a Prefect event, and the notification blocks the settings name."""
    if not changed:
        return
    worst = [column.name for column in monitor.worst_columns(verdict.columns)]
    emit_event(
        event=DRIFT_DETECTED,
        resource={"prefect.resource.id": f"quantumfinance.model.{verdict.model.version}"},
        payload={
            "state": verdict.state,
            "version": verdict.model.version,
            "window": {edge: day.isoformat() for edge, day in verdict.window.items()},
            "reasons": list(verdict.reasons),
            "worst_columns": worst,
            "runbook": verdicts.RUNBOOK,
        },
        id=uuid.uuid5(uuid.NAMESPACE_URL, "/".join(verdict.identity)),
    )
    for name in settings.notify:
        _notify(name, verdict)


def _notify(block_name: str, verdict: WindowVerdict) -> None:
    """Send the summary through the notification block `type/name`; a block that fails is logged, not fatal."""
    from prefect.blocks.core import Block

    try:
        block: Any = Block.load(block_name)
        block.notify(body=verdicts.summary_markdown(verdict), subject=f"Drift: {verdict.state}")
    except Exception as error:  # pylint: disable=broad-exception-caught  # blocks raise anything; the verdict must still land
        get_run_logger().error("notification block %s failed: %s", block_name, error)


def may_retrain(verdict: WindowVerdict, history: History, settings: DriftSettings, today: date) -> bool:
    """Whether training starts by itself: red on performance, data sound, and not within the cool-down. Pure."""
    performance_red = any(
        c.state is State.RED and c.name in ("estimated accuracy (CBPE)", "realised accuracy", "concept drift")
        for c in verdict.checks
    )
    data_quality_red = any(reason.startswith("data quality") for reason in verdict.reasons)
    recent = any(m.retrained and (today - m.made_at.date()).days < settings.cooldown_days for m in history.moments)
    return settings.retrain and performance_red and not data_quality_red and not recent


@flow(name="drift", flow_run_name="drift {settings.window_end}", log_prints=True)
def drift(settings: DriftSettings = DriftSettings()) -> str:
    """Compare the window's predictions with the reference of the model that answered.

    Args:
        settings: Windows, thresholds and minimum sizes.

    Returns:
        The state: green, amber, red or insufficient.
    """
    log = get_run_logger()
    today = datetime.now(UTC).date()
    traffic = read_traffic(settings, window_of(settings, today), today)
    if not traffic.by_version:
        log.warning("no predictions between %s and %s: nothing to judge", traffic.window.start, traffic.window.end)
        return State.INSUFFICIENT
    version = max(traffic.by_version, key=lambda v: (traffic.by_version[v], v))
    digest = traffic.current.loc[traffic.current["model_version"] == version, "model_digest"].iloc[0]
    reference = load_reference(version, digest)
    client = _store()
    history = History.model_validate_json(_get(client, "history.json") or b"{}")
    verdict = judge(traffic, reference, settings, history, today)
    known = _get(client, "current.json")
    if known and WindowVerdict.model_validate_json(known).identity == verdict.identity:
        log.info("this window, model and data were judged before: %s", verdict.state)
        show(WindowVerdict.model_validate_json(known), history)
        return verdict.state
    verdict = publish(verdict, traffic, reference, settings)
    retrain = may_retrain(verdict, history, settings, today)
    before = history.moments[-1].state if history.moments else State.GREEN
    announce(verdict, verdict.state is not before, settings)
    history = history.with_moment(verdicts.moment_of(verdict, retrain))
    _put(client, "history.json", history.model_dump_json(indent=1).encode(), "application/json")
    _put(client, "current.json", verdict.model_dump_json(indent=1).encode(), "application/json")
    show(verdict, history)
    _expose(verdict)
    if retrain:
        _start_training(verdict)
    log.info("drift is %s: %s", verdict.state, "; ".join(verdict.reasons) or "nothing moved")
    return verdict.state


def _expose(verdict: WindowVerdict) -> None:
    """Show the state to Prometheus; a gateway that is down costs a gap in a picture, never the verdict."""
    from flows.exposure import push

    gateway = FlowSettings().pushgateway
    if not gateway:
        return
    try:
        push(verdict, gateway)
    except OSError as error:
        get_run_logger().error("the push gateway %s does not answer: %s", gateway, error)


def _start_training(verdict: WindowVerdict) -> None:
    """Start the training deployment and do not wait; what it trains still needs a person's approval."""
    from prefect.deployments import run_deployment

    run_deployment("training/training", timeout=0, as_subflow=False)
    get_run_logger().warning(
        "performance is red: training started for the successor of version %s", verdict.model.version
    )


def _store() -> S3Client:
    """The object store by the usual AWS variables (AWS_ENDPOINT_URL_S3 and keys)."""
    import boto3

    return boto3.client("s3")


def _put(client: S3Client, key: str, body: bytes, content_type: str) -> None:
    client.put_object(Bucket=REPORTS, Key=key, Body=body, ContentType=content_type)


def _get(client: S3Client, key: str) -> bytes | None:
    """The object's bytes, or None where it does not exist yet."""
    from botocore.exceptions import ClientError

    try:
        return client.get_object(Bucket=REPORTS, Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
            return None
        raise


def _link(client: S3Client, key: str) -> str:
    return client.generate_presigned_url(
        "get_object", Params={"Bucket": REPORTS, "Key": key}, ExpiresIn=int(LINK_LIFETIME.total_seconds())
    )
