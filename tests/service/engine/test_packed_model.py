"""Loading a packed model: sound ones answer, damaged ones are refused in one line, none is served."""

from __future__ import annotations

import hashlib
import json
import logging
import pickle
import shutil
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from service.engine.packed_model import PackedModel
from service.engine.trees import read_archive, read_table
from service.errors import ModelRefused
from service.score import features
from service.score.manifest import GOLDEN_FILE, KERNEL_FILE, MANIFEST_FILE, MODEL_FILE, TABLE_FILE
from service.score.policy import CLASSES
from tests.factories import applicant_columns, pack_small_model


@pytest.fixture(name="package")
def _package(packed_model: Path, tmp_path: Path) -> Path:
    """A copy of the packed model that a test may damage."""
    return shutil.copytree(packed_model, tmp_path / "model")


def _reseal(package: Path) -> None:
    """Make the manifest fit whatever files now lie in the package, as an attacker or a broken tool would."""
    document = json.loads((package / MANIFEST_FILE).read_bytes())
    for name, entry in document["files"].items():
        content = (package / name).read_bytes()
        entry.update(size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    model, golden = document["files"][MODEL_FILE], document["files"][GOLDEN_FILE]
    document.update(digest=model["sha256"], size_bytes=model["size_bytes"], golden_sha256=golden["sha256"])
    (package / MANIFEST_FILE).write_text(json.dumps(document))


def _refused(package: Path, said: str = "") -> None:
    with pytest.raises(ModelRefused, match=said) as refusal:
        PackedModel.load(package)
    assert "\n" not in str(refusal.value)


def test_a_sound_package_answers(loaded_model: PackedModel) -> None:
    """Probabilities add up, score, band and classes follow from them, and the reference explains itself."""
    columns, _ = applicant_columns(200, seed=7)

    rows = features.matrix(columns).tolist()

    for answer in map(loaded_model.assess, rows):
        assert sum(answer.probabilities) == pytest.approx(1.0, abs=1e-12)
        assert answer.score == round(1000 * (answer.probabilities[2] + 0.5 * answer.probabilities[1]))
        assert answer.predicted_class is CLASSES[int(np.argmax(answer.probabilities))]
        assert answer.borderline is (answer.band is not answer.predicted_class)
    assert loaded_model.assess(features.row(loaded_model.manifest.reference.applicant)).numbers == ()


def test_arrays_and_single_rows_agree(loaded_model: PackedModel) -> None:
    """One row alone and among many is answered the same."""
    columns, _ = applicant_columns(300, seed=8)
    rows = features.matrix(columns)

    alone, arrays = [loaded_model.assess(row) for row in rows.tolist()], loaded_model.assess_arrays(rows, reasons=True)

    assert arrays.probabilities.tolist() == [list(answer.probabilities) for answer in alone]
    assert arrays.score.tolist() == [answer.score for answer in alone]
    assert [CLASSES[band] for band in arrays.band] == [answer.band for answer in alone]
    assert [CLASSES[best] for best in arrays.predicted_class] == [answer.predicted_class for answer in alone]
    assert arrays.borderline.tolist() == [answer.borderline for answer in alone]
    assert list(arrays.named_reasons()) == [answer.numbers for answer in alone]
    unexplained = loaded_model.assess_arrays(rows)
    assert (unexplained.numbers == -1).all() and len(unexplained.relative_contributions) == 0


@pytest.mark.parametrize("reasons", [True, False])
def test_how_many_rows_come_at_once_changes_nothing(loaded_model: PackedModel, reasons: bool) -> None:
    """More rows than the kernel's block, and not a multiple of it: each is answered as in a part of its own."""
    few = features.matrix(applicant_columns(700, seed=9)[0])
    parts, once = (
        [loaded_model.assess_arrays(few, reasons)] * 7,
        loaded_model.assess_arrays(np.tile(few, (7, 1)), reasons),
    )
    for name, column in once._asdict().items():
        assert np.array_equal(column, np.concatenate([getattr(part, name) for part in parts])), name


def test_threads_do_not_disturb_one_another(loaded_model: PackedModel) -> None:
    """Rows assessed at the same time get their own answers."""
    columns, _ = applicant_columns(2000, seed=9)
    rows = features.matrix(columns).tolist()
    expected = [loaded_model.assess(row) for row in rows]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(loaded_model.assess, rows))

    assert found == expected


def test_any_flipped_bit_of_any_file_is_refused(package: Path) -> None:
    """200 single bits over all files of the package: none is served."""
    rng = np.random.default_rng(0)
    names = [MODEL_FILE, TABLE_FILE, GOLDEN_FILE, KERNEL_FILE]
    for number in range(200):
        path = package / names[number % len(names)]
        content = path.read_bytes()
        place = int(rng.integers(len(content)))
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << int(rng.integers(8))]) + content[place + 1 :])

        _refused(package, f"{path.name} is damaged")

        path.write_bytes(content)


