"""A start proves that a reviewer signed for the very model that is about to answer, whatever lies in the package."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from bentos.digests import combined, fingerprint
from bentos.packing import bento
from bentos.registry.decision import Decision
from bentos.registry.signing import Reviewers
from bentos.registry.version import Version
from service.approvals import require_signed
from service.errors import ModelRefused
from service.score.manifest import APPROVED_FILE, MANIFEST_FILE, Manifest
from service.score.manifest_parts import Approval
from tests.factories import pack_small_model
from tests.signing import KEYS, approval, trust

NOW = datetime(2026, 11, 26, tzinfo=UTC)
Change = Callable[[Path], None]


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small real model's package, as training registers it: with files that the manifest does not name."""
    folder = tmp_path_factory.mktemp("registered") / "package"
    pack_small_model(folder, rows=600, trees=10)
    (folder / "model_card.md").write_text("# card\n")
    return folder


@pytest.fixture(scope="module")
def reviewers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The list that a start believes."""
    return trust(tmp_path_factory.mktemp("list") / "reviewers.json")


DOCUMENTS = {"partner": {"validation_report.en": "# Validation report of version 3\n"}, "staff": {}}


def _packed(registered: Path, target: Path, *, signs: bool = True, **changes: object) -> Path:
    """The package with an approval of version 3, signed or merely typed, and the documents that quote it."""
    shutil.copytree(registered, target)
    version = Version(
        number=3,
        run_id="r",
        digest=Manifest.read(target).digest,
        package_sha256=combined(fingerprint(target)),
        tags={"trainer": "bob"},
    )
    base = {"version": 3, "digest": version.digest, "verdict": "approve", "reviewer": "ana", "at": NOW}
    decision = Decision.model_validate(base | changes)
    bento.finish(target, 3, approval(decision, version) if signs else decision, DOCUMENTS)
    return target


@pytest.fixture(scope="module")
def signed(registered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as it was signed: packed once, since packing asks the model; a test that changes it takes a copy."""
    return _packed(registered, tmp_path_factory.mktemp("signed") / "package")


def _edited(folder: Path, /, **changes: object) -> None:
    """The manifest with other values, as whoever can write the folder would put it there."""
    manifest = Manifest.read(folder)
    Manifest.model_validate(manifest.model_dump() | changes).write(folder)


def _verdict(folder: Path, /, **changes: object) -> None:
    found = Manifest.read(folder).approval
    assert found is not None
    _edited(folder, approval=Approval.model_validate(found.model_dump() | changes))


def test_what_was_signed_for_answers(registered: Path, reviewers: Path, tmp_path: Path) -> None:
    """Packed once or again, by one reviewer or, in spite of a failed check, by two."""
    once = _packed(registered, tmp_path / "once")
    require_signed(once, Manifest.read(once), reviewers)
    assert Manifest.read(once).documents == DOCUMENTS  # written after the signature, and not under it

    two = {"failed_checks": ("ece",), "override_reason": "pilot", "override_expires": date(2027, 1, 1)}
    over = _packed(registered, tmp_path / "over", second_reviewer="eva", **two)
    require_signed(over, Manifest.read(over), reviewers, today=date(2027, 1, 1))
    with pytest.raises(ModelRefused, match="until 2027-01-01"):
        require_signed(over, Manifest.read(over), reviewers, today=date(2027, 1, 2))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(lambda p: _edited(p, approval=None), "nobody approved", id="no-approval"),
        pytest.param(lambda p: _verdict(p, signature=""), "not signed", id="a-name-alone"),
        pytest.param(lambda p: _verdict(p, signature="a.b"), "no signature of ours", id="not-a-signature"),
        pytest.param(lambda p: _verdict(p, reviewer="eva"), "names others", id="another-name"),
        pytest.param(lambda p: _edited(p, version="4"), "another version", id="another-version"),
        pytest.param(
            lambda p: _edited(p, calibration_known=Manifest.read(p).calibration), "something else", id="calibration"
        ),
        pytest.param(lambda p: _edited(p, grade_borders=(0.1, 0.2, 0.3, 0.4)), "something else", id="other-grades"),
        pytest.param(lambda p: _verdict(p, package={}), "not the manifest that was signed", id="no-fingerprint"),
        pytest.param(
            lambda p: _verdict(
                p, override={"checks": [], "reason": "x", "expires": "2027-01-01", "second_name": "eva"}
            ),
            "not signed",
            id="an-override-nobody-signed",
        ),
        pytest.param(
            lambda p: _edited(p, files={n: e for n, e in Manifest.read(p).files.items() if n != APPROVED_FILE}),
            "not the manifest that was signed",
            id="registered-manifest-left-out",
        ),
    ],
)
def test_what_was_changed_after_the_signature_does_not(
    signed: Path, reviewers: Path, tmp_path: Path, change: Change, says: str
) -> None:
    """Whoever can write the package, its manifest and all of its digests still cannot sign."""
    package = shutil.copytree(signed, tmp_path / "package")
    change(package)
    with pytest.raises(ModelRefused, match=says):
        require_signed(package, Manifest.read(package), reviewers)


def test_a_package_vouches_not_for_itself(registered: Path, reviewers: Path, tmp_path: Path) -> None:
    """Neither an unsigned verdict, nor a reviewer off the list, nor another package under a true signature."""
    typed = _packed(registered, tmp_path / "typed", signs=False)
    with pytest.raises(ModelRefused, match="not signed"):
        require_signed(typed, Manifest.read(typed), reviewers)

    signed = _packed(registered, tmp_path / "signed")
    others = tmp_path / "others.json"
    others.write_text(Reviewers(keys={"eva": KEYS["eva"][1]}).model_dump_json())
    for listed in (others, tmp_path / "absent.json"):
        with pytest.raises(ModelRefused, match="ana is not on the list"):
            require_signed(signed, Manifest.read(signed), listed)
    others.write_text("no list")
    with pytest.raises(ModelRefused, match=r"others\.json is no list of reviewers"):
        require_signed(signed, Manifest.read(signed), others)

    moved = dict(Manifest.read(signed).approval.package)  # type: ignore[union-attr]
    moved["model_card.md"] = "0" * 64
    _verdict(signed, package=moved)
    with pytest.raises(ModelRefused, match="another package"):
        require_signed(signed, Manifest.read(signed), reviewers)


def test_the_registered_manifest_travels_along(registered: Path, tmp_path: Path) -> None:
    """Packing anew keeps the manifest that was signed for, byte for byte."""
    package = _packed(registered, tmp_path / "package")
    assert (package / APPROVED_FILE).read_bytes() == (registered / MANIFEST_FILE).read_bytes()
    found = Manifest.read(package).approval
    assert found is not None and found.package == fingerprint(registered)
