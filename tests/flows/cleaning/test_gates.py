"""Gates that stop: tables with one real defect end the stage, harmless variants of the same table do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flows.cleaning.gates import GateOverride, Measure, judged, refuse
from flows.cleaning.pipeline import clean_rows
from flows.cleaning.quality import suspect_repeats
from flows.data.params import read_params
from flows.data.raw_reading import read_raw_table
from flows.data.sample import generate
from flows.errors import DatasetError, GateBreached

PARAMS = read_params(Path(__file__).parents[3] / "data/params.yaml").prepare
Change = Callable[[pd.DataFrame], pd.DataFrame | bytes]
MONEY = (
    *("Annual_Income", "Monthly_Inhand_Salary", "Outstanding_Debt", "Total_EMI_per_month"),
    *("Amount_invested_monthly", "Monthly_Balance"),
)


@pytest.fixture(scope="module", name="table")
def _table() -> pd.DataFrame:
    """The sample of 500 customers, as the generator writes it."""
    return generate(500, range(1, 9), seed=11).astype("str")


def judge(table: pd.DataFrame | bytes, overrides: tuple[GateOverride, ...] = ()) -> list[Measure]:
    """The gates' word on a table, read from the file it would be."""
    content = table if isinstance(table, bytes) else table.to_csv(index=False).encode()
    raw = read_raw_table(content, labelled=True, name="train.csv")
    return judged(clean_rows(raw.frame, suspect_repeats(raw.frame)), raw.understanding, PARAMS.gates, overrides)


def column(name: str, change: Callable[[pd.Series], Any]) -> Change:
    """A table with one column changed."""
    return lambda table: table.assign(**{name: change(table[name])})


def times(factor: float, *names: str) -> Change:
    """Amounts in another unit."""

    def scaled(cells: pd.Series) -> pd.Series:
        numbers = pd.to_numeric(cells.str.strip("_"), errors="coerce")
        return cells.where(numbers.isna(), (numbers * factor).round(4).astype("str"))

    return lambda table: table.assign(**{name: scaled(table[name]) for name in names})


def shuffled(cells: pd.Series) -> Any:
    """The same cells on other rows."""
    return cells.sample(frac=1, random_state=3).to_numpy()


def some(share: float, value: str) -> Callable[[pd.Series], pd.Series]:
    """A share of the cells replaced."""

    def replaced(cells: pd.Series) -> pd.Series:
        chosen = np.random.default_rng(5).random(len(cells)) < share
        return cells.mask(chosen, value)

    return replaced


SPOILED: dict[str, Change] = {
    "another currency": times(5.5, *MONEY),
    "income in thousands": times(0.001, "Annual_Income"),
    "income of a month": times(1 / 12, "Annual_Income"),
    "salary of a year": times(12, "Monthly_Inhand_Salary"),
    "debt in thousands": times(0.001, "Outstanding_Debt"),
    "rate as a fraction": times(0.01, "Interest_Rate"),
    "utilization as a fraction": times(0.01, "Credit_Utilization_Ratio"),
    "history in words nobody knows": column("Credit_History_Age", lambda cells: cells.str.replace("Years", "Jahre")),
    "history in years": column("Credit_History_Age", lambda cells: cells.str.extract(r"^(\d+)")[0].fillna("NA")),
    "categories of another language": column(
        "Credit_Mix", lambda cells: cells.replace({"Good": "Gut", "Bad": "Schlecht"})
    ),
    "a category lost": column("Payment_of_Min_Amount", lambda cells: cells.replace({"No": "Yes"})),
    "an empty column": column("Credit_Mix", lambda cells: "_"),
    "a constant column": column("Num_Bank_Accounts", lambda cells: "5"),
    "half of a column empty": column("Outstanding_Debt", some(0.5, "")),
    "gaps filled with a constant": column("Delay_from_due_date", some(0.45, "18")),
    "gaps filled with words": column("Num_of_Delayed_Payment", some(0.05, "several")),
    "a shuffled label": column("Credit_Score", shuffled),
    "a label of one class": column("Credit_Score", lambda cells: "Standard"),
    "labels nobody knows": column("Credit_Score", lambda cells: cells.replace({"Poor": "C"})),
    "a shuffled column": column("Interest_Rate", shuffled),
    "a column that slipped": column("Annual_Income", lambda cells: cells.shift(3).bfill()),
    "salary of another row": column("Monthly_Inhand_Salary", shuffled),
    "two columns exchanged": lambda table: table.rename(
        columns={"Total_EMI_per_month": "Amount_invested_monthly", "Amount_invested_monthly": "Total_EMI_per_month"}
    ),
    "a column twice": lambda table: table.assign(Num_Credit_Card=table["Num_Bank_Accounts"]),
    "ids that are rows": lambda table: table.assign(Customer_ID=[f"CUS_{place}" for place in range(len(table))]),
    "one id for all": lambda table: table.assign(Customer_ID="CUS_1"),
    "one person under two ids": lambda table: pd.concat(
        [
            table,
            table[table["Customer_ID"].isin(table["Customer_ID"].unique()[:50])].assign(
                Customer_ID=lambda rows: rows["Customer_ID"] + "b"
            ),
        ]
    ),
    "a month cut out": lambda table: table[table["Month"] != "April"],
    "most of a month lost": lambda table: table[(table["Month"] != "April") | (table.index % 5 == 0)],
    "two months": lambda table: table[table["Month"].isin(["January", "February"])],
    "every row twice": lambda table: pd.concat([table, table]),
}


