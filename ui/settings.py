"""The page's settings, out of Streamlit's own secrets: where the API is, with which key, and nothing else.

Read once a run at the edge (`ui.session`). A missing or senseless entry raises `SettingsMissing`, which becomes the
page that says what to put where. Values are `SecretStr`, so no repr, log or traceback shows them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from service.contract import TEST_KEY_PREFIX
from ui.errors import SettingsMissing

DEFAULT_REGION: Final = "us-east-1"  # what MinIO answers to unless told otherwise
PLACEHOLDER: Final = "put-your-key-here"
STATE_VARIABLE: Final = "QF_STATE_DIR"
HOSTS_VARIABLE: Final = "QF_UI_HOSTS"


@dataclass(frozen=True)
class Reports:
    """Read-only access to the bucket of drift reports."""

    endpoint: str
    bucket: str
    access_key: SecretStr
    secret_key: SecretStr
    region: str = DEFAULT_REGION


@dataclass(frozen=True)
class Visitors:
    """Who may look: by Streamlit's sign-in (`[auth]`) or a header of the proxy's; who of them is staff; their rate."""

    sign_in: bool = False
    header: str = ""
    staff: frozenset[str] = frozenset()
    tokens_a_minute: float = 0.0

    @property
    def identifies(self) -> bool:
        """True if the page learns who its visitor is."""
        return self.sign_in or bool(self.header)


@dataclass(frozen=True)
class UiSettings:
    """Everything the page needs to know: URLs without a trailing slash, the partner's keys, the folder for batches."""

    endpoint: str
    key: SecretStr
    public_endpoint: str
    currency: str
    state: Path
    test_key: SecretStr | None = None
    reports: Reports | None = None
    visitors: Visitors = Visitors()


def read_settings(secrets: Mapping[str, Any]) -> UiSettings:
    """The settings in `secrets`; `SettingsMissing` names the first entry that is absent or makes no sense."""
    endpoint = _url(secrets, "endpoint")
    return UiSettings(
        endpoint=endpoint,
        key=_key(secrets, "key"),
        public_endpoint=_url(secrets, "public_endpoint") if "public_endpoint" in secrets else endpoint,
        currency=str(secrets.get("currency", "BRL")).upper(),
        state=Path(os.environ.get(STATE_VARIABLE, ".local")) / "ui",
        test_key=_key(secrets, "test_key", TEST_KEY_PREFIX) if "test_key" in secrets else None,
        reports=_reports(secrets),
        visitors=_visitors(secrets),
    )


def _visitors(secrets: Mapping[str, Any]) -> Visitors:
    section = secrets.get("visitors", {})
    if not isinstance(section, Mapping):
        raise SettingsMissing("visitors", "malformed")
    staff, rate = section.get("staff", []), section.get("tokens_a_minute", 0)
    if not isinstance(staff, list) or not all(isinstance(name, str) for name in staff):
        raise SettingsMissing("visitors.staff", "malformed")
    if isinstance(rate, bool) or not isinstance(rate, int | float) or rate < 0:
        raise SettingsMissing("visitors.tokens_a_minute", "malformed")
    return Visitors(
        sign_in="auth" in secrets,
        header=str(section.get("header", "")),
        staff=frozenset(name.casefold() for name in staff),
        tokens_a_minute=float(rate),
    )


def allowed_hosts() -> list[str]:
    """The names that the page's server goes by; any, where it was told none."""
    return [name.strip() for name in os.environ.get(HOSTS_VARIABLE, "*").split(",") if name.strip()]


def _reports(secrets: Mapping[str, Any]) -> Reports | None:
    section = secrets.get("reports")
    if section is None:
        return None
    if not isinstance(section, Mapping):
        raise SettingsMissing("reports", "malformed")
    return Reports(
        endpoint=_url(section, "endpoint", "reports."),
        bucket=str(section.get("bucket", "reports")),
        access_key=SecretStr(_text(section, "access_key", "reports.")),
        secret_key=SecretStr(_text(section, "secret_key", "reports.")),
        region=str(section.get("region") or _region(os.environ)),
    )


def _region(environment: Mapping[str, str]) -> str:
    """The region that every other part of the product signs for: see `service.s3`."""
    return environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or DEFAULT_REGION


def _text(secrets: Mapping[str, Any], entry: str, prefix: str = "") -> str:
    value = secrets.get(entry)
    if value is None or value == "":
        raise SettingsMissing(prefix + entry, "missing")
    if not isinstance(value, str):
        raise SettingsMissing(prefix + entry, "malformed")
    return value.strip()


def _key(secrets: Mapping[str, Any], entry: str, begins: str = "") -> SecretStr:
    key = _text(secrets, entry)
    if key == PLACEHOLDER:
        raise SettingsMissing(entry, "placeholder")
    if not (key.isascii() and key.isprintable() and key.startswith(begins)) or " " in key:
        raise SettingsMissing(entry, "malformed")
    return SecretStr(key)


def _url(secrets: Mapping[str, Any], entry: str, prefix: str = "") -> str:
    value = _text(secrets, entry, prefix)
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise SettingsMissing(prefix + entry, "malformed")
    return value.rstrip("/")
