"""The manifest: what it accepts, what it refuses in one line, how it is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.errors import ModelRefused
from service.score.manifest import GOLDEN_FILE, MANIFEST_FILE, MODEL_FILE, Manifest
from service.score.manifest_parts import Distribution


def _document(packed_model: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((packed_model / MANIFEST_FILE).read_bytes())
    return document


def test_read_gives_what_was_written(packed_model: Path, tmp_path: Path) -> None:
    """A manifest survives writing and reading unchanged, and leaves no partial file."""
    manifest = Manifest.read(packed_model)

    manifest.write(tmp_path)

    assert Manifest.read(tmp_path) == manifest
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST_FILE]


def _older(document: dict[str, Any]) -> None:
    document["schema_version"] = 0


def _classes_swapped(document: dict[str, Any]) -> None:
    document["classes"] = ["Good", "Poor", "Standard"]


def _unknown_key(document: dict[str, Any]) -> None:
    document["surprise"] = 1


def _feature_renamed(document: dict[str, Any]) -> None:
    document["features"][0]["name"] = "age"


def _features_swapped(document: dict[str, Any]) -> None:
    features = document["features"]
    features[0], features[1] = features[1], features[0]


def _model_not_listed(document: dict[str, Any]) -> None:
    del document["files"][MODEL_FILE]


def _outside(document: dict[str, Any]) -> None:
    document["files"]["../secret"] = document["files"][MODEL_FILE]


def _other_digest(document: dict[str, Any]) -> None:
    document["digest"] = "0" * 64


def _falling_calibration(document: dict[str, Any]) -> None:
    document["calibration"][0][5] = 0.9


def _two_tables(document: dict[str, Any]) -> None:
    document["calibration"].pop()


def _other_objective(document: dict[str, Any]) -> None:
    document["objective"] = "RMSE"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_older, "schema_version 0, 1 is served"),
        (_classes_swapped, "classes must be Poor, Standard, Good"),
        (_unknown_key, "surprise"),
        (_feature_renamed, "features are not those"),
        (_features_swapped, "features are not those"),
        (_model_not_listed, f"files lacks {MODEL_FILE}"),
        (_outside, "outside the package"),
        (_other_digest, "must repeat the entries"),
        (_falling_calibration, "never fall"),
        (_two_tables, "calibration table has 3 rows"),
        (_other_objective, "objective"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    packed_model: Path, damage: Callable[[dict[str, Any]], None], said: str
) -> None:
    """Every way a manifest can be of another code or no manifest is one line."""
    document = _document(packed_model)
    damage(document)

    with pytest.raises(ModelRefused, match=said) as refusal:
        Manifest.parse(json.dumps(document).encode()).require_fit()

    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"\x80\x04K\x01.", b'{"schema_version": '], ids=repr)
def test_what_is_no_json_object_is_refused(content: bytes) -> None:
    """A pickle, a cut file or another JSON value is refused as no JSON object."""
    with pytest.raises(ModelRefused, match="not a JSON object"):
        Manifest.parse(content)


def test_an_absent_manifest_names_the_setting(tmp_path: Path) -> None:
    """Where there is no package the line says which setting to mend."""
    with pytest.raises(ModelRefused, match="QF_MODEL_DIR"):
        Manifest.read(tmp_path)


def test_files_are_verified_by_size_and_hash(packed_model: Path, tmp_path: Path) -> None:
    """A longer, a changed and an absent file are each refused by name."""
    manifest = Manifest.read(packed_model)
    for name in manifest.files:
        (tmp_path / name).write_bytes((packed_model / name).read_bytes())
    assert manifest.verified_files(tmp_path).keys() == manifest.files.keys()

    golden = tmp_path / GOLDEN_FILE
    content = golden.read_bytes()
    golden.write_bytes(content + b" ")
    with pytest.raises(ModelRefused, match=f"{GOLDEN_FILE} has {len(content) + 1} bytes"):
        manifest.verified_files(tmp_path)
    golden.write_bytes(b" " + content[1:])
    with pytest.raises(ModelRefused, match=f"{GOLDEN_FILE} is damaged"):
        manifest.verified_files(tmp_path)
    golden.unlink()
    with pytest.raises(ModelRefused, match=f"{GOLDEN_FILE} cannot be read"):
        manifest.verified_files(tmp_path)


def test_key_fields_are_the_most_important(packed_model: Path) -> None:
    """Contract fields come out strongest first, as many as asked for."""
    manifest = Manifest.read(packed_model)

    found = manifest.key_fields(3)

    assert found == sorted(manifest.importance, key=lambda name: -manifest.importance[name])[:3]
    assert len(manifest.key_fields(100)) == len(manifest.importance)


def test_a_distribution_has_one_share_more_than_edges() -> None:
    """Bins and shares that do not fit together are refused."""
    with pytest.raises(ValueError, match="one share more"):
        Distribution(edges=(1.0, 2.0), shares=(0.5, 0.5))


def test_a_partner_reads_no_person_and_no_internals(packed_model: Path) -> None:
    """Of an override the fact and its last day; of the card all but who trained it and how; its own documents."""
    fields = Manifest.read(packed_model).model_dump() | {
        "approval": {
            "reviewer": "ana.souza",
            "verdict": "approve",
            "note": "seen by ana",
            "at": "2026-11-23T00:00:00Z",
            "override": {
                "checks": ["calibration"],
                "reason": "told by rui",
                "expires": "2027-01-31",
                "second_name": "rui.lima",
            },
        },
        "model_card": "# Card\n- trained by: eva.prado\n- code revision: abc1234\n- learned with: depth 6\n- rows: 5",
        "git_revision": "abc1234",
        "documents": {"partner": {"report.en": "for partners"}, "staff": {"report.en": "by ana.souza"}},
    }
    manifest = Manifest.model_validate(fields)

    partner, staff = (json.dumps(view) for view in (manifest.partners(), manifest.staffs()))

    hidden = ("ana.souza", "rui", "eva.prado", "seen by", "abc1234", "depth 6")
    assert [word for word in hidden if word in partner] == []
    assert [word for word in hidden if word not in staff] == []
    assert manifest.partners()["documents"] == {"report.en": "for partners"}
    assert manifest.staffs()["documents"] == {"report.en": "by ana.souza"}
    assert manifest.partners().keys() == manifest.staffs().keys()
    assert "rows: 5" in partner and "2027-01-31" in partner and "calibration" in partner
