"""A job's parts survive kills, never mix with another's, and lie in a folder or a bucket."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from distributed import Client, LocalCluster

from bentos.packing.recalibration import recalibrate
from flows.batch.errors import BatchRefused
from flows.batch.job import ScoringJob, ScoringTally, job_of, score
from flows.batch.places import ResultPlace
from flows.batch.rows import checked, score_table
from flows.batch.workers import own_folder, workers
from flows.scoring import ScoringForm
from infra.settings import ROOT
from service.engine.packed_model import PackedModel
from service.score.manifest import Manifest
from service.score.policy import Calibration
from tests.bench.applicants import write_applicants
from tests.conftest import ObjectStore
from tests.factories import applicant_columns, pack_small_model
from tests.flows.batch.files import applicants, as_csv

ROWS = 250


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small real model's package."""
    folder = tmp_path_factory.mktemp("package")
    pack_small_model(folder)
    return folder


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """A client of a scheduler and a worker in this process: quick, and the model is loaded once."""
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0") as cluster:
        with Client(cluster) as found:
            yield found


@pytest.fixture
def frame() -> pd.DataFrame:
    """Applicants with an id of the caller's own; one breaks the contract."""
    columns, _ = applicant_columns(ROWS, seed=11)
    found = pd.DataFrame({name: list(values) for name, values in columns.items()})
    found.loc[7, "interest_rate"] = 101
    return found.assign(my_id=[f'row {number}, "so called"' for number in range(ROWS)])


def _parts(target: Path) -> dict[str, bytes]:
    return {part.name: part.read_bytes() for part in sorted(target.glob("part-*"))}


def _rows(target: Path) -> list[dict[str, Any]]:
    return [row for part in sorted(target.glob("part-*")) for row in pq.read_table(part).to_pylist()]


def test_a_folder_of_every_kind_is_scored_and_goes_on(
    package: Path, frame: pd.DataFrame, tmp_path: Path, client: Client
) -> None:
    """CSV, packed CSV and parquet: every row once, in order; what is there is kept, and only the missing made."""
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    frame.to_csv(source / "a.csv", index=False)
    frame.to_csv(source / "b.csv.gz", index=False)
    frame.to_parquet(source / "c.parquet", row_group_size=70)
    job = job_of(str(source), package, 100, False)
    seen: list[ScoringTally] = []

    tally = score(job, package, str(target), client, seen.append)

    table = pa.Table.from_pandas(frame)
    once = score_table(PackedModel.load(package), table, checked(table), reasons=False).to_pylist()
    assert _rows(target) == once * 3
    assert (tally.rows, tally.problems) == (3 * ROWS, {"interest_rate": 3})
    assert (tally.read_bytes, len(seen), seen[-1].rows) == (job.size_bytes, tally.parts + 1, tally.rows)
    assert tally.refused_files == tuple(f"{name}.refused.csv" for name in ("a.csv", "b.csv.gz", "c.parquet"))
    refused = pd.read_csv(target / "a.csv.refused.csv")
    assert refused[["line", "column", "my_id"]].values.tolist() == [[9, "interest_rate", 'row 7, "so called"']]
    assert tally.read_as[0] == "a.csv: csv, utf-8, columns cut at comma, header on line 1, decimal point"
    before = _parts(target)
    assert (target / "part-00001-000000-00002.parquet").exists() and len(before) == tally.parts
    for name in ("part-00000-000001-00000.parquet", "part-00001-000000-00001.parquet"):
        (target / name).unlink()
    kept = (target / "part-00000-000000-00000.parquet").stat().st_mtime_ns

    again = score(job, package, str(target), client)

    assert (again.rows, again.problems, again.found_done) == (3 * ROWS, {"interest_rate": 3}, tally.parts - 2)
    assert _parts(target) == before
    assert (target / "part-00000-000000-00000.parquet").stat().st_mtime_ns == kept
    assert json.loads((target / "summary.json").read_text())["refused_files"] == list(tally.refused_files)
    assert again.refused_files == tally.refused_files


def test_what_the_caller_says_of_a_file_is_part_of_the_job(package: Path, tmp_path: Path, client: Client) -> None:
    """`2,900` alone is refused with the option; told, it is scored, and other words for it are another job."""
    frame = applicants(5)
    for name in frame.select_dtypes("number").columns:
        frame[name] = frame[name].round(0).astype("Int64")
    (tmp_path / "a.csv").write_text(as_csv(frame.assign(annual_income="2,900")))
    source, target = str(tmp_path / "a.csv"), str(tmp_path / "out")

    with pytest.raises(BatchRefused, match="a.csv: line 2, column annual_income: .*--decimal"):
        score(job_of(source, package, 100, False), package, str(tmp_path / "other"), client)

    told = ScoringForm(source=source, decimal=".").hints
    assert score(job_of(source, package, 100, False, told), package, target, client).refused == 0
    with pytest.raises(BatchRefused, match="another job"):
        score(job_of(source, package, 100, False), package, target, client)


