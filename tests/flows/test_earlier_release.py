"""A package of an earlier release, whose model wants other features, is read by all; who answers asks if it fits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bentos.digests import file_sha256
from bentos.errors import ArtefactDamaged
from bentos.packing import bento
from bentos.registry.decision import Decision
from bentos.registry.version import Version
from bentos.registry.versions import Registry
from flows import drift
from flows.batch.errors import BatchRefused
from flows.batch.job import job_of
from flows.learning.fit import Parameters
from flows.learning.prepared_data import read_prepared
from flows.review import against_champion
from service.engine.packed_model import PackedModel
from service.errors import ModelRefused
from service.score.manifest import MANIFEST_FILE, MODEL_FILE, REFERENCE_FILE, Manifest
from tests.factories import pack_small_model
from tests.flows.prepared_data import write_prepared

RETIRED = {"name": "age_of_oldest_loan", "type": "float64", "source": ["num_loans"], "family": "loans", "risk": 0}


def _renamed(document: dict[str, Any]) -> None:
    document["features"][-1] = RETIRED | {"categories": []}


def _fewer(document: dict[str, Any]) -> None:
    document["features"].pop()


def _more(document: dict[str, Any]) -> None:
    document["features"].append(RETIRED | {"categories": []})


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small package of this release."""
    folder = tmp_path_factory.mktemp("packed")
    pack_small_model(folder, rows=600, trees=10, version="3")
    recipe = Parameters(iterations=10, depth=3, folds=2).model_dump(mode="json")
    _edit(folder, lambda document: document.update(parameters=recipe))
    return folder


@pytest.fixture(params=[_renamed, _fewer, _more], ids=["another", "fewer", "more"])
def earlier(request: pytest.FixtureRequest, packed: Path, tmp_path: Path) -> Path:
    """The same as it would be if this release had changed the features since."""
    folder = tmp_path / "earlier"
    shutil.copytree(packed, folder)
    _edit(folder, request.param)
    return folder


def _edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads((folder / MANIFEST_FILE).read_bytes())
    change(document)
    (folder / MANIFEST_FILE).write_text(json.dumps(document), encoding="utf-8")


class Shelf:
    """A registry that holds one version."""

    def __init__(self, package: Path) -> None:
        self._package = package

    def download(self, _number: int, digest: str, target: Path) -> Path:
        """The package, if that is its digest."""
        assert digest == file_sha256(self._package / MODEL_FILE)
        shutil.copytree(self._package, target)
        return target


def _version(package: Path, number: int, data: Path, data_sha256: str) -> Version:
    tags = {"data_sha256": data_sha256, "data_dir": str(data)}
    digest = file_sha256(package / MODEL_FILE)
    return Version(number=number, run_id="run", digest=digest, package_sha256="", tags=tags)


def test_it_is_read_and_may_not_answer(earlier: Path) -> None:
    """The manifest is whole; the line says which features are others."""
    manifest = Manifest.read(earlier)

    assert manifest.verified_files(earlier)
    assert manifest.key_fields(3)
    assert "features are not those" in manifest.misfit()
    with pytest.raises(ModelRefused, match="made by another version of the code"):
        PackedModel.load(earlier)


def test_the_line_names_the_features_that_differ(packed: Path) -> None:
    """Whoever reads it knows what changed; a model of this release has nothing to say."""
    manifest = Manifest.read(packed)
    assert manifest.misfit() == ""
    manifest.require_fit()
    other = manifest.model_copy(update={"features": manifest.features[:-1]})
    assert manifest.features[-1].name in other.misfit()
    turned = manifest.model_copy(update={"features": manifest.features[::-1]})
    assert "their order" in turned.misfit()


def test_drift_judges_its_window(earlier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version that production still runs is watched from the merge of a feature to the new model."""
    pd.DataFrame({"score": [1, 2]}).to_parquet(earlier / REFERENCE_FILE)
    monkeypatch.setattr(Registry, "connect", lambda _settings: Shelf(earlier))
    digest = file_sha256(earlier / MODEL_FILE)

    reference = drift.load_reference.fn("3", digest)

    assert (reference.model.version, reference.model.digest) == ("3", digest)
    assert list(reference.frame["score"]) == [1, 2]


def test_a_challenger_on_other_data_is_compared_as_far_as_can_be(earlier: Path, packed: Path, tmp_path: Path) -> None:
    """The champion cannot answer, so that is not measured; its recipe still learns the challenger's months."""
    data = write_prepared(tmp_path / "data", customers=40, unseen=20)
    sha256 = read_prepared(data).sha256
    challenger, champion = _version(packed, 4, data, sha256), _version(earlier, 3, data, "0" * 64)

    answers, out_of_time = against_champion._champion_answers(  # pylint: disable=protected-access  # one of its parts
        Shelf(earlier),  # type: ignore[arg-type]  # what it downloads from
        challenger,
        champion,
        tmp_path,
    )

    assert answers is None
    assert out_of_time is not None


def test_batch_scoring_says_why_it_may_not_score(earlier: Path, packed: Path, tmp_path: Path) -> None:
    """One sentence before the first row is read, none for a model of this release."""
    (tmp_path / "rows.csv").write_text("annual_income\n1\n", encoding="utf-8")
    with pytest.raises(BatchRefused, match="may not score: .*made by another version of the code; train and pack"):
        job_of(str(tmp_path / "rows.csv"), earlier, 100, reasons=False)
    assert job_of(str(tmp_path / "rows.csv"), packed, 100, reasons=False).package_digest


def test_it_is_not_packed_for_serving(earlier: Path) -> None:
    """Packaging is on the way to serving, so it asks."""
    verdict = {"version": 3, "digest": "0" * 64, "verdict": "approve", "reviewer": "ana", "trainer": "bob"}
    decision = Decision.model_validate(verdict | {"at": "2026-11-23T00:00:00Z"})
    with pytest.raises(ArtefactDamaged, match="features are not those"):
        bento.finish(earlier, 3, decision)
