"""A form cannot name what the worker was not given."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flows.batch.errors import BatchRefused
from flows.batch.layouts import opened
from flows.batch.places import ResultPlace, changed, folder, sources
from flows.batch.roots import hold, within
from flows.scoring import ScoringForm, scoring
from service.lexicon.limits import ReadOptions

REMOTE = "s3://batches/in"


@pytest.mark.parametrize("address", ["{root}", "{root}/a.csv", "{root}/x/../a.csv", f"{REMOTE}/a.csv", REMOTE])
def test_under_a_root_is_fine(address: str, tmp_path: Path) -> None:
    """The root itself, and what lies below it."""
    within(address.format(root=tmp_path), (str(tmp_path), REMOTE))


@pytest.mark.parametrize(
    "address",
    [
        *("/etc/passwd", "{root}/../other", "{root}-other/a.csv", "{root}/link/keys.json", "relative.csv"),
        *(
            "{root}/.ssh/id",
            "{root}/sub/.aws/a.csv",
            "{root}/.hidden.csv",
            "{root}.scored",
            "{root}/link",
            "{way}/../a.csv",
            "S3://batches/in/a.csv",
            "s3:",
            "s3://",
            "/",
            "",
        ),
        *(
            "s3://predictions/dt=2026-01-01/x.csv",
            "s3://batches/in/../../predictions/x.csv",
            *("s3://batches/inside/x.csv", "s3://batches-other/in/x.csv", "s3://batches", "s3:///batches/in/x.csv"),
            *("s3://predictions/../batches/in/x.csv", "s3://batches/in/./x.csv", "s3://batches/in//x.csv"),
        ),
        "file:///etc/passwd",
    ],
)
def test_outside_is_refused(address: str, tmp_path: Path) -> None:
    """Other folders and buckets, by links and by dots too; the line names the roots and not the place."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to("/etc")
    (root / "sub").mkdir()
    (tmp_path / "way").symlink_to(root / "sub")  # it is opened as text first: `way/..` is no folder below the root
    place = address.format(root=root, way=tmp_path / "way")

    with pytest.raises(BatchRefused, match="set QF_SCORING_ROOTS to the whole list") as refused:
        within(place, (str(root), REMOTE))

    assert "\n" not in str(refused.value) and "keys.json" not in str(refused.value)


def test_without_roots_any_place_is_fine() -> None:
    """On one's own machine."""
    within("/anywhere", ())


def test_a_root_may_itself_be_reached_by_a_link(tmp_path: Path) -> None:
    """A state folder on another disk, say; and whoever names `s3://` or `/` means all of it."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "disk")

    within(f"{tmp_path}/root/a.csv", (f"{tmp_path}/root/",))
    within(f"{tmp_path}/disk/a.csv", (f"{tmp_path}/root",))
    within("/anywhere", ("/",))
    within(f"{tmp_path}/.state/batches/a.csv", (f"{tmp_path}/.state/batches",))  # a hidden root was named as such
    within("s3://any/where", ("s3://",))


def test_a_link_in_a_folder_leads_nowhere_else(tmp_path: Path) -> None:
    """The folder is a root's; a file in it that is a link to another place is refused before anything is opened."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.csv").write_text("x")
    hold(sources(str(root)), (str(root),), max_gb=1)
    (tmp_path / "secret.csv").write_text("x")
    (root / "b.csv").symlink_to(tmp_path / "secret.csv")

    with pytest.raises(BatchRefused, match="QF_SCORING_ROOTS") as refused:
        hold(sources(str(root)), (str(root),), max_gb=1)

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("swapped", ["file", "folder", "pipe"])
def test_what_takes_a_files_place_after_it_was_allowed_is_not_read(swapped: str, tmp_path: Path) -> None:
    """Looked at, held against the roots, and only then a link to another place or a pipe: what was allowed is read."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    for place, text in ((root / "sub", "a"), (outside, "secret")):
        place.mkdir(parents=True)
        (place / "a.csv").write_text(text)
    files = sources(str(root))
    hold(files, (str(root),), max_gb=1)
    with files[0].opened() as place:
        assert place.read() == b"a"

    if swapped == "folder":
        (root / "sub").rename(root / "away")
        (root / "sub").symlink_to(outside)
    else:
        (root / "sub" / "a.csv").unlink()
        if swapped == "file":
            (root / "sub" / "a.csv").symlink_to(outside / "a.csv")
        else:
            os.mkfifo(root / "sub" / "a.csv")

    with pytest.raises(OSError), files[0].opened():
        pass
    with pytest.raises(BatchRefused, match="a.csv cannot be read") as refused:
        opened(files[0], 0, 100, ReadOptions())
    assert "secret" not in str(refused.value) and changed(files)


def test_results_go_where_they_were_allowed_whatever_takes_the_folders_place(tmp_path: Path) -> None:
    """A link swapped in before the job opens its folder is refused; one swapped in later leads nothing elsewhere."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    for place in (root, outside):
        place.mkdir()
    target = within(f"{root}/sub/a.scored", (str(root),))
    with folder(target) as results:
        results.at("part-1").write(b"1")
        (root / "sub").rename(root / "away")
        (root / "sub").symlink_to(outside)
        results.at("part-2").write(b"2")
        assert results.names() == {"part-1", "part-2"}

    assert {path.name for path in (root / "away" / "a.scored").iterdir()} == {"part-1", "part-2"}
    with pytest.raises(OSError), folder(target):
        pass
    assert not list(outside.iterdir())


def test_a_link_in_a_results_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """Of the result's own name, and of the name under which it is written first."""
    (tmp_path / "kept").write_text("kept")
    for name in ("part-1", ".part-2.draft"):
        (tmp_path / name).symlink_to(tmp_path / "kept")

    ResultPlace.of(str(tmp_path / "part-1")).write(b"1")
    with pytest.raises(OSError):
        ResultPlace.of(str(tmp_path / "part-2")).write(b"2")

    assert (tmp_path / "kept").read_text() == "kept" and not (tmp_path / "part-1").is_symlink()


def test_a_link_that_leads_to_another_place_of_the_roots_is_read_under_its_own_name(tmp_path: Path) -> None:
    """Of a shared disk, say: links are people's own as long as nobody changes them."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "0815").write_text("a")
    (tmp_path / "today.csv").symlink_to(tmp_path / "disk" / "0815")
    (file,) = sources(str(tmp_path / "today.csv"))
    hold([file], (str(tmp_path),), max_gb=1)

    with file.opened() as place:
        assert place.read() == b"a" and file.address.endswith("today.csv")


def test_what_is_larger_than_allowed_is_refused_unread(tmp_path: Path) -> None:
    """All files together count; these 300 GB of holes nobody could read in the time of a test."""
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).touch()
        os.truncate(tmp_path / name, 150 * 10**9)

    with pytest.raises(BatchRefused, match=r"larger than 200 GB \(QF_SCORING_MAX_GB\)"):
        hold(sources(str(tmp_path)), (), max_gb=200)
    hold(sources(str(tmp_path / "a.csv")), (), max_gb=200)


@pytest.mark.parametrize("form", [{"source": "/etc"}, {"source": "{root}/a.csv", "target": "/etc"}])
def test_the_flow_asks_before_it_looks_anywhere(
    form: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the model is fetched nor a folder listed: no server runs here, and the line is the refusal's."""
    monkeypatch.setenv("QF_SCORING_ROOTS", str(tmp_path))
    told = ScoringForm(**{name: value.format(root=tmp_path) for name, value in form.items()})

    with pytest.raises(BatchRefused, match="QF_SCORING_ROOTS"):
        scoring.fn(told)
