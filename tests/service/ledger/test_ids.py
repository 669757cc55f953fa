"""Ids: they lead home, name their owner, and tell nothing else."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.ledger.ids import SealedIds

IDS = SealedIds(b"p" * 32)
PREFIX = "20261126-abcdefghij-"
owners = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,31}(:test)?", fullmatch=True)


@given(st.integers(0, 2**48 - 1), owners)
def test_an_id_leads_to_its_place_for_its_owner_on_every_host(number: int, owner: str) -> None:
    """Whoever has the service's secret reads the place back and knows it genuine."""
    place = f"{PREFIX}{number:x}"
    made = IDS.of(place, owner)
    elsewhere = SealedIds(b"p" * 32)
    assert made.place == place and len(made.public) <= 64
    assert elsewhere.place(made.public, owner) == place and elsewhere.genuine(made.public, owner)


@given(st.integers(0, 2**48 - 1), owners, owners, st.integers(0, 31), st.sampled_from("0123456789abcdef"))
def test_nobody_else_can_use_or_make_one(number: int, owner: str, other: str, at: int, digit: str) -> None:
    """Another owner's, another service's, another day's and a changed id are none."""
    made = IDS.of(f"{PREFIX}{number:x}", owner).public
    cut = len(PREFIX) + at
    changed = made[:cut] + digit + made[cut + 1 :]
    tries = [(changed, owner), (made.replace("20261126", "20261127"), owner), (made.upper(), owner)]
    for identifier, by in [(made, other), *tries]:
        if (identifier, by) != (made, owner):
            assert IDS.place(identifier, by) is None and not IDS.genuine(identifier, by)
    assert SealedIds(b"q" * 32).place(made, owner) is None


def test_ids_in_a_row_tell_no_number() -> None:
    """Neither order nor distance nor any digit shows how many lie between: half the bits of neighbours differ."""
    made = [int(IDS.of(f"{PREFIX}{number:x}", "acme").public[len(PREFIX) :], 16) for number in range(2_000)]
    assert len(set(made)) == len(made)
    rises = sum(one < other for one, other in pairwise(made))
    assert 850 < rises < 1150
    for bit in range(128):
        assert 800 < sum(number >> bit & 1 for number in made) < 1200


@pytest.mark.parametrize("text", ["", "x", "..", PREFIX, PREFIX + "g", PREFIX + "0" * 31, "1" * 64, PREFIX + "0" * 33])
def test_what_is_no_id_leads_nowhere(text: str) -> None:
    """Neither a form of today nor one of before."""
    assert IDS.place(text, "acme") is None and not IDS.genuine(text, "acme")


def test_an_id_of_before_is_its_own_place() -> None:
    """It proves nothing: whose it is, its record tells."""
    assert IDS.place(f"{PREFIX}1f", "acme") == f"{PREFIX}1f"
    assert not IDS.genuine(f"{PREFIX}1f", "acme")
