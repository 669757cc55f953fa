"""Months of traffic: which year they are stamped with, what is refused, how they are cut into requests."""

import json
from datetime import date

import pytest

from flows.data.sample import generate
from infra.demo import replay
from infra.errors import StackError

TODAY = date(2026, 11, 23)


@pytest.mark.parametrize(
    ("months", "expected"),
    [
        ([9, 10], [date(2026, 9, 30), date(2026, 10, 31)]),
        ([10, 9, 11], [date(2025, 9, 30), date(2025, 10, 31), date(2025, 11, 30)]),
        ([2], [date(2026, 2, 28)]),
    ],
    ids=["both are over", "November is not over yet", "February"],
)
def test_months_are_stamped_with_their_last_day_in_the_latest_year_that_is_over(months, expected):
    """`as_of` is never in the future, and the months of one replay follow each other."""
    assert list(replay.last_days(months, TODAY).values()) == expected


@pytest.mark.parametrize("months", [[], [0], [13], [9, 99]], ids=str)
def test_what_is_no_month_is_refused(months):
    """One line that says what to write."""
    with pytest.raises(StackError, match="MONTHS takes numbers from 1 to 12"):
        replay.last_days(months, TODAY)


def test_a_word_instead_of_months_is_one_line_and_exit_code_one(capsys, tmp_path):
    """No traceback."""
    assert replay.main(["--data", str(tmp_path / "x.csv"), "--months", "autumn"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("data", ["sample", "nowhere.csv"])
def test_what_is_no_file_is_said_before_the_stack_is_asked(capsys, tmp_path, data):
    """The word that the demo takes as a source of data is none here; nobody is sent to fetch a sample."""
    assert replay.main(["--data", str(tmp_path / data), "--months", "9"]) == 1
    told = capsys.readouterr().err
    assert f"{data}: there is no such file" in told and told.count("\n") == 1


@pytest.fixture(name="unlabelled")
def fixture_unlabelled(tmp_path):
    """A file like Kaggle's test.csv: September and October of some customers, as dirty as the real one."""
    path = tmp_path / "test.csv"
    generate(60, months=(9, 10), seed=3, labelled=False).to_csv(path, index=False)
    return path


def test_applicants_are_clean_and_carry_the_day_of_their_month(unlabelled):
    """Every row passes the contract; its `as_of` is the month's last day."""
    from service.contract import Applicant

    days = replay.last_days([9, 10], TODAY)
    found = replay.applicants_of(unlabelled, days)
    assert {month: {row["as_of"] for row in rows} for month, rows in found.items()} == {
        9: {"2026-09-30"},
        10: {"2026-10-31"},
    }
    for row in found[9]:
        Applicant.model_validate_json(json.dumps(row))


def test_rows_are_repaired_only_from_a_past_that_is_given(tmp_path):
    """Alone, rows keep their gaps and some cannot be scored; the months before, where they are given, fill them."""
    whole = generate(60, months=(8, 9), seed=3, labelled=False)
    paths = {name: tmp_path / f"{name}.csv" for name in ("August", "September")}
    for name, path in paths.items():
        whole[whole["Month"] == name].to_csv(path, index=False)
    days = replay.last_days([9], TODAY)
    alone = replay.applicants_of(paths["September"], days)[9]
    with_past = replay.applicants_of(paths["September"], days, paths["August"])[9]
    gaps = {
        name: sum(value is None for row in rows for value in row.values()) / len(rows)
        for name, rows in (("alone", alone), ("with past", with_past))
    }
    assert len(alone) < len(with_past) <= 60
    assert gaps["with past"] < gaps["alone"]
    assert {row["as_of"] for row in with_past} == {"2026-09-30"}


def test_a_month_that_the_file_lacks_is_named(unlabelled):
    """Nothing is sent before the whole request is known to be possible."""
    with pytest.raises(StackError, match="no rows of month 3"):
        replay.applicants_of(unlabelled, replay.last_days([3, 9], TODAY))


def test_a_file_that_is_not_there_is_one_line(tmp_path):
    """The message names the path."""
    with pytest.raises(StackError, match="nowhere.csv"):
        replay.applicants_of(tmp_path / "nowhere.csv", replay.last_days([9], TODAY))


def test_rows_are_cut_into_requests_of_bounded_size_and_none_is_lost():
    """Pieces follow each other in order, the last one may be shorter."""
    rows = [{"n": i} for i in range(2 * replay.BATCH_ROWS + 1)]
    pieces = list(replay.batches(rows))
    assert [len(piece) for piece in pieces] == [replay.BATCH_ROWS, replay.BATCH_ROWS, 1]
    assert [row for piece in pieces for row in piece] == rows
