"""What lies on the embedded store's disk."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bentos.processes import free_port
from infra.errors import StackError
from infra.settings import StackSettings
from infra.stack import object_store as store
from infra.stack import parts
from infra.stack.credentials import Credentials
from tests.conftest import serving

PAIR = Credentials("qf-test", "qf-test-secret")
CANARY = b"an applicant's figures "


def _holding(folder: Path) -> set[str]:
    """Files below a folder that hold the canary in clear."""
    return {path.name for path in folder.rglob("*") if path.is_file() and CANARY in path.read_bytes()}


def test_an_object_is_ciphertext_on_the_disk_and_read_again_after_a_start(tmp_path: Path) -> None:
    """Objects, cache, database and log of the volume hold nothing of it, and no key lies in the volume's folder."""
    settings = StackSettings(state_dir=tmp_path, port_store=free_port())
    store.format_volume(tmp_path / "store")
    for start in range(2):
        with serving(parts.object_store(settings, PAIR), tmp_path):
            client = store.client(settings.store_url, PAIR)
            if start == 0:
                client.create_bucket(Bucket="predictions")
                client.put_object(Bucket="predictions", Key="day", Body=CANARY * 1000)
            assert client.get_object(Bucket="predictions", Key="day")["Body"].read() == CANARY * 1000

    assert list((tmp_path / "store" / "objects").rglob("*_0_*"))  # the blocks are there
    assert _holding(tmp_path / "store") == set()
    passphrase = store.passphrase_file(tmp_path / "store")
    assert passphrase.stat().st_mode & 0o077 == 0
    assert not any(
        passphrase.read_bytes().strip() in path.read_bytes()
        for path in (tmp_path / "store").rglob("*")
        if path.is_file()
    )


def test_a_volume_whose_passphrase_is_gone_is_said(tmp_path: Path) -> None:
    """One line says which file is missing."""
    store.format_volume(tmp_path / "store")
    store.passphrase_file(tmp_path / "store").unlink()

    with pytest.raises(StackError, match=r"is encrypted and .*store\.passphrase is missing"):
        store.gateway(tmp_path / "store", 9000, PAIR)


def test_a_volume_of_an_earlier_release_opens_as_it_is(tmp_path: Path) -> None:
    """It was made without a key, and is neither touched nor asked for one."""
    folder = tmp_path / "store"
    folder.mkdir()
    subprocess.run(
        [store.program("juicefs"), "format", "--storage", "file", "--bucket", f"{folder / 'objects'}/"]
        + [f"sqlite3://{folder / 'meta.db'}", store.VOLUME],
        check=True,
        capture_output=True,
    )
    (folder / "formatted").touch()
    settings = StackSettings(state_dir=tmp_path, port_store=free_port())
    store.format_volume(folder)
    with serving(parts.object_store(settings, PAIR), tmp_path):
        store.make_buckets(settings.store_url, PAIR)
    assert not store.passphrase_file(folder).exists()


def test_an_interrupted_format_is_made_again(tmp_path: Path) -> None:
    """What is there without the note holds nothing yet."""
    folder = tmp_path / "store"
    store.format_volume(folder)
    first = store.passphrase_file(folder).read_text()
    (folder / "formatted").unlink()

    store.format_volume(folder)

    assert store.passphrase_file(folder).read_text() != first
    assert (folder / "formatted").read_text() == store.SEALED
