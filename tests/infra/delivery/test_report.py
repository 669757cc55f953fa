"""The report says what is released and how it compares, from what MLflow really holds."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bentos.registry.version import Version
from bentos.registry.versions import Registry
from bentos.settings import BentosSettings
from flows.learning.model_metrics import METRICS
from infra.delivery import report
from infra.delivery.report import FALLS, RELEASED_AT, RISES, VersionFigures, last_released, render
from tests.infra.delivery.registered_champion import champion_of

CHAMPION = Version(number=4, run_id="r4", digest="d" * 64, package_sha256="p", tags={"reviewer": "ana"})
RELEASED = Version(number=2, run_id="r2", digest="e" * 64, package_sha256="p", tags={RELEASED_AT: "2026-11-01"})


def interval(name: str, value: float, half: float) -> dict[str, float]:
    """A metric as it is logged."""
    return {name: value, f"{name}.low": value - half, f"{name}.high": value + half}


def test_every_metric_of_the_design_has_a_direction() -> None:
    """None is missing, none is in both lists."""
    assert sorted((*RISES, *FALLS)) == sorted(METRICS)


@pytest.mark.parametrize(
    ("name", "ours", "theirs", "says"),
    [
        pytest.param("macro_f1", 0.72, 0.70, "+0.02 **better**", id="rises"),
        pytest.param("macro_f1", 0.68, 0.70, "-0.02 **worse**", id="falls"),
        pytest.param("log_loss", 0.60, 0.65, "-0.05 **better**", id="less-loss"),
        pytest.param("log_loss", 0.65, 0.60, "+0.05 **worse**", id="more-loss"),
        pytest.param("macro_f1", 0.705, 0.70, "+0.005 |", id="within-the-intervals"),
    ],
)
def test_better_and_worse_are_said_beyond_the_intervals_only(name: str, ours: float, theirs: float, says: str) -> None:
    """A change within the uncertainty is a number, not a verdict."""
    text = render(
        VersionFigures(CHAMPION, interval(name, ours, 0.004)), VersionFigures(RELEASED, interval(name, theirs, 0.004))
    )

    assert says in text
    assert f"{ours:.4g} [{ours - 0.004:.4g}, {ours + 0.004:.4g}]" in text


def test_what_is_missing_is_said() -> None:
    """No release before, no metric there, no interval."""
    alone = render(VersionFigures(CHAMPION, {"macro_f1": 0.7, "ece": float("nan")}), None)
    other = render(VersionFigures(CHAMPION, {"macro_f1": 0.7}), VersionFigures(RELEASED, {}))
    again = render(VersionFigures(CHAMPION, {}), VersionFigures(CHAMPION, {}))

    assert "Nothing was released before" in alone and "| macro_f1 | 0.7 |" in alone and "not measured" in alone
    assert "not comparable" in other
    assert "the model does not change" in again


def test_the_last_release_is_the_newest_in_time() -> None:
    """A rolled back version that went out again is the last, whatever its number."""
    earlier = RELEASED.model_copy(update={"number": 3, "tags": {RELEASED_AT: "2026-10-01"}})

    assert last_released([CHAMPION, earlier, RELEASED]) is RELEASED
    assert last_released([CHAMPION]) is None


def test_no_cell_breaks_the_table() -> None:
    """A note with a bar or a line end stays in its cell."""
    champion = CHAMPION.model_copy(update={"tags": {"override": "a|b\nc"}})

    assert "| override | a/b c |" in render(VersionFigures(champion, {}), None)


def test_the_command_reads_mlflow(
    mlflow_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The champion's own metrics, printed, kept and put on the job's page; without a champion one line."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    monkeypatch.setenv("QF_MODEL_NAME", f"credit-score-{uuid.uuid4().hex[:8]}")
    monkeypatch.setenv("QF_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "page.md"))

    assert report.main() == 1
    assert "has no champion" in capsys.readouterr().err
    registry = Registry.connect(BentosSettings())
    first = champion_of(registry, tmp_path, {"macro_f1": 0.70})
    registry.record(first, {RELEASED_AT: datetime(2026, 11, 1, tzinfo=UTC).isoformat()})
    champion_of(registry, tmp_path, {"macro_f1": 0.75}, expected=first.number)

    assert report.main() == 0
    printed = capsys.readouterr().out
    assert "| macro_f1 | 0.75 | 0.7 | +0.05 **better** |" in printed
    assert printed == (tmp_path / "page.md").read_text() == (tmp_path / "state" / report.REPORT_FILE).read_text()
