"""One registered version, as far as promotion and packing care."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


class Version(BaseModel):
    """A version with the digests it was registered with; empty digests mean that it was not registered by us."""

    model_config = ConfigDict(frozen=True)

    number: int
    run_id: str
    digest: str
    package_sha256: str
    tags: dict[str, str]

    @property
    def trainer(self) -> str:
        """The person who started the training; empty if nobody is recorded, which release checks refuse."""
        return self.tags.get("trainer", "")


def version_of(entity: ModelVersion) -> Version:
    """Our view of MLflow's entity; its number is text over REST and an int over SQL."""
    tags = {str(key): str(value) for key, value in dict(entity.tags).items()}
    return Version(
        number=int(entity.version),
        run_id=entity.run_id or "",
        digest=tags.get("digest", ""),
        package_sha256=tags.get("package_sha256", ""),
        tags=tags,
    )
