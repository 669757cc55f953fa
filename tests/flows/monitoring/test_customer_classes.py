"""Outcomes make a file's rows known: one partner's, by reference, only earlier ones, never over what the file says."""

from __future__ import annotations

import json
import pickle
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.batch.errors import BatchRefused
from flows.batch.job import job_of, score
from flows.batch.piece_rows import RowsRead, rows_of
from flows.batch.workers import workers
from flows.monitoring import customer_classes
from flows.monitoring.customer_classes import CustomerClasses, read_classes
from flows.scoring import ScoringForm
from service.access.pseudonyms import Pseudonyms, partner_key
from service.ledger import records
from service.ledger.records import OutcomeRow, RecordKind
from tests.factories import pack_small_model
from tests.flows.batch.files import applicants, as_csv
from tests.flows.batch.reading import pieces_of

PEPPER = b"p" * 32
TODAY = date(2026, 11, 26)


def came(ref: str, observed: str, at: str, prediction: str = "", partner: str = "acme") -> OutcomeRow:
    """An outcome as the service records it."""
    who = Pseudonyms(PEPPER).of(partner, ref)
    return OutcomeRow(f"o-{ref}-{at}", "2026-11-01", partner, who, prediction or f"p-{ref}-{at}", observed, at)


OUTCOMES = [
    [
        came("ana", "Good", "2026-05-31"),
        came("ana", "Poor", "2026-06-30"),
        came("ana", "Standard", "2026-07-31"),
        came("ana", "Standard", "2026-07-31"),  # sent twice
        *(came("eva", "Good", f"2026-{month:02}-15") for month in range(1, 10)),
    ],
    [
        came("bob", "Poor", "2026-06-30", "p-1"),
        came("bob", "Good", "2026-07-31", "p-1"),  # contradicts itself
        came("bob", "Good", "2026-05-31", "p-2"),
        came("bob", "Poor", "2026-04-30", "p-3"),
        came("bob", "Good", "2026-04-30", "p-4"),  # two answers, one day, two classes
        came("", "Good", "2026-05-31"),
        came("cid", "Great", "2026-05-31"),
        came("cid", "Good", "2027-05-31"),
        came("dan", "Good", "2026-05-31", partner="other"),
    ],
]


@pytest.fixture(name="known")
def fixture_known(store: Any) -> CustomerClasses:
    """What the outcomes of partner acme tell, from objects of two days."""
    for number, rows in enumerate(OUTCOMES, start=1):
        body = records.header(RecordKind.OUTCOME) + b"".join(row.line() for row in rows)
        store.put_object(Bucket="predictions", Key=f"outcomes/dt=2026-11-0{number}/w-1.csv", Body=body)
    known, aside = read_classes(store, "acme", partner_key(PEPPER, "acme"), TODAY)
    assert aside == {
        "contradicting": 4,
        "repeated": 1,
        "in the future or undated": 1,
        "no such class": 1,
        "without a reference": 1,
    }
    return known


def read(path: Path, frame: pd.DataFrame) -> RowsRead:
    """The frame's rows as a job reads them."""
    path.write_text(as_csv(frame))
    (piece,) = pieces_of(path, 100)
    (rows,) = rows_of(piece, 100)
    return rows


def test_rows_are_filled_by_reference(known: CustomerClasses, tmp_path: Path) -> None:
    """The latest seven before the row's day, today where it has none; the file's own word stays."""
    rows = [
        ("ana", "2026-07-31", "", "Good@2026-05-31|Poor@2026-06-30"),
        (" ana", "2026-08-01", "", "Good@2026-05-31|Poor@2026-06-30|Standard@2026-07-31"),
        ("ana", "2026-05-31", "", None),
        ("ana", "2026-08-01", "Poor@2026-02-28", "Poor@2026-02-28"),
        ("bob", "2026-08-01", "", "Good@2026-05-31"),
        ("eva", "", "", "|".join(f"Good@2026-0{month}-15" for month in range(3, 10))),
        ("cid", "2026-08-01", "", None),
        ("dan", "2026-08-01", "", None),  # known to another partner
        ("", "2026-08-01", "", None),
    ]
    refs, days, told, wanted = zip(*rows, strict=True)
    frame = applicants(len(rows)).assign(Customer_ID=refs, as_of=days, previous_classes=told)
    before = read(tmp_path / "in.csv", frame)

    found, filled = known.fill(before)

    assert found.table.column("previous_classes").to_pylist() == list(wanted)
    assert filled == 4 and before.table.column("previous_classes").null_count == 8
    bare = read(tmp_path / "bare.csv", frame.drop(columns=["Customer_ID", "previous_classes"]))
    assert known.fill(bare) == (bare, 0)


