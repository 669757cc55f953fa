"""Settings of the embedded stack, read once from the environment (prefix QF_)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bentos import processes
from infra.errors import StackError

ROOT: Final = Path(__file__).resolve().parent.parent
HOST: Final = processes.HOST

Port = Annotated[int, Field(ge=1, le=65535)]


class StackSettings(BaseSettings):
    """Where the stack keeps its state and which ports it listens on."""

    model_config = SettingsConfigDict(env_prefix="QF_", extra="ignore", frozen=True)

    state_dir: Annotated[Path, Field(description="Everything the stack keeps; relative to the project.")] = Path(
        ".local"
    )
    port_store: Annotated[Port, Field(description="Object store (S3).")] = 9000
    port_mlflow: Annotated[Port, Field(description="MLflow.")] = 5000
    port_prefect: Annotated[Port, Field(description="Prefect.")] = 4200
    port_api: Annotated[Port, Field(description="The scoring API.")] = 3000
    port_ui: Annotated[Port, Field(description="The Streamlit demo.")] = 8501
    start_timeout_s: Annotated[float, Field(gt=0, description="How long a part may take to answer.")] = 180.0
    scoring_roots: Annotated[
        str | None,
        Field(description="Where the worker's batch scoring may read and write; none: as stack/scoring_roots.py says."),
    ] = None

    @field_validator("state_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return (ROOT / value).resolve()

    @property
    def store_url(self) -> str:
        """S3 endpoint."""
        return f"http://{HOST}:{self.port_store}"

    @property
    def mlflow_url(self) -> str:
        """MLflow's pages and tracking endpoint."""
        return f"http://{HOST}:{self.port_mlflow}"

    @property
    def prefect_url(self) -> str:
        """Prefect's pages; its API is at `/api` below."""
        return f"http://{HOST}:{self.port_prefect}"

    @property
    def api_url(self) -> str:
        """The scoring API."""
        return f"http://{HOST}:{self.port_api}"

    @property
    def ui_url(self) -> str:
        """The Streamlit demo."""
        return f"http://{HOST}:{self.port_ui}"

    @property
    def ports(self) -> dict[str, int]:
        """Port of each part that listens."""
        return {
            "store": self.port_store,
            "mlflow": self.port_mlflow,
            "prefect": self.port_prefect,
            "api": self.port_api,
            "ui": self.port_ui,
        }


def read_settings() -> StackSettings:
    """The settings of this environment.

    Raises:
        StackError: a setting is out of its range or two parts share a port.
    """
    try:
        settings = StackSettings()
    except ValidationError as error:
        first = error.errors()[0]
        raise StackError(f"QF_{str(first['loc'][0]).upper()}: {first['msg']}") from error
    names: dict[int, str] = {}
    for name, port in settings.ports.items():
        other = names.setdefault(port, name)
        if other != name:
            raise StackError(
                f"QF_PORT_{other.upper()} and QF_PORT_{name.upper()} are both {port}; give each its own port"
            )
    return settings
