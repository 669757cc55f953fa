"""A customer or a prediction is erased from the files of a host, while it works."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from pathlib import Path

import pytest

from service.erasure import FileBusy, HostErasure, erase_host
from service.errors import AnswerNotFound
from service.ledger.journal.answers import Answers
from service.ledger.journal.idempotency import Idempotency, KeyClaim
from service.ledger.journal.outbox import Outbox
from tests.service.rows import ANA, BEN, answered, entry, line, two_customers


def test_a_host_forgets_a_customer_while_it_works(tmp_path: Path) -> None:
    """Rows in files that are written, sealed or kept go; their answers with them; everybody else's stay readable."""

    async def scenario() -> None:
        outbox, given = await two_customers(tmp_path)
        mixed = [outbox.next_id() for _ in range(3)]
        batch = entry(*mixed)
        batch.lines = [line(mixed[0], customer_ref=ANA), line(mixed[1], customer_ref=BEN), line(mixed[2])]
        await outbox.append(batch)
        done = await asyncio.to_thread(erase_host, tmp_path, [ANA])
        assert done == HostErasure(rows=6, files=done.files, quarantined=0) and done.files >= 1
        answers = Answers(tmp_path)
        for identifier in [*given[ANA], mixed[0]]:
            with pytest.raises(AnswerNotFound):
                answers.read(identifier, "demo")
        for identifier in [*given[BEN], *mixed[1:]]:
            assert answers.read(identifier, "demo").body == b'{"prediction_id":"%s"}' % identifier.encode()
        assert erase_host(tmp_path, [ANA]).rows == 0
        assert not [path for path in tmp_path.rglob("*") if path.is_file() and ANA.encode() in path.read_bytes()]
        await outbox.aclose()

    asyncio.run(scenario())


def test_a_host_forgets_a_prediction_of_whom_nobody_gave_a_reference(tmp_path: Path) -> None:
    """By its id alone, where a partner sent no reference; the rows beside it stay."""

    async def scenario() -> None:
        outbox = Outbox.open(tmp_path, segment_age_s=0.3, min_free_bytes=0)
        gone, stays = outbox.next_id(), outbox.next_id()
        batch = entry(gone, stays)
        batch.lines = [line(gone, customer_ref=""), line(stays, customer_ref="")]
        await outbox.append(batch)
        assert (await asyncio.to_thread(erase_host, tmp_path, [gone])).rows == 1
        answers = Answers(tmp_path)
        with pytest.raises(AnswerNotFound):
            answers.read(gone, "demo")
        assert answers.read(stays, "demo").body == b'{"prediction_id":"%s"}' % stays.encode()
        await outbox.aclose()

    asyncio.run(scenario())


def test_an_erased_answer_is_not_replayed(tmp_path: Path) -> None:
    """Its key is free again: what would be sent is no more, and other keys of the file still replay."""

    async def scenario() -> None:
        outbox, keys = Outbox.open(tmp_path, min_free_bytes=0), Idempotency(tmp_path)
        for key, ref in (("first", ANA), ("second", BEN)):
            with await keys.begin("demo", "score", key, bytes(16)) as claim:  # type: ignore[union-attr]
                await outbox.append(entry(outbox.next_id(), customer_ref=ref, key=claim.mark))
        await outbox.aclose()
        assert erase_host(tmp_path, [ANA]).rows == 1
        free = await keys.begin("demo", "score", "first", bytes(16))
        assert isinstance(free, KeyClaim)
        free.release()
        assert not isinstance(await keys.begin("demo", "score", "second", bytes(16)), KeyClaim)
        keys.close()

    asyncio.run(scenario())


def test_a_quarantined_original_goes_too(tmp_path: Path) -> None:
    """Nobody can take single rows out of a damaged file, so the file goes."""
    Outbox.open(tmp_path, min_free_bytes=0).close()
    (tmp_path / "quarantine" / "x.damaged").write_bytes(line("20261123-abcdefghij-1", customer_ref=ANA))
    (tmp_path / "quarantine" / "y.damaged").write_bytes(line("20261123-abcdefghij-1", customer_ref=BEN))
    assert erase_host(tmp_path, [ANA]).quarantined == 1
    assert [path.name for path in (tmp_path / "quarantine").iterdir()] == ["y.damaged"]


def test_a_file_that_stays_busy_is_told(tmp_path: Path) -> None:
    """An erasure that cannot finish fails and names the file."""

    async def scenario() -> None:
        outbox = Outbox.open(tmp_path, segment_age_s=3600, min_free_bytes=0)
        await answered(outbox, 1, customer_ref=ANA)
        with pytest.raises(FileBusy, match=outbox.run):
            await asyncio.to_thread(erase_host, tmp_path, [ANA], patience_s=0.1)
        await outbox.aclose()

    asyncio.run(scenario())


def test_a_reference_in_the_place_of_a_pseudonym_is_refused_unseen(tmp_path: Path) -> None:
    """A partner's own reference may name a person: it is not repeated."""
    with pytest.raises(ValueError) as caught:
        erase_host(tmp_path, ["Maria-1234"])
    assert "Maria" not in str(caught.value)


def _job(folder: Path, status: str, results: list[bytes]) -> Path:
    """A job as the service keeps it, that many results found."""
    place = folder / f"job_{len(list(folder.iterdir())) if folder.exists() else 0:032x}"
    place.mkdir(parents=True)
    content = b"".join(line + b"\n" for line in results)
    (place / "results.jsonl").write_bytes(content)
    state = {"id": place.name, "account": "demo", "key": "k", "rows": len(results), "created": 1.0, "status": status}
    (place / "job.json").write_text(json.dumps(state | {"done": len(results), "results_bytes": len(content)}))
    return place


@pytest.mark.parametrize("status", ["done", "failed", "cancelled"])
def test_results_of_jobs_lose_the_customers_predictions(status: str, tmp_path: Path) -> None:
    """Known by the journal's rows, or named; the other rows keep their places, and the job knows its file."""

    async def scenario() -> None:
        outbox, given = await two_customers(tmp_path / "outbox")
        gone, stays = given[ANA][0], given[BEN][0]
        lines = [b'{"prediction_id":"%s","score":712}' % one.encode() for one in (stays, gone, given[BEN][1])]
        place = _job(tmp_path / "jobs", status, lines)
        erase = partial(erase_host, tmp_path / "outbox", jobs=tmp_path / "jobs")

        assert (await asyncio.to_thread(erase, [ANA])).job_rows == 1
        left = (place / "results.jsonl").read_bytes()
        assert left.splitlines()[::2] == lines[::2] and gone.encode() not in left
        assert json.loads(left.splitlines()[1]) == {"errors": [{"pointer": "", "code": "erased"}]}
        state = json.loads((place / "job.json").read_text())
        assert (state["results_bytes"], state["done"]) == (len(left), 3)
        assert (await asyncio.to_thread(erase, [given[BEN][1]])).job_rows == 1
        assert (await asyncio.to_thread(erase, [ANA, given[BEN][1]])).job_rows == 0
        await outbox.aclose()

    asyncio.run(scenario())


@pytest.mark.parametrize("status", ["queued", "running"])
def test_an_erasure_waits_for_jobs_under_way(status: str, tmp_path: Path) -> None:
    """Nobody can tell whom they are about, and what they answer would come after it: it is not done."""
    _job(tmp_path / "jobs", status, [])
    with pytest.raises(FileBusy, match="1 jobs run or wait"):
        erase_host(tmp_path / "outbox", [ANA], jobs=tmp_path / "jobs", patience_s=0.1)
