"""The embedded stack's worker scores what its person has, and reaches no secret of the stack or of other programs."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from flows.batch.errors import BatchRefused
from flows.batch.roots import within
from flows.settings import FlowSettings
from infra.settings import StackSettings
from infra.stack import scoring_roots
from infra.stack.credentials import Credentials, Logins, stack_variables
from infra.stack.parts import worker


def roots_of(folder: Path) -> tuple[str, ...]:
    """The roots that a flow run reads in the environment its worker has."""
    settings = StackSettings(state_dir=folder)
    told = worker(settings, stack_variables(settings, Credentials("id", "secret"), Logins("a", "b")), "local").recipe
    return FlowSettings(scoring_roots=told.env["QF_SCORING_ROOTS"]).roots


def test_a_form_scores_tables_and_finds_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a setting: tables of the project and of its person, wherever their folders are; nothing hidden, nothing
    of other programs, and of the stack what is brought for scoring alone."""
    monkeypatch.delenv("QF_SCORING_ROOTS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "ana"))
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    home = tmp_path / "work" / "main"
    monkeypatch.setattr(scoring_roots, "ROOT", home)
    state = tmp_path / "state"
    roots = roots_of(state)

    brought = (f"{state}/batches/a.csv", f"{state}/batches/a.csv.scored", f"{state}/acceptance/1/a.csv")
    own = (f"{home}/data/raw/train.csv", f"{home.parent}/a.csv", f"{tmp_path}/ana/a.csv", f"{tmp_path}/tmp/1/a.csv")
    for place in (*brought, *own, "s3://data/batches/acme", "s3://data/acceptance/1.scored"):
        within(place, roots)
    kept = ("env", "keys/demo", "service/pepper", "reviewers/ana", "mlflow/mlflow.db", "prefect", "store", "bentoml")
    for place in (
        *(f"{state}/{name}" for name in ("", *kept, "audit", "batches/../env")),
        *(f"{tmp_path}/ana/.ssh/id", f"{tmp_path}/ana/.aws", f"{home}/.git/config", "/etc/passwd", "/proc/1/environ"),
        *("s3://predictions", "s3://mlflow/1", "s3://reports/current.json", "s3://data-other/a.csv"),
    ):
        with pytest.raises(BatchRefused):
            within(place, roots)


@pytest.mark.parametrize("state", ["tmp/state", "tmp"])
def test_a_folder_with_the_state_in_it_is_no_root(state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it is hidden there, as `.local` is; nor is a whole disk."""
    monkeypatch.delenv("QF_SCORING_ROOTS", raising=False)
    monkeypatch.setenv("HOME", "/")
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))

    assert {str(tmp_path / "tmp"), "/"}.isdisjoint(roots_of(tmp_path / state))
    assert str(tmp_path / "tmp") in roots_of(tmp_path / "tmp" / ".state")


@pytest.mark.parametrize(("told", "roots"), [("/mine,s3://own/in", ("/mine", "s3://own/in")), ("", ())])
def test_other_places_are_the_environments_to_allow(
    told: str, roots: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole list is replaced; an empty one allows any place."""
    monkeypatch.setenv("QF_SCORING_ROOTS", told)

    assert roots_of(tmp_path) == roots


def test_a_comma_in_the_states_folder_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be read as two folders, the first of them somebody's whole home."""
    monkeypatch.delenv("QF_SCORING_ROOTS", raising=False)

    assert str(tmp_path / "a") not in roots_of(tmp_path / "a,b")
    assert "s3://data" in roots_of(tmp_path / "a,b")
