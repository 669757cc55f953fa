"""A start serves the Bento that the audit trail says was let in, byte for byte, or no API; the rest comes up."""

from __future__ import annotations

from pathlib import Path

import pytest

from bentos.digests import bento_digest, bento_path
from bentos.registry.audit_trail import Trail
from bentos.registry.products import DEPLOYED, EMBEDDED
from bentos.settings import BentosSettings
from infra import local
from infra.settings import StackSettings
from infra.stack.mlflow_models import Models, RegisteredVersion
from infra.stack.supervisor import Stack

TAG, OLDER = "credit-score:2-a-b", "credit-score:1-a-b"


@pytest.fixture(name="stack")
def _stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """Two Bentos of which the second was let in last."""
    monkeypatch.delenv("QF_STATE_DIR", raising=False)
    for tag in (OLDER, TAG):
        bento = bento_path(tmp_path / "bentoml", tag)
        (bento / "src").mkdir(parents=True)
        (bento / "bento.yaml").write_text(f"name: {tag}\n")
        (bento / "src" / "service.py").write_text("1")
        _let_in(tmp_path, artefact=tag, content=bento_digest(bento))
    Trail(BentosSettings(state_dir=tmp_path).trail_file).append(DEPLOYED, actor="ana", version="3", note="blue")
    return Stack(StackSettings(state_dir=tmp_path))


def _let_in(folder: Path, **told: str) -> None:
    trail = Trail(BentosSettings(state_dir=folder).trail_file)
    trail.append(DEPLOYED, actor="ana", version="2", note=EMBEDDED, **told)


def _api(stack: Stack) -> str:
    """The command that a start would run; empty for none."""
    part = stack._api()  # pylint: disable=protected-access  # starting all of the stack takes half a minute
    return " ".join(part.recipe.command) if part else ""


def test_what_was_let_in_last_is_served(stack: Stack, tmp_path: Path) -> None:
    """Whatever lies beside the Bentos: a choice and a digest of somebody else's are nobody's word."""
    older = bento_path(tmp_path / "bentoml", OLDER)
    (tmp_path / "bentoml" / "serving").write_text(f"{OLDER}\n")
    (tmp_path / "bentoml" / "serving.sha256").write_text(f"{bento_digest(older)}  {OLDER}\n")

    assert f"serve {TAG} " in _api(stack)


def test_what_is_served_is_named_for_who_starts_it_by_hand(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The Bento's tag and its model's folder, or one line that says there is none."""
    monkeypatch.setenv("QF_STATE_DIR", str(stack.settings.state_dir))
    assert (local.main(["bento"]), local.main(["model"])) == (0, 0)
    assert capsys.readouterr().out.split() == [TAG, str(bento_path(tmp_path / "bentoml", TAG) / "src" / "model")]

    monkeypatch.setenv("QF_STATE_DIR", str(tmp_path / "another"))
    assert local.main(["bento"]) == 1
    assert capsys.readouterr().err == "stack: no model is served yet; run `make demo` first\n"


@pytest.mark.parametrize("kept", [True, False], ids=["digest-rewritten", "digest-deleted"])
def test_changed_bytes_are_not_started(
    kept: bool, stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is done to a digest in the same store."""
    bento = bento_path(tmp_path / "bentoml", TAG)
    (bento / "src" / "service.py").write_text("2")
    if kept:
        (tmp_path / "bentoml" / "serving.sha256").write_text(f"{bento_digest(bento)}  {TAG}\n")

    assert not _api(stack)
    assert f"api          not started: Bento {TAG} is not what was proved" in capsys.readouterr().out


def test_a_release_of_before_says_what_to_do(stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its line in the trail names no Bento."""
    _let_in(tmp_path)

    assert not _api(stack)
    assert "kept no digest in the audit trail: run the packaging flow" in capsys.readouterr().out


def test_a_trail_that_was_altered_starts_no_api(
    stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line says which one; before the first release there is nothing to say."""
    file = BentosSettings(state_dir=tmp_path).trail_file
    file.write_text(file.read_text().replace(TAG, OLDER))

    assert not _api(stack)
    assert "line 2 was altered" in capsys.readouterr().out
    file.unlink()
    assert not _api(stack)
    assert not capsys.readouterr().out


def _status(stack: Stack, monkeypatch: pytest.MonkeyPatch, champion: int) -> list[str]:
    """What `make status` says of who answers, while alias `champion` is at this version."""
    monkeypatch.setattr(Models, "under", lambda *_: RegisteredVersion(champion, {}))
    return stack._answering_faults()  # pylint: disable=protected-access  # the rest of the status asks running servers


def test_the_status_names_an_alias_that_was_moved(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the command that puts it back, before it says anything of who answers."""
    Trail(BentosSettings(state_dir=tmp_path).trail_file).append("promoted", actor="ana", version="2")

    (moved,) = _status(stack, monkeypatch, 1)
    (right,) = _status(stack, monkeypatch, 2)

    assert "at version 1, by the audit trail version 2 is" in moved and "champion restore" in moved
    assert "`python -m infra.local release` lets it in" in right


def test_the_status_says_why_no_version_answers(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed Bento is not let in by a release: it is packed anew."""
    (bento_path(tmp_path / "bentoml", TAG) / "src" / "service.py").write_text("2")

    (line,) = _status(stack, monkeypatch, 2)

    assert f"the API does not run: Bento {TAG} is not what was proved" in line and "packaging flow" in line
