"""One S3 client for every part: address, keys, region, certificates and checksums are chosen here and nowhere else.

Each choice is the caller's, else the environment's (`AWS_*`), else boto's own chain (profile, role), else a default
that suits MinIO. The SDKs do not agree on the variables: boto reads AWS_DEFAULT_REGION, all others AWS_REGION; here
both count, and `environment` gives both to whatever brings an SDK of its own (DVC, MLflow, Arrow).

boto3 is imported when a client is first made, so a start does not wait for it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

DATA_BUCKET: Final = "data"
MLFLOW_BUCKET: Final = "mlflow"
PREDICTIONS_BUCKET: Final = "predictions"
REPORTS_BUCKET: Final = "reports"
BUCKETS: Final = (DATA_BUCKET, MLFLOW_BUCKET, PREDICTIONS_BUCKET, REPORTS_BUCKET)
DEFAULT_REGION: Final = "us-east-1"  # what MinIO and its gateways answer to unless told otherwise
ENDPOINT_VARIABLES: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
REGION_VARIABLES: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")
# boto3 1.36 and later send checksums unasked, which S3 servers of other makers refuse; ours travel as metadata.
CHECKSUMS: Final = {
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
    "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
}


@dataclass(frozen=True)
class S3Settings:
    """How a store is reached; None leaves a choice to the environment."""

    endpoint: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    region: str | None = None
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0
    attempts: int = 5
    connections: int = 10


def s3_client(settings: S3Settings | None = None) -> S3Client:
    """A client of the store; AWS_CA_BUNDLE names the certificates it trusts."""
    import boto3
    from botocore.config import Config

    settings = settings or S3Settings()
    session = boto3.session.Session()
    endpoint = settings.endpoint or endpoint_of(os.environ)
    return session.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=settings.secret_key,
        region_name=settings.region or region_of(os.environ) or session.region_name or DEFAULT_REGION,
        config=Config(
            signature_version="s3v4",
            connect_timeout=settings.connect_timeout_s,
            read_timeout=settings.read_timeout_s,
            retries={"total_max_attempts": settings.attempts},
            max_pool_connections=settings.connections,
            # A bucket's name in the host needs a DNS name for each: Amazon has them, a server of one's own rarely.
            s3={"addressing_style": "path" if endpoint else "auto"},
            request_checksum_calculation=_checksum("AWS_REQUEST_CHECKSUM_CALCULATION"),
            response_checksum_validation=_checksum("AWS_RESPONSE_CHECKSUM_VALIDATION"),
        ),
    )


def read_object(client: S3Client, bucket: str, key: str) -> bytes | None:
    """The object's bytes; None where there is no such object."""
    from botocore.exceptions import ClientError

    try:
        return client.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
            return None
        raise


def _checksum(variable: str) -> Any:
    return os.environ.get(variable, "").lower() or CHECKSUMS[variable]


def endpoint_of(environment: Mapping[str, str]) -> str | None:
    """The store's address by the usual variables; None is Amazon's own."""
    return _first(environment, ENDPOINT_VARIABLES)


def region_of(environment: Mapping[str, str]) -> str | None:
    """The region by either variable; None leaves it to a profile or the default."""
    return _first(environment, REGION_VARIABLES)


def environment(endpoint: str, access_key: str, secret_key: str, region: str = DEFAULT_REGION) -> dict[str, str]:
    """Variables that lead every SDK to one store, in one region, with the same checksums."""
    return {
        ENDPOINT_VARIABLES[0]: endpoint,
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        **dict.fromkeys(REGION_VARIABLES, region),
        **CHECKSUMS,
    }


def for_other_sdks(variables: Mapping[str, str]) -> dict[str, str]:
    """What `variables` lack for an SDK that reads them itself to choose as `s3_client` does."""
    region = region_of(variables)
    regions = dict.fromkeys(REGION_VARIABLES, region) if region else {}
    return regions | {name: value for name, value in CHECKSUMS.items() if not variables.get(name)}


def arrow_options(variables: Mapping[str, str]) -> dict[str, str]:
    """The same choices as arguments of `pyarrow.fs.S3FileSystem`; keys it finds by itself, checksums it sends none."""
    options = {
        "endpoint_override": endpoint_of(variables),
        "region": region_of(variables) or DEFAULT_REGION,
        "tls_ca_file_path": variables.get("AWS_CA_BUNDLE"),
    }
    return {name: value for name, value in options.items() if value}


def _first(variables: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((variables[name] for name in names if variables.get(name)), None)
