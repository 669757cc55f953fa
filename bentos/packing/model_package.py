"""From a trained model to a package the service loads: leaf table, golden predictions, reference, manifest, kernel.

Training calls `assemble` and logs the folder; packing calls `complete` on what it downloaded, once a person approved.
Files are replaced one by one, whole or not at all, the manifest last: a package that was interrupted does not match
its manifest and is refused.
"""

from __future__ import annotations

import importlib.metadata
import logging
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from bentos.digests import fingerprint
from service import files
from service.contract import CATEGORY_FIELDS, DESCRIBING_FIELDS, STANDARD_MAX, WHOLE_FIELDS, Applicant
from service.engine.check import RAW_TOLERANCE, ask_catboost, border_rows, output_order, raw_difference, unlike
from service.engine.compiled import Compiled, KernelAbsent, KernelUnusable, build, platform_tag
from service.engine.golden_rows import GOLDEN_ROWS, GoldenRows
from service.engine.portable import Portable
from service.engine.rules import KNOWN, MARGINS, Rules
from service.engine.shapley import leaf_table
from service.engine.trees import Float, LeafTable, read_ensemble, read_table
from service.errors import ModelRefused
from service.score.features import FEATURES, LOAN_KINDS, matrix, row
from service.score.manifest import (
    APPROVED_FILE,
    GOLDEN_FILE,
    KERNEL_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    TABLE_FILE,
    Draft,
    Manifest,
    entries,
    feature_entries,
    now,
)
from service.score.manifest_parts import Approval, FileEntry, Reference
from service.score.policy import CLASSES, Calibration, Objective, score_many
from service.score.reasons import FAMILIES

if TYPE_CHECKING:
    from catboost import CatBoost

POPULATION_ROWS: Final = 20_000  # medians of more rows are the same
IMPORTANCE_ROWS: Final = 2_000
LEAST_REFERENCE_ROWS: Final = 30
PACKING_ROWS: Final = 10_000
EXPLAINED_ROWS: Final = 500
LIBRARIES: Final = ("catboost", "numpy", "pydantic")

log = logging.getLogger(__name__)

Columns = Mapping[str, Any]


def assemble(directory: Path, model: CatBoost, draft: Draft, columns: Columns, good: NDArray[np.bool_]) -> Manifest:
    """The manifest of the package that now lies in `directory`, which keeps whatever else is in it.

    Args:
        directory: made if absent.
        model: trained on `service.score.features.matrix`, symmetric trees, classes named as the contract has them or
            numbered 0 to 2 (MultiClass), or two cumulative labels (MultiLogloss).
        draft: what training knows; its objective and calibration belong to `model`.
        columns: the training rows as `service.score.features.matrix` takes them.
        good: which of these rows turned out Good; the reference for reasons is made from those the model approves.

    Raises:
        ModelRefused: the model cannot be served; the line says why.
    """
    table = _table(model, draft.objective)
    sample, good_rows = _sample(columns, np.asarray(good, np.bool_))
    reference, engine = _reference(table, draft, sample, good_rows)
    walk = border_rows(table.ensemble, GOLDEN_ROWS - 1, seed=GOLDEN_ROWS)
    _check_shap(model, engine, walk, draft.objective)
    golden = GoldenRows.made_by(engine, np.concatenate([[row(reference.applicant)], walk]))
    contents = {MODEL_FILE: _bytes_of(model), TABLE_FILE: table.archive(), GOLDEN_FILE: golden.content()}
    manifest = _manifest(draft, entries(contents), reference, _importance(engine, sample))
    _write(directory, contents, manifest)
    return manifest


def _write(directory: Path, contents: Mapping[str, bytes], manifest: Manifest) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        files.replace(directory / name, content)
    manifest.write(directory)


def _table(model: CatBoost, objective: Objective) -> LeafTable:
    ensemble = read_ensemble(model, _order(model, objective))
    if ensemble.features != len(FEATURES):
        raise ModelRefused(
            f"the model takes {ensemble.features} features, service.score.features makes {len(FEATURES)}"
        )
    return leaf_table(ensemble, np.array(MARGINS[objective]))


def _order(model: CatBoost, objective: Objective) -> list[int]:
    return output_order([str(name) for name in np.asarray(model.classes_).ravel()], objective)


