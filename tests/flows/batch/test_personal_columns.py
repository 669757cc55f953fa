"""Columns that name a person end with the job: not in its parts, not among its refused rows, and it says so."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flows.batch.job import PartRules, score_piece
from flows.batch.personal_columns import personal_columns, without_personal
from flows.batch.piece_rows import rows_of
from flows.batch.places import ResultPlace
from flows.batch.refused_rows import join_notes
from service.engine.packed_model import PackedModel
from tests.factories import pack_small_model
from tests.flows.batch.files import applicants, as_csv
from tests.flows.batch.reading import pieces_of

CANARY = "Ana Canary 7731"
RULES = PartRules(rows=10, reasons=False)


@pytest.mark.parametrize(
    "name",
    "Name SSN name Nome nome_completo firstName customer_name CPF cpf_do_cliente e-mail Email E_MAIL Telefone "
    "phoneNumber home_address Endereço data_de_nascimento DOB Sobrenome RG".split(),
)
def test_a_column_that_names_a_person_is_known_by_its_name(name: str) -> None:
    """In any case, English or Portuguese, however its words are joined."""
    assert personal_columns([name]) == (name,)


@pytest.mark.parametrize(
    "name",
    "ID Customer_ID customer_ref my_id Month Age Occupation campaign_name branch_name nome_da_agencia "
    "num_bank_accounts argument charge monthly_balance line column reason".split(),
)
def test_what_brings_a_row_back_is_passed_on(name: str) -> None:
    """Ids and references, and whatever else a partner keeps beside its rows."""
    assert not personal_columns([name])


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet", "xlsx", "jsonl"])
def test_nobody_is_named_in_what_a_job_writes(kind: str, tmp_path: Path) -> None:
    """Every kind of file: parts and refused rows keep the id, lose the person, and the tally has the columns' names."""
    pack_small_model(tmp_path / "package")
    frame = applicants(6).assign(Name=CANARY, SSN=CANARY, CPF=CANARY)
    frame.loc[2, "interest_rate"] = 101.0
    source, target = tmp_path / f"in.{kind}", tmp_path / "out"
    match kind:
        case "parquet":
            frame.to_parquet(source)
        case "xlsx":
            frame.to_excel(source, index=False)
        case "jsonl":
            frame.to_json(source, orient="records", lines=True)
        case _:
            frame.to_csv(source, index=False)
    target.mkdir()
    model, pieces = PackedModel.load(tmp_path / "package"), pieces_of(source, 10)

    tallies = [score_piece(model, piece, [], str(target), RULES, lambda _: None) for piece in pieces]
    join_notes(pieces, ResultPlace.of(str(target)))

    assert {tally.left_out for tally in tallies} == {("CPF", "Name", "SSN")}
    rows = [row for part in sorted(target.glob("part-*")) for row in pq.read_table(part).to_pylist()]
    assert [row["my_id"] for row in rows] == list(frame["my_id"])
    told = (target / f"in.{kind}.refused.csv").read_text()
    assert "row-2" in told and "Name" not in told
    assert not [path.name for path in target.iterdir() if CANARY.encode() in path.read_bytes()]
    again = [
        score_piece(model, piece, [one.name for one in target.glob("part-*")], str(target), RULES, lambda _: None)
        for piece in pieces
    ]
    assert {tally.left_out for tally in again} == {("CPF", "Name", "SSN")}


def test_a_row_of_other_width_keeps_its_line_and_no_cell(tmp_path: Path) -> None:
    """A name may stand under any of its columns."""
    lines = as_csv(applicants(3).assign(Name=CANARY)).splitlines()
    lines[2] = f"{CANARY},{lines[2]},x"
    (tmp_path / "in.csv").write_text("\n".join(lines) + "\n")

    (read,) = [without_personal(read) for piece in pieces_of(tmp_path / "in.csv", 10) for read in rows_of(piece, 10)]

    assert [(row.line, row.cells) for row in read.aside.values()] == [(3, ())]
    assert read.left_out == ("Name",) and "Name" not in read.table.column_names


def test_a_file_without_persons_is_read_as_it_is(tmp_path: Path) -> None:
    """Nothing is copied."""
    (tmp_path / "in.csv").write_text(as_csv(applicants(3)))
    (read,) = [read for piece in pieces_of(tmp_path / "in.csv", 10) for read in rows_of(piece, 10)]
    assert without_personal(read) is read
