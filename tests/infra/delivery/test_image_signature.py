"""cosign itself, on a real registry: what was signed by whom is named is let in, everything else is not."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.delivery.pushed_image import SigningSettings, TrustSettings, sign, verify
from infra.errors import StackError
from tests.infra.delivery.image_registry import Registry, serving

BILL = '{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": []}'


@pytest.fixture(name="cosign", scope="module")
def _cosign() -> str:
    """The program, which Debian 12 does not have: GitHub's CI installs it."""
    found = shutil.which("cosign")
    if found is None:
        pytest.skip("cosign is not installed")
    return found


@pytest.fixture(name="registry")
def _registry(
    require_program: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Registry]:
    """A private registry that `docker login` knows."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "registry"))
    with serving(require_program("docker-registry"), tmp_path / "registry", private=True) as running:
        yield running


@pytest.fixture(name="keys")
def _keys(cosign: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Folders with `cosign.key` and `cosign.pub`: ours and a stranger's."""
    monkeypatch.setenv("COSIGN_PASSWORD", "a password")
    folders = tmp_path / "ours", tmp_path / "a stranger's"
    for folder in folders:
        folder.mkdir()
        subprocess.run([cosign, "generate-key-pair"], cwd=folder, check=True, capture_output=True, env=os.environ)
    return folders


def _signed(image: str, key: Path, folder: Path) -> None:
    bill = folder / "bill.cdx.json"
    bill.write_text(BILL)
    sign(image, bill, SigningSettings(key=str(key / "cosign.key")))


def test_the_signed_image_is_let_in(registry: Registry, keys: tuple[Path, Path], tmp_path: Path) -> None:
    """By digest, with its bill of materials, and without a word to Sigstore's public log, which is not in reach."""
    image = f"{registry.host}/credit-score@{registry.put('credit-score', '1', 'one')}"
    trust = TrustSettings(key=str(keys[0] / "cosign.pub"))

    _signed(image, keys[0], tmp_path)

    assert verify(image, trust) == trust.key


@pytest.mark.parametrize(
    "case", ["nobody signed", "a stranger signed", "another image was signed", "the bill was lost"]
)
def test_any_other_image_is_not(case: str, registry: Registry, keys: tuple[Path, Path], tmp_path: Path) -> None:
    """Under the same name and tag even; one line says that nothing proves it."""
    image = f"{registry.host}/credit-score@{registry.put('credit-score', '1', 'one')}"
    if case == "a stranger signed":
        _signed(image, keys[1], tmp_path)
    if case == "another image was signed":
        _signed(image, keys[0], tmp_path)
        image = f"{registry.host}/credit-score@{registry.put('credit-score', '1', 'two')}"
    if case == "the bill was lost":
        with pytest.raises(StackError, match="is not signed"):
            sign(image, tmp_path / "lost.json", SigningSettings(key=str(keys[0] / "cosign.key")))

    with pytest.raises(StackError, match="production kept its image: nothing proves that .* signed"):
        verify(image, TrustSettings(key=str(keys[0] / "cosign.pub")))
