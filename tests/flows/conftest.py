"""Our sample once a session, a small clean customer to break on purpose, and the bucket of answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pandas as pd
import pytest

from flows.cleaning.raw_table import MONTHS
from flows.data.sample import generate
from tests.conftest import ObjectStore

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

RawCustomer = Callable[..., pd.DataFrame]
SALARY, EMI, SPENDING = 2_000.0, 45.0, 260.0  # High_spent_Small_value_payments
BASE = {
    "ID": "0x1",
    "Customer_ID": "CUS_1",
    "Name": "Nobody",
    "Age": "30",
    "SSN": "000-00-0001",
    "Occupation": "Writer",
    "Annual_Income": "24000.0",
    "Monthly_Inhand_Salary": str(SALARY),
    "Num_Bank_Accounts": "3",
    "Num_Credit_Card": "4",
    "Interest_Rate": "7",
    "Num_of_Loan": "3",
    "Type_of_Loan": "Auto Loan, Payday Loan, and Not Specified",
    "Delay_from_due_date": "12",
    "Num_of_Delayed_Payment": "9",
    "Changed_Credit_Limit": "8.25",
    "Num_Credit_Inquiries": "4.0",
    "Credit_Mix": "Standard",
    "Outstanding_Debt": "810.5",
    "Credit_Utilization_Ratio": "31.5",
    "Credit_History_Age": "10 Years and 1 Months",
    "Payment_of_Min_Amount": "No",
    "Total_EMI_per_month": str(EMI),
    "Amount_invested_monthly": "90.0",
    "Payment_Behaviour": "High_spent_Small_value_payments",
    "Monthly_Balance": str(SPENDING + SALARY / 10 - EMI - 90.0),
    "Credit_Score": "Good",
}


@pytest.fixture(scope="session")
def raw_customer() -> RawCustomer:
    """One customer's months from January on; a list gives a column month by month, one value all months."""

    def build(months: int = 3, **columns: Any) -> pd.DataFrame:
        rows = pd.DataFrame({name: [value] * months for name, value in BASE.items()}, dtype="object")
        rows["Month"] = list(MONTHS[:months])
        rows["Credit_History_Age"] = [f"10 Years and {month} Months" for month in range(1, months + 1)]
        for name, value in columns.items():
            rows[name] = value
        return rows.astype("str")

    return build


@pytest.fixture(scope="session")
def sample() -> pd.DataFrame:
    """300 customers of our own, January to August, labelled."""
    return generate(300, range(1, 9), seed=7)


@pytest.fixture(name="store")
def fixture_store(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Client]:
    """An S3 client of the real gateway, whose environment flows read; bucket `predictions` is emptied afterwards."""
    for name, value in object_store.variables.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    yield client
    for item in client.list_objects_v2(Bucket="predictions").get("Contents", []):
        client.delete_object(Bucket="predictions", Key=item["Key"])
