"""What a command makes sure of before it works on the stack's state."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from infra.errors import StackError
from infra.stack.guards import exclusive


@pytest.mark.parametrize("mode", [None, 0o755, 0o775, 0o777, 0o700], ids=lambda mode: f"{mode:o}" if mode else "absent")
def test_state_is_its_users_alone(tmp_path: Path, mode: int | None) -> None:
    """Whoever made the folder before, and with whatever rights."""
    folder = tmp_path / "state"
    if mode is not None:
        folder.mkdir()
        folder.chmod(mode)
    with exclusive(folder / "stack.lock", "up"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_of_everybodys_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    """Nobody shuts the machine's folder for temporary files by a setting."""
    tmp_path.chmod(0o1777)
    with pytest.raises(StackError, match="QF_STATE_DIR"), exclusive(tmp_path / "stack.lock", "up"):
        pytest.fail("it was entered")
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o1777
