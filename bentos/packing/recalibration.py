"""A package with another calibration: the same trees to the byte, golden predictions made anew, no verdict yet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from service import files
from service.engine.golden_rows import GoldenRows
from service.engine.portable import Portable
from service.engine.rules import Rules
from service.engine.trees import read_table
from service.score.manifest import GOLDEN_FILE, KERNEL_FILE, TABLE_FILE, UNREGISTERED, Manifest, entries, now
from service.score.policy import Calibration


def recalibrate(
    directory: Path,
    calibrations: tuple[Calibration, Calibration],
    borders: tuple[float, float, float, float],
    parameters: Mapping[str, JsonValue],
    revision: str,
) -> Manifest:
    """The manifest of the package in `directory`, now with other calibration tables.

    A compiled kernel is left out, since it is built when the version is packed; so are version and verdict, which are
    of the package before.

    Args:
        directory: a copy of a registered package.
        calibrations: of unknown and of known customers.
        borders: of the risk grades, on the new scale of the probability of Poor.
        parameters: what the manifest says of it, beside what it says already.
        revision: of the code that does this.

    Raises:
        ModelRefused: the package is not what its manifest says, or of other features than this code's.
    """
    before = Manifest.read(directory)
    before.require_fit()
    contents = before.verified_files(directory)
    if contents.pop(KERNEL_FILE, None) is not None:
        (directory / KERNEL_FILE).unlink()
    unknown, known = calibrations
    changes = {
        "version": UNREGISTERED,
        "approval": None,
        "platform": "",
        "calibration": unknown.knots,
        "calibration_known": known.knots,
        "grade_borders": borders,
        "parameters": {**before.parameters, **parameters},
        "git_revision": revision,
        "created_at": now(),
    }
    draft = before.model_copy(update=changes)
    engine = Portable(read_table(contents[TABLE_FILE]), Rules.of(draft))
    contents[GOLDEN_FILE] = GoldenRows.made_by(engine, GoldenRows.parse(contents[GOLDEN_FILE]).matrix()).content()
    files.replace(directory / GOLDEN_FILE, contents[GOLDEN_FILE])
    file_entries = entries(contents)
    listing = {"files": file_entries, "golden_sha256": file_entries[GOLDEN_FILE].sha256}
    manifest = Manifest.model_validate(draft.model_dump() | listing)
    manifest.write(directory)
    return manifest
