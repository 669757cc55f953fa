"""The training table in every form in which people send it; each function takes it and gives name and bytes of a file.

No form changes a value: where numbers are dressed, only those that a mark can dress are.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Callable
from decimal import Decimal
from io import BytesIO
from typing import Any, Final

import pandas as pd
import pyarrow as pa

from service.lexicon.headings import KAGGLE
from tests.service.lexicon.tables import parquet, workbook, zipped

Table = pd.DataFrame
Form = Callable[[Table], tuple[str, bytes]]
_NUMBER: Final = re.compile(r"(-?)([0-9]+)\.([0-9]+)")
_PORTUGUESE: Final = {
    "Customer_ID": "Sua referência do cliente",
    "Month": "Mês",
    "Name": "Nome",
    "Age": "Idade",
    "Occupation": "Profissão",
    "Annual_Income": "Renda anual",
    "Monthly_Inhand_Salary": "Salário líquido",
    "Num_Bank_Accounts": "Contas bancárias",
    "Num_Credit_Card": "Cartões de crédito",
    "Interest_Rate": "Juros do cartão",
    "Num_of_Loan": "Empréstimos em aberto",
    "Type_of_Loan": "Tipos dos empréstimos",
    "Delay_from_due_date": "Dias de atraso no pagamento",
    "Num_of_Delayed_Payment": "Pagamentos atrasados",
    "Changed_Credit_Limit": "Mudança no limite do cartão",
    "Num_Credit_Inquiries": "Consultas de crédito",
    "Credit_Mix": "Variedade de crédito",
    "Outstanding_Debt": "Dívida a pagar",
    "Credit_Utilization_Ratio": "Uso do limite",
    "Credit_History_Age": "Tempo de histórico de crédito",
    "Payment_of_Min_Amount": "Paga só o mínimo",
    "Total_EMI_per_month": "Parcelas de empréstimos",
    "Amount_invested_monthly": "Investimento",
    "Payment_Behaviour": "Gastos e pagamentos",
    "Monthly_Balance": "Sobra no fim do mês",
    "Credit_Score": "classe",
}
_OURS: Final = {kaggle: field for field, kaggle in KAGGLE.items()}


def as_csv(table: Table, *, by: str = ",", end: str = "\n", quoting: int = csv.QUOTE_MINIMAL) -> bytes:
    """The table as delimited text in UTF-8."""
    text: str = table.to_csv(index=False, sep=by, lineterminator=end, quoting=quoting)  # type: ignore[call-overload]
    return text.encode()


def _text(encode: Callable[[Table], bytes], name: str = "a.csv") -> Form:
    return lambda table: (name, encode(table))


def _cut(name: str = "a.csv", **how: str | int) -> Form:
    return lambda table: (name, as_csv(table, **how))  # type: ignore[arg-type]


def _numbers(table: Table, dress: Callable[[str, str, str], str]) -> Table:
    def worn(cell: str) -> str:
        found = _NUMBER.fullmatch(cell)
        return dress(*found.groups()) if found else cell

    kept = [KAGGLE[field] for field in ("id", "customer_ref", "name", "ssn")]
    return table.assign(**{name: table[name].map(worn) for name in table.columns if name not in kept})


def _grouped(whole: str, mark: str) -> str:
    return f"{int(whole):,}".replace(",", mark)


def _in_digits(zero: int, point: str) -> Callable[[str, str, str], str]:
    digits = str.maketrans({str(digit): chr(zero + digit) for digit in range(10)} | {".": point})
    return lambda sign, whole, part: sign + f"{whole}.{part}".translate(digits)


def _lakhs(whole: str) -> str:
    return re.sub(r"(?<=[0-9])(?=(?:[0-9]{2})+$)", ",", whole[:-3]) + "," + whole[-3:] if len(whole) > 3 else whole


def _worn(dress: Callable[[str, str, str], str], **how: str) -> Form:
    return lambda table: ("a.csv", as_csv(_numbers(table, dress), **how))  # type: ignore[arg-type]


def _named(names: Callable[[str], str]) -> Form:
    return lambda table: ("a.csv", as_csv(table.rename(columns=names)))


def _cells(column: str, change: Callable[[str], str]) -> Form:
    return lambda table: ("a.csv", as_csv(table.assign(**{column: table[column].map(change)})))


def _camel(name: str) -> str:
    words = _OURS[name].split("_")
    return words[0] + "".join(word.title() for word in words[1:])


def _months(cell: str) -> str:
    found = re.fullmatch(r"([0-9]+) Years and ([0-9]+) Months", cell)
    return str(int(found[1]) * 12 + int(found[2])) if found else cell


def _month_number(cell: str) -> str:
    names = "January February March April May June July August September October November December"
    return str(names.split().index(cell) + 1)


def _parquet(table: Table, **how: int) -> bytes:
    buffer = BytesIO()
    table.to_parquet(buffer, index=False, **how)  # type: ignore[arg-type]
    return buffer.getvalue()


def _parquet_of(table: Table, typed: Callable[[str, list[Any]], pa.Array]) -> bytes:
    return parquet(pa.table({name: typed(name, table[name].tolist()) for name in table.columns}))


def _as_it_is(_: str, cells: list[Any]) -> pa.Array:
    return pa.array(cells)


def _decimals(_: str, cells: list[str]) -> pa.Array:
    """Decimals where all cells are written with few digits."""
    if all(re.fullmatch(r"-?[0-9]+(?:\.[0-9]{1,12})?", cell) for cell in cells):
        return pa.array([*map(Decimal, cells)], pa.decimal128(30, 12))
    return pa.array(cells)


def _large_texts(_: str, cells: list[str]) -> pa.Array:
    return pa.array(cells, pa.large_string())


def _large_lists(name: str, cells: list[str]) -> pa.Array:
    if name != "Type_of_Loan":
        return pa.array(cells)
    kinds = [[one for one in cell.replace("and ", "").split(", ") if one] for cell in cells]
    return pa.array(kinds, pa.large_list(pa.large_string()))


def _json_lines(table: Table) -> bytes:
    return "\n".join(json.dumps(row) for row in table.to_dict("records")).encode()


def _sheet(table: Table) -> list[list[str | None]]:
    return [[*table.columns], *([cell or None for cell in row] for row in table.to_numpy().tolist())]


def _with_index(rows: list[list[str | None]]) -> list[list[Any]]:
    return [[None, *rows[0]], *([place, *row] for place, row in enumerate(rows[1:]))]


def _indexed(table: Table, name: str) -> bytes:
    return as_csv(table.reset_index(names=name))


def _of_r(table: Table) -> bytes:
    header, _, rows = _indexed(table, "").partition(b"\n")
    return header.removeprefix(b'"",').removeprefix(b",") + b"\n" + rows


FORMS: Final[dict[str, Form]] = {
    "semicolon": _cut(by=";"),
    "tab": _cut("a.tsv", by="\t"),
    "bar": _cut("a.txt", by="|"),
    "CRLF": _cut(end="\r\n"),
    "CR": _cut(end="\r"),
    "quoted": _cut(quoting=csv.QUOTE_ALL),
    "quoted, semicolon, CRLF": _cut(by=";", end="\r\n", quoting=csv.QUOTE_ALL),
    "sep line": _text(lambda table: b"sep=;\r\n" + as_csv(table, by=";", end="\r\n")),
    "sep line in quotes": _text(lambda table: b'"sep=,"\n' + as_csv(table)),
    "UTF-8 mark": _text(lambda table: b"\xef\xbb\xbf" + as_csv(table)),
    "UTF-8 mark, sep line": _text(lambda table: b"\xef\xbb\xbfsep=;\n" + as_csv(table, by=";")),
    "UTF-16": _text(lambda table: as_csv(table).decode().encode("utf-16")),
    "UTF-16, big-endian": _text(lambda table: as_csv(table).decode().encode("utf-16-be")),
    "UTF-16, tab": _text(lambda table: as_csv(table, by="\t").decode().encode("utf-16")),
    "UTF-32": _text(lambda table: as_csv(table).decode().encode("utf-32")),
    "Windows": _text(
        lambda table: as_csv(table.assign(Name="José da Conceição"), by=";").decode().encode("cp1252"),
    ),
    "no last line end": _text(lambda table: as_csv(table).rstrip(b"\n")),
    "blank lines": _text(lambda table: b"\n\r\n" + as_csv(table).replace(b"\n", b"\n\n")),
    "comments": _text(lambda table: b"# by hand, again\n// of November\n" + as_csv(table)),
    "a title": _text(lambda table: b"Clientes\n\n" + as_csv(table)),
    "a title of separators": _text(lambda table: b"Clientes" + b"," * 27 + b"\n" + as_csv(table)),
    "rows of separators": _text(lambda table: as_csv(table) + (b"," * 27 + b"\n") * 3),
    "separator at the line's end": _text(lambda table: as_csv(table, quoting=csv.QUOTE_ALL).replace(b"\n", b",\n")),
    "separator at the rows' end alone": _text(
        lambda table: as_csv(table).replace(b"\n", b",\n").replace(b",\n", b"\n", 1)
    ),
    "lines of spaces": _text(lambda table: as_csv(table).replace(b"\n", b"\n   \n") + b"\t\n"),
    "index without a name": _text(lambda table: _indexed(table, "")),
    "pandas' index": _text(lambda table: _indexed(table, "Unnamed: 0")),
    "R's index": _text(_of_r),
    "upper-case suffix": _cut("A.CSV"),
    "no suffix": _cut("export"),
    "gzip": _text(lambda table: gzip.compress(as_csv(table)), "a.csv.gz"),
    "gzip, upper case": _text(lambda table: gzip.compress(as_csv(table, by=";")), "A.CSV.GZ"),
    "gzip named plain": _text(lambda table: gzip.compress(as_csv(table))),
    "gzip in parts": _text(
        lambda table: gzip.compress(as_csv(table)[:900]) + gzip.compress(as_csv(table)[900:]), "a.csv.gz"
    ),
    "gzip of UTF-16": _text(lambda table: gzip.compress(as_csv(table).decode().encode("utf-16")), "a.csv.gz"),
    "zip": _text(lambda table: zipped({"train.csv": as_csv(table)}), "archive.zip"),
    "zip with a Mac's shadow": _text(
        lambda table: zipped({"a/train.csv": as_csv(table), "__MACOSX/a/._train.csv": b"x"}), "a.zip"
    ),
    "zip of a workbook": _text(lambda table: zipped({"a.xlsx": workbook(_sheet(table))}), "a.zip"),
    "zip of a gzip": _text(lambda table: zipped({"a.csv.gz": gzip.compress(as_csv(table))}), "a.zip"),
    "workbook": _text(lambda table: workbook(_sheet(table)), "a.xlsx"),
    "workbook with an index": _text(lambda table: workbook(_with_index(_sheet(table))), "a.xlsx"),
    "workbook with a column that is empty": _text(
        lambda table: workbook([[*row[:3], None, *row[3:]] for row in _sheet(table)]), "a.xlsx"
    ),
    "workbook with a title": _text(lambda table: workbook([["Clientes"], [None], *_sheet(table)]), "A.XLSX"),
    "parquet": _text(_parquet, "a.parquet"),
    "parquet of decimals": _text(lambda table: _parquet_of(table, _decimals), "a.parquet"),
    "parquet of large texts": _text(lambda table: _parquet_of(table, _large_texts), "a.parquet"),
    "parquet with lists of loans": _text(lambda table: _parquet_of(table, _large_lists), "a.parquet"),
    "parquet beside what is no cell": _text(
        lambda table: _parquet_of(table.assign(beside=[{"a": [1]}] * len(table)), _as_it_is), "a.parquet"
    ),
    "parquet in groups": _text(lambda table: _parquet(table, row_group_size=5), "A.PARQUET"),
    "JSON lines": _text(_json_lines, "a.jsonl"),
    "JSON lines in UTF-16": _text(lambda table: _json_lines(table).decode().encode("utf-16"), "a.jsonl"),
    "JSON lines, packed": _text(lambda table: gzip.compress(_json_lines(table)), "a.jsonl.gz"),
    "decimal comma": _worn(lambda sign, whole, part: f"{sign}{whole},{part}", by=";"),
    "decimal comma, tab": _worn(lambda sign, whole, part: f"{sign}{whole},{part}", by="\t"),
    "decimal comma, in quotes": _worn(lambda sign, whole, part: f"{sign}{whole},{part}"),
    "Brazilian": _worn(lambda sign, whole, part: f"{sign}{_grouped(whole, '.')},{part}", by=";", end="\r\n"),
    "thousands": _worn(lambda sign, whole, part: f"{sign}{_grouped(whole, ',')}.{part}"),
    "thousands, semicolon": _worn(lambda sign, whole, part: f"{sign}{_grouped(whole, ',')}.{part}", by=";"),
    "thousands by apostrophe": _worn(lambda sign, whole, part: sign + _grouped(whole, "'") + "." + part),
    "thousands by no-break space": _worn(
        lambda sign, whole, part: sign + _grouped(whole, "\N{NO-BREAK SPACE}") + "." + part
    ),
    "exponents": _worn(lambda sign, whole, part: f"{sign}{whole}{part}e-{len(part)}"),
    "exponents of a spreadsheet": _worn(
        lambda sign, whole, part: f"{sign}{whole[0]},{whole[1:]}{part}E+{len(whole) - 1:02d}", by=";"
    ),
    "apostrophe before numbers": _worn(lambda sign, whole, part: f"'{sign}{whole}.{part}"),
    "numbers as formulas": _worn(lambda sign, whole, part: f'="{sign}{whole}.{part}"'),
    "quotes of print": _worn(lambda sign, whole, part: f"\u201c{sign}{whole}.{part}\u201d"),
    "minus signs proper": _worn(lambda sign, whole, part: f"{sign and chr(0x2212)}{whole}.{part}"),
    "full-width digits": _worn(_in_digits(0xFF10, ".")),
    "Arabic digits": _worn(_in_digits(0x660, "\N{ARABIC DECIMAL SEPARATOR}")),
    "Persian digits": _worn(_in_digits(0x6F0, "\N{ARABIC DECIMAL SEPARATOR}")),
    "Devanagari digits": _worn(_in_digits(0x966, ".")),
    "signs that cannot be seen": _worn(lambda sign, whole, part: f"\u200e{sign}{whole}.{part}\u200b\ufeff"),
    "Indian lakhs": _worn(lambda sign, whole, part: f"{sign}{_lakhs(whole)}.{part}"),
    "negatives in brackets": _worn(lambda sign, whole, part: f"({whole}.{part})" if sign else f"{whole}.{part}"),
    "plus signs": _worn(lambda sign, whole, part: f"{sign or '+'}{whole}.{part}"),
    "our names": _named(lambda name: _OURS[name]),
    "lower case": _named(str.lower),
    "upper case": _named(str.upper),
    "spaces for underscores": _named(lambda name: name.replace("_", " ")),
    "camel case": _named(_camel),
    "Portuguese": _named(lambda name: _PORTUGUESE.get(name, name)),
    "Portuguese, Windows": _text(
        lambda table: as_csv(table.rename(columns=_PORTUGUESE), by=";", end="\r\n").decode().encode("cp1252")
    ),
    "month numbers": _cells("Month", _month_number),
    "months by their beginnings": _cells("Month", lambda cell: cell[:4].upper() + "."),
    "history in months": _cells("Credit_History_Age", _months),
    "mix in lower case": _cells("Credit_Mix", str.lower),
    "behaviour in lower case": _cells("Payment_Behaviour", str.lower),
    "minimum in upper case": _cells("Payment_of_Min_Amount", str.upper),
    "loans by bars": _cells("Type_of_Loan", lambda cell: cell.replace(", and ", "|").replace(", ", "|")),
    "loans by plus": _cells("Type_of_Loan", lambda cell: cell.replace("and ", "").replace(", ", " + ")),
    "loans as a list of JSON": _cells(
        "Type_of_Loan", lambda cell: json.dumps([one for one in cell.replace("and ", "").split(", ") if one])
    ),
    "minimum in Portuguese": _cells("Payment_of_Min_Amount", lambda cell: {"Yes": "Sim", "No": "Nao"}.get(cell, cell)),
    "minimum true or false": _cells(
        "Payment_of_Min_Amount", lambda cell: {"Yes": "TRUE", "No": "FALSE"}.get(cell, cell)
    ),
    "not known in words": _text(lambda table: as_csv(table.replace({"_": "#N/D", "NM": "N. A.", "!@9#%8": "..."}))),
    "labels in lower case": _cells("Credit_Score", str.lower),
}
Refusal = Callable[[Table], tuple[str, bytes, str]]


def _spoiled(change: Callable[[bytes], bytes], said: str, name: str = "a.csv") -> Refusal:
    return lambda table: (name, change(as_csv(table)), said)


def _in_line(number: int, old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        lines = content.split(b"\n")
        lines[number - 1] = lines[number - 1].replace(old, new, 1)
        return b"\n".join(lines)

    return change


REFUSED: Final[dict[str, Refusal]] = {
    "empty": _spoiled(lambda _: b"", "the file is empty; expected a header"),
    "a header alone": _spoiled(lambda content: content.split(b"\n")[0], "line 1: a header and no row"),
    "no header": _spoiled(lambda _: b"1,2\n3,4\n", "line 1: the first row holds numbers"),
    "a stray quote": _spoiled(_in_line(4, b"CUS", b'CU"S'), "line 4: a quote stands inside a cell"),
    "an open quote": _spoiled(lambda content: content + b'"CUS\n', "line 18: the last quote is never closed"),
    "a column twice": _spoiled(_in_line(1, b"Month,", b"Name,"), "line 1, column Name: two columns have this name"),
    "a page": _spoiled(lambda _: b"<html>a,b", "line 1: this is a page"),
    "a PDF": _spoiled(lambda _: b"%PDF-1.7", "save it as one of them"),
    "a cut gzip": _spoiled(lambda content: gzip.compress(content)[:-20], "damaged gzip archive; fetch", "a.csv.gz"),
    "two tables": _spoiled(lambda content: zipped({"a.csv": content, "b.csv": content}), "--member", "a.zip"),
    "no table": _spoiled(lambda _: zipped({"a.png": b"x"}), "the zip holds no table", "a.zip"),
    "a damaged parquet file": _spoiled(lambda _: b"PAR1 and no more", "damaged parquet file; write", "a.parquet"),
    "an old workbook": _spoiled(lambda _: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "save it as .xlsx", "a.xls"),
    "no workbook": _spoiled(lambda content: content, "save it as .xlsx again", "a.xlsx"),
    "a name twice in an object": _spoiled(
        lambda _: b'{"a": 1, "b": 2}\n{"a": 1, "a": 2}\n', "line 2, column a: .*twice", "a.jsonl"
    ),
    "two currencies": lambda table: (
        "a.csv",
        as_csv(table.assign(Annual_Income="R$ 30000.50", Outstanding_Debt="US$ 900.50")),
        "column Outstanding_Debt: amounts in R[$] and in US[$]",
    ),
    "merged cells": lambda table: ("a.xlsx", workbook(_sheet(table), merged="S3:S5"), "line 3: cells are merged"),
    "a broken line of JSON": _spoiled(lambda _: b'{"a": 1, "b": 2}\n{"a": \n', "line 2: .*JSON", "a.jsonl"),
}
"""Files that no reader can read: name, bytes, and what each refusal says."""
