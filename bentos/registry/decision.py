"""A person's verdict on one version, as it is stored with the version and packed into the manifest."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Decision(BaseModel):
    """A verdict: who decided, on which bytes, against which champion, and on which checks.

    An override is an approval in spite of failed checks: it names a reason, the day it expires and a second person,
    and stays with the version for good.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(ge=1)
    digest: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the model.cbm that was judged.")
    verdict: Literal["approve", "reject"]
    reviewer: str = Field(min_length=1)
    trainer: str = ""
    note: str = ""
    at: datetime = Field(description="When, in UTC.")
    champion: int = Field(default=0, description="Champion at the time of the verdict; 0 for none.")
    failed_checks: tuple[str, ...] = ()
    override_reason: str = ""
    override_expires: date | None = None
    second_reviewer: str = ""
    signature: str = Field(default="", description="The reviewer's signed claim; without it nothing is packed.")
    second_signature: str = Field(default="", description="The second reviewer's, of an override.")

    @property
    def approved(self) -> bool:
        """True if the version may become champion."""
        return self.verdict == "approve"

    @property
    def overridden(self) -> bool:
        """True if failed checks were approved all the same."""
        return self.approved and bool(self.failed_checks)

    def ended(self, today: date) -> bool:
        """True if an override let the version out and its last day is over."""
        return self.overridden and self.override_expires is not None and today > self.override_expires