@pytest.mark.parametrize("case", SPOILED)
def test_a_spoiled_table_is_stopped(table: pd.DataFrame, case: str) -> None:
    """One real defect ends the stage, in one line that says what to do."""
    with pytest.raises(DatasetError) as raised:
        refuse(judge(SPOILED[case](table)))
    assert "\n" not in str(raised.value)
    assert isinstance(raised.value, GateBreached) and "prepare.overrides in data/params.yaml" in str(raised.value)


def _cleaned_copy(table: pd.DataFrame) -> pd.DataFrame:
    years = table["Credit_History_Age"].str.extract(r"(\d+) Years and (\d+)").astype("float")
    months = pd.to_datetime(table["Month"], format="%B").dt.month.astype("str")
    history = (years[0] * 12 + years[1]).astype("str").replace("nan", "")
    return table.assign(Month=months, Credit_History_Age=history, Credit_Mix=table["Credit_Mix"].str.lower())


def _grouped(table: pd.DataFrame) -> pd.DataFrame:
    def dressed(cell: str) -> str:
        try:
            return f"{float(cell):,.2f}"
        except ValueError:
            return cell

    return table.assign(**{name: table[name].map(dressed) for name in MONEY})


HARMLESS: dict[str, Change] = {
    "as it is": lambda table: table,
    "shuffled rows": lambda table: table.sample(frac=1, random_state=1),
    "columns in another order": lambda table: table[table.columns[::-1]],
    "half of the customers": lambda table: table[table["Customer_ID"].isin(table["Customer_ID"].unique()[::2])],
    "six months": lambda table: table[table["Month"].isin(["January", "February", "March", "April", "May", "June"])],
    "a tenth of the rows lost": lambda table: table.sample(frac=0.9, random_state=2),
    "a further column": lambda table: table.assign(Branch="7"),
    "an index column": lambda table: table.to_csv().encode(),
    "semicolons": lambda table: table.to_csv(index=False, sep=";").encode(),
    "tabs": lambda table: table.to_csv(index=False, sep="\t").encode(),
    "UTF-16": lambda table: table.to_csv(index=False).encode("utf-16"),
    "a mark": lambda table: table.to_csv(index=False).encode("utf-8-sig"),
    "CRLF": lambda table: table.to_csv(index=False, lineterminator="\r\n").encode(),
    "quoted everything": lambda table: table.to_csv(index=False, quoting=1).encode(),
    "lower-case names": lambda table: table.rename(columns=str.lower),
    "lower-case categories": lambda table: table.assign(
        **{name: table[name].str.lower() for name in ("Credit_Mix", "Payment_Behaviour", "Payment_of_Min_Amount")}
    ),
    "the cleaned copy": _cleaned_copy,
    "thousands marked": _grouped,
    "NULL for gaps": lambda table: table.replace({"": "NULL", "NA": "\\N"}),
    "hash N/A for masks": lambda table: table.replace({"_": "#N/A"}),
    "months in Portuguese": column("Month", lambda cells: cells.replace({"February": "Fevereiro", "April": "abr"})),
    "a few typing errors": column("Num_of_Delayed_Payment", some(0.004, "x")),
    "a few rows twice": lambda table: pd.concat([table, table.head(80)]),
    "a little more missing": column("Num_Credit_Inquiries", some(0.05, "")),
    "amounts in cents": lambda table: table.assign(
        **{
            name: table[name].where(
                ~table[name].str.fullmatch(r"\d+\.\d{3,}"), table[name].str.replace(r"(\.\d\d)\d+", r"\1", regex=True)
            )
            for name in ("Credit_Utilization_Ratio",)
        }
    ),
    "no last underscores": lambda table: table.apply(
        lambda cells: cells.where(~cells.str.fullmatch(r"[\d.]+_"), cells.str.rstrip("_"))
    ),
}


@pytest.mark.parametrize("case", HARMLESS)
def test_a_harmless_variant_is_not_stopped(table: pd.DataFrame, case: str) -> None:
    """Another way to write the table, or a little less of it, passes every gate."""
    refuse(judge(HARMLESS[case](table)))


def test_a_breach_names_column_rule_and_commonest_unread_values(table: pd.DataFrame) -> None:
    """The message of the worst breach has all that is needed to mend the source."""
    spoiled = column("Credit_Mix", lambda cells: cells.replace({"Good": "Gut", "Bad": "Schlecht"}))(table)
    with pytest.raises(
        GateBreached, match=r"unread_cells of credit_mix is 0\.\d+, at most 0\.01 .*'Gut \(\d[\d,]*\)', 'Sch"
    ):
        refuse(judge(spoiled))


def test_an_override_is_by_name_and_reason(table: pd.DataFrame) -> None:
    """A breach that a person means does not stop, and stays in the record with name and reason."""
    spoiled = column("Num_of_Delayed_Payment", some(0.05, "several"))(table)
    word = GateOverride(gate="unread_cells", column="num_delayed_payments", by="ana", reason="free text until May")
    found = judge(spoiled, (word,))
    refuse(found)
    assert [(one.overridden_by, one.reason) for one in found if not one.passed] == [("ana", "free text until May")]
