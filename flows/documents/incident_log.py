"""The incident log: what went otherwise than planned in the life of the model, from the audit trail."""

from __future__ import annotations

from typing import Final

from flows.documents.facts import DossierFacts, Language
from flows.documents.wording import table, text_in
from service.contract import Text

INCIDENTS: Final[dict[str, Text]] = {
    "rolled_back": Text(pt="voltou-se à versão anterior", en="the version before answered again"),
    "promotion_lost": Text(
        pt="aprovação perdida: outra versão passou à frente", en="an approval lost: another version came first"
    ),
    "promotion_failed": Text(
        pt="a versão aprovada não pôde ser ativada", en="the approved version could not be put in place"
    ),
    "rejected": Text(pt="versão rejeitada", en="a version was rejected"),
    "erasure_unfinished": Text(pt="exclusão de dados incompleta", en="an erasure of data was not finished"),
}
"""Events of the audit trail that are incidents; the others are the model's ordinary life."""
_WORDS: Final[dict[str, Text]] = {
    "title": Text(pt="Registro de incidentes até a versão", en="Incident log up to version"),
    "count": Text(pt="incidentes registrados", en="incidents on record"),
    "at": Text(pt="quando", en="when"),
    "version": Text(pt="versão", en="version"),
    "what": Text(pt="o que houve", en="what happened"),
    "who": Text(pt="por quem", en="by whom"),
    "note": Text(pt="nota", en="note"),
}


def incident_log(facts: DossierFacts, language: Language) -> str:
    """The log as markdown, newest first; in a partner's view without names and notes."""

    def word(name: str) -> str:
        return text_in(_WORDS[name], language)

    entries = [entry for entry in reversed(facts.incidents) if entry.event in INCIDENTS]
    columns = ("at", "version", "what", "who", "note") if facts.with_names else ("at", "version", "what")
    rows = [
        [
            entry.at[:10],
            entry.version or "-",
            text_in(INCIDENTS[entry.event], language),
            entry.actor,
            entry.note or "-",
        ][: len(columns)]
        for entry in entries
    ]
    parts = [f"# {word('title')} {facts.decision.version}", f"**{len(entries)} {word('count')}**"]
    if rows:
        parts.append(table([word(name) for name in columns], rows))
    return "\n\n".join(parts) + "\n"
