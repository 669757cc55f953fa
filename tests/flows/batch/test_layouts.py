"""A file is looked at once: found out from its content, or refused with line, expectation and next step."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from flows.batch.errors import BatchRefused
from flows.batch.layouts import Lane, is_utf8
from service.lexicon.limits import ReadOptions
from tests.flows.batch.files import applicants, as_csv
from tests.flows.batch.reading import pieces_of, read_file
from tests.service.lexicon.tables import under_password, zipped

PLAIN = as_csv(applicants(30))


def _said(change: Callable[[pd.DataFrame], pd.DataFrame]) -> bytes:
    return as_csv(change(applicants(3))).encode()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        pytest.param("a.txt", b"x", "--delimiter", id="one-cell"),
        pytest.param("a.parquet", b"PAR1 and no more", "damaged parquet file; write it again", id="no-parquet"),
        pytest.param("a.csv", b"", "the file is empty; expected a header", id="empty"),
        pytest.param("a.csv", PLAIN.split("\n", maxsplit=1)[0].encode() + b"\n", "a header and no row", id="header"),
        pytest.param("a.csv.gz", b"\x1f\x8b\x08\x00abc", "damaged gzip archive; fetch or pack it", id="cut-gzip"),
        pytest.param("a.pdf", b"%PDF-1.7", "save it as one of them", id="pdf"),
        pytest.param("a.zip", zipped({"a.csv": b"a,b", "b.csv": b"a,b"}), "--member", id="two-tables"),
        pytest.param("a.zip", under_password(zipped({"a.csv": b"a,b"})), "pack it without one", id="password"),
        pytest.param(
            "a.csv",
            _said(lambda frame: frame.rename(columns={"num_loans": "num_lons"})),
            r"lacks num_loans \(is it num_lons\?\).*read as csv, utf-8, columns cut at comma, header on line 1",
            id="misspelt",
        ),
        pytest.param(
            "a.csv",
            _said(lambda frame: frame.rename(columns={"my_id": "score"})),
            "named as answers are, score: rename",
            id="taken",
        ),
        pytest.param(
            "a.csv",
            _said(
                lambda frame: frame.rename(columns={"my_id": "Renda"}).drop(columns="annual_income").assign(income=1)
            ),
            "Renda and income both name annual_income",
            id="two-columns",
        ),
        pytest.param("a.csv", PLAIN.replace("row-7", 'row"7').encode(), "line 9: a quote stands inside", id="quote"),
        pytest.param("a.csv", PLAIN.replace("row-7", '"row-7').encode(), "line 9: the last quote is", id="open-quote"),
    ],
)
def test_what_cannot_be_scored_is_refused(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    """The file's name first; no exception's name is a reason."""
    (tmp_path / name).write_bytes(content)

    with pytest.raises(BatchRefused, match=said) as refused:
        pieces_of(tmp_path / name)

    assert str(refused.value).startswith(name) and "Error" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "lane"),
    [
        pytest.param("a.CSV", PLAIN.encode(), Lane.CUT, id="csv"),
        pytest.param("a", ("sep=;\r\n" + as_csv(applicants(30), by=";", end="\r\n")).encode(), Lane.CUT, id="sep"),
        pytest.param("a.csv", gzip.compress(PLAIN.encode()), Lane.STREAM, id="gzip"),
        pytest.param("a.zip", zipped({"b.csv": PLAIN.encode()}), Lane.STREAM, id="zip"),
        pytest.param("a.zip", zipped({"b.csv.gz": gzip.compress(PLAIN.encode())}), Lane.WHOLE, id="gzip in zip"),
        pytest.param("a.csv", PLAIN.encode("utf-16"), Lane.WHOLE, id="utf-16"),
        pytest.param("a.csv", PLAIN.replace("\n", "\r").encode(), Lane.WHOLE, id="returns"),
    ],
)
def test_what_arrow_reads_well_stays_out_of_core(tmp_path: Path, name: str, content: bytes, lane: Lane) -> None:
    """Text in bytes whose line ends are ASCII's is cut or streamed; the rest is read whole."""
    (tmp_path / name).write_bytes(content)

    assert {piece.layout.lane for piece in pieces_of(tmp_path / name, 10)} == {lane}
    assert read_file(tmp_path / name, 10).problems == [""] * 30


@pytest.mark.parametrize("far", [False, True], ids=["near", "far"])
def test_a_letter_of_windows_anywhere_tells_the_encoding(tmp_path: Path, far: bool) -> None:
    """Beyond the file's beginning too, packed or not; said otherwise by the caller, it is refused with a line."""
    frame = applicants(12_000 if far else 30)
    frame.loc[len(frame) - 1, "my_id"] = "José"
    content = as_csv(frame).encode("cp1252")
    assert (len(content) > 1 << 20) is far
    (tmp_path / "a.csv").write_bytes(content)
    (tmp_path / "b.csv").write_bytes(gzip.compress(content))

    for name in ("a.csv", "b.csv"):
        found = read_file(tmp_path / name, 5_000)
        assert found.reads[-1].table.column("my_id").to_pylist()[-1] == "José"
        assert found.lines == [*range(2, len(frame) + 2)]
        with pytest.raises(BatchRefused, match=r"line [0-9,]+: a? ?byte .*is not utf-8.*--encoding"):
            read_file(tmp_path / name, 5_000, ReadOptions(encoding="utf-8"))


def test_a_letter_that_a_block_cuts_is_no_fault() -> None:
    """Of whatever length, at either end."""
    text = "aé€𝄞" * 3
    content = text.encode()
    assert all(is_utf8(content[a:b], from_start=False) for a in range(9) for b in range(a + 4, len(content)))
    assert not is_utf8("é".encode("cp1252") + b"a")


def test_a_zip_that_is_damaged_after_its_beginning_is_refused(tmp_path: Path) -> None:
    """Its member's checksum tells at the end, before its last rows are scored."""
    content = bytearray(zipped({"a.csv": as_csv(applicants(12_000)).encode()}))
    content[len(content) * 3 // 4] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(content)

    with pytest.raises(BatchRefused, match="a.zip: this is a damaged zip archive; fetch or pack it again"):
        read_file(tmp_path / "a.zip", 5_000)


def test_a_packed_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    """What is there is not scored as if it were all."""
    content = gzip.compress(as_csv(applicants(20_000)).encode())
    (tmp_path / "a.csv.gz").write_bytes(content[:-400])

    with pytest.raises(BatchRefused, match="a.csv.gz: this is a damaged gzip archive; fetch or pack it again"):
        read_file(tmp_path / "a.csv.gz", 5_000)
