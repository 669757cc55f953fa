"""Answers that this host keeps no more, read from a real store; and a store that is away."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from service.access.keystore import PARTNER_SCOPES, ApiKey
from service.access.pseudonyms import Pseudonyms
from service.contract import Applicant
from service.docs.examples import APPLICANT
from service.engine.packed_model import PackedModel
from service.errors import AnswerAway, AnswerNotFound
from service.ledger.bucket import StoreSettings
from service.ledger.journal.host import JournalLedger
from service.ledger.records import RecordKind
from service.metrics import Metrics
from service.scoring import Scoring, restored
from tests.conftest import ObjectStore
from tests.factories import pack_small_model

pytestmark = pytest.mark.anyio
PEPPER = b"p" * 32
KEY = ApiKey("testkey0", "acme", frozenset(PARTNER_SCOPES), 1e6, 1_000_000, 10**12)


@pytest.fixture
def anyio_backend() -> str:
    """The service runs on asyncio alone."""
    return "asyncio"


def _late(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer as the contract says that it is read back late: reasons by their words, and no points."""
    words = [{name: one[name] for name in ("code", "text", "feature", "direction")} for one in answer["reasons"]]
    return {name: value for name, value in answer.items() if name not in {"strengths", "reference"}} | {
        "reasons": words
    }


async def test_what_left_the_host_is_read_from_the_bucket(object_store: ObjectStore, tmp_path: Path) -> None:
    """What was answered, less the points, for its partner alone; and a store that is away is no unknown id."""
    pack_small_model(tmp_path / "model")
    model = PackedModel.load(tmp_path / "model", "portable")
    object_store.client().create_bucket(Bucket="older-answers")
    store = StoreSettings("older-answers", object_store.endpoint, object_store.access_key, object_store.secret_key)
    ledger = JournalLedger.open(tmp_path / "outbox", PEPPER, store, ship_interval_s=0.2)
    scoring = Scoring(model, model.manifest.ref, ledger, Pseudonyms(PEPPER), Metrics(tmp_path / "metrics"))
    odd = {**APPLICANT, "num_loans": 0, "loan_types": [], "total_emi_per_month": 90}
    given = [await scoring.one(KEY, Applicant.model_validate_json(json.dumps(one))) for one in (APPLICANT, odd)]
    batch = [Applicant.model_validate_json(json.dumps(odd))] * 3
    given += [json.dumps(one).encode() for one in json.loads(await scoring.many(KEY, batch))["scores"]]
    await ledger.outbox.aclose()
    assert ledger.shipper is not None and ledger.shipper.ship_now() >= 1
    shutil.rmtree(tmp_path / "outbox" / "kept")
    (tmp_path / "outbox" / "kept").mkdir()
    for answer in given:
        identifier = json.loads(answer)["prediction_id"]
        with pytest.raises(AnswerNotFound):
            await ledger.read(identifier, "acme", RecordKind.PREDICTION)
        with pytest.raises(AnswerNotFound):
            await ledger.read(identifier, "rival", RecordKind.PREDICTION, anywhere=True)
        stored = await ledger.read(identifier, "acme", RecordKind.PREDICTION, anywhere=True)
        assert stored.body is None
        assert json.loads(restored(stored.row)) == _late(json.loads(answer))
    unknown = ledger.ids.of("20200101-abcdefghij-1", "acme").public
    with pytest.raises(AnswerNotFound):
        await ledger.read(unknown, "acme", RecordKind.PREDICTION, anywhere=True)
    await ledger.aclose()

    away = StoreSettings("older-answers", "http://127.0.0.1:9", "a", "b", connect_timeout_s=0.2)
    elsewhere = JournalLedger.open(tmp_path / "other", PEPPER, away)
    with pytest.raises(AnswerAway, match="ECONNREFUSED"):
        await elsewhere.read(unknown, "acme", RecordKind.PREDICTION, anywhere=True)
    await elsewhere.outbox.aclose()
    elsewhere.idempotency.close()
