"""Reasons: what an applicant is told about points that were lost, and the catalogue of everything that can be said.

A reason names one contract field. Which reasons are given follows four rules, carried out by the engines:

1. *How much.* The exact SHAP value of the margin, added up by family (features that tell the same story), minus the
   same figure of the reference applicant. Families that lost nothing against the reference are never named.
2. *Really.* A family is named through one of its fields only if moving that field alone to the reference's value,
   everything derived from it included, raises the score by at least a point. SHAP values share interactions out among
   features, so the rule of thumb "negative, therefore harmful" is wrong for one in five; this rule cannot be.
3. *Sensible.* Nothing is said against the direction declared in `service.score.features`: nobody is told that they pay
   their debts too early, even where the model, which learned from data, would have it so.
4. *Which.* At most four, most points lost first, no field twice. Of a family's fields the one that raises the score
   most is named.

`num_loans` and `loan_types` belong together in the contract, so moving one moves the other to the reference too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from service.contract import Direction, LoanType, Reason, Text
from service.score.features import FEATURES, Feature

FAMILIES: Final = tuple(dict.fromkeys(feature.family for feature in FEATURES))
DIRECTIONS: Final = (Direction.TOO_HIGH, Direction.TOO_LOW, Direction.MISSING)
LOAN_FIELDS: Final = ("num_loans", "loan_types")


@dataclass(frozen=True, slots=True)
class FamilyWording:
    """What a family of features is called, and its own words where "above" and "below" would not do."""

    pt: str
    en: str
    high: Text | None = None
    low: Text | None = None


FAMILY_WORDINGS: Final[dict[str, FamilyWording]] = {
    "income": FamilyWording("Renda", "Income"),
    "bank_accounts": FamilyWording("Número de contas bancárias", "The number of bank accounts"),
    "credit_cards": FamilyWording("Número de cartões de crédito", "The number of credit cards"),
    "loans": FamilyWording("Número de empréstimos em aberto", "The number of running loans"),
    "interest_rate": FamilyWording("Taxa de juros dos cartões", "The interest rate on credit cards"),
    "delay": FamilyWording("Atraso médio após o vencimento, em dias,", "The average delay after the due date"),
    "delayed_payments": FamilyWording("Número de pagamentos atrasados", "The number of delayed payments"),
    "inquiries": FamilyWording("Número de consultas de crédito", "The number of credit inquiries"),
    "credit_limit": FamilyWording("Variação do limite do cartão", "The change of the card limit"),
    "debt": FamilyWording("Dívida em aberto", "Outstanding debt"),
    "history": FamilyWording("Tempo de histórico de crédito", "The length of the credit history"),
    "instalments": FamilyWording("Total de parcelas mensais", "The total of monthly instalments"),
    "investment": FamilyWording("Valor investido por mês", "The amount invested per month"),
    "balance": FamilyWording("Saldo ao fim do mês", "The balance left at the end of the month"),
    "credit_mix": FamilyWording(
        "Avaliação da combinação de produtos de crédito",
        "The rating of the mix of credit products",
    ),
    "minimum_payment": FamilyWording(
        "Pagamento apenas do valor mínimo",
        "Paying only the minimum amount due",
        high=Text(pt="É pago apenas o valor mínimo devido", en="Only the minimum amount due is paid"),
        low=Text(pt="O pagamento excede o valor mínimo devido", en="More than the minimum amount due is paid"),
    ),
    "behaviour": FamilyWording(
        "Perfil de gastos e de pagamentos",
        "The pattern of spending and payments",
        high=Text(
            pt="Gastos ou valores de pagamento acima dos habituais entre clientes bem avaliados",
            en="Spending or the size of payments is above what is usual for well-rated customers",
        ),
        low=Text(
            pt="Gastos ou valores de pagamento abaixo dos habituais entre clientes bem avaliados",
            en="Spending or the size of payments is below what is usual for well-rated customers",
        ),
    ),
    "loan_kinds": FamilyWording(
        "Tipos de empréstimo",
        "The kinds of loan",
        high=Text(
            pt="Mais empréstimos de alguns tipos do que é habitual entre clientes bem avaliados",
            en="More loans of some kinds than is usual for well-rated customers",
        ),
        low=Text(
            pt="Menos empréstimos de alguns tipos do que é habitual entre clientes bem avaliados",
            en="Fewer loans of some kinds than is usual for well-rated customers",
        ),
    ),
    "previous_classes": FamilyWording(
        "Classe observada anteriormente",
        "The class observed earlier",
        low=Text(pt="A classe observada anteriormente reduz o score", en="The class observed earlier lowers the score"),
    ),
    "credit_lines": FamilyWording(
        "Total de contas, cartões e empréstimos",
        "The total of accounts, cards and loans",
    ),
}


LOAN_KIND_NAMES: Final[dict[LoanType, Text]] = {
    LoanType.AUTO: Text(pt="financiamento de carro", en="auto loan"),
    LoanType.CREDIT_BUILDER: Text(pt="crédito para formar histórico", en="credit-builder loan"),
    LoanType.DEBT_CONSOLIDATION: Text(pt="consolidação de dívidas", en="debt consolidation"),
    LoanType.HOME_EQUITY: Text(pt="empréstimo com garantia de imóvel", en="home equity loan"),
    LoanType.MORTGAGE: Text(pt="financiamento imobiliário", en="mortgage"),
    LoanType.PAYDAY: Text(pt="adiantamento de salário", en="payday loan"),
    LoanType.PERSONAL: Text(pt="empréstimo pessoal", en="personal loan"),
    LoanType.STUDENT: Text(pt="crédito estudantil", en="student loan"),
    LoanType.NOT_SPECIFIED: Text(pt="tipo não especificado", en="kind not specified"),
}
"""What a sentence calls each kind of loan."""


def loan_kinds_text(direction: Direction, kinds: Collection[str], usual: Collection[str]) -> Text:
    """The sentence about kinds of loan with the kinds it is about named: those held more often, or less, than usual.

    Args:
        direction: too high names what is held more often, too low what is held less.
        kinds: the applicant's kinds, which may repeat.
        usual: the reference's.
    """
    own, other = Counter(map(str, kinds)), Counter(map(str, usual))
    more, less = (own, other) if direction is Direction.TOO_HIGH else (other, own)
    names = [LOAN_KIND_NAMES[kind] for kind in LoanType if more[kind] > less[kind]]
    plain = text("loan_kinds", direction)
    if direction is Direction.MISSING or not names:
        return plain
    return Text(
        pt=f"{plain.pt}: {', '.join(one.pt for one in names)}", en=f"{plain.en}: {', '.join(one.en for one in names)}"
    )


def text(family: str, direction: Direction) -> Text:
    """The sentence for a family and direction, in both languages."""
    story = FAMILY_WORDINGS[family]
    if direction is Direction.MISSING:
        return Text(pt=f"{story.pt.rstrip(',')}: informação não fornecida", en=f"{story.en} was not given")
    own = story.high if direction is Direction.TOO_HIGH else story.low
    if own is not None:
        return own
    pt, en = ("acima", "above") if direction is Direction.TOO_HIGH else ("abaixo", "below")
    return Text(
        pt=f"{story.pt} {pt} do habitual entre clientes bem avaliados",
        en=f"{story.en} is {en} what is usual for well-rated customers",
    )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A field through which a family can be named: what moves with it, and what tells its direction."""

    family: int  # position in FAMILIES
    field: str
    moved: tuple[int, ...]  # positions of the features that take the reference's value
    leads: tuple[int, ...]  # positions of the features that say whether the field is high, low or missing
    allowed: tuple[bool, bool, bool]  # which of DIRECTIONS may be told, after the declared risk


