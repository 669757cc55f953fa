"""Files of a job are found by address; a folder's are those whose names say that they are tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.batch.errors import BatchRefused
from flows.batch.places import ResultPlace, sources


def test_a_folder_is_its_tables_in_order(tmp_path: Path) -> None:
    """Of known kinds in any case, at any depth; what begins with a dot, an underscore or a tilde is nobody's data."""
    for name in ("b.csv", "sub/a.parquet", "a.csv.gz", "C.CSV", "notes.txt", "_SUCCESS.csv", ".a.csv", "~$a.xlsx"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "b.csv.refused.csv").write_text("x")

    found = [one.address.removeprefix(f"{tmp_path}/") for one in sources(str(tmp_path))]

    assert found == ["C.CSV", "a.csv.gz", "b.csv", "sub/a.parquet"]


@pytest.mark.parametrize("ending", ["", "/", "/."])
def test_what_programs_keep_in_a_folder_is_hidden(tmp_path: Path, ending: str) -> None:
    """A notebook's copies, a bin: no rows of a job. A folder that is hidden itself, as the stack's state, was named."""
    folder = tmp_path / ".local" / "batches"
    for name in ("a.csv", ".ipynb_checkpoints/a.csv", "sub/.bin/b.csv", "sub/b.csv"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")

    assert [Path(one.address).relative_to(folder).as_posix() for one in sources(f"{folder}{ending}")] == [
        "a.csv",
        "sub/b.csv",
    ]


def test_a_file_that_is_named_may_have_any_name(tmp_path: Path) -> None:
    """Its content decides what it is."""
    (tmp_path / "notes.txt").write_text("x")
    assert [one.size_bytes for one in sources(str(tmp_path / "notes.txt"))] == [1]


@pytest.mark.parametrize(("name", "said"), [("none.csv", "there is no file"), ("", "holds no table")])
def test_nothing_to_score_is_refused(tmp_path: Path, name: str, said: str) -> None:
    """An absent file, an empty folder: one clear line each."""
    with pytest.raises(BatchRefused, match=said):
        sources(str(tmp_path / name))


def test_a_written_file_is_whole_or_absent(tmp_path: Path) -> None:
    """A failure while it is written leaves what was there."""
    place = ResultPlace.of(str(tmp_path / "a.csv"))
    place.write(b"before")

    with pytest.raises(RuntimeError), place.writing() as stream:
        stream.write(b"after")
        raise RuntimeError

    assert place.read() == b"before"
    with place.writing() as stream:
        stream.write(b"after")
    assert place.read() == b"after"
