"""API keys as text: how one is made, recognised and turned into the digest that is stored.

`qf_live_<8 id>_<43 secret><6 checksum>` (`qf_test_` for tests), all base 62. Prefix and CRC-32 let scanners and people
recognise a lost or mistyped key without asking anybody; they are no protection. The secret holds 256 bits, so an
HMAC-SHA-256 with
a pepper kept apart from the digests is the right hash (NIST SP 800-63B 5.1.2.2: at least 112 bits need no password
hash), and costs 2 us instead of the 43 ms that would let anybody stop the service with wrong keys.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import stat
import string
import zlib
from pathlib import Path
from typing import Final

from service import files
from service.contract import TEST_KEY_PREFIX
from service.errors import Misconfigured

PREFIX: Final = "qf_live_"
ID_LENGTH: Final = 8
SECRET_LENGTH: Final = 43  # of base 62: 256.03 bits
CHECKSUM_LENGTH: Final = 6  # of base 62 hold 32 bits
KEY_LENGTH: Final = len(PREFIX) + ID_LENGTH + 1 + SECRET_LENGTH + CHECKSUM_LENGTH
ID_SLICE: Final = slice(len(PREFIX), len(PREFIX) + ID_LENGTH)
PEPPER_BYTES: Final = 32
_BLOCK_BYTES: Final = 64  # of SHA-256
_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase


def mint(*, test: bool = False) -> tuple[str, str]:
    """A new key and its public id. The key is shown once and never stored."""
    key_id = "".join(secrets.choice(_ALPHABET) for _ in range(ID_LENGTH))
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(SECRET_LENGTH))
    body = f"{TEST_KEY_PREFIX if test else PREFIX}{key_id}_{secret}"
    return body + checksum(body), key_id


def checksum(body: str) -> str:
    """CRC-32 of a key without its last six characters, in base 62."""
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(CHECKSUM_LENGTH):
        number, rest = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[rest] + digits
    return digits


def well_formed(key: str) -> bool:
    """True if a text is a key of ours, typed without a mistake. Says nothing about whether it opens anything."""
    return (
        len(key) == KEY_LENGTH
        and key.startswith((PREFIX, TEST_KEY_PREFIX))
        and key[ID_SLICE.stop] == "_"
        and all(character in _ALPHABET for character in key[ID_SLICE.start : ID_SLICE.stop] + key[ID_SLICE.stop + 1 :])
        and checksum(key[:-CHECKSUM_LENGTH]) == key[-CHECKSUM_LENGTH:]
    )


def id_of(key: bytes) -> str:
    """The public id in a key that was typed without a mistake; empty for any other text, which is the caller's."""
    text = key.decode("latin-1")
    return text[ID_SLICE] if well_formed(text) else ""


class Mac:
    """HMAC-SHA-256 under one key, for short messages on the hot path.

    `hmac.digest` lets go of the interpreter's lock for every message, however short, and then waits for another thread
    to give it back: 100 us under load. Copies of prepared SHA-256 states give the same digest without that.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        block = (hashlib.sha256(key).digest() if len(key) > _BLOCK_BYTES else key).ljust(_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def digest(self, message: bytes) -> bytes:
        """32 bytes, equal to `hmac.digest(key, message, "sha256")`."""
        inner = self._inner.copy()
        inner.update(message)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()


def digest(pepper: bytes, key: bytes) -> bytes:
    """The value that is stored instead of the key: HMAC-SHA-256 of the whole text, checksum included."""
    return Mac(pepper).digest(key)


def webhook_secret(pepper: bytes, account: str) -> bytes:
    """The secret that an account's webhooks are signed with."""
    return Mac(pepper).digest(b"webhook:" + account.encode())


def shown_webhook_secret(pepper: bytes, account: str) -> str:
    """The same as the partner's libraries take it."""
    return "whsec_" + base64.b64encode(webhook_secret(pepper, account)).decode()


def kept_pepper(path: Path) -> bytes:
    """The pepper that is there already, for what must agree with what was made with it before.

    Raises:
        Misconfigured: there is none, or none that `read_pepper` takes.
    """
    if not path.exists():
        raise Misconfigured(f"there is no pepper at {path} (QF_SERVICE_DIR or QF_KEYS_DIR)")
    return read_pepper(path)


def read_pepper(path: Path) -> bytes:
    """The pepper, made on first use.

    Raises:
        Misconfigured: it is readable by others or not by this user, or not the 32 bytes it should be.
    """
    try:
        if not path.exists():
            files.make_once(path, secrets.token_bytes(PEPPER_BYTES))  # several workers may start at once
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise Misconfigured(f"{path}: mode is {mode:04o}, must be 0600 or 0400 (chmod 600)")
        pepper = path.read_bytes()
    except OSError as error:
        who = f"user {os.getuid()}"
        raise Misconfigured(f"{path}: cannot be read, or made, by {who} ({error.strerror})") from None
    if len(pepper) != PEPPER_BYTES:
        raise Misconfigured(f"{path}: holds {len(pepper)} bytes, must be {PEPPER_BYTES}; restore it from your backup")
    return pepper
