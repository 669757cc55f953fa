"""A field of the contract has its places: one that is missing somewhere is named here with the file that lacks it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable

from flows.batch.contract_columns import MAY_LACK
from flows.cleaning.cleaning_rules import CleaningTally
from flows.cleaning.parsing import parse
from flows.data.sample import generate
from infra.settings import ROOT
from service.contract import DESCRIBING_FIELDS, Applicant
from service.docs.examples import APPLICANT
from service.lexicon.headings import KAGGLE
from tests.factories import applicant_columns


def texts(language: str) -> Iterable[str]:
    """Fields that the demo has words for."""
    return tomllib.loads((ROOT / "ui" / "texts" / f"{language}.toml").read_text(encoding="utf-8"))["fields"]


def explained_in_portuguese() -> Iterable[str]:
    """Fields that the documentation translates."""
    lines = (ROOT / "service" / "docs" / "fields.pt.txt").read_text(encoding="utf-8").splitlines()
    return [line.partition(":")[0] for line in lines]


def test_every_field_that_describes_the_month_has_its_places() -> None:
    """Whoever adds one reads here which files do not know it yet."""
    places: dict[str, Iterable[str]] = {
        "service/lexicon/headings.py": KAGGLE,
        "flows/cleaning/raw_table.py, and parsing.py where its cells are of a new kind": parse(
            generate(2, range(1, 3), seed=1), CleaningTally()
        ).columns,
        "service/docs/examples.py": APPLICANT,
        "service/docs/fields.pt.txt": explained_in_portuguese(),
        "ui/texts/en.toml": texts("en"),
        "ui/texts/pt.toml": texts("pt"),
        "tests/factories.py": applicant_columns(1, seed=1)[0],
    }
    page = (ROOT / "infra" / "docs" / "pages" / "where-to-change.md").read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith("| a field of the contract |")]
    assert [place for place in places if f"`{place.partition(',')[0]}`" not in row and "tests/" not in place] == []
    lacking = {place: set(DESCRIBING_FIELDS) - set(known) for place, known in places.items()}

    assert {place: fields for place, fields in lacking.items() if fields} == {}


def test_a_field_that_a_request_may_leave_out_is_one_that_a_file_may_lack() -> None:
    """What both mean then is in `test_absent_columns.py`."""
    may_be_left_out = {
        name for name, field in Applicant.model_fields.items() if name in DESCRIBING_FIELDS and not field.is_required()
    }

    assert may_be_left_out and may_be_left_out <= MAY_LACK
