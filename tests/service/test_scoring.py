"""One function scores: a batch, which goes by columns, tells of each row what the row alone is told."""

from __future__ import annotations

import asyncio
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from service.access.keystore import ApiKey, Scope
from service.access.pseudonyms import Pseudonyms
from service.contract import Applicant
from service.engine.packed_model import PackedModel
from service.engine.portable import Portable
from service.engine.rules import Assessment
from service.ledger import records
from service.ledger.journal import entry_rows, frames
from service.ledger.journal.host import JournalLedger
from service.ledger.journal.segments import Folders
from service.ledger.records import RecordKind
from service.metrics import Metrics, Snapshot
from service.scoring import Scoring
from tests.factories import applicant, applicant_columns

pytestmark = pytest.mark.anyio
KEY = ApiKey("a" * 8, "acme", frozenset({Scope.SCORE}), rate=1.0, burst=1, daily=1)
OF_THE_MOMENT = {"prediction_id", "created_at"}
KINDS: tuple[dict[str, Any], ...] = (
    {},
    {"customer_ref": "c-1"},
    {"as_of": date(2026, 1, 31)},
    {
        "as_of": date(2026, 1, 31),
        "previous_classes": [
            {"observed_class": "Poor", "observed_at": date(2025, 12, 31)},
            {"observed_class": "Good", "observed_at": date(2025, 10, 31)},
        ],
    },
    {"monthly_inhand_salary": None, "credit_mix": None, "payment_behaviour": None, "payment_of_min_amount": None},
    {"num_loans": 0, "loan_types": [], "total_emi_per_month": 80.5},
    {"credit_utilization_ratio": 120.0},
)


@pytest.fixture
def anyio_backend() -> str:
    """The service runs on asyncio alone."""
    return "asyncio"


def applicants(count: int) -> list[Applicant]:
    """All kinds of them: named or not, of another day, with gaps, odd."""
    columns, _ = applicant_columns(count, seed=3)
    return [applicant(columns, row, **KINDS[row % len(KINDS)]) for row in range(count)]


def service(model: PackedModel, folder: Path) -> tuple[Scoring, JournalLedger, Metrics]:
    """Scoring and what it writes to."""
    ledger = JournalLedger.open(folder / "outbox", b"p" * 16, None)
    edges = {name: one.edges for name, one in model.manifest.distributions.items() if one.edges}
    metrics = Metrics(folder / "metrics", edges)
    return Scoring(model, model.manifest.ref, ledger, Pseudonyms(b"p" * 16), metrics), ledger, metrics


async def scored(
    model: PackedModel, folder: Path, batches: list[list[Applicant]]
) -> tuple[list[Any], list[Any], Snapshot]:
    """Answers, logged rows and counts of applicants: a batch of one goes alone."""
    scoring, ledger, metrics = service(model, folder)
    answers = []
    for batch in batches:
        if len(batch) == 1:
            answers.append(json.loads(await scoring.one(KEY, batch[0])))
        else:
            answers += json.loads(await scoring.many(KEY, batch))["scores"]
    await ledger.aclose()
    rows = []
    for path in Folders(folder / "outbox").paths():
        ((data, _),) = entry_rows.csv_objects(frames.parse(path.read_bytes()).entries).values()
        assert records.kind_of(data) is RecordKind.PREDICTION
        rows += list(records.read(data))
    counts = metrics.snapshot()
    metrics.close()
    return answers, rows, counts


def lasting(found: list[Any]) -> list[Any]:
    """Without what is of the moment."""
    return [{name: value for name, value in one.items() if name not in OF_THE_MOMENT} for one in found]


async def test_a_batch_tells_each_row_what_the_row_alone_is_told(loaded_model: PackedModel, tmp_path: Path) -> None:
    """The same answers, the same rows in the log, the same counts."""
    given = applicants(60)

    alone = await scored(loaded_model, tmp_path / "alone", [[one] for one in given])
    together = await scored(loaded_model, tmp_path / "together", [given])

    assert lasting(together[0]) == lasting(alone[0])
    assert lasting(together[1]) == lasting(alone[1])
    assert [answer["prediction_id"] for answer in together[0]] == [row["prediction_id"] for row in together[1]]
    assert together[2].counters == alone[2].counters
    for name, series in alone[2].histograms.items():
        for label, histogram in series.items():
            other = together[2].histograms[name][label]
            assert (other.edges, other.counts) == (histogram.edges, histogram.counts)
            assert other.total == pytest.approx(histogram.total)


async def test_counts_of_many_batches_are_folded_once(loaded_model: PackedModel, tmp_path: Path) -> None:
    """Singles and batches in any order add up."""
    given = applicants(30)

    _, _, counts = await scored(loaded_model, tmp_path, [given[:1], given[1:9], given[9:10], given[10:]])

    assert sum(counts.histograms["qf_score"][""].counts) == len(given)
    assert sum(counts.counters["qf_scores"].values()) == len(given)


async def test_what_a_turn_gathers_is_answered_to_each_their_own(
    packed_model: Path, loaded_model: PackedModel, tmp_path: Path
) -> None:
    """The portable engine evaluates the requests of one turn together; a request that is cancelled holds nobody up."""
    given = applicants(24)
    scoring, ledger, _ = service(PackedModel.load(packed_model, "portable"), tmp_path / "portable")

    waiting = [asyncio.create_task(scoring.one(KEY, one)) for one in given]
    await asyncio.sleep(0)
    waiting[7].cancel()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    await ledger.aclose()

    assert isinstance(found.pop(7), asyncio.CancelledError)
    answers = [json.loads(one) for one in found if isinstance(one, bytes)]
    alone, _, _ = await scored(loaded_model, tmp_path / "alone", [[one] for one in given])
    del alone[7]
    assert lasting(answers) == lasting(alone)


async def test_an_engine_that_fails_fails_the_requests_of_its_turn(loaded_model: PackedModel, tmp_path: Path) -> None:
    """Nobody waits for an answer that will not come."""

    class Broken(Portable):
        """Fails at every row."""

        def __init__(self) -> None:  # pylint: disable=super-init-not-called  # it has no table
            pass

        def assess(self, values: list[float]) -> Assessment:
            raise ArithmeticError("no answer")

    scoring, ledger, _ = service(PackedModel(loaded_model.manifest, Broken()), tmp_path)
    with pytest.raises(ArithmeticError):
        await asyncio.wait_for(scoring.one(KEY, applicants(1)[0]), 10)
    await ledger.aclose()