def _manifest(
    draft: Draft, files: dict[str, FileEntry], reference: Reference, importance: dict[str, float]
) -> Manifest:
    return Manifest(
        **draft.model_dump(),
        digest=files[MODEL_FILE].sha256,
        size_bytes=files[MODEL_FILE].size_bytes,
        features=feature_entries(),
        classes=CLASSES,
        reference=reference,
        importance=importance,
        golden_sha256=files[GOLDEN_FILE].sha256,
        files=files,
        created_at=now(),
        libraries={name: importlib.metadata.version(name) for name in LIBRARIES},
    )


def _bytes_of(model: CatBoost) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / MODEL_FILE
        model.save_model(str(path), format="cbm")
        return path.read_bytes()


def _sample(columns: Columns, good: NDArray[np.bool_]) -> tuple[dict[str, Any], NDArray[np.bool_]]:
    """At most POPULATION_ROWS rows, drawn with a fixed seed, and which of them are good."""
    index = np.arange(len(good))
    if len(good) > POPULATION_ROWS:
        index = np.sort(np.random.default_rng(0).choice(len(good), POPULATION_ROWS, replace=False))
    return {name: np.asarray(columns[name], dtype=object)[index] for name in DESCRIBING_FIELDS}, good[index]


def _reference(table: LeafTable, draft: Draft, sample: Columns, good: NDArray[np.bool_]) -> tuple[Reference, Portable]:
    """The reference applicant, and the engine that explains against it."""
    calibration = Calibration(draft.calibration)
    calibration_known = Calibration(draft.calibration_known or draft.calibration)
    blank = Rules(
        draft.objective, calibration, calibration_known, (float("nan"),) * len(FEATURES), (0.0,) * len(FAMILIES)
    )
    engine = Portable(table, blank)
    features = matrix(sample)
    points = score_many(blank.triples(engine.raw(features), ~np.isnan(features[:, KNOWN])))
    approved = good & (points > STANDARD_MAX)
    meaning = f"Medians and modes of training rows labelled Good that score above {STANDARD_MAX}"
    if approved.sum() < LEAST_REFERENCE_ROWS:
        # A weak model may put nobody into the best band; its best tenth is the best reference it can give.
        approved = points >= np.quantile(points, 0.9)
        meaning = "Medians and modes of the best-scored tenth of the training rows"
    applicant = _typical(sample, approved)
    values = row(applicant)
    baseline = engine.contributions(np.array([values]))[0].tolist()
    rules = Rules(draft.objective, calibration, calibration_known, tuple(values), tuple(baseline))
    reference = Reference(
        meaning=f"{meaning}; loan_types are the kinds most often held, as many as num_loans.",
        applicant=applicant,
        contributions=dict(zip(FAMILIES, baseline, strict=True)),
        rows=int(approved.sum()),
    )
    return reference, Portable(table, rules)


def _typical(sample: Columns, mask: NDArray[np.bool_]) -> Applicant:
    """An applicant made of the chosen rows' medians and modes; ties go to the first in the alphabet."""
    typical: dict[str, Any] = {}
    for name in DESCRIBING_FIELDS:
        values = [value for value in np.asarray(sample[name], dtype=object)[mask] if _has_value(value)]
        if name in CATEGORY_FIELDS:
            typical[name] = _commonest(values, 1)[0] if values else None
        elif name != "loan_types":
            middle = float(np.median(np.array(values, np.float64))) if values else 0.0
            typical[name] = round(middle) if name in WHOLE_FIELDS else round(middle, 2)
    kinds = [kind for value in np.asarray(sample["loan_types"], dtype=object)[mask] for kind in _kinds(value)]
    common = _commonest(kinds, len(LOAN_KINDS)) or [LOAN_KINDS[-1]]
    count = typical["num_loans"]
    typical["loan_types"] = [common[number % len(common)] for number in range(count)]
    return Applicant.model_validate(typical, strict=False)


def _has_value(value: object) -> bool:
    return value is not None and value == value  # pylint: disable=comparison-with-itself  # NaN of any library


def _kinds(value: str | Sequence[str] | None) -> list[str]:
    return [kind for kind in (value.split("|") if isinstance(value, str) else value or ()) if kind]


def _commonest(values: list[Any], count: int) -> list[str]:
    ranking = sorted(Counter(str(value) for value in values).items(), key=lambda item: (-item[1], item[0]))
    return [name for name, _ in ranking[:count]]


