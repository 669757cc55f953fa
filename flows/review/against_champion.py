"""The release checks of a registered version: its training's evidence, compared with the champion on the same rows."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, Final

import pandas as pd
from pydantic import ValidationError

from bentos.errors import ArtefactDamaged
from bentos.registry.catalogue import EVIDENCE_FILE
from bentos.registry.version import Version
from bentos.registry.versions import Registry
from flows.learning.fit import Parameters
from flows.learning.model_metrics import LabelledAnswers
from flows.learning.prepared_data import NotPrepared, PreparedData, read_prepared
from flows.review import evidence
from flows.review.mlflow_run import ANSWERS
from flows.review.recalibration_evidence import RECALIBRATED_FROM, SETTLED, SETTLED_BEFORE
from flows.review.release_checks import run_checks
from flows.review.release_evidence import Evidence, ReleaseCheck
from service.engine.packed_model import PackedModel
from service.score.manifest import Manifest

UNSEEN: Final = "unseen"
OUT_OF_TIME: Final = "out_of_time"


def checks_of(registry: Registry, challenger: Version, champion: Version | None) -> tuple[ReleaseCheck, ...]:
    """Every release check of the challenger; what cannot be found out counts as failed.

    Training left the challenger's evidence and answers with its run. Without a champion they already hold the
    comparison with the default CatBoost. With one, both are compared on the challenger's rows: the champion's kept
    answers serve if it was judged on the same data; otherwise it answers the challenger's rows now, and its recipe
    learns the challenger's earlier months, so that both are compared out of time on equal terms. A recalibrated version
    is compared on the outcomes it was recalibrated for, with the version whose trees it has.
    """
    with tempfile.TemporaryDirectory(prefix="checks-") as scratch:
        known = kept_evidence(registry, challenger, Path(scratch))
        if champion is not None:
            ours, theirs = _pairs(registry, challenger, champion, Path(scratch))
            blank = known.model_copy(update={"against": None, "out_of_time_against": None, "score_psi": None})
            known = evidence.compared(blank, champion.number, (ours[0], theirs[0]), (ours[1], theirs[1]))
    return run_checks(known)


Pair = tuple[LabelledAnswers | None, LabelledAnswers | None]


def _pairs(registry: Registry, challenger: Version, champion: Version, scratch: Path) -> tuple[Pair, Pair]:
    """Answers of challenger and of champion, each on unseen customers and out of time."""
    before = challenger.tags.get(RECALIBRATED_FROM)
    if before is None:
        ours = [kept_answers(registry, challenger, name, scratch) for name in (UNSEEN, OUT_OF_TIME)]
        return (ours[0], ours[1]), _champion_answers(registry, challenger, champion, scratch)
    if before != str(champion.number):
        # Another champion answers meanwhile, who has other trees: it has to be recalibrated itself.
        return (None, None), (None, None)
    answers = [kept_answers(registry, challenger, name, scratch) for name in (SETTLED, SETTLED_BEFORE)]
    return (answers[0], answers[0]), (answers[1], answers[1])


def kept_evidence(registry: Registry, version: Version, scratch: Path) -> Evidence:
    """What the version's own run found out about it; nothing where the run kept nothing."""
    try:
        return readable(registry.run_file(version.run_id, EVIDENCE_FILE, scratch).read_text(encoding="utf-8"))
    except ArtefactDamaged:
        return Evidence()  # nothing known: every check fails


def readable(text: str) -> Evidence:
    """The evidence as it was written; a part that cannot be read is absent alone, and its own checks fail."""
    try:
        parts = json.loads(text)
    except ValueError:
        return Evidence()
    known: dict[str, Any] = {}
    for name, value in parts.items() if isinstance(parts, dict) else ():
        try:
            known[name] = getattr(Evidence.model_validate_json(json.dumps({name: value})), name)
        except (ValidationError, AttributeError):
            continue
    return Evidence(**known)


def kept_answers(registry: Registry, version: Version, name: str, scratch: Path) -> LabelledAnswers | None:
    """The answers of this name that the version's run kept; None where it kept none that can be read."""
    folder = scratch / str(version.number)
    folder.mkdir(exist_ok=True)
    try:
        return evidence.as_answers(
            pd.read_parquet(registry.run_file(version.run_id, f"{ANSWERS}/{name}.parquet", folder))
        )
    except (ArtefactDamaged, OSError, KeyError, ValueError):
        return None


def _champion_answers(registry: Registry, challenger: Version, champion: Version, scratch: Path) -> Pair:
    data_sha256 = challenger.tags.get("data_sha256", "")
    if data_sha256 and champion.tags.get("data_sha256") == data_sha256:
        pair = kept_answers(registry, champion, UNSEEN, scratch), kept_answers(registry, champion, OUT_OF_TIME, scratch)
        if all(pair):
            return pair
    data = _same_data(challenger)
    if data is None:
        return None, None
    package = registry.download(champion.number, champion.digest, scratch / "champion")
    manifest = Manifest.read(package)
    recipe = Parameters.among(manifest.parameters)
    labelled = data.unseen[data.unseen["label"].notna()]
    return (
        # A champion of an earlier release may want features that are not made any more: then it is not measured.
        None if manifest.misfit() else evidence.answers_of(PackedModel.load(package), labelled),
        evidence.out_of_time(data, recipe, manifest.grade_borders).get(OUT_OF_TIME),
    )


def _same_data(version: Version) -> PreparedData | None:
    """The data the version was trained on, None if it is not there any more."""
    try:
        data = read_prepared(Path(version.tags.get("data_dir", "")))
    except NotPrepared:
        return None
    return data if data.sha256 == version.tags.get("data_sha256") else None
