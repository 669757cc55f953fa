"""The champion's image as it lies in the registry: by digest, signed, its bill of materials signed beside it.

`make sign` signs with cosign: by the identity of the workflow that runs it (OIDC, no key anywhere), or with a key of
your own. `make rollout` brings no image to production that was not signed by whom `QF_SIGNED_BY` or `QF_SIGNED_KEY`
names, nor one whose bill of materials was not.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from bentos.errors import BentosError
from bentos.publish import BILL
from bentos.registry.products import BILLED
from bentos.registry.version import Version
from bentos.registry.versions import CHAMPION, Registry
from bentos.settings import BentosSettings
from infra.delivery.programs import output, run
from infra.errors import StackError

NO_LOG: Final = json.dumps({"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json"})
"""Services that cosign 3 signs with, where a key of one's own needs none: no public log, no clock of others."""
GITHUB: Final = "https://token.actions.githubusercontent.com"
ATTESTED: Final = "cyclonedx"
OUTPUTS: Final = "GITHUB_OUTPUT"  # the file that later steps of a workflow read


class SigningSettings(BaseSettings):
    """With what `make sign` signs."""

    model_config = SettingsConfigDict(env_prefix="QF_SIGN_", extra="ignore")

    key: str = Field(
        default="",
        description="cosign's private key, a file or `awskms://`, `azurekms://`, `gcpkms://`, `hashivault://`, its "
        "password in COSIGN_PASSWORD; the workflow's own identity if empty.",
    )


class TrustSettings(BaseSettings):
    """Whose signature an image needs before it goes to production; none is asked for if nothing is set."""

    model_config = SettingsConfigDict(env_prefix="QF_SIGNED_", extra="ignore")

    by: str = Field(
        default="",
        description="Identity in the certificate: `https://github.com/OWNER/NAME/.github/workflows/release.yml@REF`.",
    )
    issuer: str = Field(default=GITHUB, description="Who vouched for that identity.")
    key: str = Field(default="", description="cosign's public key, a file or a KMS; goes before an identity.")
    repository: str = Field(
        default="", description="`OWNER/NAME` on GitHub whose provenance the image needs (`gh attestation verify`)."
    )


def image_of(registry: Registry, version: Version) -> str:
    """The version's image by digest, `registry/name@sha256:...`.

    Raises:
        StackError: none was pushed.
    """
    products = registry.products(version)
    if not products.image or not products.image_digest:
        raise StackError(f"version {version.number} has no image yet: run `make image` first")
    return f"{products.image.rpartition(':')[0]}@{products.image_digest}"


def sign(image: str, bill: Path, settings: SigningSettings) -> None:
    """Sign an image by digest, and its bill of materials as a statement about it.

    A key of one's own leaves no line in Sigstore's public log, which would tell the world the registry's name.

    Raises:
        StackError: cosign is missing or failed.
    """
    otherwise = f"{image} is not signed"
    attested = ["--type", ATTESTED, "--predicate", str(bill)]
    with tempfile.TemporaryDirectory(prefix="services-") as scratch:
        signer = ["--key", settings.key, *_without_public_log(Path(scratch), otherwise)] if settings.key else []
        run(["cosign", "sign", "--yes", *signer, image], otherwise)
        run(["cosign", "attest", "--yes", *signer, *attested, image], otherwise)


def _without_public_log(folder: Path, otherwise: str) -> list[str]:
    """What this cosign takes instead of Sigstore's services: since version 3 a file of services, before it a flag."""
    if "--signing-config" not in output(["cosign", "sign", "--help"], otherwise):
        return ["--tlog-upload=false"]
    services = folder / "services.json"
    services.write_text(NO_LOG, encoding="utf-8")
    return ["--signing-config", str(services)]


def verify(image: str, trust: TrustSettings) -> str:
    """Who signed an image by digest, in words.

    Raises:
        StackError: image or bill of materials is not signed by whom `trust` names, or no provenance says that its
            repository built it; or a program that could tell is missing.
    """
    if not trust.by and not trust.key:
        return "nobody was asked for: neither QF_SIGNED_BY nor QF_SIGNED_KEY is set"
    if trust.key:
        signer = ["--key", trust.key, "--insecure-ignore-tlog=true"]  # a key of one's own leaves nothing in the log
    else:
        signer = ["--certificate-identity", trust.by, "--certificate-oidc-issuer", trust.issuer]
    otherwise = f"production kept its image: nothing proves that {trust.key or trust.by} signed {image}"
    run(["cosign", "verify", *signer, image], otherwise, quiet=True)
    run(["cosign", "verify-attestation", "--type", ATTESTED, *signer, image], otherwise, quiet=True)
    if trust.repository:
        otherwise = f"production kept its image: nothing proves that {trust.repository} built {image}"
        run(["gh", "attestation", "verify", f"oci://{image}", "--repo", trust.repository], otherwise, quiet=True)
    return trust.key or trust.by


def sign_champion(registry: Registry, settings: SigningSettings) -> str:
    """The champion's image by digest, signed.

    Raises:
        BentosError: there is no approved champion, or MLflow does not answer.
        StackError: it has no image or no bill of materials yet, or cosign failed.
    """
    version = registry.by_alias(CHAMPION)
    registry.approved(version)
    image = image_of(registry, version)
    bill = registry.proved_text(version, BILLED, BILL.format(number=version.number))
    if bill is None:
        raise StackError(f"version {version.number} has no bill of materials that was proved: run `make image` first")
    with tempfile.TemporaryDirectory(prefix="sign-") as scratch:
        path = Path(scratch) / "bill.cdx.json"
        path.write_text(bill, encoding="utf-8")
        sign(image, path, settings)
    return image


def main() -> int:
    """Sign the champion's image, told to a workflow's later steps; exit code 1 and one line if it did not work."""
    try:
        image = sign_champion(Registry.connect(BentosSettings()), SigningSettings())
    except (BentosError, StackError) as error:
        print(f"sign: {error}", file=sys.stderr)
        return 1
    if outputs := os.environ.get(OUTPUTS):
        name, _, digest = image.partition("@")
        with Path(outputs).open("a", encoding="utf-8") as file:
            file.write(f"name={name}\ndigest={digest}\n")
    print(f"signed {image}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
