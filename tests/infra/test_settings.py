"""Settings of the stack and the file of exports."""

from __future__ import annotations

import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from flows.batch.errors import BatchRefused
from flows.batch.roots import within
from flows.settings import FlowSettings
from infra import settings as infra_settings
from infra.errors import StackError
from infra.settings import ROOT, StackSettings, read_settings
from infra.stack.credentials import (
    Credentials,
    Logins,
    credentials,
    logins,
    read_exports,
    stack_variables,
    write_exports,
)
from infra.stack.parts import worker


def test_the_ports_people_know_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without settings the parts listen where their users expect them."""
    for name in StackSettings().ports:
        monkeypatch.delenv(f"QF_PORT_{name.upper()}", raising=False)
    monkeypatch.delenv("QF_STATE_DIR", raising=False)

    settings = read_settings()

    assert settings.ports == {"store": 9000, "mlflow": 5000, "prefect": 4200, "api": 3000, "ui": 8501}
    assert settings.state_dir == ROOT / ".local"


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"QF_PORT_API": "http"}, "QF_PORT_API"),
        ({"QF_PORT_API": "70000"}, "QF_PORT_API"),
        ({"QF_START_TIMEOUT_S": "0"}, "QF_START_TIMEOUT_S"),
        ({"QF_PORT_API": "3333", "QF_PORT_UI": "3333"}, "QF_PORT_API and QF_PORT_UI"),
    ],
    ids=["no number", "out of range", "no patience", "one port twice"],
)
def test_a_wrong_setting_is_named(variables: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line with the variable's name says what is wrong."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(StackError, match=named) as caught:
        read_settings()

    assert "\n" not in str(caught.value)


def test_credentials_are_random_and_kept(tmp_path: Path) -> None:
    """Each new folder has its own credentials; they stay the same from then on."""
    settings = StackSettings(state_dir=tmp_path)
    file = tmp_path / "env"
    first = credentials(file)
    assert first != credentials(file)
    passwords = logins(file)
    assert passwords != logins(file)

    write_exports(file, stack_variables(settings, first, passwords))

    assert credentials(file) == first
    assert len(first.secret_key) >= 40
    assert logins(file) == passwords
    assert min(len(passwords.prefect), len(passwords.mlflow)) >= 32


def test_the_exports_are_private_and_a_shell_reads_them(tmp_path: Path) -> None:
    """Mode 0600, and sourcing the file gives a shell the very values."""
    file = tmp_path / "env"
    pair, passwords = Credentials("id", "a'b\"c $HOME"), Logins("one", "other")
    variables = stack_variables(StackSettings(state_dir=tmp_path / "with space"), pair, passwords)

    write_exports(file, variables)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_exports(file) == variables
    script = f'. "{file}"; printf "%s|%s" "$AWS_SECRET_ACCESS_KEY" "$QF_SERVICE_DIR"'
    shell = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert shell.stdout == f"a'b\"c $HOME|{tmp_path / 'with space' / 'service'}"


def test_the_exports_name_what_clients_need(tmp_path: Path) -> None:
    """The promised variables are there."""
    promised = {
        *("QF_API_URL", "QF_UI_URL", "MLFLOW_TRACKING_URI", "PREFECT_API_URL"),
        *("AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        *("PREFECT_API_AUTH_STRING", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"),
    }
    settings, pair = StackSettings(state_dir=tmp_path), Credentials("id", "secret")

    assert promised <= set(stack_variables(settings, pair, Logins("one", "other")))


def scoring_roots(folder: Path) -> tuple[str, ...]:
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
    monkeypatch.setattr(infra_settings, "ROOT", home)
    state = tmp_path / "state"
    roots = scoring_roots(state)

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

    assert {str(tmp_path / "tmp"), "/"}.isdisjoint(scoring_roots(tmp_path / state))
    assert str(tmp_path / "tmp") in scoring_roots(tmp_path / "tmp" / ".state")


@pytest.mark.parametrize(("told", "roots"), [("/mine,s3://own/in", ("/mine", "s3://own/in")), ("", ())])
def test_other_places_are_the_environments_to_allow(
    told: str, roots: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole list is replaced; an empty one allows any place."""
    monkeypatch.setenv("QF_SCORING_ROOTS", told)

    assert scoring_roots(tmp_path) == roots


def test_a_comma_in_the_states_folder_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be read as two folders, the first of them somebody's whole home."""
    monkeypatch.delenv("QF_SCORING_ROOTS", raising=False)

    assert str(tmp_path / "a") not in scoring_roots(tmp_path / "a,b")
    assert "s3://data" in scoring_roots(tmp_path / "a,b")
