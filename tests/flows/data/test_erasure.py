"""A customer of the training data is erased: no table and no version of it holds them, and nothing brings them back."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from bentos.processes import free_port
from bentos.registry.audit_trail import Trail
from flows import dataset
from flows.data import dvc_versions
from flows.data.erased_customers import read_erased, remember
from flows.data.raw_reading import read_raw
from flows.errors import DatasetError
from flows.predictions.data_age import VERSIONS
from infra.settings import HOST, ROOT
from infra.stack import parts
from infra.stack.processes import Recipe
from service.s3 import DATA_BUCKET
from tests.conftest import ObjectStore, serving

ASKED = ("erase", "--requested-by", "privacy desk, case 8")
READ_ONLY = """
{user}daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off; client_max_body_size 0;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxied;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen {host}:{port};
    location = /alive {{ return 200; }}
    location / {{ limit_except GET {{ deny all; }} proxy_pass {store}; proxy_set_header Host $http_host; }}
  }}
}}
"""


@pytest.fixture(name="project")
def _project(tmp_path: Path, sample: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with DVC, whose source `k.csv` is the small sample, as the working directory."""
    folder = tmp_path / "project"
    (folder / "data").mkdir(parents=True)
    shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp", "config.local"))
    for name in ("dvc.yaml", ".dvcignore", "data/.gitignore", "data/params.yaml"):
        shutil.copy(ROOT / name, folder / name)
    sample.to_csv(tmp_path / "k.csv", index=False)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("QF_DATA", raising=False)
    monkeypatch.setenv("QF_STATE_DIR", str(folder / ".local"))
    return folder


@pytest.fixture(name="versions")
def _versions(object_store: ObjectStore) -> Iterator[ObjectStore]:
    """The real store, shared with other tests; the versions of the data in it are gone afterwards."""
    yield object_store
    client = object_store.client()
    for item in client.list_objects_v2(Bucket=DATA_BUCKET, Prefix=VERSIONS).get("Contents", []):
        client.delete_object(Bucket=DATA_BUCKET, Key=item["Key"])


@pytest.fixture(name="read_only")
def _read_only(object_store: ObjectStore, require_program: Callable[[str], str], tmp_path: Path) -> Iterator[str]:
    """The store's address for whoever may delete nothing."""
    folder, port = tmp_path / "read-only", free_port()
    folder.mkdir()
    user = "user root;\n" if os.geteuid() == 0 else ""
    text = READ_ONLY.format(folder=folder, host=HOST, port=port, store=object_store.endpoint, user=user)
    (folder / "nginx.conf").write_text(text)
    command = (require_program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "error.log")
    url = f"http://{HOST}:{port}"
    with serving(parts.StackPart("nginx", Recipe(command, {}, folder, port), f"{url}/alive"), folder):
        yield url


def names(content: bytes, number: str) -> bool:
    """Whether a file holds this number as a word anywhere, in a cell of parquet too."""
    if content.startswith(b"PAR1"):
        content = pd.read_parquet(io.BytesIO(content)).astype("str").to_csv().encode()
    return re.search(rf"\b{number}\b".encode(), content) is not None


def holding(folder: Path, store: ObjectStore, number: str) -> list[str]:
    """Files of the project and objects of bucket `data` in which a customer's number stands."""
    found = [str(path) for path in folder.rglob("*") if path.is_file() and names(path.read_bytes(), number)]
    client = store.client()
    for item in client.list_objects_v2(Bucket=DATA_BUCKET).get("Contents", []):
        if names(client.get_object(Bucket=DATA_BUCKET, Key=item["Key"])["Body"].read(), number):
            found.append(item["Key"])
    return found


def erase(number: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """The command's exit code."""
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{number}\n"))
    return dataset.main([*ASKED])


@pytest.mark.slow
def test_nothing_of_the_training_data_finds_who_was_erased(
    project: Path,
    versions: ObjectStore,
    read_only: str,
    sample: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A key that may not delete leaves it unfinished and says so; a pull of the old version, a fetch of the same source
    and a preparation by hand bring nobody back; with a key that may, no file and no version holds them, others stay."""
    for name, value in {**versions.variables, **dvc_versions.SETTINGS}.items():
        monkeypatch.setenv(name, value)
    number, other = sample["Customer_ID"].unique()[:2]
    source = project.parent / "k.csv"
    assert dataset.main(["reproduce", "--data", str(source), "--push"]) == 0
    assert dataset.main(["adopt"]) == 0
    raw = project / "data/raw/train.csv"
    before = read_raw(raw, labelled=True)
    places = holding(project, versions, number)
    assert len([one for one in places if "/cache/" in one]) == len([one for one in places if one.startswith("files/")])
    assert [one for one in places if "/raw/" in one] and [one for one in places if "/processed/" in one]

    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", read_only)
    assert erase(number, monkeypatch) == 1
    assert "this key may not delete files/md5/" in capfd.readouterr().err
    assert holding(project, versions, number) == [one for one in places if one.startswith("files/")]
    for folder in ("raw", "processed"):
        shutil.rmtree(project / "data" / folder)
    assert dataset.main(["pull"]) == 0
    assert "8 rows of erased customers taken out again" in capfd.readouterr().out
    assert holding(project, versions, number) == [one for one in places if one.startswith("files/")]

    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", versions.endpoint)
    assert erase(number, monkeypatch) == 0
    told = capfd.readouterr()
    assert not holding(project, versions, number)
    pd.testing.assert_frame_equal(
        read_raw(raw, labelled=True), before[before["Customer_ID"] != number].reset_index(drop=True)
    )
    assert dataset.main(["reproduce", "--data", str(source), "--push"]) == 0
    shutil.copy(source, raw)
    assert dataset.main(["prepare"]) == 0
    assert not names((project / "data/processed/train.parquet").read_bytes(), number)
    assert not names((project / "data/processed/test.parquet").read_bytes(), number)
    assert dataset.main(["fetch"]) == 0
    assert not holding(project, versions, number) and holding(project, versions, other)
    trail = Trail(project / ".local/audit/personal-data.jsonl").entries()
    assert [entry.event for entry in trail] == ["erasure_unfinished", "erasure"]
    assert number not in told.out + told.err
    assert "Name the new version" in told.out

    (project / "dvc.lock").unlink()  # in a container it cannot be written: nobody is told to
    assert erase(number, monkeypatch) == 0
    assert "Name the new version" not in capfd.readouterr().out


def test_an_erasure_names_who_asked_and_whom(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a number nobody is put on the list."""
    assert erase("", monkeypatch) == 1
    assert not read_erased(project / ".local").digests


@pytest.mark.parametrize("lost", ["key", "digests"])
def test_half_a_list_lets_nobody_back_in(project: Path, lost: str) -> None:
    """The list is for its owner alone and knows exact numbers; once it or its key is lost nothing is fetched."""
    state = project / ".local"
    remember(state, "CUS_0x2")
    erased = remember(state, "CUS_0x1")
    assert erased.among(pd.Series(["CUS_0x1 ", "CUS_0x12", "", None, "CUS_0x2"])).tolist() == [True, *[False] * 3, True]
    kept = state / "erased-customers"
    assert [(kept / name).stat().st_mode & 0o777 for name in ("key", "digests")] == [0o600, 0o600]
    assert "CUS" not in (kept / "digests").read_text() and repr(erased.key) not in repr(erased)
    (kept / lost).unlink()
    with pytest.raises(DatasetError, match=f"{lost} is missing"):
        remember(state, "CUS_0x3")
    assert dataset.main(["fetch", "--data", str(project.parent / "k.csv")]) == 1
    assert not (project / "data/raw/train.csv").exists()
