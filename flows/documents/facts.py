"""What the documents of one version are made from: its checks, its verdict, its figures, and what happened before."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Final, Literal

from bentos.registry.audit_trail import TrailEntry
from bentos.registry.decision import Decision
from flows.review.release_evidence import Evidence, ReleaseCheck

Language = Literal["pt", "en"]
LANGUAGES: Final[tuple[Language, ...]] = ("pt", "en")
VALIDATION_DAYS: Final = 183
"""How long a validation stands: two of the quarters in which the label is set anew."""


@dataclass(frozen=True)
class DossierFacts:
    """One version and the verdict on it.

    `incidents` are the audit trail's entries, oldest first. `with_names` is false in a partner's view, which tells no
    person's name, note or code revision.
    """

    decision: Decision
    checks: tuple[ReleaseCheck, ...]
    evidence: Evidence
    incidents: tuple[TrailEntry, ...] = ()
    data_sha256: str = ""
    git_revision: str = ""
    with_names: bool = field(default=True)

    @property
    def partners(self) -> DossierFacts:
        """The same as a partner may read it."""
        return replace(self, with_names=False)

    @property
    def next_validation(self) -> date:
        """The last day on which this validation stands; an override's last day where that comes first."""
        regular = self.decision.at.date() + timedelta(days=VALIDATION_DAYS)
        ends = self.decision.override_expires if self.decision.overridden else None
        return min(regular, ends) if ends else regular
