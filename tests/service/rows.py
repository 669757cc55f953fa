"""Makes records with overrides, for the tests of everything that carries them."""

from __future__ import annotations

from pathlib import Path

from service.ledger.journal.frames import JournalEntry, KeyMark
from service.ledger.journal.outbox import Outbox
from service.ledger.records import PredictionLines, RecordKind

INPUTS = (
    *(
        19114.12,
        1824.843333333333,
        3,
        4,
        4,
        "auto|credit_builder|personal|home_equity",
        3.0,
        3.0,
        7,
        None,
        11.27,
        "Good",
    ),
    *(809.98, 26.822619623699016, 265, "No", 49.57494921489417, 80.41529543900253, None, 312.49408867943663),
)
DECISION = (
    *(712, "Good", "Good", 0.1, 0.2, 0.7123456789012, True, "A|B", "", "B"),
    *("x:up|y:down", "known_customer", "Good@2026-10-31"),
)
LINES = PredictionLines("credit-score", "7", "ab" * 32)
PARTNER = "demo"
ANA, BEN = "a" * 32, "b" * 32
"""Pseudonyms of two customers."""


def line(identifier: str, *, partner: str = PARTNER, customer_ref: str = "c" * 32) -> bytes:
    """The CSV row of a prediction."""
    subject = (identifier, "2026-11-23T07:00:00.123456Z", "2026-11-23", partner, customer_ref)
    return LINES.render(subject, INPUTS, DECISION)


def entry(
    *identifiers: str, partner: str = PARTNER, customer_ref: str = "c" * 32, key: KeyMark | None = None
) -> JournalEntry:
    """An answer to these ids: a JSON object for one, a batch for several."""
    answers = [b'{"prediction_id":"%s"}' % identifier.encode() for identifier in identifiers]
    body, spans = b"[", []
    for answer in answers:
        spans.append((len(body), len(body) + len(answer)))
        body += answer + b","
    lines = [line(identifier, partner=partner, customer_ref=customer_ref) for identifier in identifiers]
    return JournalEntry(RecordKind.PREDICTION, partner, body[:-1] + b"]", identifiers, lines, spans, key=key)


async def answered(outbox: Outbox, count: int = 1, **overrides: str) -> list[str]:
    """Ids of that many answers, each made durable alone."""
    identifiers = []
    for _ in range(count):
        identifiers.append(outbox.next_id())
        await outbox.append(entry(identifiers[-1], **overrides))  # type: ignore[arg-type]
    return identifiers


async def two_customers(folder: Path) -> tuple[Outbox, dict[str, list[str]]]:
    """An outbox with five answers to each of `ANA` and `BEN`, and their ids."""
    outbox = Outbox.open(folder, segment_age_s=0.3, min_free_bytes=0)
    given: dict[str, list[str]] = {ANA: [], BEN: []}
    for _ in range(5):
        for ref in (ANA, BEN):
            given[ref] += await answered(outbox, 1, customer_ref=ref)
    return outbox, given
