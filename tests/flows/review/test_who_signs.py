"""One person stays one, however the name is written; two people stay two."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.registry.identities import same_person, skeleton
from flows.review.release_evidence import Result
from flows.review.signatures import override_check, people_check

SAME = [
    ("root", "root"),
    ("root", " ROOT "),
    ("root", "ro\u043et"),  # Cyrillic o
    ("root", "r\u03bfot"),  # Greek omicron
    ("root", "r00t"),
    ("root", "ro\u200bot"),  # zero-width space
    ("root", "\u200droot\ufeff"),
    ("root", "\u202eroot"),  # right-to-left override
    ("root", "ro\u00adot"),  # soft hyphen
    ("root", "\uff52\uff4f\uff4f\uff54"),  # full width
    ("root", "\U0001d42b\U0001d428\U0001d428\U0001d42d"),  # mathematical bold
    ("Ana Souza", "ana.souza"),
    ("Ana Souza", "ANA  SOUZA"),
    ("Ana Souza", "\u0410n\u0430 S\u043euz\u0430"),  # Cyrillic A, a, o
    ("Jos\u00e9", "Jose\u0301"),
    ("Jos\u00e9", "jose"),
    ("Paul", "Pau1"),
    ("Paul", "PauI"),
    ("Igor", "\u0406gor"),  # Ukrainian I
    ("Maria", "Mari\u0430"),
    ("marna", "mama"),
    ("stra\u00dfe", "STRASSE"),
    ("ana", "\u1d00na"),  # a small capital of phonetics
    ("ANA", "\ua4ee\ua4e0\ua4ee"),  # Lisu
    ("ana", "\u13aaNA"),  # Cherokee
    ("ana", "\u2c81na"),  # Coptic
    ("ana", "ana\u3164"),  # a filler of Hangul, which nobody sees
    ("ana", "a\ua4e0a"),
    ("eva", "e\u0475a"),  # Cyrillic izhitsa
    ("ana.souza", "ana.souza@bank.example"),  # a login, and the account of whom it may be
    ("Ana Souza", "\u0410na.Souza@bank.example"),
    ("ana@", "ana@bank.example"),
    ("ana@bank.example", "ANA@B\u0430nk.example"),
    ("ana\uff20bank.example", "ana"),  # full width @
]
OTHERS = [
    *(("ana", "bruno"), ("ana", "anna"), ("ana souza", "ana costa"), ("demo", "root"), ("x", "y")),
    ("Иван", "Олег"),
    *(("李娜", "王芳"), ("Δήμητρα", "Ελένη"), ("דנה", "נועה"), ("さくら", "ゆうき")),
    *(("ana@bank.example", "bia@bank.example"), ("ana@bank.example", "ana@other.example"), ("bank", "ana@bank")),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_one_person_however_written(one: str, other: str) -> None:
    """Neither approves what the other trained, nor counts as a second name."""
    assert same_person(one, other)
    assert people_check(one, other).result is Result.FAILED
    second = override_check("r", date(2027, 1, 1), other, (one, "carla"), date(2026, 11, 26))
    assert second.result is Result.FAILED


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_two_people_stay_two(one: str, other: str) -> None:
    """Names that differ to a reader."""
    assert not same_person(one, other)
    assert people_check(one, other).result is Result.PASSED


@pytest.mark.parametrize("name", ["", " ", "\u200b", "\u202e\u2066", "-._", "\u0301", "@"])
def test_nobody_is_no_reviewer(name: str) -> None:
    """A name of signs that nobody sees is none."""
    assert skeleton(name) == ""
    assert people_check("ana", name).result is Result.FAILED


@given(st.text(max_size=20), st.sampled_from("\u200b\u200c\u200d\u2060\ufeff\u00ad\u202e "), st.integers(0, 20))
def test_what_cannot_be_seen_changes_nobody(name: str, hidden: str, place: int) -> None:
    """An invisible sign anywhere in a name leaves the person who they were."""
    assert same_person(name, name[:place] + hidden + name[place:])
