"""The keys of the demo partner: a live one for whoever plays the partner, and a test key for the page's What if."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from infra.errors import StackError
from infra.stack.credentials import write_private

PARTNER: Final = "demo"


def demo_key_file(state_dir: Path) -> Path:
    """Where the demo partner's live key lies, once it was issued."""
    return state_dir / "keys" / PARTNER


def demo_test_key(state_dir: Path) -> str:
    """The demo partner's test key, issued where there is none that is live.

    Raises:
        StackError: no key can be issued.
    """
    return partner_key(state_dir / "service", state_dir / "keys" / f"{PARTNER}-test", test=True)


def partner_key(service_dir: Path, key_file: Path, partner: str = PARTNER, **terms: Any) -> str:
    """A partner's key, kept for its owner alone; issued on these terms where there is none that is live.

    Raises:
        StackError: no key can be issued.
    """
    from service import keys
    from service.access.credentials import digest, read_pepper
    from service.access.keystore import read_keys
    from service.errors import ServiceError

    try:
        if key_file.exists():
            key_text = key_file.read_text().strip()
            key_digest = digest(read_pepper(service_dir / "pepper"), key_text.encode()).hex()
            now = datetime.now(UTC)
            if any(
                record.digest == key_digest and record.live(now) for record in read_keys(service_dir / "keys.json").keys
            ):
                return key_text
        key = keys.issue(service_dir, partner, **terms)
    except ServiceError as error:
        raise StackError(f"no key for partner {partner}: {error}; see `python -m service.keys list`") from error
    write_private(key_file, key + "\n")
    return key
