"""Settings of packing and publishing, read once at the edge."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.contract import PRODUCT
from service.settings import BASE_IMAGE


class BentosSettings(BaseSettings):
    """Where versions come from and where Bentos and images go.

    Names without the prefix QF_ are the ones the tools themselves read, so one value serves both.
    """

    model_config = SettingsConfigDict(env_prefix="QF_", populate_by_name=True, extra="ignore")

    home: Path = Field(default=Path("."), description="Root of the project: bentofile.yaml, service/, infra/locks/.")
    state_dir: Path = Field(default=Path(".local"), description="Locks, audit trail, Bento store.")
    reviewers: Path | None = Field(
        default=None, alias="QF_REVIEWERS", description="List of reviewers; state_dir/reviewers.json if unset."
    )
    model_name: str = Field(default=PRODUCT, description="Name of the registered model.")
    tracking_uri: str = Field(
        default="", alias="MLFLOW_TRACKING_URI", description="MLflow server; empty is refused, never a local folder."
    )
    bentoml_home: Path | None = Field(
        default=None, alias="BENTOML_HOME", description="Bento store; state_dir/bentoml if unset."
    )
    registry: str = Field(default="", alias="REGISTRY", description="Private image registry, host[:port][/path].")
    base_image: str = Field(
        default=BASE_IMAGE,
        alias="BENTO_BASE_IMAGE",
        description="Base image where the usual one is out of reach.",
    )
    engine: str = Field(default="docker", description="Container engine's program: docker, podman or nerdctl.")
    smoke_timeout_s: float = Field(default=120, gt=0, description="How long a Bento may take until it is ready.")
    smoke_requests: int = Field(default=200, ge=1, le=10_000, description="Requests of the smoke test.")
    max_model_mb: float = Field(default=50, gt=0, description="Largest model that may be packed.")

    @property
    def bento_store(self) -> Path:
        """The folder that holds built Bentos (BENTOML_HOME)."""
        return (self.bentoml_home or self.state_dir / "bentoml").absolute()

    @property
    def trail_file(self) -> Path:
        """The append-only audit trail of promotions and rollbacks."""
        return (self.state_dir / "audit" / "registry.jsonl").absolute()

    @property
    def reviewers_file(self) -> Path:
        """Who may approve, with the public halves of their keys; workers need read it only."""
        return (self.reviewers or self.state_dir / "reviewers.json").absolute()

    @property
    def lock_file(self) -> Path:
        """The lock that orders registrations and promotions of one host; not with the trail, which few may write."""
        return (self.state_dir / "registry.lock").absolute()


class DeploySettings(BentosSettings):
    """How a version is brought in front of partners, and when it is taken back."""

    service_dir: Path = Field(
        default=Path(".local/service"), description="Keys, records and limits; both slots share it, on a local disk."
    )
    database_url: SecretStr | None = Field(
        default=None, description="Database of several hosts, where they have one: the proof's key is issued there."
    )
    deploy_as: Literal["bento", "image"] = Field(
        default="bento", description="A slot is a Bento served by this Python, or an image run by the engine."
    )
    engine_network: str = Field(default="", description="Engine's network that slots join under their name.")
    port_blue: int = Field(default=3001, ge=1, le=65535, description="Where blue listens, on the loopback interface.")
    port_green: int = Field(default=3002, ge=1, le=65535, description="Where green listens, on the loopback interface.")
    port_proxy: int = Field(default=3443, ge=1, le=65535, description="Where the proxy listens for TLS.")
    proxy_bind: str = Field(default="127.0.0.1", description="Interface of the proxy; 0.0.0.0 for all.")
    proxy_url: str = Field(
        default="", description="A proxy somebody else runs (compose); empty: nginx is started here."
    )
    proxy_dir: Path | None = Field(
        default=None, description="Switch, certificate and watch log, shared with the proxy; state_dir/proxy if unset."
    )
    nginx: str = Field(default="nginx", description="The proxy's program.")
    golden_requests: int = Field(default=200, ge=1, le=10_000, description="Golden answers a new slot must give.")
    shadow_requests: int = Field(default=1000, ge=1, le=100_000, description="Requests sent to both slots alike.")
    shadow_p99_ratio: float = Field(default=1.2, gt=0, description="How much slower than the old slot it may be.")
    watch_s: float = Field(default=60, ge=0, le=3600, description="How long a new slot is watched after the switch.")
    canary_shares: Annotated[tuple[float, ...], NoDecode] = Field(
        default=(1.0,),
        description="Shares of new connections that a new version gets, step by step, each watched: 0.05,0.25,1.",
    )
    watch_slice_s: float = Field(default=15, gt=0, description="Two slices in a row above the p99 limit are too slow.")
    watch_error_share: float = Field(default=0.005, gt=0, lt=1, description="Share of 5xx that takes it back.")
    watch_p99_ratio: float = Field(default=2.0, gt=0, description="How much slower it may be under live traffic.")
    p99_floor_ms: float = Field(default=50, ge=0, description="A p99 below this promise is never too slow.")

    @field_validator("canary_shares", mode="before")
    @classmethod
    def _steps(cls, value: object) -> object:
        return tuple(value.split(",")) if isinstance(value, str) else value

    @field_validator("canary_shares")
    @classmethod
    def _rising(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value or sorted(set(value)) != list(value) or value[0] <= 0 or value[-1] != 1:
            raise ValueError("shares rise from above 0 to 1, with commas between: 0.05,0.25,1")
        return value

    @property
    def deploy_dir(self) -> Path:
        """State, lock and logs of deployments."""
        return (self.state_dir / "deploy").absolute()

    @property
    def shared_dir(self) -> Path:
        """The folder the proxy and the deployer share."""
        return (self.proxy_dir or self.state_dir / "proxy").absolute()

    @property
    def public_url(self) -> str:
        """The address at which partners reach the service."""
        return self.proxy_url.rstrip("/") or f"https://127.0.0.1:{self.port_proxy}"

    def port(self, slot: str) -> int:
        """The port of a slot."""
        return self.port_green if slot == "green" else self.port_blue
