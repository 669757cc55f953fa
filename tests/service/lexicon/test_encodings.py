"""Bytes of two encodings in one file: never read as if they were of one."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from flows.batch.errors import BatchRefused
from flows.batch.layouts import SAMPLE_BYTES
from service.lexicon.errors import TableRefused
from service.lexicon.reading import read_table
from tests.flows.batch.files import applicants, as_csv
from tests.flows.batch.reading import read_file
from tests.service.lexicon.tables import delimited

LONG = as_csv(applicants(3_000)).encode()


@pytest.mark.parametrize("first", ["utf-8", "cp1252"])
def test_two_files_put_together_are_refused(first: str) -> None:
    """The line that is of the other encoding is told; read as one, the names in it would be other names."""
    rows = [["José", "1", "0", "", "Bad", "1"], ["André", "1", "0", "", "Bad", "1"]]
    codings = (first, "cp1252" if first == "utf-8" else "utf-8")
    parts = [delimited([row]).split("\n", 1)[1].encode(coding) for row, coding in zip(rows, codings, strict=True)]
    content = delimited([]).encode() + b"".join(parts)
    with pytest.raises(TableRefused, match=r"line [23]: byte .* is not utf-8; .*--encoding") as raised:
        read_table(content)
    assert "Jos" not in str(raised.value) and "Andr" not in str(raised.value)


@pytest.mark.parametrize("text", ["Conceição", "AVELÃ ", "São João à noite", "Zoë, Müller", "NÃO", "Œuvre"])
def test_windows_text_alone_is_windows_text(text: str) -> None:
    """Words of Western Europe are not taken for two encodings."""
    content = delimited([[text, "1", "0", "", "Bad", "1"]], by=";").encode("cp1252")
    assert list(read_table(content).frame["client"]) == [text.strip()]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("codings", [("utf-8", "cp1252"), ("cp1252", "utf-8")], ids="-".join)
@pytest.mark.parametrize("near", [True, False], ids=["in the sample", "after it"])
def test_a_batch_of_two_encodings_is_refused(
    tmp_path: Path, codings: tuple[str, str], *, packed: bool, near: bool
) -> None:
    """Wherever the second one begins; no name of a customer is told."""
    early, late = (b"row-7", b"row-9") if near else (b"row-7", b"row-2900")
    assert near or LONG.index(late) > SAMPLE_BYTES
    content = LONG.replace(early, "José".encode(codings[0]), 1).replace(late, "André".encode(codings[1]), 1)
    path = tmp_path / ("a.csv.gz" if packed else "a.csv")
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(BatchRefused, match=r"line [0-9,]+: .* is not (utf-8|cp1252); .*--encoding") as raised:
        read_file(path, 100)
    assert "Jos" not in str(raised.value) and "Andr" not in str(raised.value)
