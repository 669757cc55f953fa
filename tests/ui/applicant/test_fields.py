"""The form follows the contract's JSON schema."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

from service.contract import Applicant
from ui.applicant.fields import FieldKind, contract_fields, grouped, read_fields

FIELDS = {field.name: field for field in contract_fields()}


def test_every_field_of_the_contract() -> None:
    """All fields, in order, each with a group and a description."""
    assert list(FIELDS) == list(Applicant.model_fields)
    assert all(field.group and field.description for field in FIELDS.values())


def test_kinds_and_rules() -> None:
    """Types, ranges, choices and what may be empty come from the schema."""
    income = FIELDS["annual_income"]
    assert (income.kind, income.low, income.high, income.nullable) == (FieldKind.NUMBER, 0, 1e7, False)
    assert FIELDS["num_loans"].kind is FieldKind.INTEGER
    assert FIELDS["credit_mix"].kind is FieldKind.CHOICE and FIELDS["credit_mix"].nullable
    assert FIELDS["loan_types"].kind is FieldKind.CHOICES and "payday" in FIELDS["loan_types"].options
    assert FIELDS["as_of"].kind is FieldKind.DATE and not FIELDS["as_of"].required
    assert FIELDS["customer_ref"].kind is FieldKind.TEXT and FIELDS["customer_ref"].pattern


def test_a_field_added_to_the_contract_appears() -> None:
    """A new field, even of a new group, is read like the others and shown last."""

    class Newer(BaseModel):
        """A contract of tomorrow."""

        age_of_home: Annotated[int | None, Field(ge=0, le=99, json_schema_extra={"unit": "years", "group": "home"})]
        owns: bool
        annual_income: Annotated[float, Field(ge=0, json_schema_extra={"group": "income"})]

    schema: dict[str, Any] = Newer.model_json_schema()
    found = read_fields(schema)
    assert [(field.name, field.kind) for field in found] == [
        ("age_of_home", FieldKind.INTEGER),
        ("owns", FieldKind.SWITCH),
        ("annual_income", FieldKind.NUMBER),
    ]
    assert found[0].nullable and found[0].unit == "years"
    assert [group for group, _ in grouped(found)] == ["income", "home", "other"]