def test_a_copy_on_a_worker_tells_nobody(known: CustomerClasses, tmp_path: Path) -> None:
    """It fills as the first does, and its text, which a worker may log, holds no key and no customer."""
    rows = read(tmp_path / "in.csv", applicants(1).assign(customer_ref="ana", as_of="2026-08-01"))

    copy: CustomerClasses = pickle.loads(pickle.dumps(known))

    assert copy.fill(rows)[0].table.equals(known.fill(rows)[0].table)
    assert repr(copy) == "CustomerClasses()"


def test_the_filled_rows_score_as_if_the_file_had_told(known: CustomerClasses, tmp_path: Path) -> None:
    """Value for value, on workers of their own; a job that goes on remembers how many rows outcomes told."""
    package = tmp_path / "package"
    pack_small_model(package)
    frame = applicants(3).assign(customer_ref=["ana", "bob", "dan"], as_of="2026-07-31")
    told = ["Good@2026-05-31|Poor@2026-06-30", "Good@2026-05-31", None]
    files = {"told": (frame.assign(previous_classes=told), None), "joined": (frame, known)}
    parts, tallies = [], []
    with workers("", 1) as client:
        for name, (rows, join) in files.items():
            (tmp_path / f"{name}.csv").write_text(as_csv(rows))
            job = job_of(str(tmp_path / f"{name}.csv"), package, 100, False, outcomes_of="acme" if join else "")
            tallies = [score(job, package, str(tmp_path / name), client, join=join) for _ in range(2)]
            (part,) = (tmp_path / name).glob("part-*")
            parts.append(pq.read_table(part))

    names = sorted(parts[0].column_names)
    assert parts[0].select(names).equals(parts[1].select(names))
    assert parts[1].column("basis").to_pylist() == ["known_customer", "known_customer", "applicant"]
    assert [(one.known_by_outcome, one.found_done) for one in tallies] == [(2, 0), (2, 1)]
    assert json.loads((tmp_path / "joined" / "summary.json").read_text())["known_by_outcome"] == 2


def test_nobody_has_outcomes_yet(store: Any, tmp_path: Path) -> None:
    """Then nothing is filled."""
    known, aside = read_classes(store, "acme", partner_key(PEPPER, "acme"), TODAY)
    rows = read(tmp_path / "in.csv", applicants(1).assign(customer_ref="ana"))

    assert (len(known), dict(aside), known.fill(rows)) == (0, {}, (rows, 0))


def test_more_than_a_process_should_hold_is_refused(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do instead."""
    body = records.header(RecordKind.OUTCOME) + b"".join(row.line() for row in OUTCOMES[0])
    store.put_object(Bucket="predictions", Key="outcomes/dt=2026-11-01/w-1.csv", Body=body)
    monkeypatch.setattr(customer_classes, "MOST_OUTCOMES", 3)

    with pytest.raises(BatchRefused, match="more than 3 outcomes: fill previous_classes"):
        read_classes(store, "acme", partner_key(PEPPER, "acme"), TODAY)


def test_the_form_wants_to_know_whose_file_it_is() -> None:
    """References are one partner's; without the option nothing is joined."""
    assert ScoringForm(partner="acme").outcomes_of == ""
    assert ScoringForm(partner="acme", join_outcomes=True).outcomes_of == "acme"
    with pytest.raises(BatchRefused, match="say whose file this is"):
        _ = ScoringForm(join_outcomes=True).outcomes_of


def test_a_worker_without_the_pepper_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And makes none, under which nobody would be found."""
    from flows import scoring
    from service.settings import ServiceSettings

    monkeypatch.setattr(scoring, "service_settings", lambda: ServiceSettings(service_dir=tmp_path))

    with pytest.raises(BatchRefused, match="no pepper at .*QF_SERVICE_DIR"):
        scoring._classes("acme")  # pylint: disable=protected-access  # the step before any file is read

    assert not list(tmp_path.iterdir())


def test_numbers_as_references_are_texts(known: CustomerClasses) -> None:
    """A parquet file may hold them as such; nobody of that name is known here."""
    table = pa.table({"customer_ref": pa.array([1, None], pa.int64())})
    rows = RowsRead(table, table, lambda: [], {}, {})  # type: ignore[arg-type, return-value]
    assert known.fill(rows) == (rows, 0)
