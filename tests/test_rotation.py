"""The page of rotation is run: each block does what its heading says, and nothing else changes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from bentos import reviewers
from bentos.errors import ApprovalMissing
from bentos.registry.signing import Reviewers, Statement, proved
from bentos.settings import BentosSettings
from infra.compose import passwords
from infra.compose.passwords import read_env
from infra.errors import StackError
from infra.settings import ROOT, StackSettings
from infra.stack import parts
from infra.stack.credentials import (
    credentials,
    logins,
    read_exports,
    stack_variables,
    store_variables,
    write_exports,
)
from service import keys
from service.access.credentials import digest, read_pepper
from service.access.pseudonyms import Pseudonyms
from service.errors import Misconfigured
from service.ledger.ids import SealedIds
from service.ledger.postgres.host import check

PAGE = (ROOT / "infra" / "docs" / "pages" / "rotation.md").read_text("utf-8")
BLOCKS = dict(re.findall(r"```sh drill=(\w+)\n(.*?)```", PAGE, flags=re.DOTALL))
STATEMENT = Statement(version=3, digest="d" * 64, package_sha256="p", champion=2, evidence="e" * 64)


def drill(name: str, folder: Path) -> str:
    """Run a block of the page in a folder, its state beside it; what it printed."""
    places = {"QF_STATE_DIR": str(folder), "QF_SERVICE_DIR": str(folder / "service"), "PYTHONPATH": str(ROOT)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {name: value for name, value in os.environ.items() if name != "QF_REVIEWERS"} | places | {"PATH": path}
    command = ["sh", "-eu", "-c", BLOCKS[name]]
    done = subprocess.run(command, cwd=folder, env=env, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_block_of_the_page_is_run() -> None:
    """A block that nobody runs is a promise."""
    ran = set(re.findall(r'drill\("(\w+)"', Path(__file__).read_text("utf-8")))
    assert set(BLOCKS) == ran
    assert PAGE.count("```sh") == len(BLOCKS)


def test_a_partners_key_is_rotated(tmp_path: Path) -> None:
    """The new one is the partner's, the old one is closed, its test key and another partner's key stay."""
    folder = tmp_path / "service"
    folder.mkdir()
    keys.issue(folder, "acme")
    keys.issue(folder, "acme", test=True)
    keys.issue(folder, "other")
    before = {record.id: record for record in keys.key_records(folder)}

    drill("partner", tmp_path)

    now = datetime.now(UTC)
    live = {
        (record.partner, record.test, record.id in before) for record in keys.key_records(folder) if record.live(now)
    }
    assert live == {("acme", False, False), ("acme", True, True), ("other", False, True)}
    given = (tmp_path / "new-key").read_text().strip()
    (made,) = [record for record in keys.key_records(folder) if record.id not in before]
    assert made.digest == digest(read_pepper(folder / "pepper"), given.encode()).hex()


def test_a_pepper_that_was_seen_is_changed(tmp_path: Path) -> None:
    """Keys, ids and pseudonyms begin anew; whoever asks is still found under the pseudonym from before."""
    folder = tmp_path / "service"
    folder.mkdir()
    given = keys.issue(folder, "acme").encode()
    old = read_pepper(folder / "pepper")
    sealed = SealedIds(old).of("20261126-abcdefghij-7", "acme").public

    drill("pepper", tmp_path)

    new = read_pepper(folder / "pepper")
    (record,) = keys.key_records(folder)
    assert record.digest == digest(new, (tmp_path / "new-key").read_text().strip().encode()).hex()
    assert digest(new, given) != digest(old, given) and SealedIds(new).place(sealed, "acme") is None
    asked = [Pseudonyms(pepper).of("acme", "customer-7") for pepper in (new, old)]
    assert drill("asked", tmp_path).split() == asked
    assert (folder / "before").stat().st_mode & 0o777 == 0o700

    shutil.rmtree(folder / "before")
    with pytest.raises(AssertionError, match="there is no pepper at"):
        drill("asked", tmp_path)
    assert not (folder / "before").exists()


def test_a_database_takes_the_new_pepper(database: str) -> None:
    """By the statement of the page, and then no other."""
    statement = re.search(r"`(DELETE FROM ledger\.pepper)`", PAGE)
    assert statement
    check(database, b"o" * 32)
    with pytest.raises(Misconfigured, match="its pepper is another"):
        check(database, b"n" * 32)
    with psycopg.connect(database, autocommit=True) as link:
        link.execute(statement[1].encode())
    check(database, b"n" * 32)
    with pytest.raises(Misconfigured, match="its pepper is another"):
        check(database, b"o" * 32)


def test_a_reviewers_key_is_rotated_and_a_leaver_signs_nothing(tmp_path: Path) -> None:
    """What the old key signed is not believed, the new key's word is; off the list neither is."""
    settings = BentosSettings(state_dir=tmp_path)
    old = reviewers.sign(STATEMENT.model_dump_json(), "ana", reviewers.issue(settings, "ana"))
    reviewers.issue(settings, "eva")

    assert set(re.findall(r"^\w+", drill("reviewer", tmp_path), flags=re.MULTILINE)) == {"ana", "eva"}

    new = reviewers.sign(STATEMENT.model_dump_json(), "ana", reviewers.key_file(settings, "ana"))
    listed = Reviewers.read(settings.reviewers_file)
    assert proved(new, listed).reviewer == "ana"
    with pytest.raises(ApprovalMissing, match="is not ana's"):
        proved(old, listed)

    drill("leaver", tmp_path)

    with pytest.raises(ApprovalMissing, match="not on the list"):
        proved(new, Reviewers.read(settings.reviewers_file))


