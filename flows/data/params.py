"""`data/params.yaml`, typed: size of the sample, seed and shares of the split, how the evaluation learns."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from flows.cleaning.gates import GATES, Gate, GateOverride
from flows.errors import DatasetError


class SampleParams(BaseModel):
    """Size and seed of our own sample."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    customers: int = Field(ge=2_000, le=1_000_000)
    seed: int = Field(ge=0)


class PrepareParams(BaseModel):
    """How the clean rows are split; `version` names the cleaning, so that DVC runs it anew when it changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(ge=1)
    seed: int = Field(ge=0)
    test_share: float = Field(gt=0, lt=1)
    out_of_time_months: int = Field(ge=1, le=11)
    gates: dict[str, Gate] = Field(description="Bounds that stop the stage, by the measure they bound.")
    overrides: tuple[GateOverride, ...] = Field(default=(), description="Breaches that a named person means.")

    @model_validator(mode="after")
    def _every_measure_is_bounded(self) -> PrepareParams:
        unknown, missing = sorted({*self.gates} - GATES), sorted(GATES - {*self.gates})
        if unknown or missing:
            raise ValueError(f"gates must be {', '.join(sorted(GATES))}; unknown {unknown}, missing {missing}")
        return self


class EvaluateParams(BaseModel):
    """How the stage learns; `version` names the learning code, as `PrepareParams.version` does the cleaning."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(ge=1)
    learning: dict[str, float | int | str | bool] = Field(description="What differs from the defaults of Parameters.")


class Params(BaseModel):
    """`data/params.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sample: SampleParams
    prepare: PrepareParams
    evaluate: EvaluateParams


def read_params(path: Path) -> Params:
    """The parameters; `DatasetError` names the first one that is wrong."""
    try:
        return Params.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise DatasetError(f"there is no {path}: run at the project's root") from error
    except (yaml.YAMLError, ValidationError) as error:
        raise DatasetError(f"{path} is wrong: {' '.join(str(error).split())[:300]}") from error
