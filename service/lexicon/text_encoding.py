"""Bytes of a text file as UTF-8, whatever they were written in; and how the encoding was found."""

from __future__ import annotations

import codecs
import re
from typing import Final

from service.lexicon.errors import TableRefused, Trouble
from service.lexicon.unpacking import no_table

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
WINDOWS: Final = "cp1252"  # what spreadsheets on Windows write without being asked
_SAMPLE_BYTES: Final = 1 << 16
_UTF8_LETTER: Final = re.compile(rb"\xc3[\x80-\x9f\xa1-\xbf]")
"""An accented letter of Western Europe in UTF-8; in Windows' encoding two signs that no word has side by side."""


def as_utf8(content: bytes, option: str) -> tuple[bytes, str]:
    """The text's bytes in UTF-8 without a mark, and the name of the encoding they came in.

    Raises:
        TableRefused: the bytes are not of the encoding given, or of none that tables are written in.
    """
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            return (
                (content[len(mark) :], "utf-8")
                if encoding == "utf-8"
                else (_decode_marked(content, encoding), encoding)
            )
    encoding = option or _detect(content)
    if encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig"):
        _decode(content, "utf-8")
        return content, "utf-8"
    return _decode(content, encoding), encoding


def _decode_marked(content: bytes, encoding: str) -> bytes:
    try:
        return _decode(content, encoding)
    except TableRefused as refused:
        raise TableRefused(no_table(f"it is marked as {encoding}, but is none", refused.trouble.line)) from None


def _detect(content: bytes) -> str:
    sample = content[:_SAMPLE_BYTES]
    if b"\x00" in sample:  # text without a mark whose every other byte is zero
        even, odd = sample[::2].count(0), sample[1::2].count(0)
        if max(even, odd) < 0.4 * len(sample) / 2 or min(even, odd) > 0.1 * len(sample) / 2:
            raise TableRefused(no_table("it holds bytes that no text has", 1 + sample[: sample.index(0)].count(b"\n")))
        return "utf-16-be" if even > odd else "utf-16-le"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "utf-8" if holds_utf8_letters(content) else WINDOWS  # of two encodings: the bytes of one are refused
    return "utf-8"


def holds_utf8_letters(content: bytes) -> bool:
    """True if bytes that are no UTF-8 as a whole have letters of it: two files put together, each in its own way."""
    return _UTF8_LETTER.search(content) is not None


def _decode(content: bytes, encoding: str) -> bytes:
    try:
        text = content.decode(encoding)
    except LookupError:
        raise TableRefused(
            Trouble("encoding", f"{encoding} is no encoding", "utf-8, utf-16, cp1252, latin-1, ...", "--encoding NAME")
        ) from None
    except UnicodeDecodeError as error:
        line = 1 + content[: error.start].count(b"\n")
        what = f"byte {error.start:,} is not {encoding}"
        raise TableRefused(
            Trouble("encoding", what, "text in one encoding", "say which (--encoding NAME), or save it as UTF-8", line)
        ) from None
    if "\x00" in text:
        raise TableRefused(no_table("it holds bytes that no text has", 1 + text[: text.index("\x00")].count("\n")))
    return text.encode("utf-8", errors="surrogatepass") if encoding != "utf-8" else content
