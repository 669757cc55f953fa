"""The security log: what is noted, how addresses stand in it, how long it stays; and when keys were last used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service import addresses, keys
from service.access import security_log
from service.access.security_log import SecurityEvent, SecurityLog, read_uses
from service.addresses import among, network_of, networks, origin
from service.settings import ServiceSettings

PEPPER = b"p" * 32
NOON = 1_795_600_000.0


def lines(folder: Path) -> list[dict[str, Any]]:
    """Every line there is."""
    return [
        json.loads(line) for path in sorted(folder.glob("security/*.jsonl")) for line in path.read_text().splitlines()
    ]


def test_a_line_an_event_without_an_address_in_clear(tmp_path: Path) -> None:
    """Time, key, route, and digests that are equal for equal addresses and networks."""
    log = SecurityLog(tmp_path, PEPPER)
    for address in ("203.0.113.7", "203.0.113.8", "203.0.113.7"):
        log.note(SecurityEvent.KEY_REFUSED, key="abcdefgh", route="/v1/score", address=address)
    log.flush()
    found = lines(tmp_path)
    assert [one["event"] for one in found] == ["key-refused"] * 3
    assert found[0]["address"] == found[2]["address"] != found[1]["address"]
    assert len({one["network"] for one in found}) == 1
    assert (found[0]["key"], found[0]["route"]) == ("abcdefgh", "/v1/score") and found[0]["time"].endswith("Z")
    assert "203.0.113" not in str(found)
    assert (tmp_path / "security").stat().st_mode & 0o077 == 0


def test_addresses_in_clear_where_the_setting_says_so(tmp_path: Path) -> None:
    """As they are, with their network."""
    log = SecurityLog(tmp_path, PEPPER, clear=True)
    log.note(SecurityEvent.SCOPE_REFUSED, key="abcdefgh", address="2001:db8:1:2::3")
    log.flush()
    assert (lines(tmp_path)[0]["address"], lines(tmp_path)[0]["network"]) == ("2001:db8:1:2::3", "2001:db8:1::/48")


def test_what_comes_by_the_thousand_is_said_once_a_minute(tmp_path: Path) -> None:
    """A flood fills no disk: limits once a minute and key, and a day has a size."""
    now = [NOON]
    log = SecurityLog(tmp_path, PEPPER, now=lambda: now[0])
    for _ in range(1000):
        log.note(SecurityEvent.LIMIT_HIT, key="abcdefgh", address="203.0.113.7")
    now[0] += 61
    log.note(SecurityEvent.LIMIT_HIT, key="abcdefgh", address="203.0.113.7")
    log.flush()
    assert len(lines(tmp_path)) == 2


def test_a_day_has_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is more is counted as dropped."""
    monkeypatch.setattr(security_log, "DAY_BYTES", 500)
    log = SecurityLog(tmp_path, PEPPER)
    for _ in range(10):
        log.note(SecurityEvent.KEY_REFUSED, address="203.0.113.7")
        log.flush()
    assert 0 < len(lines(tmp_path)) < 10 == len(lines(tmp_path)) + log.dropped


@pytest.mark.parametrize("refusal", [SecurityEvent.KEY_REFUSED, SecurityEvent.SCOPE_REFUSED])
def test_a_flood_of_refusals_hides_nothing_rarer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: SecurityEvent
) -> None:
    """Whoever may be refused as often as he likes leaves room for what is done to keys; of that a day has its size."""
    monkeypatch.setattr(security_log, "DAY_BYTES", 8000)
    log = SecurityLog(tmp_path, PEPPER)
    for number in range(100):
        log.note(refusal, key="abcdefgh", address=f"203.0.113.{number}")
        log.flush()
    log.note(refusal, key="abcdefgh", address="203.0.113.7")
    log.note(SecurityEvent.KEY_REVOKED, key="abcdefgh")
    log.flush()
    assert lines(tmp_path)[-1]["event"] == "key-revoked"
    assert len(lines(tmp_path)) - 1 + log.dropped == 101
    for _ in range(100):
        log.note(SecurityEvent.KEY_ISSUED, key="abcdefgh")
        log.flush()
    assert sum(path.stat().st_size for path in tmp_path.glob("security/*.jsonl")) <= 8000


def test_a_new_network_is_said_once_by_all_workers(tmp_path: Path) -> None:
    """Two workers of a host see the same key: one line a network, and the last use of both."""
    now = [NOON]
    one, other = (SecurityLog(tmp_path, PEPPER, now=lambda: now[0]) for _ in range(2))
    for log, address in ((one, "203.0.113.7"), (other, "203.0.113.9"), (one, "198.51.100.1")):
        log.used("abcdefgh", address, "/v1/score")
        now[0] += 1
    one.flush()
    other.flush()
    assert [line["event"] for line in lines(tmp_path)] == ["key-used-from-new-network"] * 2
    assert read_uses(tmp_path)["abcdefgh"].last == NOON + 2
    again = SecurityLog(tmp_path, PEPPER)
    again.used("abcdefgh", "198.51.100.77", "/v1/score")
    again.flush()
    assert len(lines(tmp_path)) == 2


def test_old_days_go(tmp_path: Path) -> None:
    """Ninety days are kept."""
    now = [NOON]
    for days in (0, 1, 90, 91):
        now[0] = NOON + days * 86400
        log = SecurityLog(tmp_path, PEPPER, now=lambda: now[0])
        log.note(SecurityEvent.KEY_REFUSED, address="203.0.113.7")
        log.flush()
    assert len(lines(tmp_path)) == 3


def test_the_key_tool_leaves_its_lines_and_tells_the_last_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issued, rotated and revoked are in the log; `list` says when a key was last good."""
    first = keys.issue(tmp_path, "acme")
    keys.rotate(tmp_path, "acme")
    keys.revoke(tmp_path, first[8:16])
    assert [line["event"] for line in lines(tmp_path)] == ["key-issued", "key-rotated", "key-revoked"]
    assert first not in str(lines(tmp_path))
    log = SecurityLog(tmp_path, PEPPER, now=lambda: NOON)
    log.used(first[8:16], "203.0.113.7", "/v1/score")
    log.flush()
    monkeypatch.setattr(keys, "settings", lambda: ServiceSettings(service_dir=tmp_path))
    assert keys.main(["list"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert "used=2026-11-25T" in next(line for line in told if line.startswith(first[8:16]))
    assert "used=never" in next(line for line in told if not line.startswith(first[8:16]))


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("203.0.113.7", b"", "203.0.113.7"),
        ("203.0.113.7", b"198.51.100.1", "203.0.113.7"),
        ("10.0.0.1", b"198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", b"1.2.3.4, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", b"1.2.3.4, 198.51.100.1, 192.168.7.7", "198.51.100.1"),
        ("10.0.0.1", b"", "10.0.0.1"),
        ("10.0.0.1", b"1.2.3.4, nonsense", "10.0.0.1"),
        ("10.0.0.1", b"2001:db8::1", "2001:db8::1"),
        ("", b"198.51.100.1", ""),
    ],
)
def test_forwarded_addresses_are_believed_of_named_proxies_alone(peer: str, forwarded: bytes, found: str) -> None:
    """The nearest address that is none of ours, as far as ours told it."""
    assert origin(peer, forwarded, networks("10.0.0.0/8, 192.168.7.7")) == found
    assert origin(peer, forwarded, ()) == peer


def test_a_forged_row_of_proxies_is_not_walked_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that knows our proxies' network names a thousand of it: a few are looked at, none of its own."""
    looked_at: list[str] = []

    def counted(address: str, ranges: Any) -> bool:
        looked_at.append(address)
        return among(address, ranges)

    monkeypatch.setattr(addresses, "among", counted)
    forged = [f"10.0.{number // 250}.{number % 250}" for number in range(1300)]
    row = ", ".join(["203.0.113.7", *forged, "10.0.0.9"]).encode()
    assert origin("10.0.0.1", row, networks("10.0.0.0/8")).startswith("10.0.5.")
    assert len(looked_at) <= 9
    assert origin("10.0.0.1", b"203.0.113.7, 10.0.0.8, 10.0.0.9", networks("10.0.0.0/8")) == "203.0.113.7"


def test_networks_are_named_or_refused() -> None:
    """A count, as the setting once took, names nobody."""
    for text in ("1", "proxy", "10.0.0.1/8"):
        with pytest.raises(ValueError, match="."):
            networks(text)
    assert among("10.9.9.9", networks("10.0.0.0/8")) and not among("x", networks("10.0.0.0/8"))
    assert (network_of("203.0.113.7"), network_of("x")) == ("203.0.113.0/24", "unknown")
