"""The pushed image is signed with its bill of materials, and goes nowhere without."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from bentos.publish import BILL
from bentos.registry.products import BILLED
from bentos.registry.versions import Registry
from bentos.settings import BentosSettings
from infra.delivery import pushed_image
from infra.delivery.pushed_image import GITHUB, SigningSettings, TrustSettings, sign, sign_champion, verify
from infra.errors import StackError
from infra.settings import ROOT
from tests.infra.delivery.registered_champion import champion_of

IMAGE = "registry.test/credit-score@sha256:" + "c" * 64
WORKFLOW = "https://github.com/o/n/.github/workflows/release.yml@refs/heads/main"
# The far side of the network: writes down what it was asked and the files it was given, fails where told.
PROGRAM = """#!/bin/sh
echo "$(basename "$0") $*" >> "{log}"
for word; do [ ! -f "$word" ] || cat "$word" >> "{log}.files"; done
echo noise
case "$*" in {fails}) exit 7 ;; esac
"""
Asked = Callable[..., Path]


@pytest.fixture(name="asked")
def _asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Put cosign and gh in place that fail where told; what they were asked."""

    def make(fails: str = "nothing", programs: tuple[str, ...] = ("cosign", "gh")) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        for name in programs:
            (folder / name).write_text(PROGRAM.format(log=tmp_path / "asked", fails=fails))
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        return tmp_path / "asked"

    return make


@pytest.mark.parametrize(
    ("key", "first", "signer"),
    [
        ("", [], ""),
        ("awskms:///alias/image", ["cosign sign --help"], " --key awskms:///alias/image --tlog-upload=false"),
    ],
)
def test_image_and_bill_are_signed(asked: Asked, tmp_path: Path, key: str, first: list[str], signer: str) -> None:
    """By the workflow's identity, or by a key, which leaves nothing in a public log: cosign 2 has a flag for that."""
    log, bill = asked(), tmp_path / "bill.json"
    bill.write_text("the bill")

    sign(IMAGE, bill, SigningSettings(key=key))

    assert log.read_text().splitlines() == [
        *first,
        f"cosign sign --yes{signer} {IMAGE}",
        f"cosign attest --yes{signer} --type cyclonedx --predicate {bill} {IMAGE}",
    ]


@pytest.mark.parametrize(
    ("trust", "words", "signer"),
    [
        (TrustSettings(by=WORKFLOW), f"--certificate-identity {WORKFLOW} --certificate-oidc-issuer {GITHUB}", WORKFLOW),
        (TrustSettings(by=WORKFLOW, key="cosign.pub"), "--key cosign.pub --insecure-ignore-tlog=true", "cosign.pub"),
    ],
    ids=["identity", "key"],
)
def test_image_and_bill_are_verified(
    asked: Asked, capfd: pytest.CaptureFixture[str], trust: TrustSettings, words: str, signer: str
) -> None:
    """By exact identity and issuer, or by a key; what is proved is not printed."""
    log = asked()

    assert verify(IMAGE, trust) == signer
    assert log.read_text().splitlines() == [
        f"cosign verify {words} {IMAGE}",
        f"cosign verify-attestation --type cyclonedx {words} {IMAGE}",
    ]
    assert capfd.readouterr().out == ""


def test_provenance_is_verified_where_a_repository_is_named(asked: Asked) -> None:
    """Last, by GitHub's own program."""
    log = asked()

    verify(IMAGE, TrustSettings(by=WORKFLOW, repository="o/n"))

    assert log.read_text().splitlines()[-1] == f"gh attestation verify oci://{IMAGE} --repo o/n"


@pytest.mark.parametrize("fails", ['"verify "*', "verify-attestation*", "attestation*"])
def test_whatever_is_not_proved_refuses(asked: Asked, fails: str) -> None:
    """The signature, the bill's, the provenance: one line that says what is not proved."""
    asked(fails)

    with pytest.raises(StackError, match=f"production kept its image: nothing proves that .* {IMAGE}"):
        verify(IMAGE, TrustSettings(by=WORKFLOW, repository="o/n"))


def test_a_missing_program_refuses(asked: Asked) -> None:
    """Asked for a signature with no cosign there: named, and nothing is taken for proved."""
    asked(programs=())

    with pytest.raises(StackError, match="cosign is not installed; production kept its image"):
        verify(IMAGE, TrustSettings(by=WORKFLOW))


def test_where_nobody_is_named_it_is_said() -> None:
    """No program is asked, and the rollout's last line says that no signature was."""
    assert "QF_SIGNED_BY" in verify(IMAGE, TrustSettings())


def test_the_champion_is_signed_as_it_was_pushed(
    asked: Asked, mlflow_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not before it has an image and a bill; then by digest, with the very bill of its version."""
    name = f"credit-score-{uuid.uuid4().hex[:8]}"
    registry = Registry.connect(BentosSettings(tracking_uri=mlflow_server, state_dir=tmp_path, model_name=name))
    champion = champion_of(registry, tmp_path, {})
    log = asked()
    with pytest.raises(StackError, match="no image yet: run `make image`"):
        sign_champion(registry, SigningSettings())
    registry.published(champion, "registry.test:5000/credit-score:1-a-b", "sha256:abc", actor="ana")
    registry.attach(champion, BILL.format(number=champion.number), "a bill of whoever may write in MLflow")
    with pytest.raises(StackError, match="no bill of materials that was proved"):
        sign_champion(registry, SigningSettings())
    registry.keep(champion, BILLED, BILL.format(number=champion.number), "bill of one", actor="ana")

    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "outputs"))
    monkeypatch.setattr(pushed_image.Registry, "connect", lambda settings: registry)
    assert pushed_image.main() == 0

    assert "cosign sign --yes registry.test:5000/credit-score@sha256:abc" in log.read_text()
    assert (tmp_path / "asked.files").read_text() == "bill of one"
    assert (tmp_path / "outputs").read_text() == "name=registry.test:5000/credit-score\ndigest=sha256:abc\n"


def test_the_admission_example_asks_for_the_same() -> None:
    """The cluster's own gate: images of the product, by the release workflow, vouched for by the same issuer."""
    policy = yaml.safe_load((ROOT / "infra/kubernetes/admission/signed-images.yaml").read_text(encoding="utf-8"))
    (authority,) = policy["spec"]["authorities"]
    (identity,) = authority["keyless"]["identities"]

    assert identity["issuer"] == GITHUB and identity["subject"].endswith(
        "/.github/workflows/release.yml@refs/heads/main"
    )
    assert [each["glob"] for each in policy["spec"]["images"]] == ["**/credit-score", "**/credit-score@*"]
    assert authority["attestations"][0]["predicateType"] == "https://cyclonedx.org/bom"
