"""Every image that is pulled is looked at; a finding fails, and no verdict is never taken for none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infra.delivery import image_scan
from service.settings import BASE_IMAGE
from tests.infra import compose_file

ENGINE = """#!/bin/sh
echo "$@" >> "{asked}"
for image; do :; done
case "$image" in {image}*) exit {code} ;; esac
"""


def engine(folder: Path, image: str = "none", code: int = 0) -> Path:
    """A stand-in for the container engine, whose scan of one image ends with a code; it notes what it is asked."""
    program = folder / "engine"
    program.write_text(ENGINE.format(asked=folder / "asked", image=image, code=code))
    program.chmod(0o755)
    return program


def test_no_pulled_image_is_left_out() -> None:
    """Compose's with an exact release, the cluster's, what our Dockerfiles start from; ours are audited as packages."""
    named = {part["image"] for part in compose_file.raw()["services"].values()}
    pulled = {image for image in named if "${" not in image}
    assert pulled and pulled <= set(image_scan.images())
    assert set(image_scan.images()) - pulled == {BASE_IMAGE}


def test_each_image_is_looked_at_by_a_pinned_scanner(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By digest, without the engine's socket."""
    monkeypatch.setenv("QF_ENGINE", str(engine(tmp_path)))
    assert image_scan.main() == 0
    asked = (tmp_path / "asked").read_text().splitlines()
    assert [line.split()[-1] for line in asked] == image_scan.images()
    assert all(re.search(r" aquasec/trivy:[\d.]+@sha256:[0-9a-f]{64} image ", line) for line in asked)
    assert "docker.sock" not in "".join(asked)
    assert f"{len(asked)} images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (image_scan.FOUND, "fixed vulnerabilities in redis:"),
        (1, "redis:.* could not be scanned .exit code 1, see above.: no verdict"),
        (125, "no verdict"),
    ],
)
def test_a_finding_or_no_verdict_fails(
    code: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says which; a registry that is not reached is not a clean image."""
    monkeypatch.setenv("QF_ENGINE", str(engine(tmp_path, "redis", code)))
    assert image_scan.main() == 1
    told = capsys.readouterr().err
    assert re.search(says, told) and told.count("\n") == 1


def test_without_an_engine_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The setting is named."""
    monkeypatch.setenv("QF_ENGINE", "no-such-engine")
    assert image_scan.main() == 1
    assert "QF_ENGINE" in capsys.readouterr().err
