"""The `retention` flow: what is older than it may be kept goes, and a customer who asks for it is erased.

How long is a choice of policy and stands in the form: features 180 days, decisions 5 years without features, versions
of the training data 5 years, batches in bucket `data` 90 days. Stored
answers go on the hosts themselves after `QF_ANSWERS_DAYS`. An erasure names the pseudonym, never the partner's own
reference (`python -m service.access.pseudonyms`); it ends with a scan that must find nothing, and a line in the audit
trail.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter, FlowRunFilterEndTime
from prefect.client.schemas.objects import FlowRun
from prefect.logging import get_run_logger
from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints
from pydantic_settings import BaseSettings, SettingsConfigDict

from bentos.registry.audit_trail import Trail
from flows.completion import completed
from flows.predictions.data_age import DataAged, named_versions, retain_data
from flows.predictions.erasure import Aged, Bucket, Erased, day_of, erase, retain
from flows.settings import ONE_LINE
from service.erasure import HostErasure, erase_database, erase_host
from service.ledger import records
from service.ledger.records import RecordKind
from service.s3 import DATA_BUCKET, PREDICTIONS_BUCKET, REPORTS_BUCKET, s3_client

REVIEW_DAYS = 30
RUNS = 200  # that Prefect tells at once
PredictionId = Annotated[str, StringConstraints(pattern=r"^\d{8}-[A-Za-z0-9-]{8,80}$")]


class RetentionForm(BaseModel):
    """One run. Empty pseudonym: only what is too old goes."""

    model_config = ConfigDict(title="Retention", extra="forbid")

    feature_days: int = Field(
        default=180, ge=1, le=3650, title="Features, days", description="Then the applicant's figures are emptied."
    )
    decision_days: int = Field(
        default=5 * 365, ge=1, le=36500, title="Decisions, days", description="Then all rows of a day are deleted."
    )
    version_days: int = Field(
        default=5 * 365,
        ge=30,
        le=36500,
        title="Versions of the training data, days",
        description="Then a version in bucket data is deleted, but for the one that the project names today.",
    )
    batch_days: int = Field(
        default=90,
        ge=1,
        le=3650,
        title="Batches, days",
        description="Then files and results under s3://data/batches are deleted.",
    )
    erase_pseudonym: str = Field(
        default="",
        pattern=r"^([0-9a-f]{32})?$",
        title="Erase customer",
        description="Pseudonym of a customer to erase; made by python -m service.access.pseudonyms PARTNER.",
    )
    erase_predictions: list[PredictionId] = Field(
        default_factory=list,
        max_length=1000,
        title="Erase predictions",
        description="Ids of predictions to erase, for a customer of whom their partner gave no reference.",
    )
    hosts_erased: bool = Field(
        default=False,
        title="Hosts are done",
        description="python -m service.erasure was run on every host of the API; needed where this worker sees none.",
    )
    requested_by: str = Field(
        default="",
        max_length=80,
        pattern=ONE_LINE,
        title="Requested by",
        description="Who asked for the erasure and where it is filed; needed with a pseudonym. No customer's name.",
    )


class RetentionPlace(BaseSettings):
    """Where this worker finds the host's outbox and the audit trail."""

    model_config = SettingsConfigDict(env_prefix="QF_", extra="ignore")

    service_dir: Path = Field(default=Path(".local/service"), description="State of the service on this host.")
    database_url: SecretStr | None = Field(default=None, description="The database of all hosts, where they have one.")
    state_dir: Path = Field(default=Path(".local"), description="The audit trail lies under it.")
    home: Path = Field(default=Path("."), description="The project, whose dvc.lock names the data of today.")
    predictions_bucket: str = Field(default=PREDICTIONS_BUCKET, description="Bucket of predictions, outcomes, reviews.")

    @property
    def outbox(self) -> Path:
        """The outbox folder of this host's service."""
        return self.service_dir / "outbox"

    @property
    def locks(self) -> tuple[Path, Path]:
        """What names the data of today: the project's lock, and that of the last run of the data stages here."""
        return self.home / "dvc.lock", self.state_dir / "dvc" / "dvc.lock"

    @property
    def jobs(self) -> Path:
        """The folder of this host's jobs, beside the outbox."""
        return self.service_dir / "jobs"

    @property
    def trail(self) -> Path:
        """The audit trail of personal data."""
        return self.state_dir / "audit" / "personal-data.jsonl"


class ErasureUnfinished(RuntimeError):
    """Not every place was reached; the text says which, and the run can be repeated."""


class ErasureRefused(ValueError):
    """The form asks for something that must not be done; the text says what is missing."""


@task(cache_policy=NO_CACHE)
def age(bucket: str, today: date, form: RetentionForm) -> Aged:
    """Empty and delete what is too old."""
    return retain(_bucket(bucket), today, feature_days=form.feature_days, decision_days=form.decision_days)


@task(cache_policy=NO_CACHE)
def age_data(place: RetentionPlace, form: RetentionForm) -> DataAged:
    """Delete old versions of the training data, and old batches."""
    digests = named_versions(place.locks)
    days = {"version_days": form.version_days, "batch_days": form.batch_days}
    return retain_data(s3_client(), DATA_BUCKET, datetime.now(UTC), keep=digests, **days)


@task(log_prints=False, cache_policy=NO_CACHE)
def erase_everywhere(place: RetentionPlace, form: RetentionForm) -> tuple[HostErasure | None, Erased]:
    """Erase a customer from this host or the hosts' database, then from the buckets; None where this worker sees
    neither."""
    refs = frozenset({form.erase_pseudonym} - {""})
    predictions = frozenset(form.erase_predictions)
    host = None
    if place.database_url is not None:
        host = erase_database(place.database_url.get_secret_value(), refs | predictions)
    elif place.outbox.is_dir():
        host = erase_host(place.outbox, refs | predictions, jobs=place.jobs)
    return host, erase(_bucket(place.predictions_bucket), _bucket(REPORTS_BUCKET), refs, predictions)


