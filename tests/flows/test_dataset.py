"""The data stages: sources, bad input in one line, the report, and versions by DVC and the object store."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from hashlib import md5
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from flows import dataset
from flows.cleaning.pipeline import CLEAN_COLUMNS
from flows.cleaning.quality import Quality, suspect_repeats
from flows.cleaning.raw_table import LABEL_COLUMN, RAW_COLUMNS
from flows.data import dvc_versions, sources
from flows.data.params import read_params
from flows.data.prepare import prepare
from flows.data.raw_reading import read_raw
from flows.data.sources import fetch
from flows.errors import DatasetError, SourceError

ROOT = Path(__file__).parents[2]
PARAMS = read_params(ROOT / "data/params.yaml")


@pytest.fixture(name="project")
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder as working directory, with the data stages' own files."""
    folder = tmp_path / "project"
    (folder / "data").mkdir(parents=True)
    shutil.copy(ROOT / "data/params.yaml", folder / "data/params.yaml")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("QF_DATA", raising=False)
    monkeypatch.setenv("QF_STATE_DIR", str(folder / ".local"))
    return folder


@pytest.fixture(scope="module", name="prepared")
def _prepared(sample: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `prepare` writes for the small sample."""
    folder = tmp_path_factory.mktemp("prepared")
    sample.to_csv(folder / "train.csv", index=False)
    prepare(folder / "train.csv", folder / "processed", PARAMS.prepare)
    return folder


def assert_nameless(raw: Path, source: pd.DataFrame) -> None:
    """The raw file is its source, cell for cell, but for names and SSNs: of these not one is left."""
    table = read_raw(raw, labelled=True)
    personal = ["Name", "SSN"]
    pd.testing.assert_frame_equal(table.drop(columns=personal), source.drop(columns=personal).fillna("").astype("str"))
    assert set(table[personal].stack()) == {""}
    text = raw.read_text("utf-8")
    assert not [ssn for ssn in source["SSN"].dropna().unique()[:50] if ssn and ssn in text]


def test_a_path_is_fetched_plain_or_zipped(project: Path, sample: pd.DataFrame) -> None:
    """A csv and the same csv zipped give the same raw file; the second is recognised as the same."""
    sample.to_csv(project / "k.csv", index=False)
    (project / "k.csv.gz").write_bytes(gzip.compress((project / "k.csv").read_bytes()))
    assert dataset.main(["fetch", "--data", "k.csv"]) == 0
    raw = project / "data/raw/train.csv"
    before = raw.stat()
    assert_nameless(raw, sample)
    assert dataset.main(["fetch", "--data", "k.csv.gz"]) == 0
    assert (raw.stat().st_ino, raw.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_without_a_source_the_file_stays_and_the_sample_fills_the_gap(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`fetch` alone, as the DVC stage calls it, makes the sample once and then keeps whatever is there."""
    assert dataset.main(["fetch"]) == 0
    raw = project / "data/raw/train.csv"
    assert len(read_raw(raw, labelled=True)) == 8 * PARAMS.sample.customers
    raw.write_text("mine")
    assert dataset.main(["fetch"]) == 0
    assert raw.read_text() == "mine"
    assert "stays as it is" in capsys.readouterr().out


def csv_of(*header: str, rows: str | None = None) -> bytes:
    """A small csv."""
    row = ",".join("1" * len(header)) + "\n" if rows is None else rows
    return (",".join(header) + "\n" + row).encode()


ALL = [*RAW_COLUMNS, LABEL_COLUMN]
RENAMED = ["annual_incom" if name == "Annual_Income" else name for name in ALL]
BAD_FILES = [
    ("renamed.csv", csv_of(*RENAMED), r"lacks 1 of 28 columns: Annual_Income \(is it annual_incom\?\)"),
    ("short.csv", csv_of(*[name for name in ALL if name not in ("SSN", "Month")]), "lacks 2 of 28 columns: Month, SSN"),
    ("test.csv", csv_of(*ALL[:-1]), "lacks 1 of 28 columns: Credit_Score"),
    ("empty.csv", b"", "is empty"),
    ("blank.csv", b"\n\n", "is empty"),
    ("header.csv", csv_of(*ALL, rows=""), "a header and no row"),
    ("picture.csv", bytes(range(256)) * 40, "line 1: it holds bytes that no text has"),
    ("page.csv", b"<html>\n<body>moved</body>\n</html>\n", "line 1: this is a page"),
    ("broken.csv.gz", gzip.compress(csv_of(*ALL) * 100)[:60], "is a damaged gzip archive"),
    (
        "ragged.csv",
        csv_of(*ALL, rows=",".join("1" * 28) + "\n" + ",".join("1" * 40) + "\n"),
        "line 3: 40 cells, the header names 28 columns",
    ),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD_FILES, ids=[case[0] for case in BAD_FILES])
def test_a_bad_file_is_one_line_and_changes_nothing(
    project: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes, message: str
) -> None:
    """A file that is not Kaggle's table is refused in one line; the raw file that was there stays, no rest remains."""
    raw = project / "data/raw/train.csv"
    raw.parent.mkdir()
    raw.write_text("before")
    (project / name).write_bytes(content)
    assert dataset.main(["fetch", "--data", name]) == 1
    told = capsys.readouterr()
    assert told.err.count("\n") == 1 and told.err.startswith("flows.dataset: ")
    with pytest.raises(SourceError, match=message):
        fetch(name, raw, customers=2_000, seed=1)
    assert raw.read_text() == "before"
    assert [path.name for path in raw.parent.iterdir()] == ["train.csv"]


BAD_SOURCES = [
    ("smaple", r"DATA=smaple is unknown \(did you mean sample\?\): use sample, kaggle, or a path"),
    ("zzz", "DATA=zzz is unknown: use sample, kaggle, or a path"),
    ("no/such/train.csv", "there is no such file"),
    ("data", "is a folder"),
]


@pytest.mark.parametrize(("source", "message"), BAD_SOURCES, ids=[case[0] for case in BAD_SOURCES])
def test_a_wrong_source_names_the_right_ones(project: Path, source: str, message: str) -> None:
    """A typo, a wrong path and a folder each say what to give instead."""
    with pytest.raises(SourceError, match=message):
        fetch(source, project / "data/raw/train.csv", customers=2_000, seed=1)
    assert not (project / "data/raw/train.csv").exists()


def test_kaggle_is_asked_once_and_copied(project: Path, sample: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """`kaggle` downloads train.csv of the public data set and takes it over; kagglehub keeps its own cache."""
    import kagglehub

    asked: list[tuple[str, str]] = []

    def download(handle: str, path: str) -> str:
        asked.append((handle, path))
        sample.to_csv(project / "cached.csv", index=False)
        return str(project / "cached.csv")

    monkeypatch.setattr(kagglehub, "dataset_download", download)
    assert fetch("kaggle", project / "data/raw/train.csv", customers=2_000, seed=1)
    assert asked == [("parisrohan/credit-score-classification", "train.csv")]


def test_kaggle_out_of_reach_is_one_line(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without network or consent the message says what to do, whatever kagglehub raised."""
    import kagglehub

    def refuse(_handle: str, path: str) -> str:
        raise ConnectionError(f"no route for {path}\nand more lines")

    monkeypatch.setattr(kagglehub, "dataset_download", refuse)
    with pytest.raises(
        SourceError, match="Kaggle did not give .*no route.*; check the network, .* DATA=sample"
    ) as caught:
        fetch("kaggle", project / "data/raw/train.csv", customers=2_000, seed=1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(13, "denied", "data/raw"), "no permission for data/raw"),
        (OSError(28, "No space left"), "No space"),
    ],
    ids=["permission", "disk"],
)
def test_a_folder_that_cannot_be_written_is_one_line(
    project: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, message: str
) -> None:
    """No permission and a full disk name the place and what to do; root may write anywhere, so the error is given."""

    def refuse(*_args: Any, **_kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(sources, "write_sample", refuse)
    with pytest.raises(SourceError, match=message):
        fetch("sample", project / "data/raw/train.csv", customers=2_000, seed=1)


def test_missing_raw_and_wrong_params_are_one_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`prepare` without a raw file, wrong and missing parameters: each one line and exit code 1."""
    assert dataset.main(["prepare"]) == 1
    assert "run `python -m flows.dataset fetch" in capsys.readouterr().err
    (project / "data/params.yaml").write_text("sample: {customers: 3, seed: 1}\n")
    assert dataset.main(["fetch", "--data", "sample"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    (project / "data/params.yaml").unlink()
    assert dataset.main(["prepare"]) == 1
    assert "run at the project's root" in capsys.readouterr().err


def test_an_interrupt_is_one_line(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C ends with the shell's code, and no part of a file stays."""

    def interrupt(*_args: Any, **_kwargs: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sources, "write_sample", interrupt)
    assert dataset.main(["fetch", "--data", "sample"]) == 130
    assert capsys.readouterr().err.count("\n") == 1
    assert not list((project / "data/raw").iterdir())


def test_a_table_without_a_usable_row_is_refused(raw_customer: Any, tmp_path: Path) -> None:
    """Nothing is written when no row can be used."""
    raw_customer(Month="never").to_csv(tmp_path / "train.csv", index=False)
    with pytest.raises(DatasetError, match="no row of .* can be used"):
        prepare(tmp_path / "train.csv", tmp_path / "processed", PARAMS.prepare)
    assert not (tmp_path / "processed").exists()


def test_prepare_writes_what_training_reads(prepared: Path, sample: pd.DataFrame) -> None:
    """Train and test by customer, the agreed columns, no name or SSN anywhere, all rows accounted for.

    A row that needs its customer's past is in quarantine by that reason, and repaired on the side of those judged.
    """
    folder = prepared / "processed"
    tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in ("train", "test", "quarantine")}
    assert not set(tables["train"]["customer_id"]) & set(tables["test"]["customer_id"])
    assert sum(map(len, tables.values())) == len(sample)
    for table in tables.values():
        assert not {"Name", "SSN", "name", "ssn"} & set(table.columns)
    assert tuple(tables["train"].columns) == tuple(tables["test"].columns) == CLEAN_COLUMNS
    repaired = pd.read_parquet(folder / "repaired.parquet")
    assert set(tables["test"]["customer_id"]) <= set(repaired["customer_id"])
    assert not set(tables["train"]["customer_id"]) & set(repaired["customer_id"])
    assert len(repaired) > len(tables["test"])
    assert tables["quarantine"]["reason"].str.endswith("without the customer's past").sum() > 50
    assert not any(path.name.endswith(".part") for path in folder.iterdir())


def test_the_report_adds_up(prepared: Path) -> None:
    """rows in = rows out + quarantine; rules, split and months are told; the tables say the same."""
    quality = Quality.model_validate_json((prepared / "processed/quality.json").read_text())
    assert quality.rows_in == 2_400 == quality.rows_out + quality.rows_quarantined
    assert quality.rows_quarantined == sum(quality.quarantine.values()) == sum(quality.rules["quarantined"].values())
    assert quality.rows_out == sum(quality.balance_identity.values())
    assert quality.rows_out > quality.rows_served == sum(side.rows for side in quality.split.values())
    assert quality.out_of_time_months == [7, 8] and quality.months == list(range(1, 9))
    assert quality.raw_sha256 == sources.sha256(prepared / "train.csv")
    report = (prepared / "processed/quality.md").read_text()
    for title in ("Split by customer", "Violated rules of the raw schema", "What cleaning did", "Quarantine"):
        assert f"## {title}" in report
    assert f"{quality.violations[0].rows:,}" in report


def test_prepare_gives_the_same_bytes_again(prepared: Path) -> None:
    """Same raw file, same parameters: the same files to the byte, so DVC sees no change."""
    prepare(prepared / "train.csv", prepared / "again", PARAMS.prepare)
    for path in (prepared / "processed").iterdir():
        assert path.read_bytes() == (prepared / "again" / path.name).read_bytes(), path.name


def test_a_copy_s_fills_are_found_by_their_repetition(sample: pd.DataFrame) -> None:
    """One salary or balance shared by many customers was written by a hand; genuine values are not suspected."""
    assert not suspect_repeats(sample)
    copy = sample.copy()
    copy.loc[copy.index[::9], "Monthly_Inhand_Salary"] = "4321.125"
    assert suspect_repeats(copy) == {"Monthly_Inhand_Salary": (4321.125,)}


def test_the_tracked_lock_survives_other_data(tmp_path: Path) -> None:
    """A run may write its lock; the tracked one is back afterwards, after an error and after a kill."""
    lock, state = tmp_path / "dvc.lock", tmp_path / "state"
    lock.write_text("tracked")
    with dvc_versions.lock_kept(lock, state) as kept:
        lock.write_text("of this run")
    assert (lock.read_text(), kept.read_text()) == ("tracked", "of this run")
    with pytest.raises(DatasetError), dvc_versions.lock_kept(lock, state):
        lock.write_text("half")
        raise DatasetError("stop")
    assert lock.read_text() == "tracked"
    (state / "dvc.lock.tracked").write_text("tracked")  # what a killed run leaves
    lock.write_text("half")
    with dvc_versions.lock_kept(lock, state):
        assert lock.read_text() == "tracked"
    assert dvc_versions.adopt(tmp_path, state).read_text() == "tracked"


def test_a_first_lock_is_kept_and_adopting_needs_a_run(tmp_path: Path) -> None:
    """Without a tracked lock the run's own stays; without a run there is nothing to adopt."""
    with pytest.raises(DatasetError, match="reproduce"):
        dvc_versions.adopt(tmp_path, tmp_path / "state")
    with dvc_versions.lock_kept(tmp_path / "dvc.lock", tmp_path / "state"):
        (tmp_path / "dvc.lock").write_text("first")
    assert (tmp_path / "dvc.lock").read_text() == "first"


def test_the_tracked_lock_is_the_sample_s(tmp_path: Path) -> None:
    """dvc.lock names what the sample gives today; if not, raise prepare.version and renew it (data/README.md)."""
    stages = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]
    fetch("sample", tmp_path / "train.csv", customers=PARAMS.sample.customers, seed=PARAMS.sample.seed)
    prepare(tmp_path / "train.csv", tmp_path, PARAMS.prepare)
    locked = {Path(out["path"]).name: out["md5"] for stage in stages.values() for out in stage["outs"]}
    for name in ("train.csv", "quality.json"):  # parquet's bytes name the versions of its writers too
        assert md5((tmp_path / name).read_bytes(), usedforsecurity=False).hexdigest() == locked[name], name
    assert stages["prepare"]["params"]["data/params.yaml"]["prepare"] == json.loads(
        PARAMS.prepare.model_dump_json(exclude_unset=True)
    )


@pytest.mark.slow
def test_a_second_clone_pulls_what_the_first_pushed(
    project: Path,
    object_store: Any,
    sample: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Raw file and outputs go to bucket `data`; a clone with the adopted lock gets the same bytes by `dvc pull`."""
    for name, value in {**object_store.variables, **dvc_versions.SETTINGS}.items():
        monkeypatch.setenv(name, value)
    shutil.copytree(ROOT / ".dvc", project / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp", "config.local"))
    for name in ("dvc.yaml", ".dvcignore", "data/.gitignore"):
        shutil.copy(ROOT / name, project / name)
    (project / ".gitignore").write_text(".local/\nk.csv\n")
    sample.to_csv(project / "k.csv", index=False)
    git(project, "init", "-q")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "stages")
    assert dataset.main(["reproduce", "--data", "k.csv", "--push"]) == 0
    assert dataset.main(["adopt"]) == 0
    git(project, "add", "dvc.lock")
    git(project, "commit", "-q", "-m", "data")
    assert dataset.main(["reproduce", "--data", "k.csv"]) == 0
    assert git(project, "status", "--porcelain") == ""
    assert dataset.main(["reproduce", "--data", "gone.csv"]) == 1
    assert "there is no such file" in capfd.readouterr().err
    assert git(project, "status", "--porcelain") == ""

    second = project.parent / "second"
    git(project, "clone", "-q", str(project), str(second))
    subprocess.run([sys.executable, "-m", "dvc", "pull"], cwd=second, env={**os.environ}, check=True)
    for name in ("raw/train.csv", "processed/train.parquet", "processed/quality.json"):
        assert (second / "data" / name).read_bytes() == (project / "data" / name).read_bytes(), name


def git(folder: Path, *arguments: str) -> str:
    """Run git as nobody in particular; its output."""
    who = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    done = subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout
