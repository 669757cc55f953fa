"""The audit trail grows at its end only, and says so when somebody changed it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bentos.errors import TrailBroken
from bentos.registry import audit_trail
from bentos.registry.audit_trail import GENESIS, Trail


@pytest.fixture
def trail(tmp_path: Path) -> Trail:
    """A trail of three entries."""
    made = Trail(tmp_path / "trail.jsonl")
    for number in range(1, 4):
        made.append("promoted", actor="ana", version=str(number), digest="ab", replaced=str(number - 1), note="ok")
    return made


def test_entries_are_chained(trail: Trail) -> None:
    """Each entry carries the hash of the one before it, the first the genesis hash."""
    entries = trail.entries()

    assert [entry.sequence for entry in entries] == [0, 1, 2]
    assert [entry.previous for entry in entries] == [GENESIS, entries[0].hash, entries[1].hash]
    assert trail.head() == entries[-1].hash
    assert trail.holds(entries[0].hash) and not trail.holds("f" * 64)


def test_an_empty_trail_has_the_genesis_head(tmp_path: Path) -> None:
    """Before the first event there is nothing to break."""
    assert not Trail(tmp_path / "none.jsonl").entries()
    assert Trail(tmp_path / "none.jsonl").head() == GENESIS


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda lines: [lines[0].replace("ana", "eve"), *lines[1:]], id="changed"),
        pytest.param(lambda lines: [lines[0], lines[2]], id="removed"),
        pytest.param(lambda lines: [lines[0], lines[0], *lines[1:]], id="inserted"),
        pytest.param(lambda lines: [lines[1], lines[0], lines[2]], id="swapped"),
        pytest.param(lambda lines: [lines[0], "no json", lines[2]], id="unreadable"),
        pytest.param(lambda lines: [lines[0].replace('"note"', '"remark"'), *lines[1:]], id="other-field"),
    ],
)
def test_damage_is_found_and_stops_appending(
    trail: Trail, tmp_path: Path, damage: Callable[[list[str]], list[str]]
) -> None:
    """A trail that was touched is refused by readers and writers alike."""
    file = tmp_path / "trail.jsonl"
    file.write_text("\n".join(damage(file.read_text().splitlines())) + "\n")

    with pytest.raises(TrailBroken, match="line"):
        trail.entries()
    with pytest.raises(TrailBroken):
        trail.append("promoted", actor="ana", version="9")


def test_a_recomputed_hash_does_not_hide_a_change(trail: Trail, tmp_path: Path) -> None:
    """Who changes an entry and its own hash still breaks the link of the next one."""
    file = tmp_path / "trail.jsonl"
    lines = file.read_text().splitlines()
    forged = audit_trail.TrailEntry.model_validate(json.loads(lines[0]) | {"actor": "eve"})
    lines[0] = forged.model_copy(update={"hash": forged.computed_hash()}).model_dump_json()
    file.write_text("\n".join(lines) + "\n")

    with pytest.raises(TrailBroken, match="line 2"):
        trail.entries()


def test_the_torn_line_of_a_killed_writer_is_dropped(trail: Trail, tmp_path: Path) -> None:
    """Half a line was never acknowledged; the next writer starts after the last whole one."""
    file = tmp_path / "trail.jsonl"
    file.write_bytes(file.read_bytes() + '{"sequence":3,"at"é'.encode()[:-1])
    assert len(trail.entries()) == 3, "and who only reads is not held up by it"

    trail.append("promoted", actor="ana", version="4")

    assert [entry.version for entry in trail.entries()] == ["1", "2", "3", "4"]


def test_a_note_may_hold_whatever_people_write(tmp_path: Path) -> None:
    """Ends of lines of other alphabets end no line of the trail."""
    trail = Trail(tmp_path / "other.jsonl")
    for note in ("one\u2028two", "three\x85four\x0b", "five\nsix\r"):
        trail.append("promoted", actor="ana", version="1", note=note)

    assert [entry.note for entry in trail.entries()] == ["one\u2028two", "three\x85four\x0b", "five\nsix\r"]


def test_appending_at_once_loses_nothing(tmp_path: Path) -> None:
    """Writers wait for each other: one unbroken chain of all entries."""
    trail = Trail(tmp_path / "trail.jsonl")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: trail.append("promoted", actor="ana", version=str(number)), range(40)))

    assert sorted(int(entry.version) for entry in trail.entries()) == list(range(40))


def test_the_command_prints_an_intact_trail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`python -m bentos.registry.audit_trail` lists the events and vouches for the chain."""
    monkeypatch.setenv("QF_STATE_DIR", str(tmp_path))
    Trail(tmp_path / "audit" / "registry.jsonl").append(
        "promoted", actor="ana", version="2", replaced="1", note="better"
    )

    assert audit_trail.main() == 0
    printed = capsys.readouterr().out
    assert "promoted version 2 (replaces 1) by ana: better" in printed
    assert "1 entries, chain intact" in printed


def test_the_command_fails_on_a_broken_trail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its exit code is 1 and its one line says where."""
    monkeypatch.setenv("QF_STATE_DIR", str(tmp_path))
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "registry.jsonl").write_text("nonsense\n")

    assert audit_trail.main() == 1
    assert "line 1 is unreadable" in capsys.readouterr().err


def test_a_trail_of_an_earlier_release_goes_on(tmp_path: Path) -> None:
    """Its lines know no digest of a verdict, and neither do their hashes."""
    file = tmp_path / "trail.jsonl"
    body: dict[str, object] = {
        "sequence": 0,
        "at": "2026-11-01T00:00:00.000+00:00",
        "event": "promoted",
        "actor": "ana",
    }
    body |= {"version": "1", "digest": "d", "replaced": "", "note": "", "previous": GENESIS}
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    file.write_text(json.dumps(body | {"hash": hashlib.sha256(canonical.encode()).hexdigest()}) + "\n")

    Trail(file).append("promoted", actor="eva", version="2", verdict="v")

    assert [(entry.version, entry.verdict) for entry in Trail(file).entries()] == [("1", ""), ("2", "v")]
    file.write_text(file.read_text().replace('"verdict":"v"', '"verdict":"w"'))
    with pytest.raises(TrailBroken):
        Trail(file).entries()