@task(cache_policy=NO_CACHE)
def recent_reviews(bucket: str, today: date) -> list[dict[str, Any]]:
    """The cases partners' reviewers opened lately (LGPD art. 20), newest first, without their free text."""
    return sorted(
        _reviews(_bucket(bucket), today - timedelta(days=REVIEW_DAYS)), key=lambda row: row["at"], reverse=True
    )


@task(cache_policy=NO_CACHE)
def forget_runs(now: datetime) -> int:
    """Delete ended runs of this flow whose forms name whom they erased; how many.

    A day after it ended well, since the trail has its line, with a digest; a month after it did not, since it was
    repeated.
    """
    count = 0
    with get_client(sync_client=True) as client:
        ended = FlowRunFilter(end_time=FlowRunFilterEndTime(before_=now - timedelta(days=1)))
        ours = FlowFilter(name=FlowFilterName(any_=["retention"]))
        runs: list[FlowRun] = []
        while page := client.read_flow_runs(flow_filter=ours, flow_run_filter=ended, limit=RUNS, offset=len(runs)):
            runs += page
        for run in runs:
            form = run.parameters.get("form") or {}
            repeated = run.end_time is not None and run.end_time < now - timedelta(days=REVIEW_DAYS)
            finished = run.state is not None and (run.state.is_completed() or (run.state.is_final() and repeated))
            if finished and (form.get("erase_pseudonym") or form.get("erase_predictions")):
                client.delete_flow_run(run.id)
                count += 1
    return count


def _reviews(bucket: Bucket, since: date) -> Iterator[dict[str, Any]]:
    for key in bucket.keys(f"{RecordKind.REVIEW.folder}/"):
        day = day_of(key)
        if day is not None and day >= since:
            for row in records.read(bucket.get(key)):
                yield {
                    "at": row["created_at"],
                    "partner": row["partner"],
                    "prediction": row["prediction_id"],
                    "verdict": row["verdict"],
                    "review": row["review_id"],
                }


@flow(name="retention", on_completion=[completed], log_prints=False)
def retention(form: RetentionForm = RetentionForm()) -> None:
    """Delete what is older than it may be kept; erase a customer on request; list the reviews for staff.

    Raises:
        ErasureRefused: an erasure without who asked, or features kept longer than decisions.
        ErasureUnfinished: the hosts' journals were not reached; the run says what is left to do.
        RowsLeft: the scan after an erasure found rows; the run can be repeated.
    """
    place, today = RetentionPlace(), datetime.now(UTC).date()
    subjects = sorted({form.erase_pseudonym, *form.erase_predictions} - {""})
    if subjects and not form.requested_by.strip():
        raise ErasureRefused("say who asked for the erasure: field `Requested by`")
    if form.feature_days > form.decision_days:
        raise ErasureRefused("features cannot be kept longer than decisions")
    trail = Trail(place.trail)
    aged = age(place.predictions_bucket, today, form)
    if aged.emptied_objects or aged.deleted_objects:
        trail.append("retention", actor="schedule", version="", note=_summary(aged))
    get_run_logger().info(_summary(aged))
    old = age_data(place, form)
    if any(old):
        note = f"{old.versions} objects of old data versions and {old.batches} of old batches deleted"
        trail.append("retention", actor="schedule", version="", note=note)
        get_run_logger().info(note)
    if forgotten := forget_runs(datetime.now(UTC)):
        get_run_logger().info("%s runs deleted whose forms named a customer", forgotten)
    reached = not subjects or _erased(place, form, "\n".join(subjects), trail)
    create_table_artifact(
        recent_reviews(place.predictions_bucket, today), key="reviews", description="Reviews, 30 days"
    )
    if not reached:
        raise ErasureUnfinished(
            "buckets and reports are done, the hosts of the API are not: run python -m service.erasure on each, "
            "then this again with `Hosts are done`"
        )


def _erased(place: RetentionPlace, form: RetentionForm, subjects: str, trail: Trail) -> bool:
    """Erase, write it down, and say whether every place was reached."""
    host, erased = erase_everywhere(place, form)
    reached = host is not None or form.hosts_erased
    digest = hashlib.sha256(subjects.encode()).hexdigest()
    event, title = ("erasure", "Erased") if reached else ("erasure_unfinished", "Not erased everywhere")
    trail.append(event, actor=form.requested_by, version="", digest=digest, note=_account(host, erased))
    create_markdown_artifact(
        f"**{title}** {digest[:12]}, asked for by {form.requested_by}: {_account(host, erased)}.", key="erasure"
    )
    return reached


def _summary(aged: Aged) -> str:
    return (
        f"features emptied in {aged.emptied_rows} rows of {aged.emptied_objects} objects, "
        f"{aged.deleted_objects} objects deleted"
    )


def _account(host: HostErasure | None, erased: Erased) -> str:
    here = (
        f"{host.rows} rows of this host and {host.job_rows} results of its jobs"
        if host
        else "no host (this worker sees no outbox: run python -m service.erasure on each host, then this again)"
    )
    return f"{erased.rows} rows of {erased.objects} objects, {erased.reports} reports and {here}; the scan found 0 rows"


def _bucket(name: str) -> Bucket:
    """A bucket by the usual AWS variables."""
    return Bucket(s3_client(), name)
