"""infra/compose.yaml: valid, closed to the outside, hardened, and without a single default password."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bentos.packing.image import CODE
from bentos.settings import BentosSettings
from infra.compose import passwords
from infra.compose.passwords import SECRETS, read_env, store_names
from infra.compose.rights import ADMIN, RIGHTS, USERS
from infra.settings import ROOT
from infra.stack.worker_rights import DUTIES
from service.database import migrations
from tests.infra import compose_file

SERVICES: dict[str, dict[str, Any]] = compose_file.raw()["services"]
ONCE = {"volumes", "bootstrap"}  # end when they are done
PINNED = re.compile(r":v?\d+\.\d+(\.\d+)?(-[a-z]+)?(@sha256:[0-9a-f]{64})?$")
OWN = re.compile(r"^(credit-score-(flows|ui):\$\{QF_RELEASE:-[\d.]+\}|\$\{QF_IMAGE_(BLUE|GREEN):-.*\})$")


def test_the_file_is_what_compose_takes() -> None:
    """It holds against the schema of the compose specification."""
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        str(compose_file.FILE),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_database_of_several_hosts_is_laid_over_it() -> None:
    """Valid by itself; asked for without a default; what uses the ledger or its keys reaches it, and nothing else."""
    path = compose_file.FILE.parent / "compose" / "database.yaml"
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    over = yaml.safe_load(path.read_text())["services"]
    assert set(over) - set(SERVICES) == {"migrate"}
    assert set(over) == {"migrate", "api-blue", "api-green", "bootstrap", "worker-retention"}
    for name, part in over.items():
        assert part["environment"] == {"QF_DATABASE_URL": "${QF_DATABASE_URL:?name the database that the hosts share}"}
        assert set(part["networks"]) == {"database"}, name
    made = over["migrate"]
    assert (
        made["entrypoint"] == ["python3", "-m", *migrations.MIGRATE.split()[2:]] and made["working_dir"] == f"/{CODE}"
    )
    assert made["image"] == SERVICES["api-blue"]["image"]
    assert made["read_only"] is True and made["cap_drop"] == ["ALL"] and made["mem_limit"] and made["pids_limit"]
    assert made["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", SERVICES)
def test_each_part_is_pinned_and_hardened(name: str) -> None:
    """An exact version, no writable root, no capability it does not need, bounds, and a check of its health."""
    part = SERVICES[name]
    assert PINNED.search(part["image"]) or OWN.match(part["image"]), part["image"]
    assert part["read_only"] is True
    assert part["cap_drop"] == ["ALL"]
    assert part["security_opt"] == ["no-new-privileges:true"]
    assert part["pids_limit"] and part["mem_limit"] and part["restart"]
    assert name in ONCE or part["healthcheck"]["test"]
    assert not part.get("privileged") and part.get("network_mode", "none") == "none"
    assert not any("docker.sock" in volume for volume in part.get("volumes", []))


def test_only_the_two_doors_are_published() -> None:
    """The operators' door opens on this machine's loopback alone; nothing else has a port."""
    ports = {name: part["ports"] for name, part in SERVICES.items() if part.get("ports")}
    assert set(ports) == {"proxy", "operators"}
    assert all(port.startswith("127.0.0.1:") for port in ports["operators"])


def test_only_published_parts_have_a_way_out() -> None:
    """Every other part is on internal networks, from which nothing leaves the host."""
    networks = compose_file.raw()["networks"]
    assert {name for name, network in networks.items() if not network.get("internal")} == {"edge"}
    assert {name for name, part in SERVICES.items() if "edge" in part.get("networks", [])} == {
        "proxy",
        "operators",
    }


def test_the_page_meets_the_api_and_nothing_else() -> None:
    """The most exposed part reaches the proxy of the API, its own door, and the store that holds the reports."""
    ui = set(SERVICES["ui"]["networks"])
    met = {name for name, part in SERVICES.items() if name != "ui" and ui & set(part.get("networks", []))}
    assert met == {"proxy", "operators", "store"}
    template = (compose_file.FILE.parent / "proxy" / "operators.conf.template").read_text()
    assert "ui:8501" in template and "listen 9443 ssl" in template


def test_who_may_send_work_to_dask_is_who_scores() -> None:
    """A scheduler runs what it is sent: it is on a network with its workers, the batch's own worker and the store."""
    inside = {name for name, part in SERVICES.items() if "batch" in part.get("networks", [])}
    assert inside == {"dask-scheduler", "dask-worker", "worker-scoring", "store"}
    assert SERVICES["dask-scheduler"]["networks"] == SERVICES["dask-worker"]["networks"] == ["batch"]
    assert SERVICES["dask-scheduler"]["profiles"] == SERVICES["dask-worker"]["profiles"] == ["batch"]


def test_every_secret_is_made_and_none_has_a_default() -> None:
    """What compose asks for is what `infra.compose.passwords` makes; a variable named like a secret is asked for."""
    # The registry reads a digest of its password; the password itself is for who pushes and pulls.
    made = {*SECRETS, *(name for user in USERS for name in store_names(user))} - {"REGISTRY_PASSWORD"}
    assert compose_file.asked_for() == made
    defaulted = re.findall(r"\$\{(\w*(?:PASSWORD|SECRET|KEY)\w*):-", compose_file.FILE.read_text())
    assert not defaulted