def _own(field: str) -> tuple[int, ...]:
    """The features that are this field, recoded and nothing else."""
    return tuple(
        position for position, feature in enumerate(FEATURES) if _recodes(feature) and feature.sources[0] == field
    )


def _recodes(feature: Feature) -> bool:
    return len(feature.sources) == 1 or feature.name.startswith("loans_")


def _allowed(leads: tuple[int, ...]) -> tuple[bool, bool, bool]:
    risks = {FEATURES[lead].risk for lead in leads}
    return (risks != {-1}, risks != {1}, True)


def _candidates() -> tuple[Candidate, ...]:
    candidates = []
    for number, family in enumerate(FAMILIES):
        members = [feature for feature in FEATURES if feature.family == family]
        recoded = [feature.sources[0] for feature in members if _recodes(feature)]
        # A family of ratios alone is named through whatever the ratios are made of.
        fields = recoded or [source for feature in members for source in feature.sources]
        for field in dict.fromkeys(fields):
            own = _own(field)
            moved = tuple(position for name in LOAN_FIELDS for position in _own(name)) if field in LOAN_FIELDS else own
            candidates.append(Candidate(number, field, moved, own, _allowed(own)))
    return tuple(candidates)


CANDIDATES: Final = _candidates()
"""Every (family, field) that can be named, families in the order of FAMILIES."""

CATALOGUE: Final[tuple[Reason, ...]] = tuple(
    Reason(
        code=FAMILIES[candidate.family].upper(),
        text=text(FAMILIES[candidate.family], direction),
        feature=candidate.field,
        direction=direction,
    )
    for candidate in CANDIDATES
    for direction in DIRECTIONS
)
"""Every reason there is; the engines answer with positions in it: candidate * 3 + direction."""

FRAGMENTS: Final[tuple[bytes, ...]] = tuple(reason.model_dump_json(exclude_none=True).encode() for reason in CATALOGUE)
"""The reasons as JSON objects, ready to be joined by commas."""


def direction_of(row: list[float], reference: list[float], candidate: Candidate) -> int:
    """Position in DIRECTIONS: missing before the first lead that differs from the reference.

    -1 if none differs, or if the direction is one that may not be told.
    """
    position = -1
    for lead in candidate.leads:
        value = row[lead]
        if value != value:  # pylint: disable=comparison-with-itself  # NaN, without the cost of a call
            return 2
        if position < 0 and value != reference[lead]:
            position = 0 if value > reference[lead] else 1
    return position if position < 0 or candidate.allowed[position] else -1
