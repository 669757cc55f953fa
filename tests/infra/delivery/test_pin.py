"""Images are named by the digest that their registry has for the tag, and by none that was guessed."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest

from bentos.packing.image_registry import HUB
from bentos.processes import free_port
from infra.delivery import pin
from infra.delivery.image_scan import images
from infra.settings import ROOT
from service.settings import BASE_IMAGE
from tests.infra.delivery.image_registry import INDEX, Registry, serving, sha


@pytest.fixture(name="registry", params=["open", "private"])
def _registry(
    request: pytest.FixtureRequest,
    require_program: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Registry]:
    """A real registry, open or behind a password that `docker login` stored."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "registry"))
    program = require_program("docker-registry")
    with serving(program, tmp_path / "registry", private=request.param == "private") as running:
        yield running


def project(folder: Path, host: str) -> Path:
    """A project that names two images in each kind of file."""
    texts = {
        "infra/compose.yaml": f"a:\n  image: {host}/library/redis:7.4-bookworm\n"
        f'b: "${{BASE_IMAGE:-{host}/python:3.11-slim}}"\n',
        "infra/kubernetes/base/redis.yaml": f"- name: redis\n  image: {host}/library/redis:7.4-bookworm\n",
        "infra/Dockerfile.ui": f"# not {host}/python:3.11-slim-other\nARG BASE_IMAGE={host}/python:3.11-slim\n",
        "service/settings.py": f'BASE_IMAGE: Final = "{host}/python:3.11-slim"\n',
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def contents(folder: Path) -> dict[str, str]:
    """Every file of a project."""
    return {str(file.relative_to(folder)): file.read_text() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_every_file_names_the_index_of_all_machines(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside the tag, in each file, whatever else they say; the second time nothing is left to do."""
    root = project(tmp_path / "project", registry.host)
    redis, python = registry.put("library/redis", "7.4-bookworm", "1"), registry.put("python", "3.11-slim", "1")
    before = contents(root)

    assert pin.main([], root) == 0

    told = {f"{registry.host}/library/redis:7.4-bookworm": redis, f"{registry.host}/python:3.11-slim": python}
    assert images(root) == [f"{name}@{digest}" for name, digest in told.items()]
    for name, text in contents(root).items():
        assert text != before[name]
        assert text.replace(f"@{redis}", "").replace(f"@{python}", "") == before[name]
    assert pin.main(["--check"], root) == 0
    capsys.readouterr()
    assert pin.main([], root) == 0 and "every image is named by the digest" in capsys.readouterr().out


def test_a_moved_tag_and_an_image_without_a_digest_are_told(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line each, and nothing is written; `make pin` then brings all files to the new digest."""
    root = project(tmp_path / "project", registry.host)
    old, _ = registry.put("library/redis", "7.4-bookworm", "1"), registry.put("python", "3.11-slim", "1")
    assert pin.main([], root) == 0
    new = registry.put("library/redis", "7.4-bookworm", "2")
    file = root / "infra" / "Dockerfile.ui"
    file.write_text(file.read_text().partition("@")[0] + "\n")
    before = contents(root)
    capsys.readouterr()

    assert pin.main(["--check"], root) == 1

    moved, without = sorted(capsys.readouterr().err.splitlines())
    assert f"library/redis:7.4-bookworm moved from {old[:19]} to {new[:19]}" in moved
    assert "python:3.11-slim has no digest in infra/Dockerfile.ui: run `make pin`" in without
    assert contents(root) == before
    assert pin.main([], root) == 0 and pin.main(["--check"], root) == 0


@pytest.mark.parametrize("arguments", [[], ["--check"]])
def test_a_registry_that_tells_nothing_changes_nothing(
    arguments: list[str],
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One tag is there and the other is not, nobody listens, the login is refused: one line, every file as it was."""
    root = project(tmp_path / "project", registry.host)
    registry.put("library/redis", "7.4-bookworm", "1")
    away = project(tmp_path / "away", f"127.0.0.1:{free_port()}")
    for place, says in ((root, "answers 404 for python:3.11-slim"), (away, "does not answer")):
        before = contents(place)
        assert pin.main(arguments, place) == 1
        told = capsys.readouterr().err
        assert says in told and told.startswith("pin: no digest of ") and told.count("\n") == 1
        assert contents(place) == before
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    if httpx.get(f"http://{registry.host}/v2/", trust_env=False).status_code == httpx.codes.UNAUTHORIZED:
        assert pin.main(arguments, root) == 1
        assert "refuses the login: run `docker login" in capsys.readouterr().err
        assert "@" not in "".join(contents(root).values())


@contextmanager
def token_registry(granted: str, login: str) -> Iterator[tuple[str, list[str]]]:
    """A registry that sends its callers for a token, as the Hub and GitHub's do, and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        """Both, the registry and who gives the tokens."""

        def _answer(self) -> None:
            given, host = self.headers.get("authorization", ""), self.headers["host"]
            asked.append(f"{self.command} {self.path} {given.partition(' ')[0]}")
            content, status = b"", 401
            if self.path.startswith("/token"):
                status = 200 if given == login else 401
                content = json.dumps({"token": granted}).encode()
            elif given == f"Bearer {granted}":
                status = 200
            self.send_response(status)
            if status == 401:
                realm = f'realm="http://{host}/token",service="registry.test",scope="repository:team/python:pull"'
                self.send_header("www-authenticate", f"Bearer {realm}")
            elif INDEX in self.headers.get("accept", ""):
                self.send_header("docker-content-digest", sha(b"index"))
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_GET = do_HEAD = _answer  # pylint: disable=invalid-name  # http.server's own

        def log_message(self, *_: object) -> None:  # pylint: disable=arguments-differ
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def test_a_registry_that_asks_for_a_token_is_given_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the service and scope that it names, with the stored login where there is one."""
    auth = base64.b64encode(b"ana:word").decode()
    with token_registry("granted", f"Basic {auth}") as (host, asked):
        (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

        assert pin.digest_of(f"{host}/team/python:3.11") == sha(b"index")

    assert asked == [
        "HEAD /v2/team/python/manifests/3.11 Basic",
        "GET /token?service=registry.test&scope=repository%3Ateam%2Fpython%3Apull Basic",
        "HEAD /v2/team/python/manifests/3.11 Bearer",
    ]


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("python", f"{HUB}/library/python"),
        ("prom/prometheus", f"{HUB}/prom/prometheus"),
        ("docker.io/prom/prometheus", f"{HUB}/prom/prometheus"),
        ("ghcr.io/a/b", "ghcr.io/a/b"),
        ("localhost/a", "localhost/a"),
        ("registry:5000/a", "registry:5000/a"),
    ],
)
def test_a_name_leads_to_the_registry_that_engines_ask(name: str, repository: str) -> None:
    """The first part is a host if it looks like one."""
    assert pin.repository_of(name) == repository


def test_our_own_files_take_digests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every image that is named here, by a digest in all files at once; what they start from has one name in all."""
    root = tmp_path / "project"
    for folder in ("infra/kubernetes", "infra/compose"):
        shutil.copytree(ROOT / folder, root / folder)
    for file in ("infra/compose.yaml", "infra/Dockerfile.flows", "infra/Dockerfile.ui", "service/settings.py"):
        (root / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, root / file)
    before = {name.partition("@")[0] for name in images(root)}
    monkeypatch.setattr(pin, "digest_of", lambda tagged: sha(tagged.encode()))

    pin.pin(root)

    assert images(root) == sorted(f"{name}@{sha(name.encode())}" for name in before)
    base = BASE_IMAGE.partition("@")[0]
    assert len(pin.files_by_image(root)[base]) == 4 and [name for name in before if name.startswith("python:")] == [
        base
    ]
    assert not pin.differences(root) and len(before) == len(pin.files_by_image(root)) >= 9


def test_no_image_that_is_pulled_is_named_by_its_tag_alone() -> None:
    """Compose, manifests, Dockerfiles, the Bento's base and the scanner: one digest wherever it is named."""
    found = {
        tagged: {digest for file in files for digest in pin.mentions(tagged).findall((ROOT / file).read_text("utf-8"))}
        for tagged, files in pin.files_by_image(ROOT).items()
    }

    assert len(found) > 8 and all(len(digests) == 1 and "" not in digests for digests in found.values()), found
