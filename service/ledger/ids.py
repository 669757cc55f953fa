"""The ids partners are given: they lead to their record, name their partner unforgeably, and tell nothing else.

Inside, a row's place is `<UTC day>-<run>-<number>`, and the number counts over all partners. What leaves is
`<UTC day>-<run>-<32 hex digits>`: a synthetic initialisation vector (as AES-SIV and RFC 8452 make theirs), that is a
keyed digest of day, run, number and owner, and the number under a mask made from it. Who holds the service's secret
reads the place back and sees whether the id was given to this owner; nobody else can make one (80 bits), count anything
by it, or tell two apart. Every host with the same secret can, whether or not it keeps the record.

Keyed BLAKE2b is both: prepared states cost 1 us an id. Plain places, as ids were before, are still read.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final, NamedTuple

from service.access.credentials import Mac

_VECTOR_BYTES: Final = 10
_NUMBER_BYTES: Final = 6
_SEALED: Final = re.compile(r"(\d{8}-[a-z2-7]{10}-)([0-9a-f]{32})")
_PLAIN: Final = re.compile(r"\d{8}-[a-z2-7]{10}-[0-9a-f]{1,10}")
_STATES_KEPT: Final = 4096


class RecordId(NamedTuple):
    """A new row's two names: the `place` it is stored under and the `public` id its partner is given."""

    place: str
    public: str


class SealedIds:
    """Makes and reads the ids of one service; hosts that share the pepper read each other's."""

    def __init__(self, pepper: bytes) -> None:
        key = Mac(pepper).digest(b"prediction-ids")
        self._digest = hashlib.blake2b(key=key, digest_size=_VECTOR_BYTES, person=b"vector")
        self._mask = hashlib.blake2b(key=key, digest_size=_NUMBER_BYTES, person=b"mask")
        self._states: dict[tuple[str, str], hashlib.blake2b] = {}

    def of(self, place: str, owner: str) -> RecordId:
        """The id of a place for this owner (a partner, or a partner's tests)."""
        cut = place.rindex("-") + 1
        prefix, number = place[:cut], int(place[cut:], 16).to_bytes(_NUMBER_BYTES)
        vector = self._vector(prefix, owner, number)
        return RecordId(place, f"{prefix}{vector.hex()}{self._masked(vector, number).hex()}")

    def place(self, public: str, owner: str) -> str | None:
        """The place that an id of this owner's leads to; None if it was never given to this owner.

        A plain place is given back as it is: whose it is, its record tells.
        """
        if _PLAIN.fullmatch(public):
            return public
        return self._opened(public, owner)

    def genuine(self, public: str, owner: str) -> bool:
        """True if the id alone proves that it was given to this owner, kept or not."""
        return self._opened(public, owner) is not None

    def _opened(self, public: str, owner: str) -> str | None:
        parts = _SEALED.fullmatch(public)
        if parts is None:
            return None
        sealed = bytes.fromhex(parts[2])
        vector = sealed[:_VECTOR_BYTES]
        number = self._masked(vector, sealed[_VECTOR_BYTES:])
        good = hmac.compare_digest(self._vector(parts[1], owner, number), vector)
        return f"{parts[1]}{int.from_bytes(number):x}" if good else None

    def _vector(self, prefix: str, owner: str, number: bytes) -> bytes:
        state = self._states.get((prefix, owner))
        if state is None:
            if len(self._states) >= _STATES_KEPT:
                self._states.clear()
            state = self._digest.copy()
            state.update(f"{prefix}{owner}\0".encode())
            self._states[prefix, owner] = state
        state = state.copy()
        state.update(number)
        return state.digest()

    def _masked(self, vector: bytes, number: bytes) -> bytes:
        state = self._mask.copy()
        state.update(vector)
        return (int.from_bytes(number) ^ int.from_bytes(state.digest())).to_bytes(_NUMBER_BYTES)
