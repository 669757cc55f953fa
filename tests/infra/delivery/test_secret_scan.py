"""A secret is found wherever git keeps it, and what only looks like one is not."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.delivery import secret_scan
from service.access.credentials import mint

Git = Callable[..., None]
AWS_KEY = "AKIA" + "Q3EGWRNBTZ7KD2XV"  # in two pieces: this file is scanned too


@pytest.fixture
def repository(tmp_path: Path) -> tuple[Path, Git]:
    """An empty repository, and git in it."""

    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=ana", "-c", "user.email=ana@example.org")
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "--initial-branch", "main")
    return tmp_path, git


def scanned(root: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and what was said of the findings."""
    code = secret_scan.main(["--root", str(root)])
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        pytest.param(lambda: f"x-api-key: {mint()[0]}\n", "key of ours", id="ours"),
        pytest.param(lambda: f"\0\0{mint()[0]}\n", "key of ours", id="ours-in-a-binary"),
        pytest.param(lambda: f"aws_access_key_id = {AWS_KEY}\n", "AWS Access Key", id="amazon"),
        pytest.param(lambda: "-----BEGIN RSA " + "PRIVATE KEY-----\n", "Private Key", id="private-key"),
        pytest.param(lambda: mint()[0][:-1] + "!\n", "", id="wrong-checksum"),
        pytest.param(lambda: "qf_live_guess00001_" + "x" * 49 + "\n", "", id="made-up"),
        pytest.param(lambda: "AKIA" + "IOSFODNN7EXAMPLE\n", "", id="amazons-own-sample"),
        pytest.param(lambda: f"{AWS_KEY} # pragma: allowlist secret\n", "", id="allowed"),
    ],
)
def test_each_content_has_its_verdict(
    repository: tuple[Path, Git], capsys: pytest.CaptureFixture[str], content: Callable[[], str], kind: str
) -> None:
    """A file that git would track is judged before it is committed; the secret itself is never printed."""
    root, _ = repository
    text = content()
    (root / "notes.txt").write_text(text)

    code, said = scanned(root, capsys)

    assert code == int(bool(kind))
    assert (f"notes.txt:1: {kind}" in said) == bool(kind)
    assert text.strip() not in said


def test_history_does_not_forget(repository: tuple[Path, Git], capsys: pytest.CaptureFixture[str]) -> None:
    """A key that was removed, and one that no branch reaches any more, are found with their place."""
    root, git = repository
    for number in (1, 2):
        (root / f"key{number}").write_text(mint()[0])
        git("add", "--all")
        git("commit", "--message", f"key {number}")
    git("reset", "--hard", "HEAD~1")
    git("rm", "key1")
    git("commit", "--message", "key removed")

    code, said = scanned(root, capsys)

    assert code == 1
    assert "key1 (" in said and "history (" in said
    assert said.count("key of ours") == 2


def test_a_commit_message_is_read_too(repository: tuple[Path, Git], capsys: pytest.CaptureFixture[str]) -> None:
    """People paste keys there."""
    root, git = repository
    git("commit", "--allow-empty", "--message", f"try {mint()[0]}")

    assert scanned(root, capsys)[0] == 1


def test_ignored_files_are_left_alone(repository: tuple[Path, Git], capsys: pytest.CaptureFixture[str]) -> None:
    """The state folder holds keys by design."""
    root, _ = repository
    (root / ".gitignore").write_text(".local\n")
    (root / ".local").mkdir()
    (root / ".local" / "key").write_text(mint()[0])

    assert scanned(root, capsys) == (0, "")


def test_half_a_history_is_refused(
    repository: tuple[Path, Git], tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    """A shallow clone proves nothing about what it does not hold."""
    root, git = repository
    for number in range(2):
        git("commit", "--allow-empty", "--message", str(number))
    clone = tmp_path_factory.mktemp("clone") / "shallow"
    git("clone", "--depth", "1", f"file://{root}", str(clone))

    code, said = scanned(clone, capsys)

    assert code == 1 and "unshallow" in said
