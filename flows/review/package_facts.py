"""What a finished judgement adds to a package: metrics, slices, fairness, model card and reference distributions."""

from __future__ import annotations

import json
from math import isfinite
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flows.learning.model_metrics import Figures
from flows.learning.prepared_data import FIELDS
from flows.review.release_evidence import Evidence
from service.score.manifest import REFERENCE_FILE, Manifest, entries
from service.score.manifest_parts import Distribution, Estimate

CARD_FILE: Final = "model_card.md"
SCORE_EDGES: Final = tuple(float(edge) for edge in range(100, 1000, 100))
DECILES: Final = np.linspace(0.1, 0.9, 9)


def describe(package: Path, figures: dict[str, Figures], evidence: Evidence, card: str) -> Manifest:
    """The manifest of `package`, rewritten with everything that was found out about the model, card file included."""
    manifest = Manifest.read(package)
    (package / CARD_FILE).write_text(card, encoding="utf-8")
    reference = pd.read_parquet(package / REFERENCE_FILE)
    contents = {path.name: path.read_bytes() for path in (package / CARD_FILE, package / REFERENCE_FILE)}
    fields = manifest.model_dump()
    fields |= {
        "metrics": {name: figure.value for name, figure in _finite(figures["pooled"]).items()},
        "slices": {place: _estimates(part) for place, part in figures.items()},
        "grades": evidence.grades,
        "score_steps": evidence.score_steps,
        "reliability": evidence.reliability,
        "set_thresholds": evidence.set_thresholds,
        "fairness": json.loads(evidence.fairness.model_dump_json()) if evidence.fairness else {},
        "model_card": card,
        "distributions": distributions(reference),
        "files": {**manifest.files, **entries(contents)},
    }
    described = Manifest.model_validate(fields)
    described.write(package)
    return described


def distributions(reference: pd.DataFrame) -> dict[str, Distribution]:
    """The score in hundreds and each numeric contract field in its own deciles, over the reference rows."""
    result = {"score": _distribution(reference["score"].to_numpy(np.float64), SCORE_EDGES)}
    for name in FIELDS:
        if pd.api.types.is_numeric_dtype(reference[name]):
            values = reference[name].to_numpy(dtype=np.float64, na_value=np.nan)
            known = values[np.isfinite(values)]
            if len(known):
                edges = np.unique(np.quantile(known, DECILES))
                result[name] = _distribution(values, tuple(float(edge) for edge in edges))
    return result


def _distribution(values: NDArray[np.float64], edges: tuple[float, ...]) -> Distribution:
    known = values[np.isfinite(values)]
    counts = np.bincount(np.searchsorted(np.array(edges), known, side="left"), minlength=len(edges) + 1)
    shares = counts / max(1, len(known))
    return Distribution(edges=edges, shares=tuple(shares.tolist()), missing=1.0 - len(known) / max(1, len(values)))


def _finite(figures: Figures) -> Figures:
    """Figures that are numbers: a rank metric of a slice without one of the classes is none."""
    return {name: one for name, one in figures.items() if all(map(isfinite, (one.value, one.low, one.high)))}


def _estimates(figures: Figures) -> dict[str, Any]:
    return {name: Estimate(**figure.model_dump()) for name, figure in _finite(figures).items()}
