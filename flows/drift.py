"""The `drift` flow: compare what production was asked and answered with what the approved model was judged on.

Thin on purpose: `traffic` reads, `judgement` judges, `drift_report` draws, `verdicts` has the texts, `alerts` tells.
Running a window twice changes nothing and alerts nobody a second time.
"""

from __future__ import annotations

import base64
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from prefect import flow, task
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from flows.completion import completed
from flows.monitoring import alerts, judge_window, report_store, traffic
from flows.monitoring import history as verdicts
from flows.monitoring.history import History, ModelInWindow, WindowVerdict
from flows.monitoring.judge_window import ReferenceData
from flows.monitoring.traffic import Traffic
from flows.monitoring.verdict_types import DriftState
from flows.monitoring.window_rules import worst_columns
from flows.monitoring.window_settings import DriftSettings, Window, window_of
from flows.settings import FlowSettings

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

KEY_COLUMNS = 10
JSON, HTML, PNG = "application/json", "text/html; charset=utf-8", "image/png"


class NoReference(RuntimeError):
    """The model version that answered cannot be found with its reference, so there is nothing to compare with."""


@task(task_run_name="read predictions of {window.name}", cache_policy=NO_CACHE)
def read_traffic(settings: DriftSettings, window: Window, today: date) -> Traffic:
    """The window's rows, the matured cohort and its outcomes; only objects that are new are read."""
    result = traffic.read_traffic(report_store.object_store(), settings, window, today)
    get_run_logger().info(
        "%s predictions in %s, %s in the matured cohort, %s outcomes since it began",
        *(f"{count:,}" for count in (result.by_version.total(),)),
        result.window.name,
        *(f"{count:,}" for count in (result.cohort_rows.total(), len(result.outcomes))),
    )
    return result


@task(task_run_name="reference of version {version}", cache_policy=NO_CACHE)
def load_reference(version: str, digest: str) -> ReferenceData:
    """The reference packed with the model that answered, proved against the digest in the answers.

    Raises:
        NoReference: the version or its reference is not there.
    """
    from bentos.registry.versions import Registry
    from bentos.settings import BentosSettings
    from service.score.manifest import REFERENCE_FILE, Manifest

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
    return ReferenceData(model, frame, tuple(manifest.key_fields(KEY_COLUMNS)))


@task(cache_policy=NO_CACHE)
def watch_champion(today: date) -> None:
    """A red line, an event and a metric where the champion's override ends; which version should answer."""
    from bentos.registry.versions import Registry
    from bentos.settings import BentosSettings
    from flows.monitoring import champion

    champion.watch(Registry.connect(BentosSettings()), FlowSettings().pushgateway, today)


@task(task_run_name="report of version {reference.model.version}", cache_policy=NO_CACHE)
def publish(
    verdict: WindowVerdict, window_traffic: Traffic, reference: ReferenceData, settings: DriftSettings
) -> WindowVerdict:
    """Write Evidently's HTML and JSON and the summary to bucket `reports`; the verdict with the report's key."""
    from flows.monitoring.evidently_report import ReportComparison, write_report

    client = report_store.object_store()
    if verdict.state is not DriftState.INSUFFICIENT:
        comparison = ReportComparison(
            reference.frame, reference.rows_of(window_traffic.current), reference.columns, verdict, settings.thresholds
        )
        with tempfile.TemporaryDirectory() as place:
            html, data = Path(place, "report.html"), Path(place, "report.json")
            write_report(comparison, html, data)
            report_store.put(client, f"{verdict.folder}/report.html", html.read_bytes(), HTML)
            report_store.put(client, f"{verdict.folder}/report.json", data.read_bytes(), JSON)
        verdict = verdict.model_copy(update={"report": f"{verdict.folder}/report.html"})
    # Last, since it says that this window was judged: a run that crashed before it does it all again.
    report_store.put(client, f"{verdict.folder}/summary.json", verdict.model_dump_json(indent=1).encode(), JSON)
    return verdict


@task(cache_policy=NO_CACHE)
def show(verdict: WindowVerdict, history: History, places: FlowSettings) -> None:
    """Publish the Prefect artifacts: state, tables, link to the report, trend picture."""
    text = verdicts.summary_markdown(verdict, places.runbook_url)
    create_markdown_artifact(text, key="drift-summary", description="Drift of the last window")
    create_table_artifact(verdicts.table_rows(verdict), key="drift-columns", description="Every column and check")
    if verdict.cohorts:
        create_table_artifact(
            verdicts.cohort_rows(verdict), key="drift-cohorts", description="What the outcomes say, by cohort"
        )
    if verdict.known:
        create_table_artifact(
            verdicts.known_rows(verdict), key="drift-known", description="Known customers, by the age of their class"
        )
    if report := _report_link(verdict, places):
        lives = "it lives as long as the report" if places.staff_url else "the link lives 7 days"
        create_link_artifact(
            report, "Open the interactive report", key="drift-report", description=f"Evidently; {lives}"
        )
    worst = [column.name for column in worst_columns(verdict.columns)]
    # The picture itself and no link to it: what an old run shows neither changes nor goes.
    picture = base64.b64encode(verdicts.trend_picture(history, ["score", *worst])).decode()
    create_image_artifact(f"data:{PNG};base64,{picture}", key="drift-trend", description="State and PSI by window")