def test_each_part_holds_its_own_key_of_the_store() -> None:
    """Nobody but bootstrap has the administrator's, training none that reaches predictions."""
    held = {
        name: set(re.findall(r"STORE_(\w+)_SECRET_KEY", str(part.get("environment", ""))))
        for name, part in SERVICES.items()
    }
    assert {name: users for name, users in held.items() if users} == {
        "mlflow": {"MLFLOW"},
        "bootstrap": {"ADMIN", "UI"},  # hands the UI's over to it
        "worker-model": {"MODEL"},
        "worker-scoring": {"SCORING"},
        "dask-worker": {"SCORING"},  # reads and writes as who sends it its work
        "worker-watch": {"WATCH"},
        "worker-retention": {"RETENTION"},
        "api-blue": {"SERVICE"},
        "api-green": {"SERVICE"},
    }
    assert "predictions" not in {right.bucket for right in (*RIGHTS["model"], *RIGHTS["scoring"])}
    assert [right.statement()["Resource"] for right in RIGHTS["scoring"]] == [
        ["arn:aws:s3:::data/batches/*"],
        ["arn:aws:s3:::data"],
    ]
    written = [right for right in RIGHTS["watch"] if right.bucket == "predictions" and "s3:PutObject" in right.actions]
    assert [right.statement()["Resource"] for right in written] == [["arn:aws:s3:::predictions/days/*"]]


def test_each_worker_has_its_own_login_to_prefect() -> None:
    """The server's own password is with the server and with bootstrap: no worker could start another's code by it."""
    held = {
        name: set(re.findall(r"\{(PREFECT_PASSWORD|WORKER_\w+_PASSWORD)", str(part.get("environment", ""))))
        for name, part in SERVICES.items()
    }
    own = {duty: f"WORKER_{duty.upper()}_PASSWORD" for duty in DUTIES}
    assert {name: words for name, words in held.items() if words} == {
        "prefect": {"PREFECT_PASSWORD", *own.values()},
        "bootstrap": {"PREFECT_PASSWORD"},
        **{f"worker-{duty}": {word} for duty, word in own.items()},
    }


def mounted(service: str) -> dict[str, list[tuple[str, str, bool]]]:
    """What a part mounts of each named volume: the folder in it, the place, and whether it may write there."""
    found: dict[str, list[tuple[str, str, bool]]] = {}
    for volume in SERVICES[service].get("volumes", []):
        if isinstance(volume, dict):
            part = (volume["volume"]["subpath"], volume["target"], not volume.get("read_only", False))
            found.setdefault(volume["source"], []).append(part)
        else:
            source, place, *mode = volume.split(":")
            found.setdefault(source, []).append(("", place, mode != ["ro"]))
    return found


def test_the_trail_and_the_bentos_are_written_by_releases_alone() -> None:
    """Training mounts nothing of them; who must know the champion reads the trail, and no Bento. Every worker's own
    results lie where no other duty writes, but for what training and retention share."""
    settings = BentosSettings(state_dir=Path("/var/lib/flows"))
    trail = ("audit", str(settings.trail_file.parent), False)
    seen = {name: mounted(name)["release"] for name in SERVICES if "release" in mounted(name)}
    assert seen == {
        "volumes": [("", "/release", True)],  # makes its folders, without a network, and ends
        "worker-release": [("", "/var/lib/flows", True)],
        "worker-scoring": [trail],
        "worker-watch": [trail],
    }
    assert settings.bento_store.is_relative_to("/var/lib/flows") and "/release/audit" in SERVICES["volumes"]["command"]
    assert settings.lock_file.parent == settings.state_dir  # a recalibration registers, and may not write the trail
    assert mounted("worker-release") == {
        "release": [("", "/var/lib/flows", True)],
        "prepared": [("", "/app/data/processed", False)],
    }
    assert set(mounted("worker-model")) == {"state", "raw", "prepared"}
    own = {
        name: [volume for volume, parts in mounted(name).items() if ("", "/var/lib/flows", True) in parts]
        for name in SERVICES
    }
    assert {name: volumes for name, volumes in own.items() if volumes} == {
        "worker-model": ["state"],
        "worker-retention": ["state"],
        "worker-release": ["release"],
        "worker-watch": ["watch"],
        "worker-scoring": ["scoring"],
        "dask-worker": ["scoring"],
    }
    declared = set(compose_file.raw()["volumes"])
    assert {volume for volumes in own.values() for volume in volumes} <= declared


