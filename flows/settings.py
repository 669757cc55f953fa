"""Settings of the flows of training, registration and packaging, read once when a run starts."""

from __future__ import annotations

import getpass
from datetime import timedelta
from typing import Final

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.addresses import networks
from service.contract import PRODUCT

_LEAP: Final = r"(\d\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29"
_DAY: Final = r"((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|1\d|2[0-8]))"
NO_DAY_OR_DAY: Final = rf"^(\d{{4}}-{_DAY}|{_LEAP})?$"
"""A day of the calendar as YYYY-MM-DD, or nothing: a form's pattern refuses 2026-13-45 before a run starts."""
ONE_LINE: Final = r"^[^\x00-\x1f\x7f]*$"
"""A text without line breaks and control signs: who it names stands in tables, tags and the audit trail."""


class FlowSettings(BaseSettings):
    """What a worker tells the flows. What a person may choose for one run is in `flows.review.verdict_form` instead."""

    model_config = SettingsConfigDict(env_prefix="QF_", populate_by_name=True, extra="ignore")

    tracking_uri: str = Field(default="", alias="MLFLOW_TRACKING_URI", description="MLflow server.")
    tracking_url: str = Field(
        default="", description="MLflow as a person's browser reaches it, for links; the tracking URI if empty."
    )
    experiment: str = Field(default=PRODUCT, description="MLflow experiment of training runs.")
    trainer: str = Field(
        default="", description="Who answers for trainings started by this worker; the login name if empty."
    )
    store_url: str = Field(
        default="",
        description="Object store as a person's browser reaches it, for links; the worker's endpoint if empty.",
    )
    staff_url: str = Field(
        default="",
        description="A page with a key of scope staff, as staff's browser reaches it, for links to reports that last; "
        "the store's own if empty.",
    )
    runbook_url: str = Field(default="infra/runbook.md", description="Where people find the run-book, for alerts.")
    notify_networks: str = Field(
        default="",
        description="Networks that notification blocks may reach beside the internet, with commas between; none if "
        "empty.",
    )
    pushgateway: str = Field(default="", description="Prometheus push gateway, host:port; nothing is pushed if empty.")
    dask_scheduler: str = Field(
        default="", description="Dask scheduler of batch scoring, tcp://host:port; processes of this host if empty."
    )
    deploy_command: str = Field(
        default="",
        description="Command that brings a packed version in front of partners, called with --version N; none if "
        "empty.",
    )
    image_first: bool = Field(
        default=True,
        description="Whether that command needs the image, as a cluster does; false: partners need not wait for it.",
    )
    scoring_roots: str = Field(
        default="",
        description="Folders and s3:// prefixes that batch scoring may read and write, with commas between; any if "
        "empty.",
    )
    scoring_max_gb: float = Field(default=200, gt=0, description="Largest source that batch scoring takes, in GB.")
    verdict_days: float = Field(default=30, gt=0, description="Days a run waits for its verdict before it fails.")

    @field_validator("notify_networks")
    @classmethod
    def _networks(cls, value: str) -> str:
        networks(value)
        return value

    @property
    def responsible(self) -> str:
        """Name of the person who answers for a training of this worker."""
        return self.trainer or getpass.getuser()

    @property
    def roots(self) -> tuple[str, ...]:
        """The places batch scoring is bound to; none: anywhere."""
        return tuple(root.strip() for root in self.scoring_roots.split(",") if root.strip())

    @property
    def verdict_timeout_s(self) -> int:
        """Seconds a run waits for its verdict."""
        return int(timedelta(days=self.verdict_days).total_seconds())

    def run_link(self, experiment_id: str, run_id: str) -> str:
        """Address of a run's page in MLflow."""
        base = (self.tracking_url or self.tracking_uri).rstrip("/")
        return f"{base}/#/experiments/{experiment_id}/runs/{run_id}"