def _report_link(verdict: WindowVerdict, places: FlowSettings) -> str:
    """Where a person opens the report; empty if there is none."""
    return report_store.link(verdict.report, places.store_url, places.staff_url) if verdict.report else ""


@flow(name="drift", on_completion=[completed], flow_run_name="drift {settings.window_end}", log_prints=True)
def drift(settings: DriftSettings = DriftSettings()) -> str:
    """Compare the window's predictions with the reference of each model version that answered.

    Args:
        settings: Windows, thresholds and minimum sizes.

    Returns:
        The state of the busiest version: green, amber, red or insufficient; `skipped` if too little is new.
    """
    log, client, today = get_run_logger(), report_store.object_store(), datetime.now(UTC).date()
    known = _current(client)
    if settings.after_rows and known:
        new = traffic.new_rows(client, today, known.made_at)
        if new < settings.after_rows:
            log.info("%s new predictions since the last verdict, fewer than %s", f"{new:,}", f"{settings.after_rows:,}")
            return "skipped"
    alerts.check_blocks(settings.notify)
    watch_champion(today)
    window_traffic = read_traffic(settings, window_of(settings, today), today)
    versions = window_traffic.versions(settings.minimum_rows)
    if not versions:
        log.warning(
            "no predictions between %s and %s: nothing to judge", window_traffic.window.start, window_traffic.window.end
        )
        return DriftState.INSUFFICIENT
    results = [_judged(window_traffic, version, settings, today) for version in versions]
    _expose(results)
    current = verdicts.latest(_current(client), results[0])  # asked again: judging took its time
    report_store.put(client, report_store.CURRENT, current.model_dump_json(indent=1).encode(), JSON)
    return results[0].state


def _current(client: S3Client) -> WindowVerdict | None:
    """What staff pages read as today's state, if there is one."""
    content = report_store.get(client, report_store.CURRENT)
    return WindowVerdict.model_validate_json(content) if content else None


def _judged(window_traffic: Traffic, version: str, settings: DriftSettings, today: date) -> WindowVerdict:
    """The verdict of one version, with all that follows from it the first time it is made."""
    log, client, places = get_run_logger(), report_store.object_store(), FlowSettings()
    digest = window_traffic.current.loc[window_traffic.current["model_version"] == version, "model_digest"].iloc[0]
    reference = load_reference(version, digest)
    history = History.model_validate_json(report_store.get(client, report_store.HISTORY) or b"{}")
    verdict = judge_window.judge(window_traffic, reference, settings, history, today)
    summary = report_store.get(client, f"{verdict.folder}/summary.json")
    if summary and history.holds(before := WindowVerdict.model_validate_json(summary)):
        log.info("this window, model and data were judged before: %s", before.state)
        show(before, history, places)
        return before
    verdict = publish(verdict, window_traffic, reference, settings)
    recalibrate = alerts.may_recalibrate(verdict, history, settings, today)
    retrain = alerts.may_retrain(verdict, history, settings, today)
    if verdict.state is not history.state_before(verdict.window["end"], version):
        alerts.announce(verdict, settings.notify, places, _report_link(verdict, places))
    history = history.with_moment(verdicts.moment_of(verdict, retrain, recalibrate))
    report_store.put(client, report_store.HISTORY, history.model_dump_json(indent=1).encode(), JSON)
    show(verdict, history, places)
    if recalibrate:  # first: one number is fitted in seconds, and needs no data that training does not have yet
        alerts.start_recalibration(verdict)
    if retrain:
        alerts.start_training(verdict)
    log.info("drift of version %s is %s: %s", version, verdict.state, "; ".join(verdict.reasons) or "nothing moved")
    return verdict


def _expose(results: list[WindowVerdict]) -> None:
    """Show the states to Prometheus; a gateway that is down costs a gap in a picture, never the verdict."""
    from flows.monitoring.pushgateway import push

    gateway = FlowSettings().pushgateway
    if not gateway:
        return
    try:
        push(results, gateway)
    except OSError as error:
        get_run_logger().error("the push gateway %s does not answer: %s", gateway, error)
