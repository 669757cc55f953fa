"""The compiled kernel in a package: its compiler, and what a kernel or a model that is not sound meets."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from catboost import CatBoostClassifier, Pool

from bentos.packing import model_package
from service.engine import compiled
from service.engine.compiled import Compiled, KernelUnusable, build
from service.engine.trees import Float
from service.errors import ModelRefused
from service.score import features
from service.score.manifest import KERNEL_FILE, Draft, Manifest
from tests.factories import applicant_columns


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"grow_policy": "Lossguide"}, "not symmetric"), ({"depth": 9, "iterations": 2}, "9 levels, 1 to 8")],
    ids=["asymmetric", "too-deep"],
)
def test_models_that_cannot_be_served_are_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    """Packing refuses trees that have no leaf table, before anything is written."""
    columns, classes = applicant_columns(400, seed=5)
    model = CatBoostClassifier(
        **({"iterations": 5, "depth": 3} | changes),
        loss_function="MultiClass",
        allow_writing_files=False,
        verbose=False,
    ).fit(features.matrix(columns), classes)

    with pytest.raises(ModelRefused, match=said):
        model_package.assemble(tmp_path / "model", model, Draft(), columns, classes == 2)

    assert not (tmp_path / "model").exists()


def test_a_model_of_other_inputs_is_refused(tmp_path: Path) -> None:
    """Categories, other columns and other classes are each refused in one line."""
    columns, classes = applicant_columns(400, seed=5)
    frame = features.matrix(columns)
    quick = {"iterations": 3, "depth": 2, "loss_function": "MultiClass", "allow_writing_files": False, "verbose": False}
    kinds = [[str(row[2]), *row[:2]] for row in frame.tolist()]

    for model, said in (
        (CatBoostClassifier(**quick).fit(frame[:, :5], classes), "takes 5 features"),
        (CatBoostClassifier(**quick).fit(frame, classes + 4), "tells 4, 5, 6 apart"),
        (CatBoostClassifier(**quick).fit(Pool(kinds, classes, cat_features=[0])), "not numeric"),
    ):
        with pytest.raises(ModelRefused, match=said):
            model_package.assemble(tmp_path, model, Draft(), columns, classes == 2)


def test_packing_without_a_compiler_leaves_the_kernel_out(
    packed_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No compiler, or one that refuses the source, is a line in the log and a package that serves all the same."""
    monkeypatch.setenv("CC", "no-such-compiler")
    build.cache_clear()
    for name in Manifest.read(packed_model).files:
        (tmp_path / name).write_bytes((packed_model / name).read_bytes())
    Manifest.read(packed_model).write(tmp_path)

    with caplog.at_level(logging.WARNING):
        manifest = model_package.complete(tmp_path, version="2")

    build.cache_clear()
    assert "no C compiler" in caplog.text
    assert KERNEL_FILE not in manifest.files and manifest.platform == "" and manifest.version == "2"
    monkeypatch.setattr(compiled, "SOURCE", tmp_path / "absent.c")
    with pytest.raises(KernelUnusable, match="refuses the kernel"):
        build("cc")
    build.cache_clear()


def test_the_locked_compiler_serves_where_a_machine_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own first, then the wheel; one that is named stands alone."""
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(compiled.shutil, "which", {"cc": "/bin/cc", "clang": "/bin/clang"}.get)
    monkeypatch.setattr(compiled, "find_spec", lambda name: name)
    own, wheel = compiled.compilers()
    assert own == ["/bin/cc"] and wheel[1:4] == ["-m", "ziglang", "cc"]
    assert compiled.compilers("clang") == [["/bin/clang"]]
    monkeypatch.setattr(compiled.shutil, "which", lambda _name: None)
    assert compiled.compilers() == [wheel]
    monkeypatch.setattr(compiled, "find_spec", lambda _name: None)
    assert not compiled.compilers()


def test_a_kernel_built_with_an_image_needs_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Images that pack hold the kernel beside its source; who names a compiler means that compiler."""
    there = tmp_path / "kernel.so"
    there.write_bytes(b"built with the image")
    monkeypatch.setattr(compiled, "BUILT", there)
    build.cache_clear()
    assert build() == b"built with the image"
    with pytest.raises(KernelUnusable, match="no C compiler"):
        build("no-such-compiler")
    build.cache_clear()


class _OffByOne(Compiled):
    """A kernel that was built and answers otherwise."""

    def raw(self, matrix: Float) -> Float:
        """The last bit of one value is another."""
        found = super().raw(matrix)
        found[-1, 0] = np.nextafter(found[-1, 0], np.inf)
        return found


def _repack(packed_model: Path, folder: Path) -> Manifest:
    """The package packed again, as packaging does it."""
    manifest = Manifest.read(packed_model)
    for name in manifest.files:
        (folder / name).write_bytes((packed_model / name).read_bytes())
    manifest.write(folder)
    return model_package.complete(folder, version="2")


@pytest.mark.parametrize(
    ("broken", "said"),
    [("differs", "answers differently"), ("junk", "does not load"), ("older", "another version of the code")],
)
def test_a_kernel_that_was_built_and_is_not_sound_fails_the_packing(
    packed_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, said: str
) -> None:
    """One bit is enough: a broken build is never served as if there were no compiler."""
    build.cache_clear()
    if broken == "differs":
        monkeypatch.setattr(model_package, "Compiled", _OffByOne)
    elif broken == "junk":
        monkeypatch.setattr(model_package, "build", lambda: b"\x7fELF" + bytes(100))
    else:
        monkeypatch.setattr(compiled, "ABI", 1)

    with pytest.raises(ModelRefused, match=said):
        _repack(packed_model, tmp_path)


def test_a_source_that_no_compiler_takes_fails_the_packing(
    packed_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's source is ours: if it does not compile it is broken, not absent."""
    source = tmp_path / "kernel.c"
    source.write_text("this is no C\n", encoding="utf-8")
    monkeypatch.setattr(compiled, "SOURCE", source)
    build.cache_clear()
    try:
        with pytest.raises(ModelRefused, match="refuses the kernel"):
            _repack(packed_model, tmp_path)
    finally:
        build.cache_clear()


def test_a_model_beyond_the_kernels_limits_is_packed_without_it(
    packed_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A limit is no fault: the portable engine serves such a model."""
    monkeypatch.setattr(compiled, "fits", lambda _table: False)
    with caplog.at_level(logging.WARNING):
        manifest = _repack(packed_model, tmp_path)

    assert "larger than the kernel's limits" in caplog.text
    assert KERNEL_FILE not in manifest.files
