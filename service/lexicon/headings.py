"""Which field a column holds, by its name: the contract's, Kaggle's, in any case, English or Portuguese."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Final

from service.contract import Applicant
from service.lexicon.vocabulary import word

KAGGLE: Final = {
    "id": "ID",
    "customer_ref": "Customer_ID",
    "month": "Month",
    "name": "Name",
    "age": "Age",
    "ssn": "SSN",
    "occupation": "Occupation",
    "annual_income": "Annual_Income",
    "monthly_inhand_salary": "Monthly_Inhand_Salary",
    "num_bank_accounts": "Num_Bank_Accounts",
    "num_credit_cards": "Num_Credit_Card",
    "interest_rate": "Interest_Rate",
    "num_loans": "Num_of_Loan",
    "loan_types": "Type_of_Loan",
    "delay_from_due_date": "Delay_from_due_date",
    "num_delayed_payments": "Num_of_Delayed_Payment",
    "changed_credit_limit": "Changed_Credit_Limit",
    "num_credit_inquiries": "Num_Credit_Inquiries",
    "credit_mix": "Credit_Mix",
    "outstanding_debt": "Outstanding_Debt",
    "credit_utilization_ratio": "Credit_Utilization_Ratio",
    "credit_history_months": "Credit_History_Age",
    "payment_of_min_amount": "Payment_of_Min_Amount",
    "total_emi_per_month": "Total_EMI_per_month",
    "amount_invested_monthly": "Amount_invested_monthly",
    "payment_behaviour": "Payment_Behaviour",
    "monthly_balance": "Monthly_Balance",
    "label": "Credit_Score",
}
"""By field of the contract, or of the training table beside it, what Kaggle's file calls it."""
CLOSE_ENOUGH: Final = 0.6  # difflib's ratio from which a name counts as a misspelling
_FURTHER: Final[dict[str, tuple[str, ...]]] = {
    "customer_ref": ("Sua referência do cliente", "Your customer reference", "customer", "id_cliente"),
    "as_of": ("Dados de", "Data as of"),
    "month": ("Mês",),
    "name": ("Nome",),
    "age": ("Idade",),
    "occupation": ("Profissão", "Ocupação"),
    "annual_income": ("Renda anual", "renda", "income"),
    "monthly_inhand_salary": ("Salário líquido", "Net salary", "salário", "salary"),
    "num_bank_accounts": ("Contas bancárias", "Bank accounts", "Num_Bank_Account"),
    "num_credit_cards": ("Cartões de crédito", "Credit cards", "cartões"),
    "num_loans": ("Empréstimos em aberto", "Running loans", "Num_Loan", "empréstimos", "loans"),
    "loan_types": ("Tipos dos empréstimos", "Kinds of the loans", "Loan_Type", "Types_of_Loan"),
    "interest_rate": ("Juros do cartão", "Card interest rate", "juros", "taxa de juros"),
    "delay_from_due_date": ("Dias de atraso no pagamento", "Days paid after the due date", "dias de atraso"),
    "num_delayed_payments": ("Pagamentos atrasados", "Delayed payments"),
    "num_credit_inquiries": ("Consultas de crédito", "Credit inquiries"),
    "changed_credit_limit": ("Mudança no limite do cartão", "Change of the card limit"),
    "credit_mix": ("Variedade de crédito", "Mix of credit products"),
    "outstanding_debt": ("Dívida a pagar", "Debt still to be paid", "dívida", "debt"),
    "credit_utilization_ratio": ("Uso do limite", "Share of the limit in use", "Credit_Utilisation_Ratio"),
    "credit_history_months": ("Tempo de histórico de crédito", "Age of the credit history", "Credit_History"),
    "payment_of_min_amount": ("Paga só o mínimo", "Pays only the minimum"),
    "total_emi_per_month": ("Parcelas de empréstimos", "Loan instalments", "parcelas", "Total_EMI"),
    "amount_invested_monthly": ("Investimento", "Invested"),
    "payment_behaviour": ("Gastos e pagamentos", "Spending and payments", "Payment_Behavior"),
    "monthly_balance": ("Sobra no fim do mês", "Left over", "saldo", "balance"),
    "label": ("Credit_Class", "classe"),
}
_BY_WORD: Final = {
    word(spelling): field
    for field in (*Applicant.model_fields, *KAGGLE)
    for spelling in (field, KAGGLE.get(field, field), *_FURTHER.get(field, ()))
}


def field_of(column: str) -> str | None:
    """The field that a column of this name holds; None if the name is not known."""
    return _BY_WORD.get(word(column))


def fields_of(columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """By field the columns that hold it: one, or more where nothing says which; an exact name beats all others."""
    matches: dict[str, list[str]] = {}
    for column in columns:
        if field := field_of(column):
            matches.setdefault(field, []).append(column)
    exact = {field: [column for column in candidates if _exact(field, column)] for field, candidates in matches.items()}
    return {
        field: tuple(exact[field] if len(exact[field]) == 1 else candidates) for field, candidates in matches.items()
    }


def _exact(field: str, column: str) -> bool:
    return column in (field, KAGGLE.get(field))


def near(name: str, columns: Iterable[str]) -> str:
    """The name, with the column that is spelt most like it, if one is: `num_loans (is it Num_Lons?)`."""
    spare = {column.lower(): column for column in columns}
    closest = difflib.get_close_matches(name.lower(), spare, n=1, cutoff=CLOSE_ENOUGH)
    return f"{name} (is it {spare[closest[0]]}?)" if closest else name
