"""A Bento is known by its bytes: same inputs, same tag; other bytes are never served under it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from bentos.errors import ArtefactDamaged, PackFailed
from bentos.packing import bento
from bentos.registry.decision import Decision
from service.score.manifest import Manifest
from tests.factories import pack_small_model

HOME = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small real model's package."""
    folder = tmp_path_factory.mktemp("package") / "package"
    pack_small_model(folder, rows=600, trees=10)
    return folder


def _decision(digest: str, **changes: object) -> Decision:
    base = {"version": 3, "digest": digest, "verdict": "approve", "reviewer": "ana"}
    return Decision.model_validate(base | {"at": datetime(2026, 11, 23, tzinfo=UTC)} | changes)


def test_the_manifest_is_finished_with_version_and_verdict(package: Path) -> None:
    """The override stays visible in what is served."""
    digest = Manifest.read(package).digest
    changes = {"failed_checks": ("ece",), "override_reason": "pilot", "second_reviewer": "eva"}

    manifest = bento.finish(package, 3, _decision(digest, override_expires=date(2027, 1, 1), **changes))

    assert (manifest.version, manifest.digest) == ("3", digest)
    assert manifest.approval is not None and manifest.approval.reviewer == "ana"
    assert manifest.approval.override is not None and manifest.approval.override.second_name == "eva"
    assert bento.finish(package, 3, _decision(digest)).approval is not None


def test_a_damaged_package_is_refused(package: Path, tmp_path: Path) -> None:
    """Loading it as the service would is part of finishing it."""
    damaged = tmp_path / "damaged"
    shutil.copytree(package, damaged)
    (damaged / "model.cbm").write_bytes(b"CBM1 but not a model")

    with pytest.raises(ArtefactDamaged, match="version 3: model.cbm"):
        bento.finish(damaged, 3, _decision("0" * 64))
    with pytest.raises(ArtefactDamaged, match="approved was 000000000000"):
        bento.pack(damaged, version=3, digest="0" * 64, home=HOME, store=tmp_path, base_image="x")


def test_a_large_model_is_not_packed(package: Path) -> None:
    """The line says how large it may be."""
    bento.check_size(package, 50)
    with pytest.raises(PackFailed, match="at most 0.001 MB"):
        bento.check_size(package, 0.001)


def test_staging_is_the_same_every_time(package: Path, tmp_path: Path) -> None:
    """Same bytes, same modes, same times; nothing of caches."""
    digests = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        digests.append(bento.stage(HOME, package, tmp_path / name))

    assert digests[0] == digests[1]
    files = [path for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert {int(path.stat().st_mtime) for path in files} == {bento.EPOCH_S}
    assert not [path for path in files if "__pycache__" in path.parts]


def test_a_home_without_the_project_is_refused(package: Path, tmp_path: Path) -> None:
    """QF_HOME must name the project."""
    (tmp_path / "staging").mkdir()
    with pytest.raises(PackFailed, match="QF_HOME"):
        bento.stage(tmp_path, package, tmp_path / "staging")


def test_removing(tmp_path: Path) -> None:
    """A removed Bento is no longer the latest; removing it again is no fault."""
    path = tmp_path / "bentos" / "credit-score" / "3-a-b"
    path.mkdir(parents=True)
    (path.parent / "latest").write_text("3-a-b")

    bento.remove(path)
    bento.remove(path)

    assert not (path.parent / "latest").exists()


@pytest.mark.slow
def test_built_once_proved_ever_after(package: Path, tmp_path: Path) -> None:
    """Built, found again byte for byte, built anew once it was tampered with; a failed build leaves nothing."""
    digest = Manifest.read(package).digest
    home = tmp_path / "home"  # a copy, so that an edit of the working tree meanwhile is no other input
    for name in bento.STAGED:
        copy = shutil.copytree if (HOME / name).is_dir() else shutil.copyfile
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        copy(HOME / name, home / name)
    given = {"version": 3, "digest": digest, "home": home, "store": tmp_path, "base_image": "python:3.11-slim"}

    built = bento.pack(package, **given)  # type: ignore[arg-type]
    again = bento.pack(package, **given)  # type: ignore[arg-type]
    (built.path / "src" / "service" / "policy.py").write_text("# tampered\n")
    mended = bento.pack(package, **given)  # type: ignore[arg-type]

    assert (built.reused, again.reused, mended.reused) == (False, True, False)
    assert built.tag == again.tag == mended.tag
    assert built.digest == again.digest == mended.digest == bento.bento_digest(mended.path)
    description = mended.path / "bento.yaml"
    text = description.read_text("utf-8")
    description.write_text(text.replace("service:", "service: other #", 1), "utf-8")
    assert bento.bento_digest(mended.path) != mended.digest, "what BentoML reads first is covered too"
    asked = {**given, "proved": built.digest}
    again = bento.pack(package, **asked)  # type: ignore[arg-type]
    assert not again.reused and again.digest == built.digest, "who changed what no source covers is found out"
    assert bento.pack(package, **asked).reused  # type: ignore[arg-type]
    assert not bento.pack(package, **{**given, "proved": ""}).reused, "planted before anything was proved"  # type: ignore[arg-type]
    cache = mended.path / "src" / "service" / "__pycache__"
    cache.mkdir()
    (cache / "errors.cpython-311.pyc").write_bytes(b"code that would run instead of errors.py")
    with pytest.raises(ArtefactDamaged, match="put there later"):
        bento.bento_digest(mended.path)
    assert not bento.pack(package, **given).reused  # type: ignore[arg-type]
    other = bento.pack(package, **(given | {"base_image": "python:3.12-slim"}))  # type: ignore[arg-type]
    assert other.tag != built.tag


def test_a_failed_build_says_why(package: Path, tmp_path: Path) -> None:
    """The builder's last line is the reason, and the store stays empty."""
    home = tmp_path / "home"
    (home / "service").mkdir(parents=True)
    (home / "infra" / "locks").mkdir(parents=True)
    (home / "infra" / "locks" / "service.txt").write_text("")
    (home / "infra" / "locks" / "uv.toml").write_text("")
    (home / "bentofile.yaml").write_text('service: "service.absent:Nothing"\n')
    digest = Manifest.read(package).digest

    with pytest.raises(PackFailed, match="building credit-score:3-.* failed"):
        bento.pack(package, version=3, digest=digest, home=home, store=tmp_path / "store", base_image="x")
    assert not list((tmp_path / "store").glob("bentos/credit-score/3-*"))


def test_a_full_disk_is_one_line(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system that is really full: nothing is left in the store."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system needs root")
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    digest = Manifest.read(package).digest
    try:
        with pytest.raises(PackFailed, match="packing version 3 failed: .*No space left on device"):
            bento.pack(package, version=3, digest=digest, home=HOME, store=tmp_path / "store", base_image="x")
        assert not list(disk.iterdir())
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
    assert not (tmp_path / "store").exists()
