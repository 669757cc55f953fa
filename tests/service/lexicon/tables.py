"""A small table of applicants, and the many ways in which people write it."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq

HEADER: Final = ("client", "annual_income", "num_loans", "loan_types", "credit_mix", "credit_history_months")
ROWS: Final = (
    ("C-1", "34000.5", "2", "auto|payday", "Good", "265"),
    ("C-2", "2900", "0", "", "Bad", "12"),
    ("C-3", "1234567.25", "1", "mortgage", "", ""),
)
Cells = Sequence[Sequence[str]]


def delimited(
    rows: Cells = ROWS, *, header: Sequence[str] = HEADER, by: str = ",", end: str = "\n", quoted: bool = False
) -> str:
    """The table as delimited text."""
    wrap: Callable[[str], str] = (lambda cell: '"' + cell.replace('"', '""') + '"') if quoted else _quoted_if(by)
    return "".join(by.join(map(wrap, row)) + end for row in (header, *rows))


def _quoted_if(by: str) -> Callable[[str], str]:
    def wrap(cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"' if any(sign in cell for sign in (by, '"', "\n", "\r")) else cell

    return wrap


def dressed(dress: Callable[[str], str], rows: Cells = ROWS) -> list[list[str]]:
    """The rows with every income written otherwise."""
    return [[dress(cell) if place == 1 else cell for place, cell in enumerate(row)] for row in rows]


def brazilian(plain: str) -> str:
    """1234567.25 as 1.234.567,25."""
    whole, _, part = plain.partition(".")
    return f"{int(whole):,}".replace(",", ".") + ("," + part if part else "")


def workbook(rows: Sequence[Sequence[Any]], *, merged: str = "") -> bytes:
    """An Excel file of one sheet; `merged` is a range of it whose cells are one."""
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(list(row))
    if merged:
        book.active.merge_cells(merged)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def under_password(archive: bytes) -> bytes:
    """A zip whose members say that they are encrypted, in their own headers and in the list at its end."""
    told = bytearray(archive)
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        told[archive.index(signature) + flags] |= 1
    return bytes(told)


def zipped(members: Mapping[str, bytes]) -> bytes:
    """A zip of files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def parquet(table: pa.Table) -> bytes:
    """A parquet file."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def typed() -> pa.Table:
    """The table with types of its own."""
    return pa.table(
        {
            "client": ["C-1", "C-2", "C-3"],
            "annual_income": [34000.5, 2900.0, 1234567.25],
            "num_loans": pa.array([2, 0, 1], pa.int8()),
            "loan_types": [["auto", "payday"], [], ["mortgage"]],
            "credit_mix": pa.array(["Good", "Bad", None]).dictionary_encode(),
            "credit_history_months": pa.array([265, 12, None], pa.int64()),
        }
    )


_OBJECTS: Final = (
    {"client": "C-1", "annual_income": 34000.5, "num_loans": 2, "loan_types": ["auto", "payday"]},
    {"client": "C-2", "annual_income": 2900, "num_loans": 0, "loan_types": []},
    {"client": "C-3", "annual_income": 1234567.25, "num_loans": 1, "loan_types": ["mortgage"], "credit_mix": None},
)
_MORE: Final[tuple[dict[str, Any], ...]] = (
    {"credit_mix": "Good", "credit_history_months": 265},
    {"credit_mix": "Bad", "credit_history_months": 12},
    {},
)
JSON_LINES: Final = "\n\n".join(json.dumps(one | more) for one, more in zip(_OBJECTS, _MORE, strict=True)).encode()
KAGGLE_HEADER: Final = (
    "Customer_ID",
    "Annual_Income",
    "Num_of_Loan",
    "Type_of_Loan",
    "Credit_Mix",
    "Credit_History_Age",
)
KAGGLE_ROWS: Final = (
    ("C-1", "34000.5_", "2", "Auto Loan, and Payday Loan", "Good", "22 Years and 1 Months"),
    ("C-2", "2900", "0", "", "Bad", "1 Years and 0 Months"),
    ("C-3", "1234567.25", "1", "Mortgage Loan", "_", "NA"),
)
PORTUGUESE: Final = delimited(
    [
        ["C-1", "R$ 34.000,50", "2", "Financiamento de carro; Adiantamento de salário", "Boa", "22 anos e 1 mês"],
        ["C-2", "R$ 2.900,00", "0", "", "Ruim", "1 ano"],
        ["C-3", "R$ 1.234.567,25", "1", "Financiamento imobiliário", "não informado", "-"],
    ],
    header=[
        "Cliente",
        "Renda anual",
        "Empréstimos em aberto",
        "Tipos dos empréstimos",
        "Variedade de crédito",
        "Tempo de histórico de crédito",
    ],
    by=";",
    end="\r\n",
)
_PLAIN: Final = delimited()
_BRAZIL: Final = delimited(dressed(brazilian), by=";", end="\r\n")
SAME: Final[dict[str, tuple[str, bytes]]] = {
    "plain": ("a.csv", _PLAIN.encode()),
    "semicolon": ("a.csv", delimited(by=";").encode()),
    "tab": ("a.tsv", delimited(by="\t").encode()),
    "bar, quoted lists": ("a.txt", delimited(by="|").encode()),
    "sep line": ("a.csv", b"sep=;\r\n" + delimited(by=";", end="\r\n").encode()),
    "UTF-8 mark": ("a.csv", _PLAIN.encode("utf-8-sig")),
    "UTF-16": ("a.csv", _PLAIN.encode("utf-16")),
    "UTF-16 big-endian, no mark": ("a.csv", _PLAIN.encode("utf-16-be")),
    "UTF-16 little-endian, no mark": ("a.csv", _PLAIN.encode("utf-16-le")),
    "UTF-32": ("a.csv", _PLAIN.encode("utf-32")),
    "CRLF": ("a.csv", delimited(end="\r\n").encode()),
    "CR": ("a.csv", delimited(end="\r").encode()),
    "mixed line ends": ("a.csv", _PLAIN.replace("\n", "\r\n", 2).encode()),
    "no last line end": ("a.csv", _PLAIN.rstrip("\n").encode()),
    "quoted everything": ("a.csv", delimited(quoted=True).encode()),
    "blank lines": ("a.csv", b"\n\r\n" + _PLAIN.replace("\n", "\n\n").encode()),
    "rows of separators": ("a.csv", (_PLAIN + ",,,,,\n" * 3).encode()),
    "comment lines": ("a.csv", b"# exported, by hand, 2026-11-01\n# again\n" + _PLAIN.encode()),
    "a title": ("a.csv", b"Clientes de novembro\n\n" + _PLAIN.encode()),
    "a title of separators": ("a.csv", b"Clientes de novembro,,,,,\n" + _PLAIN.encode()),
    "index column": ("a.csv", delimited([(str(n), *row) for n, row in enumerate(ROWS)], header=("", *HEADER)).encode()),
    "pandas' index": (
        "a.csv",
        delimited([(str(n), *row) for n, row in enumerate(ROWS)], header=("Unnamed: 0", *HEADER)).encode(),
    ),
    "R's index": ("a.csv", delimited([(str(n), *row) for n, row in enumerate(ROWS)]).encode()),
    "separator at the line's end": ("a.csv", _PLAIN.replace("\n", ",\n").encode()),
    "space around cells": ("a.csv", _PLAIN.replace(",", " , ").encode()),
    "no-break space": ("a.csv", _PLAIN.replace(",", ",\N{NO-BREAK SPACE}").encode()),
    "upper-case suffix": ("A.CSV", _PLAIN.encode()),
    "gzip": ("a.csv.gz", gzip.compress(_PLAIN.encode())),
    "gzip named plain": ("a.csv", gzip.compress(_PLAIN.encode())),
    "zip": ("archive.zip", zipped({"train.csv": _PLAIN.encode(), "__MACOSX/._train.csv": b"x", "readme.md": b"x"})),
    "zip of a workbook": ("a.zip", zipped({"a.xlsx": workbook([HEADER, *ROWS])})),
    "zip of a gzip": ("a.zip", zipped({"a.csv.gz": gzip.compress(_PLAIN.encode())})),
    "workbook of texts": ("a.xlsx", workbook([HEADER, *ROWS])),
    "workbook of numbers": (
        "A.XLSX",
        workbook(
            [
                [*HEADER, None],
                ["C-1", 34000.5, 2, "auto|payday", "Good", 265],
                [None],
                ["C-2", 2900, 0, None, "Bad", 12],
                ["C-3", 1234567.25, 1, "mortgage", None, None],
            ]
        ),
    ),
    "workbook with a title": ("a.xlsx", workbook([["Clientes"], [], HEADER, *ROWS])),
    "parquet": ("a.parquet", parquet(typed())),
    "parquet of texts": ("a.PARQUET", parquet(pa.table(dict(zip(HEADER, map(list, zip(*ROWS))))))),
    "JSON lines": ("a.jsonl", JSON_LINES),
    "JSON lines, packed": ("a.jsonl.gz", gzip.compress(JSON_LINES)),
    "Kaggle's": ("train.csv", delimited(KAGGLE_ROWS, header=KAGGLE_HEADER).encode()),
    "camel case": (
        "a.csv",
        delimited(
            header=("client", "annualIncome", "NumLoans", "loanTypes", "CREDIT MIX", "credit-history-months")
        ).encode(),
    ),
    "Portuguese": ("a.csv", PORTUGUESE.encode()),
    "Portuguese, Windows": ("a.csv", PORTUGUESE.encode("cp1252")),
    "Brazilian numbers": ("a.csv", _BRAZIL.encode()),
    "thousands in quotes": ("a.csv", delimited(dressed(lambda cell: f"{float(cell):,.2f}")).encode()),
    "thousands by apostrophe": (
        "a.csv",
        delimited(dressed(lambda cell: f"{float(cell):,.2f}".replace(",", "'"))).encode(),
    ),
    "thousands by no-break space": (
        "a.csv",
        delimited(dressed(lambda cell: f"{float(cell):,.2f}".replace(",", "\N{NO-BREAK SPACE}"))).encode(),
    ),
    "dollars": ("a.csv", delimited(dressed(lambda cell: f"$ {float(cell):,.2f}")).encode()),
    "euros behind": ("a.csv", delimited(dressed(lambda cell: f"{float(cell):.2f} €")).encode()),
    "decimal comma, tab": ("a.csv", delimited(dressed(lambda cell: cell.replace(".", ",")), by="\t").encode()),
    "ends of exponents": ("a.csv", delimited(dressed(lambda cell: f"{float(cell):.10e}")).encode()),
    "lower case": ("a.csv", _PLAIN.replace("Good", "good").replace("Bad", "BAD").encode()),
    "lists of Python": (
        "a.csv",
        delimited(
            [[*row[:3], "['" + row[3].replace("|", "', '") + "']" if row[3] else "[]", *row[4:]] for row in ROWS]
        ).encode(),
    ),
    "backslash quotes": ("a.csv", (_PLAIN.replace("C-1", '"C \\"1\\""')).encode()),
    "words for not known": (
        "a.csv",
        delimited([*ROWS[:2], ("C-3", "1234567.25", "1", "mortgage", "#N/A", "\\N")]).encode(),
    ),
}
"""Files that all hold the same values as the first."""