def _importance(engine: Portable, sample: Columns) -> dict[str, float]:
    """Mean absolute SHAP value by contract field; a feature made of several fields counts for each in equal parts."""
    strength = np.abs(engine.feature_contributions(matrix(sample)[:IMPORTANCE_ROWS])).mean(axis=0)
    shares: Counter[str] = Counter()
    for feature, value in zip(FEATURES, strength.tolist(), strict=True):
        sources = ("loan_types",) if feature.name.startswith("loans_") else feature.sources
        for source in sources:
            shares[source] += value / len(sources)
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _check_shap(model: CatBoost, engine: Portable, rows: Float, objective: Objective) -> None:
    """Compare the leaf table's SHAP values with CatBoost's own on a few rows: CatBoost needs 10 ms for one."""
    from catboost import Pool

    order = _order(model, objective)
    values = model.get_feature_importance(Pool(rows), type="ShapValues", thread_count=1)[:, order, :-1]
    theirs = np.tensordot(values, np.array(MARGINS[objective]), (1, 0))
    worst = raw_difference(engine.feature_contributions(rows), theirs)
    if worst > RAW_TOLERANCE:
        raise ModelRefused(f"the leaf table's SHAP values differ from CatBoost's by up to {worst:.1e}")


def complete(
    directory: Path,
    *,
    version: str,
    approval: Approval | None = None,
    documents: Mapping[str, Mapping[str, str]] | None = None,
    compile_kernel: bool = True,
) -> Manifest:
    """The manifest of the package in `directory`, now with its version, the verdict that let it out, and a kernel.

    `documents` are those of the version's validation, for partners and for staff.

    The leaf table and the kernel are compared with CatBoost on 10,000 rows. Where no kernel can be built a line is
    logged and the portable engine serves the same answers, more slowly.

    Raises:
        ModelRefused: the package is not what its manifest says, or its parts answer differently, a kernel among them.
    """
    manifest = Manifest.read(directory)
    manifest.require_fit()
    contents = manifest.verified_files(directory)
    contents.pop(KERNEL_FILE, None)
    approval = approval or manifest.approval
    if approval is not None and APPROVED_FILE not in contents:
        # Read before anything is added: this is what reviewers signed for.
        approval = approval.model_copy(update={"package": fingerprint(directory)})
        contents[APPROVED_FILE] = (directory / MANIFEST_FILE).read_bytes()
        files.replace(directory / APPROVED_FILE, contents[APPROVED_FILE])
    elif approval is not None and manifest.approval is not None:
        approval = approval.model_copy(update={"package": manifest.approval.package})
    table, rules = read_table(contents[TABLE_FILE]), Rules.of(manifest)
    rows = border_rows(table.ensemble, PACKING_ROWS, seed=PACKING_ROWS)
    raw = ask_catboost(contents[MODEL_FILE], rows, manifest.objective).raw
    portable = Portable(table, rules)
    if (worst := raw_difference(portable.raw(rows), raw)) > RAW_TOLERANCE:
        raise ModelRefused(f"the leaf table answers differently from the model, by up to {worst:.1e}")
    kernel = _kernel(table, rules, portable, rows, raw) if compile_kernel else None
    if kernel is not None:
        contents[KERNEL_FILE] = kernel
        files.replace(directory / KERNEL_FILE, kernel)
    changes = {
        "version": version,
        "approval": approval,
        "documents": {name: dict(part) for name, part in (documents or manifest.documents).items()},
        "files": entries(contents),
        "platform": platform_tag() if kernel else "",
    }
    manifest = Manifest.model_validate(manifest.model_dump() | changes)
    manifest.write(directory)
    return manifest


def _kernel(table: LeafTable, rules: Rules, portable: Portable, rows: Float, raw: Float) -> bytes | None:
    try:
        kernel = build()
        compiled = Compiled(table, rules, kernel)
    except KernelAbsent as error:
        log.warning("packed without a compiled engine: %s", error)
        return None
    except KernelUnusable as error:
        raise ModelRefused(f"{error}: mend service/engine/kernel.c, or the program that was built from it") from error
    worst = raw_difference(compiled.raw(rows), raw)
    difference = f"raw values differ by up to {worst:.1e}" if worst else ""
    difference = difference or unlike(compiled, portable, rows[:EXPLAINED_ROWS], raw[:EXPLAINED_ROWS])
    if difference:
        raise ModelRefused(
            f"the compiled kernel answers differently from the model: {difference}: mend service/engine/kernel.c or "
            "the rules it was built for"
        )
    return kernel


__all__ = ["MANIFEST_FILE", "assemble", "complete"]
