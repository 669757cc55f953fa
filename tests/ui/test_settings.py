"""Secrets: what is asked for, what is refused, and that none is ever shown."""

from __future__ import annotations

from typing import Any

import pytest

from ui.errors import SettingsMissing
from ui.settings import read_settings

GOOD = {"endpoint": "http://127.0.0.1:3000/", "key": "qf_secret_value"}
STORE = {"endpoint": "http://s3", "access_key": "reader", "secret_key": "s3-secret-value"}


def test_all_of_it() -> None:
    """Defaults filled in, a trailing slash gone, nothing secret in the repr."""
    settings = read_settings({**GOOD, "reports": STORE, "test_key": "qf_test_secret_value"})
    assert (settings.endpoint, settings.public_endpoint, settings.currency) == (GOOD["endpoint"][:-1],) * 2 + ("BRL",)
    assert settings.reports is not None and settings.reports.bucket == "reports"
    assert "secret" not in repr(settings).replace("secret_key", "").replace("SecretStr", "")


@pytest.mark.parametrize(
    ("change", "entry", "found"),
    [
        ({"endpoint": None}, "endpoint", "missing"),
        ({"endpoint": ""}, "endpoint", "missing"),
        ({"endpoint": 3000}, "endpoint", "malformed"),
        ({"endpoint": "localhost:3000"}, "endpoint", "malformed"),
        ({"endpoint": "ftp://host"}, "endpoint", "malformed"),
        ({"endpoint": "http://user:pass@host"}, "endpoint", "malformed"),
        ({"key": None}, "key", "missing"),
        ({"key": "put-your-key-here"}, "key", "placeholder"),
        ({"key": "two words"}, "key", "malformed"),
        ({"key": "naïve"}, "key", "malformed"),
        ({"key": "a\nb"}, "key", "malformed"),
        ({"test_key": "put-your-key-here"}, "test_key", "placeholder"),
        ({"test_key": "qf_live_of_customers"}, "test_key", "malformed"),
        ({"test_key": ""}, "test_key", "missing"),
        ({"reports": "s3"}, "reports", "malformed"),
        ({"reports": {"endpoint": "http://s3"}}, "reports.access_key", "missing"),
        ({"reports": {**STORE, "endpoint": "s3"}}, "reports.endpoint", "malformed"),
        ({"visitors": "all"}, "visitors", "malformed"),
        ({"visitors": {"staff": "ana"}}, "visitors.staff", "malformed"),
        ({"visitors": {"tokens_a_minute": -1}}, "visitors.tokens_a_minute", "malformed"),
        ({"visitors": {"tokens_a_minute": "many"}}, "visitors.tokens_a_minute", "malformed"),
        ({"public_endpoint": "nowhere"}, "public_endpoint", "malformed"),
    ],
)
def test_refused(change: dict[str, Any], entry: str, found: str) -> None:
    """The entry at fault is named, its value never."""
    with pytest.raises(SettingsMissing) as raised:
        read_settings({**GOOD, **change})
    assert (raised.value.entry, raised.value.state) == (entry, found)
    assert "pass" not in str(raised.value)
