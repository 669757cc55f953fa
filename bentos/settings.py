"""Settings of packing and publishing, read once at the edge."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class BentosSettings(BaseSettings):
    """Where versions come from and where Bentos and images go.

    Names without the prefix QF_ are the ones the tools themselves read, so one value serves both.
    """

    model_config = SettingsConfigDict(env_prefix="QF_", populate_by_name=True, extra="ignore")

    home: Path = Field(default=Path("."), description="Root of the project: bentofile.yaml, service/, infra/locks/.")
    state_dir: Path = Field(default=Path(".local"), description="Locks, audit trail, Bento store.")
    model_name: str = Field(default="credit-score", description="Name of the registered model.")
    tracking_uri: str = Field(
        default="", alias="MLFLOW_TRACKING_URI", description="MLflow server; empty is refused, never a local folder."
    )
    bentoml_home: Path | None = Field(
        default=None, alias="BENTOML_HOME", description="Bento store; state_dir/bentoml if unset."
    )
    registry: str = Field(default="", alias="REGISTRY", description="Private image registry, host[:port][/path].")
    base_image: str = Field(
        default="python:3.11-slim",
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
    def lock_file(self) -> Path:
        """The lock that orders promotions of one host."""
        return (self.state_dir / "audit" / "registry.lock").absolute()