def test_a_recalibrated_model_of_the_same_trees_is_another_job(
    package: Path, frame: pd.DataFrame, tmp_path: Path, client: Client
) -> None:
    """Half a folder answered with one calibration is not finished with another."""
    source, other, target = tmp_path / "a.parquet", tmp_path / "package", str(tmp_path / "out")
    frame.to_parquet(source)
    shutil.copytree(package, other)
    manifest = Manifest.read(package)
    calibration = Calibration(manifest.calibration)
    made = recalibrate(
        other, (calibration, calibration), manifest.grade_borders, {"recalibration_power": 0.9}, "b" * 40
    )
    score(job_of(str(source), package, 125, False), package, target, client)

    assert made.digest == manifest.digest
    with pytest.raises(BatchRefused, match="another job"):
        score(job_of(str(source), other, 125, False), other, target, client)


def test_refusals_leave_nothing_half_done(package: Path, frame: pd.DataFrame, tmp_path: Path, client: Client) -> None:
    """Another job's folder, parts of no job, a file that lacks a column: one clear line, no part written."""
    source = tmp_path / "a.parquet"
    frame.to_parquet(source)
    job, other = (job_of(str(source), package, rows, False) for rows in (125, 50))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "job.json").write_text(other.model_dump_json())
    (tmp_path / "unknown").mkdir()
    (tmp_path / "unknown" / "part-00000-000000-00000.parquet").write_bytes(b"")
    frame.drop(columns=["interest_rate"]).to_csv(tmp_path / "b.csv", index=False)

    for target, refused, said in (
        ("taken", job, "another job"),
        ("unknown", job, "no known job"),
        ("c", job_of(str(tmp_path / "b.csv"), package, 125, False), "b.csv lacks interest_rate"),
    ):
        with pytest.raises(BatchRefused, match=said):
            score(refused, package, str(tmp_path / target), client)
    assert not list((tmp_path / "c").glob("part-*"))


@pytest.mark.full
def test_a_dead_worker_costs_time_alone(package: Path, tmp_path: Path) -> None:
    """Processes of this host, one of them killed: its pieces are scored by others, the same rows."""
    write_applicants(tmp_path / "a.csv", 3000, seed=3)
    with workers("", 2) as client:
        before = set(client.run(os.getpid).values())
        victims = sorted(before)[:1]

        def kill_one(so_far: ScoringTally) -> None:
            if so_far.parts and victims:
                os.kill(victims.pop(), signal.SIGKILL)

        job = job_of(str(tmp_path / "a.csv"), package, 100, False)
        tally = score(job, package, str(tmp_path / "out"), client, kill_one)
        after = set(client.run(os.getpid).values())

    assert not victims and before - after and tally.rows == 3000
    assert [int(row["my_id"]) for row in _rows(tmp_path / "out")] == list(range(3000))


def _faulted_pages() -> int:
    """Pages that arrays of a part's size fault in anew, once as much was used and freed before."""
    before = 0
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        arrays = [np.ones(100_000) for _ in range(8)]
        del arrays
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this C library decides for itself")
def test_a_worker_keeps_the_memory_of_a_part_for_the_next(package: Path, frame: pd.DataFrame, tmp_path: Path) -> None:
    """Dask starts its workers so that they give all back; faulted in again it cost a third of a part's time."""
    frame.to_csv(tmp_path / "a.csv", index=False)
    pages_of_arrays = 8 * 100_000 * 8 // resource.getpagesize()
    with workers("", processes=1) as client:
        new = client.submit(_faulted_pages, pure=False).result()
        score(job_of(str(tmp_path), package, 100, False), package, str(tmp_path / "out"), client)
        kept = client.submit(_faulted_pages, pure=False).result()
    assert kept < pages_of_arrays // 10 < pages_of_arrays <= new


def test_what_workers_put_aside_lies_in_a_folder_of_their_own() -> None:
    """They spill pickles, which run when they are read: nobody else may put one there."""
    with workers("", processes=1) as client:
        (told,) = client.scheduler_info()["workers"].values()
        assert Path(told["local_directory"]).is_relative_to(own_folder())
    assert stat.S_IMODE(own_folder().stat().st_mode) == 0o700


