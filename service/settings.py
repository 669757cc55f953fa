"""Everything the service can be told, read once from the environment (prefix `QF_`) at the edge."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.addresses import networks
from service.errors import Misconfigured
from service.s3 import PREDICTIONS_BUCKET

BASE_IMAGE: Final = "python:3.11-slim@sha256:db3ff2e1800a8581e2c48a27c3995339d47bdf046da21c7627accd3d51053a93"
"""What the service's image starts from, where BENTO_BASE_IMAGE names no other; `make pin` renews the digest."""


class ServiceSettings(BaseSettings):
    """Typed settings of the scoring service; inner functions receive values and never read the environment."""

    model_config = SettingsConfigDict(env_prefix="QF_", frozen=True, extra="ignore", hide_input_in_errors=True)

    model_dir: Annotated[Path, Field(description="Packed model; inside a Bento it lies beside the package.")] = (
        Path(__file__).resolve().parent.parent / "model"
    )
    service_dir: Annotated[Path, Field(description="Keys, pepper, outbox, answers, limits: one local volume.")] = Path(
        ".local/service"
    )
    keys_dir: Annotated[
        Path | None,
        Field(description="Where keys.json and pepper come as a secret; none: they lie in the service's folder."),
    ] = None
    reviewers: Annotated[
        Path | None,
        Field(description="Reviewers' public keys; a model that they did not sign for is then not served."),
    ] = None
    engine: Annotated[
        Literal["auto", "portable", "compiled"],
        Field(description="Compiled where its kernel is sound, or one of the two by name."),
    ] = "auto"
    workers: Annotated[int, Field(ge=1, le=64, description="Processes that answer on one port.")] = 2
    fast_route: Annotated[
        bool, Field(description="Answer the scoring routes in front of BentoML; false sends them through its API.")
    ] = True

    store_endpoint: Annotated[
        str | None,
        Field(
            validation_alias=AliasChoices("QF_STORE_ENDPOINT", "AWS_ENDPOINT_URL_S3"),
            description="S3 endpoint of bucket `predictions`; none: rows stay in the outbox.",
        ),
    ] = None
    predictions_bucket: Annotated[str, Field(description="Bucket of predictions, outcomes and reviews.")] = (
        PREDICTIONS_BUCKET
    )
    ship_interval_s: Annotated[float, Field(gt=0, description="Seconds between two uploads of the outbox.")] = 30.0
    outbox_max_bytes: Annotated[int, Field(gt=0, description="Outbox size that turns answers into 503.")] = 1 << 30
    answers_days: Annotated[
        int, Field(ge=1, description="Days this host keeps a shipped answer; then it is read from the bucket.")
    ] = 90
    answers_max_bytes: Annotated[
        int, Field(ge=0, description="Bytes of shipped answers this host keeps; the oldest go first.")
    ] = 8 << 30

    database_url: Annotated[
        SecretStr | None,
        Field(description="PostgreSQL of several hosts: predictions, answers, Idempotency-Keys, keys; none: files."),
    ] = None
    redis_url: Annotated[
        SecretStr | None, Field(description="Redis for limits of several hosts; none: shared memory of this host.")
    ] = None
    auth_failures_per_minute: Annotated[
        int, Field(ge=1, description="Refused keys an address may show in a minute before it is answered 429.")
    ] = 20
    trusted_proxies: Annotated[
        str, Field(description="Addresses and networks of our proxies, by commas; X-Forwarded-For is believed of them.")
    ] = ""
    security_addresses: Annotated[
        Literal["hashed", "clear"],
        Field(description="How the security log tells addresses: as keyed digests, or as they are."),
    ] = "hashed"
    webhook_networks: Annotated[
        str, Field(description="Addresses and networks, by commas, that webhooks may reach beside public ones.")
    ] = ""
    otlp_endpoint: Annotated[
        str | None, Field(description="An OpenTelemetry collector (OTLP over HTTP); none: no spans are made.")
    ] = None
    max_in_flight: Annotated[int, Field(ge=1, description="Requests a worker answers at once before it sheds.")] = 512
    max_in_flight_per_key: Annotated[int, Field(ge=1, description="Of these, what one partner's keys may hold.")] = 256
    max_body_bytes: Annotated[int, Field(ge=4 << 20, description="Bytes of bodies a worker holds at once.")] = 128 << 20
    max_body_bytes_per_key: Annotated[
        int, Field(ge=4 << 20, description="Of these, what one partner's keys may hold.")
    ] = 32 << 20
    max_connections: Annotated[int, Field(ge=1, le=100_000, description="Connections a worker holds at once.")] = 4096
    reserved_connections: Annotated[
        int, Field(ge=1, le=1000, description="Connections beyond these in which health and metrics are answered.")
    ] = 64
    body_timeout_s: Annotated[float, Field(gt=0, description="Seconds a body may take to arrive.")] = 10.0
    header_timeout_s: Annotated[float, Field(gt=0, description="Seconds a connection may take to send a request.")] = (
        10.0
    )
    drain_s: Annotated[
        float,
        Field(ge=0, le=60, description="Seconds of unready service after SIGTERM, the last without new connections."),
    ] = 3.0
    key_reload_s: Annotated[float, Field(gt=0, le=2, description="Seconds between two looks at the key file.")] = 0.5
    access_log: Annotated[bool, Field(description="One JSON line per request on standard output.")] = True

    @field_validator("trusted_proxies", "webhook_networks")
    @classmethod
    def _check_networks(cls, value: str) -> str:
        try:
            networks(value)
        except ValueError:
            raise ValueError("must name addresses or networks, such as 10.1.2.3,10.4.0.0/16") from None
        return value

    @property
    def keys_folder(self) -> Path:
        """Where the keys and their pepper lie."""
        return self.keys_dir or self.service_dir

    @property
    def keys_file(self) -> Path:
        """The key store: records without secrets, replaced atomically by `python -m service.keys`."""
        return self.keys_folder / "keys.json"

    @property
    def pepper_file(self) -> Path:
        """The secret that key digests and pseudonyms are made with; mode 0600, kept apart from the keys."""
        return self.keys_folder / "pepper"

    @property
    def limits_file(self) -> Path:
        """Token buckets and quotas, mapped into the memory of every worker of this host."""
        return self.service_dir / "limits.bin"

    @property
    def jobs_dir(self) -> Path:
        """Jobs: orders and results, a folder each."""
        return self.service_dir / "jobs"

    @property
    def metrics_dir(self) -> Path:
        """Each worker's counters, added up by whichever worker is scraped."""
        return self.service_dir / "metrics"


@cache
def settings() -> ServiceSettings:
    """The settings of this process.

    Raises:
        Misconfigured: one line naming the variable and what is allowed.
    """
    try:
        return ServiceSettings()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = "QF_" + "_".join(str(part) for part in first["loc"]).upper()
        raise Misconfigured(f"{name}: {first['msg']}") from None
