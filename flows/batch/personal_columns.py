"""Columns that name a person: a job neither scores by them nor writes them out again, since results are passed around.

Told by their names alone, in English or Portuguese, as Kaggle's file has them or as banks write them. What tells whose
row it is (an id, a reference) stays: without it no answer could be brought back to its row.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from flows.batch.piece_rows import RowsRead
from service.lexicon.headings import field_of
from service.lexicon.vocabulary import word

_TELLING: Final = frozenset(
    "ssn cpf rg passport passaporte cnh surname sobrenome email mail phone telephone telefone celular mobile whatsapp "
    "address endereco street rua cep zipcode postcode birthdate birthday nascimento dob".split()
)
"""Words that tell a person wherever they stand in a column's name."""
_NAMES: Final = frozenset(
    "fullname firstname lastname middlename givenname familyname customername clientname applicantname personname "
    "nomecompleto nomecliente nomedocliente nomesocial nomemae nomedamae primeironome ultimonome cliente "
    "dateofbirth datanascimento".split()
)
_PERSONAL_FIELDS: Final = frozenset({"name", "ssn"})


def personal_columns(names: Iterable[str]) -> tuple[str, ...]:
    """Those of the names that tell who a person is."""
    return tuple(name for name in names if _personal(name))


def _personal(name: str) -> bool:
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", name) if not unicodedata.combining(sign))
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", plain).casefold())
    return field_of(name) in _PERSONAL_FIELDS or word(name) in _NAMES or not _TELLING.isdisjoint(words)


def without_personal(rows: RowsRead) -> RowsRead:
    """The rows without the columns that name a person, in what is passed on and in what is told of refused rows.

    A row whose cells do not fit the header cannot be read by columns; where the file names persons it keeps its line
    and the reason, and no cell.
    """
    names = personal_columns(rows.file_table.column_names)
    if not names:
        return rows
    return replace(
        rows,
        table=rows.table.drop_columns(list(names)),
        file_table=rows.file_table.drop_columns(list(names)),
        aside={place: replace(row, cells=()) for place, row in rows.aside.items()},
        left_out=names,
    )
