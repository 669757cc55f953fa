"""The demo partner's keys: issued once, private, and the page gets both."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest

from infra.settings import StackSettings
from infra.stack.partner_keys import demo_key_file, demo_test_key, partner_key
from infra.stack.supervisor import Stack
from service import keys
from service.contract import TEST_KEY_PREFIX


def test_the_key_is_issued_once_and_private(tmp_path: Path) -> None:
    """A key that is live is kept; one that the store does not know is replaced."""
    file = tmp_path / "keys" / "demo"
    first = partner_key(tmp_path / "service", file)

    assert partner_key(tmp_path / "service", file) == first
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    file.write_text("qf_live_unknown\n")
    assert partner_key(tmp_path / "service", file) not in (first, "qf_live_unknown")


def test_a_test_key_that_is_revoked_is_issued_anew(tmp_path: Path) -> None:
    """Live ones are kept, and the partner's key for customers is left alone."""
    live = partner_key(tmp_path / "service", demo_key_file(tmp_path))
    first = demo_test_key(tmp_path)
    assert first.startswith(TEST_KEY_PREFIX) and demo_test_key(tmp_path) == first
    keys.revoke(tmp_path / "service", first[8:16])
    assert demo_test_key(tmp_path) not in (first, live)
    assert demo_key_file(tmp_path).read_text().strip() == live


def page_secrets(folder: Path) -> dict[str, Any]:
    """What the page reads after a start, and the part that serves it."""
    part = Stack(StackSettings(state_dir=folder))._ui()  # pylint: disable=protected-access  # `up` takes half a minute
    assert part is not None
    return {"recipe": part.recipe.digest, **tomllib.loads((folder / "ui" / "secrets.toml").read_text())}


def test_the_page_starts_with_both_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None before the partner has one; then both; a new one of either starts the page anew."""
    monkeypatch.delenv("QF_STATE_DIR", raising=False)
    assert not {"key", "test_key"} & page_secrets(tmp_path).keys()
    live = partner_key(tmp_path / "service", demo_key_file(tmp_path))
    told = page_secrets(tmp_path)
    assert (told["key"], told["test_key"]) == (live, demo_test_key(tmp_path))
    assert page_secrets(tmp_path) == told
    keys.revoke(tmp_path / "service", told["test_key"][8:16])
    again = page_secrets(tmp_path)
    assert again["test_key"] != told["test_key"] and again["recipe"] != told["recipe"]