def test_truncated_models_are_refused(package: Path) -> None:
    """Ten lengths, none included."""
    path = package / MODEL_FILE
    content = path.read_bytes()
    for part in range(10):
        path.write_bytes(content[: len(content) * part // 10])
        _refused(package, "bytes, the manifest says")


@pytest.mark.parametrize(
    "content", [pickle.dumps({"a": 1}), b"CBM1" + bytes(200), b"junk" * 1000], ids=["pickle", "zeros", "junk"]
)
def test_no_model_at_all_is_refused_even_when_resealed(package: Path, content: bytes) -> None:
    """A pickle renamed, a bare header and junk with matching hashes fail in the trial process, not here."""
    (package / MODEL_FILE).write_bytes(content)
    _refused(package, f"{MODEL_FILE} has")

    _reseal(package)

    _refused(package, "does not load in a trial process")


def test_a_changed_leaf_value_is_refused_even_when_resealed(package: Path) -> None:
    """One bit of one leaf value in the model, hashes made to match: the table and the model no longer agree."""
    values = read_table((package / TABLE_FILE).read_bytes()).ensemble.leaf_values
    value = float(values.ravel()[np.abs(values).argmax()])  # 0, an empty leaf's, would be found anywhere
    path = package / MODEL_FILE
    content = path.read_bytes()
    place = content.index(struct.pack("<d", value))
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    _reseal(package)

    _refused(package, "leaf values differ")


def test_a_changed_golden_prediction_is_refused_even_when_resealed(package: Path) -> None:
    """A score that does not come out again stops the start."""
    golden = json.loads((package / GOLDEN_FILE).read_bytes())
    golden["score"][7] += 1
    (package / GOLDEN_FILE).write_text(json.dumps(golden))
    _reseal(package)

    _refused(package, "golden predictions are not given again")


@pytest.mark.parametrize(
    "content", ["{}", '{"rows": [[1]], "raw": [], "probabilities": [], "score": [], "reasons": []}']
)
def test_golden_predictions_of_another_shape_are_refused(package: Path, content: str) -> None:
    """Answers without rows prove nothing."""
    (package / GOLDEN_FILE).write_text(content)
    _reseal(package)

    _refused(package, "golden.json")


def _with_table(package: Path, **changes: np.ndarray) -> None:
    """Replace parts of the leaf table and reseal."""
    np.savez(package / TABLE_FILE, **(read_archive((package / TABLE_FILE).read_bytes()) | changes))
    _reseal(package)


def test_a_changed_shap_value_is_refused_even_when_resealed(package: Path) -> None:
    """SHAP values that no longer add up to the margin are noticed."""
    shap = read_archive((package / TABLE_FILE).read_bytes())["shap"]
    shap[4, 3, 2] += 1e-3
    _with_table(package, shap=shap)

    _refused(package, "do not add up")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("direction", np.array([1.0, 0.0, -1.0]), "explains another objective"),
        ("missing_high", np.zeros(3, np.bool_), "a feature that does not exist"),
        ("missing_high", np.zeros(500, np.bool_), "takes 500 features"),
        ("split_border", np.zeros((2, 2), np.float32), "wrong shape: split_border"),
        ("bias", np.array([object()]), "cannot be read: ValueError"),
    ],
    ids=["direction", "too-few-features", "too-many-features", "shape", "pickled-object"],
)
def test_a_table_of_another_model_is_refused(package: Path, name: str, value: np.ndarray, said: str) -> None:
    """Tables that do not fit the model or hold a pickled object are refused in one line."""
    _with_table(package, **{name: value})

    _refused(package, said)


def test_moved_borders_are_refused_even_when_resealed(package: Path) -> None:
    """Leaf values alone are not enough: rows along the borders are answered differently."""
    border = read_archive((package / TABLE_FILE).read_bytes())["split_border"]
    border[np.isfinite(border)] += np.float32(0.5)
    _with_table(package, split_border=border)

    _refused(package, "answer differently")


def test_a_missing_kernel_leaves_the_portable_engine(package: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without a kernel the model answers all the same, and a line says so; asked for by name it is refused."""
    document = json.loads((package / MANIFEST_FILE).read_bytes())
    del document["files"][KERNEL_FILE]
    (package / MANIFEST_FILE).write_text(json.dumps(document))

    with caplog.at_level(logging.WARNING):
        model = PackedModel.load(package)

    assert model.engine.name == "portable"
    assert "no kernel" in caplog.text
    with pytest.raises(ModelRefused, match="no kernel"):
        PackedModel.load(package, engine="compiled")


@pytest.mark.parametrize("said", ["does not load here", "was built for"], ids=["junk", "platform"])
def test_an_unusable_kernel_leaves_the_portable_engine(
    package: Path, caplog: pytest.LogCaptureFixture, said: str
) -> None:
    """A kernel that is no library, or of another platform, is left alone."""
    if said == "was built for":
        document = json.loads((package / MANIFEST_FILE).read_bytes())
        document["platform"] = "plan9-mips"
        (package / MANIFEST_FILE).write_text(json.dumps(document))
    else:
        (package / KERNEL_FILE).write_bytes(b"\x7fELF" + bytes(100))
        _reseal(package)

    with caplog.at_level(logging.WARNING):
        model = PackedModel.load(package)

    assert model.engine.name == "portable"
    assert said in caplog.text


def test_engines_answer_the_same(packed_model: Path, loaded_model: PackedModel) -> None:
    """The engine a service chooses is the compiled one here, and the portable one gives its answers."""
    assert loaded_model.engine.name == "compiled"
    portable = PackedModel.load(packed_model, engine="portable")
    columns, _ = applicant_columns(300, seed=10)
    rows = features.matrix(columns)

    left, right = loaded_model.assess_arrays(rows, True), portable.assess_arrays(rows, True)

    np.testing.assert_allclose(left.probabilities, right.probabilities, rtol=0, atol=1e-12)
    for name in ("score", "band", "predicted_class", "borderline", "numbers"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))


def test_trees_that_stopped_growing_early_are_no_damage(tmp_path: Path) -> None:
    """Few rows make trees of spare levels; such a model loads, and its reasons still add up."""
    pack_small_model(tmp_path / "model", rows=24, trees=20)

    model = PackedModel.load(tmp_path / "model")

    trees = read_table((tmp_path / "model" / TABLE_FILE).read_bytes()).ensemble
    assert np.isinf(trees.split_border).any()
    assert model.assess(list(features.matrix(applicant_columns(1)[0])[0])).score >= 0
