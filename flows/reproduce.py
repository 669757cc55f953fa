"""`make reproduce RUN=<id>`: train again from what MLflow recorded, and prove that the predictions are the same bits.

Parameters come from the run, rows from the prepared data whose hash the run recorded. Another hash, or packages of
other versions than the run's, are said instead of being taken for a model that cannot be reproduced.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from bentos.digests import file_sha256
from bentos.errors import BentosError
from bentos.registry.versions import Registry
from bentos.revision import git_revision
from bentos.settings import BentosSettings
from flows.learning.prepared_data import NotPrepared, PreparedData, read_prepared
from service.errors import ModelRefused
from service.score.manifest import MODEL_FILE, Manifest

if TYPE_CHECKING:
    from flows.learning.fit import Learned, Parameters


class NotReproduced(RuntimeError):
    """The run cannot be repeated here, or it was and gave something else."""


class Proof(BaseModel):
    """What was compared: `rows` unseen rows, three probabilities each; `same_file` if even model.cbm is the same."""

    model_config = ConfigDict(frozen=True)

    rows: int
    same_file: bool
    differing_libraries: tuple[str, ...] = ()
    same_revision: bool = True


def reproduce(registry: Registry, run_id: str, data_dir: Path | None = None, home: Path = Path(".")) -> Proof:
    """The proof that training again gives bit-identical predictions.

    Args:
        registry: where the run was logged.
        run_id: the training run.
        data_dir: prepared data; the folder that the run recorded if None.
        home: the project, to compare its revision with the run's.

    Raises:
        NotReproduced: other data, or other predictions.
        BentosError: no such run, or it logged no package.
    """
    from flows.learning.fit import learn
    from flows.learning.rows import rows_of

    recorded, tags = registry.run_parameters(run_id)
    if before := tags.get("recalibrated_from"):
        raise NotReproduced(
            f"the run recalibrated version {before} and trained nothing: its trees are that version's, "
            "whose run can be reproduced"
        )
    if "data_sha256" not in tags:
        raise NotReproduced(f"run {run_id} recorded no data: it trained no model of ours; name a run of `training`")
    data = _same_data(tags, data_dir or Path(tags.get("data_dir", "data/processed")))
    with tempfile.TemporaryDirectory(prefix="reproduce-") as scratch:
        package = registry.run_package(run_id, Path(scratch))
        manifest = Manifest.read(package)
        libraries = tuple(name for name, made_with in manifest.libraries.items() if version(name) != made_with)
        learned = learn(
            rows_of(data.train), _parameters(recorded, tags), lambda share, what: print(f"{share:5.0%} {what}")
        )
        unseen = rows_of(data.unseen).features
        if not _identical(learned, package, manifest, unseen):
            raise NotReproduced(
                f"run {run_id} was trained again from the same data and parameters and predicts differently; "
                f"revision of the run: {tags.get('git_revision', 'unknown')}, libraries that differ: "
                f"{', '.join(libraries) or 'none'}"
            )
        learned.save(Path(scratch) / "again.cbm")
        return Proof(
            rows=len(unseen),
            same_file=file_sha256(Path(scratch) / "again.cbm") == manifest.digest,
            differing_libraries=libraries,
            same_revision=tags.get("git_revision") == git_revision(home),
        )


def _same_data(tags: dict[str, str], folder: Path) -> PreparedData:
    try:
        data = read_prepared(folder)
    except NotPrepared as error:
        raise NotReproduced(str(error)) from error
    if data.sha256 != tags["data_sha256"]:
        raise NotReproduced(
            f"{folder} holds other data ({data.sha256[:12]}) than the run learned from "
            f"({tags['data_sha256'][:12]}): `git checkout` its dvc.lock and `dvc pull`"
        )
    return data


def _parameters(recorded: dict[str, str], tags: dict[str, str]) -> Parameters:
    from flows.learning.fit import Parameters

    names = tuple(Parameters().model_dump())
    missing = [name for name in names if name not in recorded]
    try:
        if not missing:
            return Parameters.model_validate({name: recorded[name] for name in names})
    except ValidationError as error:
        missing = [str(one["loc"][0]) for one in error.errors(include_input=False)]
    revision = tags.get("git_revision", "unknown")
    raise NotReproduced(
        f"the run was made by other code, which knew nothing of {', '.join(missing)}: check out its revision {revision}"
    )


def _identical(learned: Learned, package: Path, manifest: Manifest, unseen: np.ndarray) -> bool:
    from catboost import CatBoost

    from flows.learning.fit import uncalibrated

    released = CatBoost().load_model(str(package / MODEL_FILE))
    ours, theirs = (uncalibrated(model, unseen, learned.parameters) for model in (learned.model, released))
    return learned.calibration.knots == manifest.calibration and np.array_equal(ours, theirs)


def main(argv: list[str] | None = None) -> int:
    """Print the proof; exit code 1 if there is none."""
    parser = argparse.ArgumentParser(prog="python -m flows.reproduce", description=__doc__)
    parser.add_argument("--run", required=True, help="id of the training run in MLflow")
    parser.add_argument("--data", type=Path, default=None, help="prepared data; the run's own folder if left out")
    arguments = parser.parse_args(argv)
    if not arguments.run.strip():
        parser.error("RUN is not set: make reproduce RUN=ID, the id of a training run in MLflow")
    settings = BentosSettings()
    try:
        proof = reproduce(Registry.connect(settings), arguments.run, arguments.data, settings.home)
    except (NotReproduced, BentosError, ModelRefused) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{proof.rows:,} unseen rows: predictions are the same to the last bit")
    print(
        "model.cbm is the same file" if proof.same_file else "model.cbm differs only in what it says about its making"
    )
    if not proof.same_revision:
        print("the code is of another revision than the run's")
    for name in proof.differing_libraries:
        print(f"{name} is of another version than the run's")
    return 0


if __name__ == "__main__":
    sys.exit(main())