def test_new_volumes_are_given_away_with_the_one_right_it_has(tmp_path: Path, require_program: Any) -> None:
    """Root without a right but that to give files away: on new volumes, and once more on the same ones."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder to another user")
    service = SERVICES["volumes"]
    assert (service["user"], service["cap_add"], service["cap_drop"]) == ("0:0", ["CHOWN"], ["ALL"])
    shell, option, script = shlex.split(service["command"])
    for name in mounted("volumes"):
        (tmp_path / name).mkdir(mode=0o755)
    for _, place, _ in (part for parts in mounted("volumes").values() for part in parts):
        script = re.sub(rf"(?<=\s){place}\b", f"{tmp_path}{place}", script)
    rights = [require_program("setpriv"), "--inh-caps=-all", "--bounding-set=-all,+chown"]

    for _ in range(2):
        done = subprocess.run([*rights, shell, option, script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    made = [tmp_path / name for name in (*mounted("volumes"), "service/outbox", "service/jobs", "release/audit")]
    assert {(folder.stat().st_uid, folder.stat().st_gid, folder.stat().st_mode & 0o777) for folder in made} == {
        (1000, 1000, 0o755)
    }


def test_each_queue_has_its_worker() -> None:
    """Of the queues of prefect.yaml none is without one, and no worker serves two."""
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    commands = {name: part["command"].split() for name, part in SERVICES.items() if name.startswith("worker-")}
    served = {name: words[words.index("--work-queue") + 1] for name, words in commands.items()}
    assert set(served.values()) == {each["work_pool"]["work_queue_name"] for each in deployments}
    assert all(name == f"worker-{queue}" for name, queue in served.items())
    assert all(words.count("--work-queue") == 1 for words in commands.values())


def test_whose_approvals_hold_is_read_and_never_written() -> None:
    """The API's starts and packing judge signatures by one list of the host, a secret that no container can change."""
    told = {name: part["environment"].get("QF_REVIEWERS") for name, part in SERVICES.items() if "environment" in part}
    judges = {name for name, path in told.items() if path}
    assert judges == {"api-blue", "api-green", "worker-release", "worker-scoring"}
    assert {told[name] for name in judges} == {"/run/secrets/reviewers.json"}
    assert {name for name, part in SERVICES.items() if "reviewers.json" in part.get("secrets", [])} == judges
    source = compose_file.raw()["secrets"]["reviewers.json"]["file"]
    assert source == "../.local/compose/reviewers.json"  # the keys themselves lie in a folder beside it


def test_credentials_are_made_once_and_kept_private(tmp_path: Path) -> None:
    """A second run changes nothing; the folder and the env file are their owner's alone; all secrets differ."""
    folder = tmp_path / "compose"
    assert passwords.write(folder)
    values = read_env(folder / "env")

    assert passwords.write(folder) == []
    assert read_env(folder / "env") == values
    assert (folder.stat().st_mode & 0o777, (folder / "env").stat().st_mode & 0o777) == (0o700, 0o600)
    assert len(set(values.values())) == len(values)
    assert all(len(value) >= 12 for value in values.values())


def test_a_lost_name_is_made_anew_and_the_others_stay(tmp_path: Path) -> None:
    """An env file of an older release is completed; a registry password that was lost renews its digest too."""
    import bcrypt

    passwords.write(tmp_path)
    before = read_env(tmp_path / "env")
    kept = {name: value for name, value in before.items() if name != "REGISTRY_PASSWORD"}
    (tmp_path / "env").write_text("".join(f"{name}={value}\n" for name, value in kept.items()))

    assert passwords.write(tmp_path) == ["env", "registry-htpasswd"]

    after = read_env(tmp_path / "env")
    name, digest = (tmp_path / "registry-htpasswd").read_text().strip().split(":")
    assert {key: value for key, value in after.items() if key in kept} == kept
    assert name == "release"
    assert bcrypt.checkpw(after["REGISTRY_PASSWORD"].encode(), digest.encode())
    assert ADMIN in (tmp_path / "store.json").read_text()


def test_a_folder_that_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command says where and why, and ends with 1."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("QF_STATE_DIR", str(tmp_path / "file"))
    assert passwords.main() == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_the_operators_door_is_a_server_nginx_takes(tmp_path: Path, require_program: Any) -> None:
    """nginx accepts the template as compose fills it in, with the first certificate."""
    passwords.write(tmp_path)
    text = (ROOT / "infra" / "proxy" / "operators.conf.template").read_text().replace("${QF_RESOLVER}", "127.0.0.1")
    for name, made in (("tls.crt", "server.crt"), ("tls.key", "server.key")):
        text = text.replace(f"/run/secrets/{name}", str(tmp_path / "proxy" / "tls" / made))
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{text}\n}}\n"
    )
    command = [require_program("nginx"), "-t", "-q", "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_proxys_template_is_filled_in_whole() -> None:
    """Every variable the proxy's template asks for is given by compose, and explained with what compose gives."""
    wanted = set(re.findall(r"\$\{(\w+)\}", (ROOT / "infra" / "proxy" / "nginx.conf.template").read_text()))
    given = SERVICES["proxy"]["environment"]
    assert wanted <= set(given)
    table = (ROOT / "infra" / "docs" / "pages" / "proxy.md").read_text()
    assert {f"`{name}`" for name in wanted} <= set(re.findall(r"`QF_PROXY_\w+`", table))
    assert all(f"`{given[name]}`" in table for name in ("QF_PROXY_DIR", "QF_PROXY_LISTEN", "QF_PROXY_BLUE"))
