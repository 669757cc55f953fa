"""Settings of the stack and the file of exports."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

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
