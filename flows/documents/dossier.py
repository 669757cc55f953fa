"""All documents of a version by name and language, as staff read them and as a partner does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flows.documents.facts import LANGUAGES, DossierFacts, Language
from flows.documents.incident_log import incident_log
from flows.documents.risk_register import risk_register
from flows.documents.validation_report import validation_report

DOCUMENTS: Final[dict[str, Callable[[DossierFacts, Language], str]]] = {
    "validation_report": validation_report,
    "risk_register": risk_register,
    "incident_log": incident_log,
}
READERS: Final = ("partner", "staff")


def dossier(facts: DossierFacts) -> dict[str, str]:
    """Every document as markdown, by `name.language`."""
    return {f"{name}.{language}": write(facts, language) for name, write in DOCUMENTS.items() for language in LANGUAGES}


def for_readers(facts: DossierFacts) -> dict[str, dict[str, str]]:
    """The documents as a partner and as staff may read them."""
    return dict(zip(READERS, (dossier(facts.partners), dossier(facts)), strict=True))
