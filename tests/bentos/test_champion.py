"""The champion is shown and taken back from a terminal, in one line each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bentos import champion
from bentos.registry.audit_trail import Trail
from bentos.registry.decision import Decision
from bentos.registry.versions import CHAMPION, Registry
from bentos.settings import BentosSettings

Told = pytest.CaptureFixture[str]


@pytest.fixture(name="_environment", autouse=True)
def environment(settings: BentosSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command reads these settings."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", settings.tracking_uri)
    monkeypatch.setenv("QF_STATE_DIR", str(settings.state_dir))
    monkeypatch.setenv("QF_MODEL_NAME", settings.model_name)


def test_the_champion_goes_back_in_one_command(
    registry: Registry,
    settings: BentosSettings,
    logged: Callable[..., tuple[str, Path]],
    decide: Callable[..., Decision],
    capsys: Told,
) -> None:
    """Shown before and after; a champion that is not the one meant is left alone; the trail has who and why."""
    for number in (1, 2):
        version = registry.register(*logged(b"%d" % number), tags={"trainer": "bob"})
        registry.promote(decide(version), expected=number - 1)
    assert champion.main(["show"]) == 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.startswith("champion   version 2, model ") and first.endswith(" at 2026-11-23T00:00:00+00:00")
    assert second.startswith("previous   version 1, model ") and third == "challenger none"
    assert champion.main(["rollback", "--from", "1"]) == 1
    assert capsys.readouterr().err == "champion: champion is version 2, not 1: look again\n"

    assert champion.main(["rollback", "--actor", "eva", "--note", "bad answers"]) == 0

    assert capsys.readouterr().out.startswith("version 1 is champion again; version 2 is not")
    assert registry.by_alias(CHAMPION).number == 1
    last = Trail(settings.trail_file).entries()[-1]
    assert (last.event, last.actor, last.version, last.replaced, last.note) == (
        "rolled_back",
        "eva",
        "1",
        "2",
        "bad answers",
    )
    assert champion.main(["rollback"]) == 1
    assert "has no previous: there is nothing to go back to" in capsys.readouterr().err


def test_without_a_champion_one_line_says_so(capsys: Told) -> None:
    """And nothing is moved."""
    assert champion.main(["rollback"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("champion: ") and "has no champion: approve a challenger first" in told
    assert told.count("\n") == 1
