"""Keys: made, recognised, stored without the secret, changed by the tool, and read again without a restart."""

from __future__ import annotations

import hmac
import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import keys
from service.access import credentials
from service.access.keystore import STALE_AFTER_S, FileKeys, KeyRecord, KeyStore, read_keys
from service.contract import TEST_KEY_PREFIX
from service.errors import KeyRefused, KeyStoreBroken, Misconfigured

PEPPER = b"p" * 32


def _store(folder: Path) -> KeyStore:
    return KeyStore(FileKeys(folder / "keys.json"), credentials.read_pepper(folder / "pepper"))


def test_a_key_has_the_form_that_scanners_know() -> None:
    """Prefix, id, 256 bits, checksum; every single mistyped character is noticed."""
    key, key_id = credentials.mint()
    assert (len(key), key[8:16]) == (66, key_id)
    assert credentials.well_formed(key)
    for place, character in enumerate(key):
        other = "A" if character != "A" else "B"
        assert not credentials.well_formed(key[:place] + other + key[place + 1 :])


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_the_fast_mac_is_the_standard_one(key: bytes, message: bytes) -> None:
    """HMAC-SHA-256, to the bit."""
    assert credentials.Mac(key).digest(message) == hmac.digest(key, message, "sha256")


def test_the_file_holds_no_secret(tmp_path: Path) -> None:
    """Neither the key nor its secret part stands in any file; the pepper is readable by its owner alone."""
    key = keys.issue(tmp_path, "acme")
    content = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert key.encode() not in content and key[17:].encode() not in content
    assert (tmp_path / "pepper").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600


def test_only_the_key_itself_opens(tmp_path: Path) -> None:
    """Wrong secret, wrong checksum, other id, cut, grown, empty: all None, like an unknown one."""
    key = keys.issue(tmp_path, "acme")
    store, now = _store(tmp_path), time.time()
    found = store.verify(key.encode(), now)
    assert found is not None and (found.partner, found.id) == ("acme", key[8:16])
    wrong = [
        key[:-1] + ("A" if key[-1] != "A" else "B"),
        key[:20] + "x" * 46,
        key[:-1],
        key + "a",
        "",
        "qf_live_",
        key.upper(),
    ]
    assert [store.verify(text.encode(), now) for text in wrong] == [None] * len(wrong)


def test_life_begins_and_ends_to_the_second(tmp_path: Path) -> None:
    """Valid from not-before on, and not at expiry any more."""
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    key = keys.issue(tmp_path, "acme", not_before=start, expires=start + timedelta(hours=1)).encode()
    store, at = _store(tmp_path), start.timestamp()
    assert [store.verify(key, moment) is not None for moment in (at - 0.001, at, at + 3599.999, at + 3600)] == [
        False, True, True, False,
    ]  # fmt: skip


def test_two_live_keys_and_no_third(tmp_path: Path) -> None:
    """The third is refused in a clear line; after a revocation there is room again."""
    first = keys.issue(tmp_path, "acme")
    keys.issue(tmp_path, "acme")
    with pytest.raises(KeyRefused, match="has 2 live keys .*revoke or expire one first"):
        keys.issue(tmp_path, "acme")
    keys.issue(tmp_path, "other")
    keys.revoke(tmp_path, first[8:16])
    keys.issue(tmp_path, "acme")


def test_rotation_overlaps(tmp_path: Path) -> None:
    """The new key has the old one's limits; the old one ends after the overlap, not before."""
    old = keys.issue(tmp_path, "acme", rate=7, burst=9, daily=11)
    new = keys.rotate(tmp_path, "acme", overlap=timedelta(hours=2))
    store, now = _store(tmp_path), time.time()
    found = store.verify(new.encode(), now)
    assert found is not None and (found.rate, found.burst, found.daily) == (7, 9, 11)
    assert store.verify(old.encode(), now + 7190) is not None
    assert store.verify(old.encode(), now + 7210) is None


def test_a_partners_name_is_its_live_key_though_a_test_key_stands_beside_it(tmp_path: Path) -> None:
    """And a test key's own id is the test key."""
    keys.issue(tmp_path, "acme")
    test_key = keys.issue(tmp_path, "acme", test=True)
    assert not keys.rotate(tmp_path, "acme").startswith(TEST_KEY_PREFIX)
    assert keys.rotate(tmp_path, test_key[8:16]).startswith(TEST_KEY_PREFIX)


@pytest.mark.parametrize(
    ("limits", "named"),
    [({"rate": 0}, "rate"), ({"burst": 0}, "burst"), ({"daily": 0}, "daily"), ({"rate": float("nan")}, "rate")],
    ids=["rate", "burst", "daily", "nan"],
)
def test_impossible_limits_are_refused(tmp_path: Path, limits: dict[str, float], named: str) -> None:
    """A key that could never be used is not issued."""
    with pytest.raises(KeyRefused, match=named):
        keys.issue(tmp_path, "acme", **limits)  # type: ignore[arg-type]


def test_a_life_is_a_year_at_most(tmp_path: Path) -> None:
    """Longer, or over before it begins, is refused, at issue and later."""
    with pytest.raises(KeyRefused, match="at most"):
        keys.issue(tmp_path, "acme", expires=datetime.now(UTC) + timedelta(days=400))
    with pytest.raises(KeyRefused, match="after not-before"):
        keys.issue(tmp_path, "acme", expires=datetime.now(UTC) - timedelta(days=1))
    key = keys.issue(tmp_path, "acme")
    with pytest.raises(KeyRefused, match="at most"):
        keys.expire(tmp_path, key[8:16], datetime.now(UTC) + timedelta(days=400))
    keys.expire(tmp_path, key[8:16], datetime.now(UTC) + timedelta(days=2))


@pytest.mark.parametrize("partner", ["", "Acme", "a b", "../x", "=cmd", "é", "a" * 33])
def test_partners_have_plain_names(tmp_path: Path, partner: str) -> None:
    """The name stands in records and logs: lower case, digits, hyphen, underscore."""
    with pytest.raises(KeyRefused, match="partner"):
        keys.issue(tmp_path, partner)


def test_a_change_is_taken_up_without_a_restart(tmp_path: Path) -> None:
    """A look at the file is enough, for a new key and a revoked one."""
    store = _store(tmp_path)
    key = keys.issue(tmp_path, "acme")
    assert store.verify(key.encode(), time.time()) is None
    assert store.refresh() and store.verify(key.encode(), time.time()) is not None
    assert not store.refresh()
    keys.revoke(tmp_path, key[8:16])
    assert store.refresh() and store.verify(key.encode(), time.time()) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"keys": [{}]}', b"\xff", None], ids=str)
def test_a_broken_file_keeps_the_last_good_set_and_alarms(
    tmp_path: Path, content: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Emptied, cut or gone: partners go on and the fault is told; after a quarter of an hour nobody goes on."""
    key = keys.issue(tmp_path, "acme").encode()
    store, file = _store(tmp_path), tmp_path / "keys.json"
    good = file.read_bytes()
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    assert not store.refresh()
    assert "keys.json" in store.fault
    assert store.verify(key, time.time()) is not None
    later = time.monotonic() + STALE_AFTER_S + 1
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: later)
        assert store.closed and store.verify(key, time.time()) is None
    file.write_bytes(good)
    assert store.refresh() and not store.fault
    assert store.verify(key, time.time()) is not None


def test_a_broken_file_stops_a_start(tmp_path: Path) -> None:
    """There is no last good set yet, so there is nothing to run on."""
    (tmp_path / "keys.json").write_text("{")
    with pytest.raises(KeyStoreBroken, match="keys.json"):
        read_keys(tmp_path / "keys.json")


@pytest.mark.parametrize(
    ("mode", "size", "named"), [(0o644, 32, "0600"), (0o600, 5, "holds 5 bytes")], ids=["mode", "size"]
)
def test_a_pepper_that_others_read_or_that_is_cut_is_refused(tmp_path: Path, mode: int, size: int, named: str) -> None:
    """Both mean that something went wrong; neither is mended silently."""
    path = tmp_path / "pepper"
    path.write_bytes(b"x" * size)
    path.chmod(mode)
    with pytest.raises(Misconfigured, match=named):
        credentials.read_pepper(path)


def test_a_webhooks_secret_is_told_only_where_the_pepper_is(tmp_path: Path) -> None:
    """Another pepper, made now, would tell a secret that nothing is signed with."""
    with pytest.raises(Misconfigured, match="there is no pepper"):
        keys.webhook_secret(tmp_path, "acme")
    assert not list(tmp_path.iterdir())
    keys.issue(tmp_path, "acme")
    assert keys.webhook_secret(tmp_path, "acme").startswith("whsec_")


def test_unknown_wrong_and_revoked_take_the_same_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One digest and one comparison for each, so that the time tells nothing."""
    key = keys.issue(tmp_path, "acme")
    store, steps = _store(tmp_path), []
    original = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda *pair: steps.append(len(pair[0])) or original(*pair))
    for shown in (key, key[:17] + "x" * 49, "qf_live_unknown1_" + "x" * 49):
        store.verify(shown.encode(), time.time())
    assert steps == [32, 32, 32]


def test_the_tool_prints_the_key_alone(tmp_path: Path) -> None:
    """`issue` on standard output, refusals on standard error with exit code 1, `list` without secrets."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "service.keys", *arguments]
        env = {"QF_SERVICE_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"}
        return subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=False)

    made = run("issue", "acme", "--rate", "5", "--burst", "10", "--daily", "100", "--scope", "score")
    key = made.stdout.strip()
    assert credentials.well_formed(key) and made.stdout == key + "\n"
    listed = run("list").stdout
    assert key[8:16] in listed and "acme live rate=5/s burst=10 daily=100" in listed and key[17:] not in listed
    assert run("expire", key[8:16], "2020-01-01").returncode == 0
    assert "expired" in run("list").stdout
    refused = run("revoke", "nobody00")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "keys: nobody00: no such key (see: list)\n"
    assert json.loads((tmp_path / "keys.json").read_text())["keys"][0]["partner"] == "acme"
    assert KeyRecord.model_validate_json(json.dumps(json.loads((tmp_path / "keys.json").read_text())["keys"][0]))
