"""The two data contracts as pandera schemas: the raw table and the clean rows.

The raw schema describes what a clean source would look like; its violations are counted and reported, never fatal,
since cleaning is there for them. The clean schema is a promise of our own code: a violation is a fault.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from flows.cleaning.balance_identity import BROKEN, HOLDS, REPAIRED, UNKNOWN
from flows.cleaning.parsing import CATEGORIES, WHOLE, text
from flows.cleaning.pipeline import CLEAN_COLUMNS, IDENTITY_COLUMN
from flows.cleaning.raw_table import LABEL_COLUMN, LABELS, LOAN_TYPES, MASKS, MONTHS, NUMERIC, RAW_COLUMNS
from flows.errors import ContractBroken
from service.contract import Applicant, LoanType

HISTORY_FORM: Final = r"\d{1,2} Years? and \d{1,2} Months?"
LOAN_FORM: Final = "|".join(re.escape(name) for name in LOAN_TYPES)
NOT_TOLD: Final = ("", *MASKS)
Cells = pd.Series


def raw_schema(*, labelled: bool) -> pa.DataFrameSchema:
    """Every column of the raw table with the rules its cells keep when they are clean."""
    columns = {name: pa.Column(checks=_raw_checks(name), required=True) for name in RAW_COLUMNS}
    if labelled:
        columns[LABEL_COLUMN] = pa.Column(checks=[_rule("known", lambda cells: cells.isin(LABELS))])
    once = pa.Check(lambda table: ~table.duplicated(["Customer_ID", "Month"]), name="one row a customer and month")
    return pa.DataFrameSchema(columns, checks=[once], name="raw")


def raw_violations(raw: pd.DataFrame) -> pd.DataFrame:
    """Every violated rule of the raw schema: column, rule, rows, share; the most frequent first."""
    try:
        raw_schema(labelled=LABEL_COLUMN in raw.columns).validate(raw, lazy=True)
    except SchemaErrors as errors:
        cases = errors.failure_cases
        # A check on the whole table lists each broken row once per column; all other checks once per cell.
        table = cases["schema_context"] == "DataFrameSchema"
        per_rule = cases.assign(column=cases["column"].mask(table, "(table)")).groupby(["column", "check"])["index"]
        counts = per_rule.nunique().reset_index(name="rows").rename(columns={"check": "rule"})
        counts["share"] = counts["rows"] / len(raw)
        totals: pd.DataFrame = counts.sort_values(
            ["rows", "column", "rule"], ascending=[False, True, True], ignore_index=True
        )
        return totals
    return pd.DataFrame({"column": [], "rule": [], "rows": [], "share": []})


def clean_schema(*, labelled: bool) -> pa.DataFrameSchema:
    """What `pipeline.clean_rows` promises: the contract's types and ranges, one row a customer and month."""
    columns: dict[str, pa.Column] = {
        "customer_id": pa.Column("str", pa.Check.str_length(min_value=1)),
        "month": pa.Column("int64", pa.Check.in_range(1, len(MONTHS))),
        "label": pa.Column("str", pa.Check.isin(LABELS), nullable=not labelled),
        "age": pa.Column("Int64", pa.Check.in_range(NUMERIC["Age"].low, NUMERIC["Age"].high), nullable=True),
        "occupation": pa.Column("str", pa.Check.isin(list(CATEGORIES["Occupation"][1].values())), nullable=True),
        IDENTITY_COLUMN: pa.Column("str", pa.Check.isin([HOLDS, REPAIRED, BROKEN, UNKNOWN])),
    }
    columns |= {name: _contract_column(name, rules) for name, rules in _contract_rules().items()}
    kinds = "|".join(LoanType)
    columns["loan_types"] = pa.Column("str", pa.Check.str_matches(rf"^(({kinds})(\|({kinds}))*)?$"))
    known_loans = pa.Check(
        lambda frame: (frame["loan_types"] == "") | (frame["loan_types"].str.count(r"\|") + 1 == frame["num_loans"]),
        name="as many kinds as loans",
    )
    ordered = {name: columns[name] for name in CLEAN_COLUMNS}
    return pa.DataFrameSchema(
        ordered, checks=[known_loans], strict=True, ordered=True, unique=["customer_id", "month"], name="clean"
    )


def hold(schema: pa.DataFrameSchema, frame: pd.DataFrame) -> pd.DataFrame:
    """The frame, if it keeps the schema; else `ContractBroken` naming each broken rule with its count, no value."""
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as errors:
        counts = errors.failure_cases.groupby(["column", "check"], dropna=False).size()
        faults = ", ".join(f"{column}: {check} ({count})" for (column, check), count in counts.items())
        raise ContractBroken(f"{schema.name} data breaks its schema: {faults}") from None
    return frame


def _rule(name: str, test: Callable[[Cells], Cells]) -> pa.Check:
    return pa.Check(test, name=name)


def _raw_checks(name: str) -> list[pa.Check]:
    presence = _rule("told", lambda cells: ~text(cells).isin(NOT_TOLD))
    if name in NUMERIC:
        column = NUMERIC[name]
        return [
            presence,
            _rule("a plain number", lambda cells: text(cells).isin(NOT_TOLD) | _numbers(cells).notna()),
            _rule(
                f"{column.low:g} to {column.high:g}",
                lambda cells: _bare(cells).isna() | _bare(cells).between(column.low, column.high),
            ),
        ]
    if name in CATEGORIES:
        known = CATEGORIES[name][1]
        return [presence, _rule("known", lambda cells: text(cells).isin([*NOT_TOLD, *known]))]
    if name == "Month":
        return [_rule("known", lambda cells: text(cells).isin(MONTHS))]
    if name == "Credit_History_Age":
        return [
            presence,
            _rule("x Years and y Months", lambda c: text(c).isin(NOT_TOLD) | text(c).str.fullmatch(HISTORY_FORM)),
        ]
    if name == "Type_of_Loan":
        form = rf"({LOAN_FORM})(, (and )?({LOAN_FORM}))*"
        return [_rule("known", lambda cells: text(cells).isin(NOT_TOLD) | text(cells).str.fullmatch(form))]
    return [presence]


def _numbers(cells: Cells) -> Cells:
    return pd.to_numeric(text(cells), errors="coerce")


def _bare(cells: Cells) -> Cells:
    return pd.to_numeric(text(cells).str.strip("_"), errors="coerce")


def _contract_rules() -> dict[str, dict[str, object]]:
    """The public contract's own JSON schema, field by field: one source for types and ranges."""
    fields = Applicant.model_json_schema()["properties"]
    return {name: fields[name] for name in CLEAN_COLUMNS if name in fields}


def _contract_column(name: str, rules: dict[str, object]) -> pa.Column:
    alternatives = rules.get("anyOf")
    choices = alternatives if isinstance(alternatives, list) else [rules]
    nullable = {"type": "null"} in choices
    rule = next(choice for choice in choices if choice != {"type": "null"})
    if "minimum" in rule:
        check = pa.Check.in_range(rule["minimum"], rule["maximum"])
        return pa.Column("Int64" if name in WHOLE else "float64", check, nullable=nullable)
    known = {target: list(words.values()) for target, words in CATEGORIES.values()}.get(name, [])
    return pa.Column("str", pa.Check.isin(known) if known else None, nullable=nullable)
