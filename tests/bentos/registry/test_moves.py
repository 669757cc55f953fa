"""Which version is champion, and where a rollback goes, by the lines of the audit trail alone."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from bentos.registry.audit_trail import Trail, TrailEntry
from bentos.registry.moves import disagreement, holds_versions, recorded_champion, recorded_previous, taken_down

Line = tuple[str, int, int]  # event, version, the version it replaced
PROMOTED_TWICE: list[Line] = [("promoted", 1, 0), ("promoted", 2, 1)]


def trail_of(folder: Path, lines: list[Line]) -> tuple[TrailEntry, ...]:
    """The entries of a trail with these lines."""
    trail = Trail(folder / "registry.jsonl")
    for event, version, replaced in lines:
        trail.append(event, actor="ana", version=str(version), replaced=str(replaced or ""))
    return tuple(trail.entries())


@pytest.mark.parametrize(
    ("lines", "champion", "previous"),
    [
        pytest.param([], 0, 0, id="empty"),
        pytest.param([("registered", 1, 0), ("rejected", 1, 0)], 0, 0, id="rejected"),
        pytest.param([("promoted", 1, 0)], 1, 0, id="the first"),
        pytest.param(PROMOTED_TWICE, 2, 1, id="the second"),
        pytest.param([*PROMOTED_TWICE, ("rolled_back", 1, 2)], 1, 0, id="gone back, and no further"),
        pytest.param([*PROMOTED_TWICE, ("rolled_back", 1, 2), ("promoted", 3, 1)], 3, 1, id="on again"),
        pytest.param([*PROMOTED_TWICE, ("promotion_failed", 2, 0)], 1, 0, id="a move that failed"),
        pytest.param([*PROMOTED_TWICE, ("promotion_lost", 3, 0)], 2, 1, id="a move that was refused"),
        pytest.param([*PROMOTED_TWICE, ("promoted", 2, 2)], 2, 0, id="the champion once more"),
        pytest.param([*PROMOTED_TWICE, ("champion_restored", 2, 1), ("packed", 1, 0)], 2, 1, id="no moves between"),
    ],
)
def test_the_last_move_makes_the_champion(tmp_path: Path, lines: list[Line], champion: int, previous: int) -> None:
    """What failed did not happen, and what was gone back from is no way back."""
    entries = trail_of(tmp_path, lines)

    assert (recorded_champion(entries), recorded_previous(entries)) == (champion, previous)


@pytest.mark.parametrize("lines", [[], [("reviewer_key", 0, 0)], [("deployed", 2, 0)]])
def test_a_trail_of_no_versions_contradicts_no_alias(tmp_path: Path, lines: list[Line]) -> None:
    """A host that only deploys, or only lists reviewers, says nothing of the champion."""
    entries = trail_of(tmp_path, lines)

    assert not holds_versions(entries) and not disagreement(entries, 7)


@pytest.mark.parametrize(("alias", "told"), [(2, ""), (1, "at version 1"), (0, "gone")])
def test_an_alias_elsewhere_is_named_with_the_way_back(tmp_path: Path, alias: int, told: str) -> None:
    """One line: where the alias is, what the trail knows, and the command that puts it back."""
    fault = disagreement(trail_of(tmp_path, PROMOTED_TWICE), alias)

    assert told in fault and bool(told) == ("champion restore" in fault)


def test_when_a_version_was_taken_down(tmp_path: Path) -> None:
    """The last time it was rejected or gone back from, and never for the others."""
    entries = trail_of(tmp_path, [("rejected", 2, 0), *PROMOTED_TWICE, ("rolled_back", 1, 2)])

    assert taken_down(entries, 2) == datetime.fromisoformat(entries[-1].at)
    assert taken_down(entries, 1) is None
