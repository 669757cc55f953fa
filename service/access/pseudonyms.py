"""The pseudonym that stands for a partner's customer wherever we store one.

HMAC-SHA-256 under a key derived from the service's pepper and the partner: the same customer of two partners cannot be
linked, and nobody without the pepper can tell who it is or try references out (LGPD art. 12; the pepper is kept apart).
`python -m service.access.pseudonyms PARTNER` reads a reference from standard input and prints its pseudonym: an erasure
is asked for by the pseudonym, so that the partner's own reference never reaches Prefect.
"""

from __future__ import annotations

import argparse
import hmac
import sys
from typing import Final

from service.access.credentials import kept_pepper
from service.access.keystore import read_keys
from service.errors import KeyStoreBroken, Misconfigured
from service.settings import settings

HEX_LENGTH: Final = 32
"""128 bits: no two customers of a partner meet in any number that exists."""


def partner_key(pepper: bytes, partner: str) -> bytes:
    """The key of one partner's pseudonyms, which tells nothing of the pepper or of another partner's."""
    return hmac.digest(pepper, b"pseudonym\0" + partner.encode(), "sha256")


def pseudonym(key: bytes, customer_ref: str) -> str:
    """The pseudonym under a partner's key, 32 hexadecimal digits."""
    return hmac.digest(key, customer_ref.encode(), "sha256").hex()[:HEX_LENGTH]


class Pseudonyms:
    """Makes pseudonyms; derives each partner's key once."""

    def __init__(self, pepper: bytes) -> None:
        if len(pepper) < 16:
            raise ValueError("the pepper must have at least 16 bytes")
        self._pepper = pepper
        self._keys: dict[str, bytes] = {}

    def of(self, partner: str, customer_ref: str | None) -> str:
        """The pseudonym, 32 hexadecimal digits; empty where the partner named no customer."""
        if not customer_ref:
            return ""
        key = self._keys.get(partner)
        if key is None:
            key = self._keys[partner] = partner_key(self._pepper, partner)
        return pseudonym(key, customer_ref)


def main() -> int:
    """Prints the pseudonym of the reference on standard input."""
    parser = argparse.ArgumentParser(prog="python -m service.access.pseudonyms", description=main.__doc__)
    parser.add_argument("partner")
    partner = parser.parse_args().partner
    try:
        # One made now would give pseudonyms under which nobody is found to be erased.
        pseudonym = Pseudonyms(kept_pepper(settings().pepper_file)).of(partner, sys.stdin.readline().strip())
        if not pseudonym:
            raise Misconfigured("give the partner's reference of the customer on standard input")
        keys = read_keys(settings().keys_file).keys
    except (Misconfigured, KeyStoreBroken) as error:
        print(f"service.access.pseudonyms: {error}", file=sys.stderr)
        return 1
    if keys and partner.removesuffix(":test") not in {key.partner for key in keys}:
        # A name mistyped gives a pseudonym under which nobody is found to be erased either.
        print(
            "service.access.pseudonyms: no key was ever issued here to a partner of this name; is it spelt right? "
            "`python -m service.keys list`",
            file=sys.stderr,
        )
    print(pseudonym)
    return 0


if __name__ == "__main__":
    sys.exit(main())
