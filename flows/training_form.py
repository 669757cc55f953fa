"""What a person may choose for one training: Prefect draws it as a form and refuses what is out of bounds."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from flows.learning.fit import Parameters
from flows.review.verdict_form import Name


class TrainingForm(BaseModel):
    """One training run. The defaults are the ones that meet the project's figures."""

    model_config = ConfigDict(title="Training", extra="forbid")

    data_dir: str = Field(
        default="data/processed", title="Prepared data", description="Folder with train.parquet and test.parquet."
    )
    search_seconds: int = Field(
        default=0,
        ge=0,
        le=6 * 3600,
        title="Search budget in seconds",
        description="Time for the search of better parameters; 0 keeps those below.",
    )
    learning: Parameters = Field(default=Parameters(), title="Learning")
    trainer: Name = Field(
        default="",
        title="Trainer",
        description="Who answers for this model and may not approve it; default the worker's.",
    )
    register_version: bool = Field(
        default=True, title="Register as challenger", description="Off for an experiment that nobody should approve."
    )
