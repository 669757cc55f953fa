"""What the manifest of a packed model is made of, part by part: facts with their units, and no rule between them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.contract import Applicant, CreditClass

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class PackagePart(BaseModel):
    """Base of the manifest's parts: unknown keys refused, nothing changes after reading."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(PackagePart):
    """One file of the package."""

    size_bytes: Annotated[int, Field(ge=1)]
    sha256: Digest


class FeatureEntry(PackagePart):
    """One input of the model, as `service.score.features` computes it."""

    name: str
    type: Literal["float64"] = "float64"
    source: Annotated[tuple[str, ...], Field(description="Contract fields it is computed from.")]
    family: Annotated[str, Field(description="Features that tell the same story; one reason a family.")]
    risk: Annotated[int, Field(ge=-1, le=1, description="+1 a greater value is riskier, -1 safer, 0 not declared.")]
    categories: Annotated[
        tuple[str, ...], Field(description="Always empty: categories are ordinals before the model sees them.")
    ] = ()


class Reference(PackagePart):
    """What reasons are measured against."""

    meaning: Annotated[str, Field(description="Whom the reference stands for and how it was made.")]
    applicant: Annotated[Applicant, Field(description="Its field values; a named field moved here raises the score.")]
    contributions: Annotated[
        dict[str, float], Field(description="SHAP value of the margin, by family, that is 'even'.")
    ]
    rows: Annotated[int, Field(ge=0, description="Training rows it was made from.")] = 0


class Data(PackagePart):
    """The data the model learned from."""

    source: str = "unknown"
    sha256: str = ""
    rows: Annotated[int, Field(ge=0)] = 0
    customers: Annotated[int, Field(ge=0)] = 0


class Estimate(PackagePart):
    """A measured figure with its 95 % interval."""

    value: float
    low: float
    high: float


class Standing(PackagePart):
    """Judged rows at one step of the score or in one risk grade, and which classes they turned out to be."""

    name: str
    rows: Annotated[int, Field(ge=0)]
    share: Annotated[float, Field(ge=0, le=1, description="Of all rows judged.")]
    classes: dict[str, Estimate]
    rise: Annotated[
        Estimate | None, Field(description="Share of Poor less that of the step before; none for the first.")
    ] = None


class ReliabilityBin(PackagePart):
    """Judged rows that were told a class with about the same probability, and the share that turned out to be of it."""

    rows: Annotated[int, Field(ge=1)]
    told: Annotated[float, Field(ge=0, le=1, description="Mean probability that was told.")]
    seen: Estimate


Reliability = dict[CreditClass, tuple[ReliabilityBin, ...]]
"""By class, the least probability first."""


class Override(PackagePart):
    """A release check that a person overruled; it stays visible for as long as the version is served."""

    checks: tuple[str, ...] = ()
    reason: str
    expires: date
    second_name: str


class Approval(PackagePart):
    """The person's verdict that let this version out."""

    reviewer: str
    verdict: str
    note: str = ""
    at: datetime
    override: Override | None = None
    signature: Annotated[str, Field(description="The reviewer's signed claim.")] = ""
    second_signature: Annotated[str, Field(description="The second reviewer's, of an override.")] = ""
    package: Annotated[dict[str, str], Field(description="SHA-256 by path of the package that was signed for.")] = {}


class Distribution(PackagePart):
    """Bins and shares of one column over the reference rows; `missing` is the share of rows without a value."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]
    missing: Annotated[float, Field(ge=0, le=1)] = 0.0

    @model_validator(mode="after")
    def _one_share_a_bin(self) -> Distribution:
        if len(self.shares) != len(self.edges) + 1:
            raise ValueError("one share more than inner edges is needed")
        return self
