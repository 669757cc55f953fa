"""Words that stand for the contract's values, in any case, with any signs between them.

In English and Portuguese; yes and no, and the months, also as spreadsheets in Spanish, German and French write them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from service.contract import CreditClass, CreditMix, LoanType, MinimumPayment, PaymentBehaviour
from service.lexicon.unknown_texts import is_unknown

_FURTHER: Final[Mapping[str, tuple[str, ...]]] = {
    CreditMix.BAD: ("Ruim", "Má"),
    CreditMix.STANDARD: ("Padrão", "Regular"),
    CreditMix.GOOD: ("Boa", "Bom"),
    MinimumPayment.YES: ("Sim", "Y", "S", "True", "Sí", "Ja", "J", "Oui", "Verdadeiro", "Verdadero", "Wahr", "Vrai"),
    MinimumPayment.NO: ("Não", "N", "False", "Nein", "Non", "Falso", "Falsch", "Faux"),
    PaymentBehaviour.HIGH_LARGE: ("Gasta muito, pagamentos grandes", "High spending, large payments"),
    PaymentBehaviour.HIGH_MEDIUM: ("Gasta muito, pagamentos médios", "High spending, medium payments"),
    PaymentBehaviour.HIGH_SMALL: ("Gasta muito, pagamentos pequenos", "High spending, small payments"),
    PaymentBehaviour.LOW_LARGE: ("Gasta pouco, pagamentos grandes", "Low spending, large payments"),
    PaymentBehaviour.LOW_MEDIUM: ("Gasta pouco, pagamentos médios", "Low spending, medium payments"),
    PaymentBehaviour.LOW_SMALL: ("Gasta pouco, pagamentos pequenos", "Low spending, small payments"),
    LoanType.AUTO: ("Auto Loan", "Car Loan", "Financiamento de carro", "Financiamento de veículo"),
    LoanType.CREDIT_BUILDER: ("Credit-Builder Loan", "Empréstimo para formar histórico"),
    LoanType.DEBT_CONSOLIDATION: ("Debt Consolidation Loan", "Consolidação de dívidas"),
    LoanType.HOME_EQUITY: ("Home Equity Loan", "Empréstimo com garantia de imóvel"),
    LoanType.MORTGAGE: ("Mortgage Loan", "Financiamento imobiliário"),
    LoanType.PAYDAY: ("Payday Loan", "Adiantamento de salário"),
    LoanType.PERSONAL: ("Personal Loan", "Empréstimo pessoal"),
    LoanType.STUDENT: ("Student Loan", "Crédito estudantil"),
    LoanType.NOT_SPECIFIED: ("Not Specified", "Não especificado"),
    CreditClass.POOR: ("Ruim",),
}
_LISTS: Final = re.compile(r"[|;,/+\n]|\band\b|\be\b|&", re.IGNORECASE)
_BRACKETS: Final = str.maketrans("", "", "[](){}\"'")
_YEARS: Final = r"(?P<years>[0-9]{1,3})\s*(?:years?|yrs?|y|anos?|a)\.?"
_MONTHS: Final = r"(?P<months>[0-9]{1,4})\s*(?:months?|mos?|m|m[eê]s|meses)\.?"
_HISTORY: Final = tuple(
    re.compile(form, re.IGNORECASE) for form in (rf"{_YEARS}(?:\s*(?:,|and|e|&)?\s*{_MONTHS})?", _MONTHS)
)
MONTH_NAMES: Final = (
    ("January", "Janeiro", "Enero", "Januar", "Janvier"),
    ("February", "Fevereiro", "Febrero", "Februar", "Février"),
    ("March", "Março", "Marzo", "März", "Mars"),
    ("April", "Abril", "Avril"),
    ("May", "Maio", "Mayo", "Mai"),
    ("June", "Junho", "Junio", "Juni", "Juin"),
    ("July", "Julho", "Julio", "Juli", "Juillet"),
    ("August", "Agosto", "Août"),
    ("September", "Setembro", "Septiembre", "Septembre"),
    ("October", "Outubro", "Octubre", "Oktober", "Octobre"),
    ("November", "Novembro", "Noviembre", "Novembre"),
    ("December", "Dezembro", "Diciembre", "Dezember", "Décembre"),
)


def word(text: str) -> str:
    """Letters and digits alone, without accents and case: what two spellings of one name share."""
    split = unicodedata.normalize("NFKD", text.casefold())
    return "".join(sign for sign in split if sign.isalnum())


def _by_word(levels: tuple[str, ...]) -> dict[str, str]:
    return {word(spelling): str(level) for level in levels for spelling in (level, *_FURTHER.get(level, ()))}


_LEVELS: Final = {
    "credit_mix": _by_word(tuple(CreditMix)),
    "payment_of_min_amount": _by_word(tuple(MinimumPayment)),
    "payment_behaviour": _by_word(tuple(PaymentBehaviour)),
    "loan_types": _by_word(tuple(LoanType)),
    "label": _by_word(tuple(CreditClass)),
}
CATEGORIES: Final = frozenset({"credit_mix", "payment_of_min_amount", "payment_behaviour"})


def levels(field: str) -> tuple[str, ...]:
    """The contract's values of a field of words, none for any other field."""
    return tuple(dict.fromkeys(_LEVELS.get(field, {}).values()))


@lru_cache(maxsize=4096)  # few distinct cells, many rows
def category(field: str, text: str) -> str | None:
    """The contract's own spelling of a category; None where the word stands for none."""
    return _LEVELS[field].get(word(text))


def loans(text: str) -> tuple[str | None, ...]:
    """The kinds in a list of loans, None for a name that is no kind; lists of any sign, brackets and quotes off."""
    whole = category("loan_types", text)
    if whole is not None:
        return (whole,)
    parts = [part.strip() for part in _LISTS.split(text.translate(_BRACKETS))]
    kinds = ((part, category("loan_types", part)) for part in parts)
    return tuple(kind for part, kind in kinds if kind is not None or not is_unknown(part))


@lru_cache(maxsize=4096)
def history(text: str) -> int | None:
    """Months in "22 Years and 1 Months", "22 anos e 1 mês", "5 months"; None for anything else."""
    for form in _HISTORY:
        if match := form.fullmatch(text.strip()):
            parts = match.groupdict()
            return int(parts.get("years") or 0) * 12 + int(parts["months"] or 0)
    return None


def _month_numbers() -> dict[str, int]:
    """By spelling; a beginning that two months share (`jui`) is none of either's."""
    numbers: dict[str, set[int]] = {}
    for number, names in enumerate(MONTH_NAMES, start=1):
        beginnings = (word(name)[:length] for name in names for length in range(3, len(name) + 1))
        for spelling in (*beginnings, str(number), f"{number:02d}"):
            numbers.setdefault(spelling, set()).add(number)
    return {spelling: months.pop() for spelling, months in numbers.items() if len(months) == 1}


_MONTH_NUMBERS: Final = _month_numbers()


@lru_cache(maxsize=1024)
def month(text: str) -> int | None:
    """A month's number from its name, or three or more letters of it, or the number itself (`1`, `01`, `1.0`)."""
    return _MONTH_NUMBERS.get(word(text.strip().removesuffix(".0").removesuffix(",0")))
