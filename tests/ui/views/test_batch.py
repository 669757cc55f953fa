"""The batch page: a file from what was understood to its results, what is refused, and the way back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from tests.ui.conftest import Open
from tests.ui.fake_api import FakeApi
from tests.ui.views.test_score import everything
from ui.applicant.examples import EXAMPLES
from ui.applicant.fields import contract_fields
from ui.batches.mapping import template
from ui.texts.wording import texts

ROWS = template(contract_fields(), list(EXAMPLES.values()))


def upload(at: AppTest, rows: list[dict[str, Any]]) -> AppTest:
    """A CSV file chosen."""
    content = pd.DataFrame(rows).to_csv(index=False).encode()
    at.file_uploader(key="batch.upload").set_value(("applicants.csv", content, "text/csv"))
    at.run()
    assert not at.exception
    return at


def finished(at: AppTest, key: str = "scores.csv") -> AppTest:
    """Waited until the batch is through."""
    for _ in range(100):
        at.run()
        assert not at.exception
        if any(each.proto.id.endswith(key) for each in at.download_button):
            return at
        time.sleep(0.1)
    raise AssertionError(everything(at))


def test_batch_from_file_to_results(open_page: Open, api: FakeApi) -> None:
    """Upload, check, send, results; the address leads back to them."""
    at = upload(open_page("batch"), ROWS)
    assert "All 3 rows fit" in everything(at)
    assert not api.requests
    at.button(key="batch.send").click().run()
    at = finished(at)
    metrics = {each.label: each.value for each in at.metric}
    assert metrics["Rows scored"] == "3" and metrics["Mean score"] == "605"
    digest = at.query_params["batch"][0] if isinstance(at.query_params["batch"], list) else at.query_params["batch"]
    later = open_page("batch")
    later.query_params["batch"] = digest
    later.run()
    assert {each.label: each.value for each in later.metric}["Rows scored"] == "3"


def test_batch_with_the_classes_left_open(open_page: Open) -> None:
    """Asked for, they are one more column in words; with and without are two batches, which never mix."""
    t, at = texts("en"), upload(open_page("batch"), ROWS)
    at.button(key="batch.send").click().run()
    at = finished(at)
    assert t("columns.prediction_set") not in at.dataframe[-1].value.columns
    next(each for each in at.checkbox if str(each.key).startswith("batch.sets.")).check().run()
    assert t("outcome.of_earlier") in everything(at)
    at.button(key="batch.send").click().run()
    for _ in range(100):
        at.run()
        if t("columns.prediction_set") in at.dataframe[-1].value.columns:
            break
        time.sleep(0.1)
    assert list(at.dataframe[-1].value[t("columns.prediction_set")]) == ["Good", "Poor or Good", "Poor or Good"]


@pytest.mark.usefixtures("api")
def test_batch_scores_stand_beside_their_own_file_alone(open_page: Open) -> None:
    """Another file with as many rows dropped over one that was scored: no cell of it is given those scores; the first
    again is."""
    others = [{**row, "customer_ref": f"other-{place}"} for place, row in enumerate(reversed(ROWS))]
    t, at = texts("en"), upload(open_page("batch"), ROWS)
    at.button(key="batch.send").click().run()
    at = finished(at)

    def downloads() -> set[str]:
        return {each.proto.label for each in at.download_button}

    assert t("outcome.download_own_csv") in downloads() and t("outcome.of_earlier") not in everything(at)
    at = upload(at, others)
    assert t("outcome.of_earlier") in everything(at)
    assert t("outcome.download_own_csv") not in downloads() and t("outcome.download_scores_csv") in downloads()
    assert "other-" not in at.dataframe[-1].value.to_string()
    at = upload(at, [{"only": 1, "two": 2}])
    assert t("outcome.of_earlier") in everything(at)
    at = upload(at, ROWS)
    assert t("outcome.download_own_csv") in downloads() and t("outcome.of_earlier") not in everything(at)


def test_batch_says_what_does_not_fit(open_page: Open) -> None:
    """Bad rows are listed by row and field and left out; a missing column stops before anything is sent."""
    rows = [dict(row) for row in ROWS]
    rows[1]["num_loans"] = 99
    at = upload(open_page("batch"), rows)
    assert "2 rows fit; 1 does not" in everything(at)
    assert "From 0 to 50." in at.dataframe[2].value.to_string()
    at = upload(at, [{"annual_income": 1, "other": 2}])
    assert "Card interest rate" in everything(at) and not [each for each in at.button if each.key == "batch.send"]


@pytest.mark.parametrize(
    ("more", "total", "bad"),
    [("", 3, 0), ("1,2\n", 4, 1), ("1,2\nTotal,,,1\n", 5, 2), ("Total" + "," * 19 + "\n", 4, 1)],
    ids=["sound", "ragged", "two-ragged", "totals"],
)
def test_the_rows_of_a_file_add_up(open_page: Open, more: str, total: int, bad: int) -> None:
    """What is said to be read is what fits and what does not, rows that are set aside among it; why, at once."""
    names = [field.name for field in contract_fields() if field.group != "reference"]
    content = pd.DataFrame(ROWS)[names].to_csv(index=False) + more
    at = open_page("batch")
    at.file_uploader(key="batch.upload").set_value(("applicants.csv", content.encode(), "text/csv"))
    at.run()
    assert not at.exception and f"Read: {total} rows, 20 columns" in everything(at)
    if not bad:
        assert f"All {total} rows fit" in everything(at)
        return
    assert f"{total} rows read: 3 rows fit; {bad} do" in everything(at)
    (faults,) = [each for each in at.expander if each.label.startswith("What does not fit")]
    assert faults.proto.expanded and len(faults.dataframe[0].value) == bad


def test_batch_column_chosen_by_hand(open_page: Open) -> None:
    """A column of another name is mapped by the visitor."""
    rows = [{("my rate" if name == "interest_rate" else name): value for name, value in row.items()} for row in ROWS]
    at = upload(open_page("batch"), rows)
    assert "have no column" in everything(at)
    next(each for each in at.selectbox if str(each.key).endswith(".interest_rate")).select("my rate").run()
    assert "All 3 rows fit" in everything(at)


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [("a.csv", b"", "empty"), ("a.csv", b"one\r\n1\r\n", "one_column"), ("a.xlsx", b"PK-broken", "broken_excel")],
)
def test_batch_bad_files(open_page: Open, name: str, content: bytes, code: str) -> None:
    """A file that is no table is a sentence, not a traceback."""
    at = open_page("batch", locale="pt-BR")
    at.file_uploader(key="batch.upload").set_value((name, content or b"\n", "text/csv"))
    at.run()
    assert texts("pt")(f"sheet.{code}") in everything(at) and not at.exception


def test_batch_stopped_and_gone_on(open_page: Open, api: FakeApi) -> None:
    """A revoked key stops the batch with what is kept; put right, it goes on with the rest."""
    at = upload(open_page("batch"), [{**ROWS[0], "outstanding_debt": place} for place in range(150)])
    api.fail_after = 1
    api.retry_after_s = 0
    at.button(key="batch.send").click().run()
    for _ in range(100):
        at.run()
        if any(each.key == "batch.again" for each in at.button):
            break
        time.sleep(0.2)
    assert "100 of 150 rows are scored and kept" in everything(at)
    api.fail_after = None
    at.button(key="batch.again").click().run()
    for _ in range(50):
        at.run()
        if {each.label: each.value for each in at.metric}.get("Rows scored") == "150":
            break
        time.sleep(0.1)
    assert {each.label: each.value for each in at.metric}["Rows scored"] == "150"


@pytest.mark.parametrize("digest", ["../../../etc", "f" * 64, "x"], ids=["a path", "unknown", "nonsense"])
def test_batch_address_of_nothing(open_page: Open, digest: str) -> None:
    """An address that leads to no batch shows the plain page."""
    at = open_page("batch")
    at.query_params["batch"] = digest
    at.run()
    assert not at.exception and not at.metric


def test_batch_asks_what_the_file_does_not_tell(open_page: Open, api: FakeApi) -> None:
    """Amounts that could be thousands or decimals are asked about before anything is sent, and read as answered."""
    rows = [{**row, "annual_income": "34,000", "monthly_inhand_salary": "2,800"} for row in ROWS]
    whole = ("outstanding_debt", "interest_rate", "delay_from_due_date", "changed_credit_limit", "monthly_balance")
    money = ("credit_utilization_ratio", "total_emi_per_month", "amount_invested_monthly")
    rows = [{**row, **{name: int(row[name]) for name in (*whole, *money)}} for row in rows]
    at = upload(open_page("batch"), rows)
    assert texts("en")("understood.ask_first") in everything(at) and not api.requests
    question = next(each for each in at.radio if str(each.key).endswith(".decimal"))
    question.set_value(".").run()
    assert "All 3 rows fit" in everything(at)
    at.button(key="batch.send").click().run()
    finished(at)
    sent = next(body for _, path, body, _ in api.requests if path == "/v1/score/batch")
    assert {row["annual_income"] for row in sent["applicants"]} == {34_000.0}


def test_state_folder_holds_no_value(open_page: Open, tmp_path: Path) -> None:
    """After a batch through the page the disk holds no value of an applicant."""
    at = upload(open_page("batch"), [{**ROWS[0], "annual_income": 43_210.55, "customer_ref": "REF77"}, ROWS[1]])
    at.button(key="batch.send").click().run()
    finished(at)
    content = "".join(path.read_text() for path in tmp_path.rglob("*.json"))
    assert content and "43210" not in content and "REF77" not in content
