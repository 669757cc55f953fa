"""What the decoder makes of the contract's fields: it counts the keys of a body, so it must know each that may come."""

from __future__ import annotations

import json
from typing import Final

import pytest

from service.contract import Applicant
from service.docs.examples import APPLICANT
from service.web import decoding

OPTIONAL: Final = [name for name, field in Applicant.model_fields.items() if not field.is_required()]


@pytest.mark.parametrize("field", OPTIONAL)
def test_a_field_that_may_be_left_out_may_be_sent(field: str) -> None:
    """Left out or null it is one thing, in a request of one applicant and in a batch; no other key is mistaken."""
    without = {name: value for name, value in APPLICANT.items() if name not in OPTIONAL}
    for body in (without, without | {field: None}):
        one = decoding.applicant(json.dumps(body).encode())
        (row,) = decoding.applicants(json.dumps({"applicants": [body]}).encode())

        assert [getattr(each, name) for each in (one, row) for name in OPTIONAL] == [None] * 2 * len(OPTIONAL)


def test_every_field_at_once_is_no_doubled_key() -> None:
    """All that is optional, with values that have keys of their own."""
    known = [{"observed_class": "Good", "observed_at": day} for day in ("2024-01-01", "2024-02-01")]
    body = APPLICANT | dict.fromkeys(OPTIONAL) | {"as_of": "2024-02-29", "previous_classes": known}

    assert len(decoding.applicant(json.dumps(body).encode()).previous_classes or ()) == 2
