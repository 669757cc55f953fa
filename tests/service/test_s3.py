"""One S3 client: every part asks the same store in the same region with the same checksums."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from pyarrow import fs

from flows.batch.places import ResultPlace
from flows.data import dvc_versions
from flows.monitoring import report_store
from infra.settings import ROOT
from infra.stack import credentials, object_store
from service import s3
from service.ledger.bucket import BucketStore, StoreSettings

REGION = "sa-east-1"
PAIR = credentials.Credentials("id", "secret")


@contextmanager
def listening() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A store that answers 404 to everything, and the headers of what it was asked."""
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        """Writes the headers down."""

        def answer(self) -> None:
            """Nothing is here."""
            self.rfile.read(int(self.headers.get("content-length") or 0))
            seen.append({name.lower(): value for name, value in self.headers.items()} | {"path": self.path})
            self.send_response(404)
            self.send_header("content-length", "0")
            self.end_headers()

        do_GET = do_HEAD = do_PUT = do_POST = answer

        def log_message(self, *_: Any) -> None:
            """No lines among the tests'."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def only_these(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable or file of the machine's own user."""
    for name in (*s3.REGION_VARIABLES, *s3.ENDPOINT_VARIABLES, *s3.CHECKSUMS, "AWS_PROFILE", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def ship() -> None:
    """As the service ships predictions."""
    with pytest.raises(Exception, match="404"):
        BucketStore(StoreSettings("b")).put("k", b"x", {}, replace=True)


def report() -> None:
    """As the drift flow stores a report."""
    with pytest.raises(Exception, match="404"):
        report_store.put(report_store.object_store(), "k", b"x", "text/plain")


def batch() -> None:
    """As batch scoring writes a part."""
    with pytest.raises(OSError, match="NOT_FOUND"):
        ResultPlace.of("s3://b/k").write(b"x")


CALLERS: list[Callable[[], None]] = [ship, report, batch]


@pytest.mark.parametrize("variable", s3.REGION_VARIABLES)
@pytest.mark.parametrize("ask", CALLERS, ids=lambda ask: ask.__name__)
def test_every_part_signs_for_the_region(
    monkeypatch: pytest.MonkeyPatch, variable: str, ask: Callable[[], None]
) -> None:
    """Either variable is honoured, by boto3 and by Arrow alike; the bucket stays in the path."""
    with listening() as (endpoint, seen):
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        monkeypatch.setenv(variable, REGION)
        ask()

    assert {one["authorization"].split("/")[2] for one in seen} == {REGION}
    assert all(one["path"].startswith("/b/") or one["path"].startswith("/reports/") for one in seen)
    assert all("x-amz-trailer" not in one for one in seen)


def test_a_link_is_signed_for_the_region_and_the_address_it_is_opened_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports are opened in a browser, which signs nothing itself."""
    monkeypatch.setenv("AWS_REGION", REGION)

    link = report_store.link("a/b.html", "https://store.example")

    assert link.startswith("https://store.example/reports/a/b.html?X-Amz-Algorithm=AWS4-HMAC-SHA256")
    assert f"%2F{REGION}%2Fs3%2F" in link


def test_a_profile_names_the_region_where_nothing_else_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """boto's own chain goes on where the variables end, and the default ends it."""
    assert s3.s3_client().meta.region_name == s3.DEFAULT_REGION
    config = tmp_path_factory.mktemp("aws") / "config"
    config.write_text(f"[default]\nregion = {REGION}\n", encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    assert s3.s3_client().meta.region_name == REGION


def checksums() -> tuple[str, str]:
    """What a client does unasked: for requests, for responses."""
    config: Any = s3.s3_client().meta.config
    return config.request_checksum_calculation, config.response_checksum_validation


def test_checksums_are_the_environments_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unasked none are sent; whose store wants them sets the usual variable."""
    assert checksums() == ("when_required", "when_required")
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "WHEN_SUPPORTED")
    assert checksums() == ("when_supported", "when_required")


def test_amazons_own_store_needs_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an endpoint the bucket's name goes into the host of the region."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    link = s3.s3_client().generate_presigned_url("get_object", Params={"Bucket": "reports", "Key": "k"})
    assert link.startswith(f"https://reports.s3.{REGION}.amazonaws.com/k?") or link.startswith(
        "https://reports.s3.amazonaws.com/k?"
    )


def test_certificates_of_ones_own_are_trusted_by_arrow_too() -> None:
    """AWS_CA_BUNDLE is what boto reads by itself."""
    options = s3.arrow_options({"AWS_CA_BUNDLE": "/etc/ca.pem", "AWS_ENDPOINT_URL": "https://store:9000"})
    assert options == {
        "endpoint_override": "https://store:9000",
        "region": s3.DEFAULT_REGION,
        "tls_ca_file_path": "/etc/ca.pem",
    }
    assert fs.S3FileSystem(**s3.arrow_options({"AWS_REGION": REGION})).region == REGION


@pytest.mark.parametrize("variable", s3.REGION_VARIABLES)
def test_programs_with_an_sdk_of_their_own_get_both_variables(variable: str) -> None:
    """DVC and MLflow read one of them only."""
    given = s3.for_other_sdks({variable: REGION, "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_supported"})
    assert given == {
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
    }
    remote = dvc_versions.remote_of({"QF_DVC_ENDPOINT": "https://d", "MLFLOW_TRACKING_PASSWORD": "t", variable: REGION})
    assert remote.variables["AWS_REGION"] == remote.variables["AWS_DEFAULT_REGION"] == REGION


def test_the_embedded_store_says_its_region_to_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever region the developer's shell is set to, the stack's clients sign for the one its gateway expects."""
    monkeypatch.setenv("AWS_REGION", REGION)
    variables = credentials.store_variables("http://127.0.0.1:9", PAIR)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert s3.s3_client().meta.region_name == s3.DEFAULT_REGION
    assert object_store.client("http://127.0.0.1:9", PAIR).meta.region_name == s3.DEFAULT_REGION


def test_clients_are_made_in_one_place() -> None:
    """No other module asks an SDK for a client, or signs a request."""
    homes = set()
    for package in ("service", "bentos", "flows", "ui", "infra"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Import) and any(name.name == "boto3" for name in node.names):
                    homes.add(str(path.relative_to(ROOT)))
            if "AWS4-HMAC" in text or "aws4_request" in text:
                homes.add(f"{path.relative_to(ROOT)} signs by hand")

    assert homes == {"service/s3.py"}


def test_it_is_free_until_a_client_is_made() -> None:
    """boto3 costs half a second, which a start does not wait for."""
    code = "import sys; import service.s3; print('boto3' in sys.modules or 'botocore' in sys.modules)"
    assert subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout == ("False\n")