def test_secrets_of_one_machine_are_made_anew(tmp_path: Path) -> None:
    """All of them; MLflow, which reads its administrator's password once, gets a new file of users."""
    settings, file = StackSettings(state_dir=tmp_path), tmp_path / "env"
    pair, words = credentials(file), logins(file)
    write_exports(file, stack_variables(settings, pair, words))
    folder = tmp_path / "mlflow"
    parts.mlflow(folder, 5000, store_variables("http://127.0.0.1:9000", pair), words)
    users = re.search(r"sqlite:///(\S+)", (folder / "auth.ini").read_text())
    assert users
    Path(users[1]).touch()

    drill("embedded", tmp_path)

    again, passwords_now = credentials(file), logins(file)
    assert not {pair.access_key, pair.secret_key} & {again.access_key, again.secret_key}
    assert not {words.prefect, words.mlflow} & {passwords_now.prefect, passwords_now.mlflow}
    assert "QF_API_URL" in read_exports(file) and [path.name for path in tmp_path.glob("env*")] == ["env"]
    parts.mlflow(folder, 5000, store_variables("http://127.0.0.1:9000", again), passwords_now)
    assert users[1] not in (folder / "auth.ini").read_text() and not Path(users[1]).exists()


def test_secrets_of_compose_are_renewed_by_name(tmp_path: Path) -> None:
    """Those names alone, and the files made of them; a name that is none, or must last, changes nothing."""
    folder = tmp_path / "compose"
    passwords.write(folder)
    before = read_env(folder / "env")
    made = {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}

    drill("compose", tmp_path)

    after = read_env(folder / "env")
    renewed = {"PREFECT_PASSWORD", "WORKER_MODEL_PASSWORD", "STORE_SERVICE_SECRET_KEY", "REGISTRY_PASSWORD"}
    assert {name for name in before if before[name] != after[name]} == renewed
    changed = {name for name, text in made.items() if (folder / name).read_text() != text}
    assert changed == {"env", "store.json", "registry-htpasswd"}
    assert after["STORE_SERVICE_SECRET_KEY"] in (folder / "store.json").read_text()
    for name, why in (("NO_SUCH", "is no secret of compose"), ("STORE_ENCRYPTION_KEY", "is not renewed")):
        with pytest.raises(StackError, match=f"{name} {why}"):
            passwords.write(folder, renew=[name])
    assert read_env(folder / "env") == after


def test_each_secret_of_compose_has_its_row() -> None:
    """Of what is made there, and nothing that is not."""
    rows = PAGE.partition("| names | then |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`([A-Z_*]+)`", "\n".join(row.split("|")[1] for row in rows.splitlines() if "|" in row)))
    patterns = {name.replace("*", r"\w+") for name in named}
    for name in passwords.completed({}):
        assert [one for one in patterns if re.fullmatch(one, name)], name
    for one in patterns:
        assert [name for name in passwords.completed({}) if re.fullmatch(one, name)], one
