"""The page to print says what the screen says."""

from __future__ import annotations

import pytest

from service.contract import CreditClass, Score
from tests.ui.fake_api import MANIFEST, score_of
from ui.applicant.examples import EXAMPLES
from ui.applicant.fields import contract_fields
from ui.components.printing import print_page
from ui.session import PageContext


@pytest.mark.parametrize(
    ("left", "sentence"),
    [
        (["Standard"], "At 90% certainty one class is left: Standard."),
        (["Poor", "Standard"], "At 90% certainty: Poor or Standard;"),
        ([*map(str, CreditClass)], "At 90% certainty: Poor, Standard or Good;"),
        (None, None),
    ],
)
def test_the_classes_left_open(context: PageContext, left: list[str] | None, sentence: str | None) -> None:
    """One, several or all; nothing where the model tells none."""
    applicant = EXAMPLES["ordinary"]
    score = Score.model_validate({**score_of(applicant, "p1", MANIFEST), "prediction_set": left})
    page = print_page(context, score, MANIFEST, contract_fields(), applicant.model_dump(mode="json"))
    assert (sentence in page) if sentence else ("certainty" not in page)
