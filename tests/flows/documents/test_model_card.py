"""The card says what was measured, and says so where something was not."""

from __future__ import annotations

import pytest

from flows.cleaning.gates import Measure
from flows.documents.model_card import PROHIBITED, CardFacts, model_card
from flows.learning.certainty import StressRow, certainty
from flows.learning.experiments import Attempt, ExperimentRecord
from flows.learning.model_metrics import METRICS, by_slice, judge
from flows.review import fairness, stability
from flows.review.release_evidence import DataEvidence, Evidence, RepairedReport
from flows.review.weak_segments import SegmentSearch, WeakSegment
from tests.flows.review.test_fairness import groups
from tests.flows.small_training import answers

SECTIONS = (
    "Purpose",
    "Prohibited uses",
    "Data",
    "How good it is",
    "What an answer leaves open",
    "Hard times",
    "Where it is weak",
    "Groups of people",
    "How it moves, and its reasons",
    "What was tried",
    "Known limits",
)


SLICE = WeakSegment(name="debt high", rows=900, customers=200, accuracy=0.51, gap=-0.19, high=-0.02)


@pytest.fixture(name="card", scope="module")
def _card() -> str:
    told = answers(1_200, customers=240)
    report = stability.StabilityReport(
        directions=(stability.DirectionReport(field="interest_rate", pairs=9, wrong_share=0.125, mean_reversal=2.5),),
        band_flips=0.011,
        reason_raises=0.987,
    )
    return model_card(
        CardFacts(
            digest="d" * 64,
            trainer="ana",
            git_revision="abc123",
            data_sha256="e" * 64,
            rows=1_200,
            customers=240,
            parameters={"depth": "6"},
            figures={"pooled": judge(told, 20), **by_slice(told, {"Q1": told.labels < 9}, 20)},
            baselines={"majority": judge(told, 20)},
            evidence=Evidence(
                repaired=RepairedReport(rows=1_300, rows_as_served=1_200, figures=judge(told, 20)),
                fairness=fairness.audit(told, {"team": groups(told)}, draws=20, age_proxy_auc=0.62),
                stability=report,
                certainty={"unknown": certainty(told)},
                stress=(StressRow(name="as they are", score=0.0, bands={"Poor": 0.2, "Standard": 0.5, "Good": 0.3}),),
                weak=SegmentSearch(weak=(SLICE,), looked_at=300),
            ),
            holdout_uses=3,
        )
    )


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_is_there_and_filled(card: str, section: str) -> None:
    """Nobody has to ask for the rest."""
    assert len(card.split(f"## {section}\n")[1].split("\n## ")[0].strip()) > 40


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_stands_with_its_interval(card: str, metric: str) -> None:
    """A figure without its uncertainty is none."""
    line = next(line for line in card.splitlines() if line.startswith(f"| {metric} |"))
    assert line.count("[") == line.count("]") == 2


@pytest.mark.parametrize(
    "said",
    [
        "d" * 64,
        "e" * 64,
        "ana",
        "abc123",
        "depth 6",
        "anew each calendar quarter",
        "12.5%",
        "98.7%",
        "0.62",
        "1200 of the 1300 rows",
    ],
)
def test_the_runs_own_facts_are_in_it(card: str, said: str) -> None:
    """Digest, data, people, parameters, the quarterly re-scoring, and what was measured."""
    assert said in card


def test_everything_prohibited_is_said(card: str) -> None:
    """Whoever reads the card knows what the score is not for."""
    assert all(one in card for one in PROHIBITED)


@pytest.mark.parametrize(("sha256", "shown"), [("e" * 64, True), ("f" * 64, False)])
def test_what_was_tried_is_shown_of_this_data_alone(sha256: str, shown: bool) -> None:
    """A record of other data is named as such, and none of its lines is told."""
    attempt = Attempt(what="half the trees", changes={}, unknown={}, known={}, against_kept={})
    record = ExperimentRecord(data_sha256=sha256, seed=7, folds=5, rows=9, customers=3, attempts=(attempt,))
    told = model_card(CardFacts(data_sha256="e" * 64, tried=record))
    assert ("half the trees" in told) is shown
    assert ("Not of this data" in told) is not shown


def test_the_card_of_other_data_states_that_datas_facts() -> None:
    """How many rows and customers, and from where: nothing of the data this was developed on."""
    told = model_card(CardFacts(rows=41, customers=7, data_source="raw file abc"))
    assert "41 rows of 7 customers (raw file abc)" in told and "12,500" not in told


def test_a_gate_that_was_let_through_stands_with_name_and_reason() -> None:
    """Whoever reads the card knows whom to ask."""
    breach = {"gate": "median", "column": "annual_income", "value": 9e4, "least": None, "most": 76_000, "passed": False}
    gates = (Measure(**breach, overridden_by="ana", reason="a richer portfolio"), Measure(**breach | {"passed": True}))
    data = DataEvidence(schema_valid=True, rows=1, class_shares={}, shared_customers=0, sha256="a" * 64, gates=gates)

    told = model_card(CardFacts(evidence=Evidence(data=data)))

    assert "1 of 2 figures of the data lie within" in told
    assert "let through **median of annual_income** (9e+04) by ana: a richer portfolio" in told


def test_tables_are_whole(card: str) -> None:
    """Each row of a table has as many cells as its head."""
    for block in card.split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1, rows[:1]


def test_what_was_not_measured_is_said() -> None:
    """An empty run gives a card that claims nothing."""
    assert model_card(CardFacts()).count("Not measured.") == 8


def test_wear_of_the_customers_set_aside_and_weak_slices_are_told(card: str) -> None:
    """How often they judged, and which slice is told worst."""
    assert "have judged 3 versions" in card
    assert "| debt high | 900 | 200 | 0.510 | -0.190 |" in card
    assert "decided at 85%" in card or "decided at 85 %" in card
    assert "is not known" in model_card(CardFacts())


def test_a_recalibration_is_told_where_there_was_one(card: str) -> None:
    """Before anything else, and nowhere else."""
    told = model_card(CardFacts(recalibration="The trees are those of version 3."))
    assert "## Recalibrated\n\nThe trees are those of version 3." in told
    assert "Recalibrated" not in card
