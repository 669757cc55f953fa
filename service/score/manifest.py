"""The manifest of a packed model, `model_metadata.json`: what the model is, where it comes from, who let it out.

It lies beside the model it describes and names every file of the package with size and SHA-256, so that nothing is
loaded that is not what was approved. It holds no applicant: the reference in it is an applicant made of medians.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, JsonValue, ValidationError, field_validator, model_validator

from service import files
from service.contract import PRODUCT, Basis, CreditClass, ModelRef
from service.errors import ModelRefused
from service.score.features import FEATURES
from service.score.manifest_parts import (
    Approval,
    Data,
    Digest,
    Distribution,
    Estimate,
    FeatureEntry,
    FileEntry,
    PackagePart,
    Reference,
    Reliability,
    Standing,
)
from service.score.policy import CLASSES, GRADE_BORDERS, IDENTITY, Calibration

SCHEMA_VERSION: Final = 1
MANIFEST_FILE: Final = "model_metadata.json"
MODEL_FILE: Final = "model.cbm"
TABLE_FILE: Final = "leaf_table.npz"
GOLDEN_FILE: Final = "golden.json"
REFERENCE_FILE: Final = "reference.parquet"
KERNEL_FILE: Final = "kernel.so"
APPROVED_FILE: Final = "approved_metadata.json"
"""The manifest as it was registered and signed for; packing adds to the other one."""
REQUIRED_FILES: Final = (MODEL_FILE, TABLE_FILE, GOLDEN_FILE)
UNREGISTERED: Final = "unregistered"

CARD_INTERNALS: Final = ("trained by", "code revision", "learned with")
"""Lines of the model card's list of facts that are told to staff alone."""

_FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Draft(PackagePart):
    """What training knows of a model before it is put together; every part but the name may come later."""

    name: str = PRODUCT
    version: str = UNREGISTERED
    objective: Literal["MultiClass", "MultiLogloss"] = "MultiClass"
    calibration: tuple[tuple[float, ...], ...] = IDENTITY.knots
    calibration_known: Annotated[
        tuple[tuple[float, ...], ...],
        Field(description="The calibration of known customers; empty: that of all."),
    ] = ()
    grade_borders: Annotated[
        tuple[float, float, float, float],
        Field(description="The greatest calibrated probability of Poor in the risk grades A, B, C and D."),
    ] = GRADE_BORDERS
    set_thresholds: Annotated[
        dict[Basis, tuple[float, float, float]],
        Field(
            description="By basis, the least probability of Poor, Standard and Good with which each is in a prediction "
            "set, so that nine sets in ten hold the true class, class by class; empty: sets are not told."
        ),
    ] = {}
    data: Data = Data()
    git_revision: str = ""
    parameters: dict[str, JsonValue] = {}
    metrics: dict[str, float] = {}
    slices: Annotated[
        dict[str, dict[str, Estimate]], Field(description="Metrics with intervals by slice (pooled, quarters, ...).")
    ] = {}
    grades: Annotated[
        dict[str, tuple[Standing, ...]], Field(description="Rows by risk grade, by slice (pooled, quarters).")
    ] = {}
    score_steps: Annotated[
        dict[str, tuple[Standing, ...]], Field(description="Rows by step of the score, by slice.")
    ] = {}
    reliability: Annotated[
        dict[Basis, Reliability],
        Field(description="By basis and class, what was told and what came, on customers the model never saw."),
    ] = {}
    fairness: dict[str, JsonValue] = {}
    approval: Approval | None = None
    model_card: Annotated[str, Field(description="Markdown.")] = ""
    documents: Annotated[
        dict[str, dict[str, str]],
        Field(description="Validation report, risk register and incident log as markdown, for `partner` and `staff`."),
    ] = {}
    ranges: Annotated[
        dict[str, tuple[float, float]],
        Field(description="By field, what 99.8 % of the training rows lie within; outside of it an answer warns."),
    ] = {}
    distributions: Annotated[
        dict[str, Distribution], Field(description="Of the score and of fields, over out-of-sample rows.")
    ] = {}

    @field_validator("calibration_known")
    @classmethod
    def _a_calibration_table_or_none(cls, value: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
        return value and cls._a_calibration_table(value)

    @field_validator("calibration")
    @classmethod
    def _a_calibration_table(cls, value: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
        Calibration(value)
        return value

    @field_validator("set_thresholds")
    @classmethod
    def _thresholds_are_probabilities(
        cls, value: dict[Basis, tuple[float, float, float]]
    ) -> dict[Basis, tuple[float, float, float]]:
        if not all(0.0 <= least <= 1.0 for thresholds in value.values() for least in thresholds):
            raise ValueError("thresholds of prediction sets must lie between 0 and 1")
        return value

    @field_validator("grade_borders")
    @classmethod
    def _rising_borders(cls, value: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        if not all(low < high for low, high in pairwise((0.0, *value, 1.0))):
            raise ValueError("borders of grades must rise and lie between 0 and 1")
        return value


_PROOF: Final = {"signature", "second_signature", "package"}
"""What of an approval is proof for the start of a service, not information."""
_STAFFS_ALONE: Final[dict[str, JsonValue]] = {
    "git_revision": "",
    "parameters": {},
    "libraries": {},
    "platform": "",
    "golden_sha256": "",
}
_INTERNAL_LINES: Final = tuple(f"- {name}:" for name in CARD_INTERNALS)


def feature_entries() -> tuple[FeatureEntry, ...]:
    """The features of this code base as manifest entries."""
    return tuple(
        FeatureEntry(name=item.name, source=item.sources, family=item.family, risk=item.risk) for item in FEATURES
    )


class Manifest(Draft):
    """Everything there is to know about a packed model; read it with `Manifest.read`."""

    schema_version: Literal[1] = SCHEMA_VERSION
    digest: Digest
    size_bytes: Annotated[int, Field(ge=1)]
    features: tuple[FeatureEntry, ...]
    classes: tuple[CreditClass, ...]
    reference: Reference
    importance: Annotated[dict[str, float], Field(description="Mean absolute SHAP value of each contract field.")] = {}
    golden_sha256: Digest
    files: dict[str, FileEntry]
    created_at: datetime
    libraries: dict[str, str] = {}
    platform: Annotated[str, Field(description="What the compiled kernel was built for; empty without one.")] = ""

    @model_validator(mode="after")
    def _is_whole(self) -> Manifest:
        for name in REQUIRED_FILES:
            if name not in self.files:
                raise ValueError(f"files lacks {name}")
        for name in self.files:
            if not _FILE_NAME.fullmatch(name):
                raise ValueError("files names something outside the package")
        model = self.files[MODEL_FILE]
        if (self.digest, self.size_bytes, self.golden_sha256) != (
            model.sha256,
            model.size_bytes,
            self.files[GOLDEN_FILE].sha256,
        ):
            raise ValueError("digest, size_bytes and golden_sha256 must repeat the entries of files")
        return self

    def misfit(self) -> str:
        """Why this code cannot answer with the model; empty if it can.

        Only who answers asks: drift, checks, cards and audits read the package of any release.
        """
        if self.classes != CLASSES:
            return f"classes must be {', '.join(CLASSES)} in this order"
        ours, theirs = feature_entries(), self.features
        if ours == theirs:
            return ""
        names = sorted({entry.name for entry in ours} ^ {entry.name for entry in theirs})
        difference = ", ".join(names) or "their order, sources or families"
        return (
            f"features are not those of service.score.features ({difference:.200}): the model was made by another "
            "version of the code; train and pack with this one"
        )

    def require_fit(self) -> None:
        """Nothing, if this code can answer with the model.

        Raises:
            ModelRefused: it cannot; one line says why.
        """
        if fault := self.misfit():
            raise ModelRefused(f"{MANIFEST_FILE}: {fault}")

    @property
    def ref(self) -> ModelRef:
        """How answers name this model."""
        return ModelRef(name=self.name, version=self.version, digest=self.digest)

    def partners(self) -> dict[str, JsonValue]:
        """The manifest as a partner may read it: no person's name or note, no internals; nor the list of files.

        What is told to staff alone is empty and not absent, so that a program that reads it goes on working.
        """
        view = self.staffs() | _STAFFS_ALONE
        if self.approval is not None:
            approval = self.approval.model_dump(mode="json", exclude=_PROOF) | {"reviewer": "", "note": ""}
            if self.approval.override is not None:
                approval["override"] |= {"second_name": "", "reason": ""}
            view["approval"] = approval
        lines = (line for line in self.model_card.splitlines() if not line.startswith(_INTERNAL_LINES))
        view["model_card"] = "\n".join(lines)
        view["documents"] = dict(self.documents.get("partner", {}))
        return view

    def staffs(self) -> dict[str, JsonValue]:
        """The manifest as staff reads it: everything but the list of files, each document once."""
        view: dict[str, JsonValue] = self.model_dump(mode="json", exclude={"files", "documents"})
        if self.approval is not None:
            view["approval"] = self.approval.model_dump(mode="json", exclude=_PROOF)
        view["documents"] = dict(self.documents.get("staff", {}))
        return view

    def key_fields(self, count: int) -> list[str]:
        """The contract fields that move the margin most, most important first, at most `count`."""
        ordered = sorted(self.importance, key=lambda name: (-self.importance[name], name))
        return ordered[:count]

    @classmethod
    def read(cls, directory: Path) -> Manifest:
        """The manifest of the package in `directory`; ModelRefused in one line if it is not there or damaged."""
        try:
            content = (directory / MANIFEST_FILE).read_bytes()
        except OSError as error:
            raise ModelRefused(f"{MANIFEST_FILE} cannot be read: {error.strerror}: set QF_MODEL_DIR") from error
        return cls.parse(content)

    @classmethod
    def parse(cls, content: bytes) -> Manifest:
        """The manifest in `content`; ModelRefused in one line if it is damaged or of an older form."""
        try:
            version = json.loads(content).get("schema_version")
        except (ValueError, AttributeError) as error:
            raise ModelRefused(f"{MANIFEST_FILE} is not a JSON object") from error
        if version != SCHEMA_VERSION:
            raise ModelRefused(
                f"{MANIFEST_FILE} has schema_version {version!r:.20}, {SCHEMA_VERSION} is served: pack again"
            )
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "as a whole"
            raise ModelRefused(f"{MANIFEST_FILE}: {place}: {first['msg']}") from None

    def content(self) -> bytes:
        """The manifest as the bytes of its file."""
        return self.model_dump_json(indent=2).encode() + b"\n"

    def write(self, directory: Path) -> None:
        """Put the manifest into `directory`, whole or not at all."""
        files.replace(directory / MANIFEST_FILE, self.content())

    def verified_files(self, directory: Path) -> dict[str, bytes]:
        """The bytes of every file of the package; ModelRefused if one is missing or not as the manifest says.

        Callers use these bytes and never read the file again, so nothing can change in between.
        """
        return {name: _verified(directory / name, entry) for name, entry in self.files.items()}


def _verified(path: Path, entry: FileEntry) -> bytes:
    try:
        size = path.stat().st_size
        if size != entry.size_bytes:
            raise ModelRefused(f"{path.name} has {size} bytes, the manifest says {entry.size_bytes}")
        content = path.read_bytes()
    except OSError as error:
        raise ModelRefused(f"{path.name} cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise ModelRefused(f"{path.name} is damaged: its SHA-256 is not the manifest's")
    return content


def entries(contents: Mapping[str, bytes]) -> dict[str, FileEntry]:
    """The manifest entries of files by name."""
    return {
        name: FileEntry(size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        for name, content in sorted(contents.items())
    }


def now() -> datetime:
    """The time for `created_at`, to the second."""
    return datetime.now(UTC).replace(microsecond=0)
