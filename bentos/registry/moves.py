"""What the audit trail says of the champion: which version it is, and which one it took over from.

An alias of MLflow can be moved by whoever trains; the trail cannot be written there. So the alias counts only where the
trail's last move says the same. A host that keeps no trail of versions (it deploys, or publishes what another host
decided) says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from bentos.registry.audit_trail import TrailEntry

REGISTERED, PROMOTED, REJECTED, ROLLED_BACK = "registered", "promoted", "rejected", "rolled_back"
LOST: Final = "promotion_lost"  # nothing was told as moved
FAILED: Final = "promotion_failed"  # the move that was told before it did not happen
RESTORED: Final = "champion_restored"  # the alias went back to where the last move had put it
_MOVES: Final = (PROMOTED, ROLLED_BACK)
_OF_VERSIONS: Final = (*_MOVES, REGISTERED, REJECTED)


def holds_versions(entries: Sequence[TrailEntry]) -> bool:
    """True if this host's trail is one of versions at all."""
    return any(entry.event in _OF_VERSIONS for entry in entries)


def registered(entries: Sequence[TrailEntry], number: int, digest: str) -> TrailEntry | None:
    """The line of a version's registration, which names its trainer; None where it was not taken up."""
    line = (REGISTERED, str(number), digest)
    return next((one for one in entries if (one.event, one.version, one.digest) == line), None)


def last_move(entries: Sequence[TrailEntry]) -> TrailEntry | None:
    """The move that made the champion what it is; None if there was none."""
    moves: list[TrailEntry] = []
    for entry in entries:
        if entry.event in _MOVES:
            moves.append(entry)
        elif entry.event == FAILED and moves and moves[-1].version == entry.version:
            moves.pop()
    return moves[-1] if moves else None


def recorded_champion(entries: Sequence[TrailEntry]) -> int:
    """Number of the version that is champion by the trail; 0 for none."""
    move = last_move(entries)
    return int(move.version) if move else 0


def recorded_previous(entries: Sequence[TrailEntry]) -> int:
    """Number of the version to go back to; 0 for none. What was gone back from is no way back."""
    move = last_move(entries)
    replaced = move.replaced if move and move.event == PROMOTED else ""
    return int(replaced) if replaced and move and replaced != move.version else 0


def taken_down(entries: Sequence[TrailEntry], number: int) -> datetime | None:
    """The last time a version was rejected or rolled back; None if it never was."""
    down = [
        entry.at
        for entry in entries
        if str(number)
        == (entry.replaced if entry.event == ROLLED_BACK else entry.version if entry.event == REJECTED else "")
    ]
    return datetime.fromisoformat(down[-1]) if down else None


def disagreement(entries: Sequence[TrailEntry], champion: int) -> str:
    """Why the alias, at version `champion` (0: nowhere), is not believed, and what to do; empty if it is."""
    number = recorded_champion(entries)
    if not holds_versions(entries) or number == champion:
        return ""
    move = last_move(entries)
    known = f"version {number} is, {move.event} by {move.actor} at {move.at[:19]}" if move else "no version ever was"
    return (
        f"alias champion is {f'at version {champion}' if champion else 'gone'}, by the audit trail {known}: find out "
        "who moved it, then `python -m bentos.champion restore` puts it back (`rollback` goes back one further); a "
        "promotion that was cut off is finished by running its registration again"
    )