@pytest.mark.parametrize("made", ["open", "a link", "a file"])
def test_a_folder_that_somebody_prepared_is_refused(made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name can be told beforehand, and temporary files are everybody's."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    place = tmp_path / f"scoring-workers-{os.getuid()}"
    if made == "open":
        place.mkdir()
        place.chmod(0o777)
    elif made == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        place.symlink_to(tmp_path / "elsewhere")
    else:
        place.touch(mode=0o600)

    with pytest.raises(BatchRefused, match="not this user's alone"):
        own_folder()


def _run(told: dict[str, Any]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.flows.scoring_job", json.dumps(told)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def _kill_after(running: subprocess.Popen[str], parts: int) -> None:
    """Kill the job and all its processes as soon as it told of so many parts."""
    assert running.stdout is not None
    for line in running.stdout:
        if json.loads(line)["parts"] >= parts:
            break
    family = [psutil.Process(running.pid), *psutil.Process(running.pid).children(recursive=True)]
    for one in family:
        one.kill()
    psutil.wait_procs(family, timeout=30)
    running.stdout.close()
    running.wait()


@pytest.mark.parametrize(
    ("rows", "chunk_rows", "kills"),
    [
        pytest.param(20_000, 200, 1, id="quick"),
        pytest.param(1_000_000, 20_000, 8, id="scale", marks=[pytest.mark.full, pytest.mark.timeout(3600)]),
    ],
)
def test_a_killed_job_goes_on(
    package: Path, tmp_path: Path, client: Client, rows: int, chunk_rows: int, kills: int
) -> None:
    """No row twice, none lost, and the bytes of a run that nobody killed."""
    source, target = tmp_path / "a.csv", tmp_path / "out"
    write_applicants(source, rows, seed=5)
    told = {"source": str(source), "target": str(target), "package": str(package), "chunk_rows": chunk_rows}
    for kill in range(kills):
        _kill_after(_run(told), 3 + 5 * kill)
        assert 0 < len(_parts(target)) < rows // chunk_rows
    job = job_of(str(source), package, chunk_rows, False)

    resumed = score(job, package, str(target), client)

    assert resumed.rows == rows and resumed.found_done > 0
    assert [int(row["my_id"]) for row in _rows(target)] == list(range(rows))
    score(job, package, str(tmp_path / "unbroken"), client)
    assert _parts(target) == _parts(tmp_path / "unbroken")


def test_a_bucket_prefix_is_scored_into_another(
    package: Path, frame: pd.DataFrame, tmp_path: Path, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a scheduler by its address: the same bytes as from a folder, and again when they were there."""
    for name, value in object_store.variables.items():
        monkeypatch.setenv(name, value)
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "b.parquet")
    for name in ("a.csv", "b.parquet"):
        ResultPlace.of(f"s3://data/scoring/in/{name}").write((tmp_path / name).read_bytes())
    job = job_of("s3://data/scoring/in", package, 100, True)
    target = "s3://data/scoring/out"

    cluster = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=40)
    with cluster, workers(cluster.scheduler_address, 0) as client:
        tally = score(job, package, target, client)
        again = score(job, package, target, client)
        here = score(job, package, str(tmp_path / "out"), client)

    assert (tally.rows, here.rows, again.found_done, again.parts) == (2 * ROWS, 2 * ROWS, tally.parts, tally.parts)
    place = ResultPlace.of(target)
    assert {name: place.at(name).read() for name in place.names() if name.startswith("part-")} == _parts(
        tmp_path / "out"
    )


def test_no_scheduler_is_one_clear_line() -> None:
    """The setting is named."""
    with pytest.raises(BatchRefused, match="QF_DASK_SCHEDULER"):
        with workers("tcp://127.0.0.1:9", 0, patience_s=1):
            pass


@pytest.mark.parametrize(
    ("form", "said"),
    [
        pytest.param(ScoringForm(), "nothing to score", id="no-source"),
        pytest.param(ScoringForm(source="s3://data/in/", target="s3://data/in/out"), "within the source", id="inside"),
    ],
)
def test_a_form_that_cannot_work_is_refused(form: ScoringForm, said: str) -> None:
    """Before anything is fetched."""
    with pytest.raises(BatchRefused, match=said):
        _ = form.place


def test_parts_go_beside_the_source_unless_told() -> None:
    """A slash at the end changes nothing."""
    assert ScoringForm(source="s3://data/in/").place == "s3://data/in.scored"
    assert ScoringJob.model_validate_json(
        ScoringJob(sources=(), package_digest="a", chunk_rows=1, reasons=False).model_dump_json()
    )
