"""Pseudonyms: the same customer of a partner always, of two partners never; and the tools that use them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import erasure
from service.access import pseudonyms
from service.access.credentials import read_pepper
from service.access.pseudonyms import Pseudonyms
from service.keys import issue
from service.settings import settings

REFERENCES = st.text("abcXYZ019_-", min_size=1, max_size=64)


@given(reference=REFERENCES, other=REFERENCES)
def test_a_pseudonym_stands_for_one_customer_of_one_partner(reference: str, other: str) -> None:
    """Stable over restarts, another for another customer, partner or pepper, and without the reference in it."""
    made = Pseudonyms(b"p" * 32)
    ref = made.of("acme", reference)
    assert ref == Pseudonyms(b"p" * 32).of("acme", reference) and len(ref) == pseudonyms.HEX_LENGTH
    assert (made.of("acme", other) == ref) == (other == reference)
    assert len({ref, made.of("bank", reference), Pseudonyms(b"q" * 32).of("acme", reference)}) == 3
    assert erasure.checked([ref]) == {ref}


@pytest.mark.parametrize("nobody", [None, ""], ids=["null", "empty"])
def test_no_customer_has_no_pseudonym(nobody: str | None) -> None:
    """A partner need not name anybody."""
    assert Pseudonyms(b"p" * 32).of("acme", nobody) == ""


def test_a_short_pepper_is_refused() -> None:
    """A guessable pepper would make references guessable."""
    with pytest.raises(ValueError, match="at least 16"):
        Pseudonyms(b"short")


def test_the_tools_make_and_erase_a_pseudonym(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One prints what the other takes, only where the pepper is; neither repeats a reference given by mistake."""
    monkeypatch.setenv("QF_SERVICE_DIR", str(tmp_path))
    settings.cache_clear()
    (tmp_path / "outbox" / "quarantine").mkdir(parents=True)
    (tmp_path / "outbox" / "kept").mkdir()
    monkeypatch.setattr("sys.argv", ["pseudonyms", "acme"])
    monkeypatch.setattr("sys.stdin", io.StringIO("Maria-1234\n"))
    assert pseudonyms.main() == 1 and not (tmp_path / "pepper").exists()
    told = capsys.readouterr()
    assert not told.out and "there is no pepper" in told.err
    read_pepper(tmp_path / "pepper")
    assert pseudonyms.main() == 0
    ref = capsys.readouterr().out.strip()
    for argument, code in ((ref, 0), ("Maria-1234", 1)):
        monkeypatch.setattr("sys.argv", ["erasure", argument])
        assert erasure.main() == code
    shown = capsys.readouterr()
    assert shown.out.startswith("0 rows erased") and "Maria" not in shown.out + shown.err
    settings.cache_clear()


@pytest.mark.parametrize(("partner", "doubted"), [("acme", False), ("acme:test", False), ("acmee", True)])
def test_a_partner_that_never_had_a_key_is_doubted_aloud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], partner: str, doubted: bool
) -> None:
    """Under a mistyped name nobody would be found to be erased; the pseudonym alone stays on standard output."""
    monkeypatch.setenv("QF_SERVICE_DIR", str(tmp_path))
    settings.cache_clear()
    issue(tmp_path, "acme")
    read_pepper(tmp_path / "pepper")
    monkeypatch.setattr("sys.argv", ["pseudonyms", partner])
    monkeypatch.setattr("sys.stdin", io.StringIO("Maria-1234\n"))

    assert pseudonyms.main() == 0

    told = capsys.readouterr()
    assert ("is it spelt right" in told.err) is doubted and len(told.out.strip()) == pseudonyms.HEX_LENGTH
    assert "Maria" not in told.out + told.err
    settings.cache_clear()
