"""What the drift flow found, told in the page's language with every figure in its place."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flows.monitoring import performance, window_rules
from flows.monitoring.verdict_types import Cause, ColumnVerdict, DriftRule, DriftState
from flows.monitoring.window_settings import DriftSettings, Thresholds
from tests.flows.answered_applicants import answers
from ui.components import causes
from ui.session import PageContext
from ui.texts.formats import Formats
from ui.texts.wording import LANGUAGES, texts

SETTINGS = DriftSettings(maturity_days=0)


def moved(name: str, state: DriftState, **facts: object) -> ColumnVerdict:
    """A column whose values moved."""
    return ColumnVerdict(name=name, state=state, values_state=state, missing_state=DriftState.GREEN, **facts)


def spoken() -> list[Cause]:
    """One cause of each rule, as the flow itself makes it."""
    reference = answers(2_000, 1)
    settled = answers(600, 2).assign(observed_class=lambda frame: frame["label"], partner=["a", "b"] * 300)
    estimator = performance.Estimator.fit(performance.probabilities_of(reference), reference["label"].to_numpy())
    checks = [
        window_rules.volume_check(700, 7, None, Thresholds()),
        window_rules.volume_check(700, 7, 400.0, Thresholds()),
        performance.estimated_check(estimator, reference, settled, Thresholds()),
        *performance.realised_checks(estimator, reference, settled, len(settled), SETTINGS),
        *performance.realised_checks(estimator, reference, settled[:20], 600, SETTINGS),
    ]
    columns = [
        moved("annual_income", DriftState.RED, key=True),
        moved("num_loans", DriftState.RED, problem="constant"),
        moved("score", DriftState.AMBER),
    ]
    red = window_rules.decide(columns, [], [], frozenset({"score"}), Thresholds())
    sound = [moved(f"green_{number}", DriftState.GREEN) for number in range(9)]
    amber = window_rules.decide([moved("credit_mix", DriftState.AMBER), *sound], [], [], frozenset(), Thresholds())
    auc = Cause(rule=DriftRule.DOMAIN_CLASSIFIER, text="a model tells them apart", figures={"auc": 0.7})
    few = Cause(rule=DriftRule.TOO_FEW_ROWS, text="too few", figures={"rows": 3, "needed": 500})
    return [check.cause for check in checks] + [*red.causes, *amber.causes, auc, few]


CAUSES = spoken()


def in_language(context: PageContext, language: str) -> PageContext:
    """The context of a reader of the language."""
    return replace(context, texts=texts(language), formats=Formats(language))


def test_each_rule_has_spoken():
    """The causes of these tests leave none out."""
    assert {cause.rule for cause in CAUSES} == set(DriftRule)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: str(cause.rule))
def test_a_cause_is_told_with_all_its_figures(context: PageContext, language: str, cause: Cause):
    """No placeholder is left, the flow's English is not shown, and columns have their names."""
    told = causes.sentence(in_language(context, language), cause.model_dump(mode="json"), "the flow's own words")
    assert "{" not in told and told != "the flow's own words"
    for name in cause.columns:
        assert causes.column(in_language(context, language), name) in told


def test_the_same_cause_in_both_languages(context: PageContext):
    """Decimal commas for a Portuguese reader, shares in per cent."""
    figures = {"outcomes": 1_234, "predictions": 5_000, "coverage": 0.2468}
    cause = {"rule": "too_few_outcomes", "figures": figures}
    english, portuguese = (causes.sentence(in_language(context, language), cause, "") for language in ("en", "pt"))
    assert english == "1,234 outcomes for 5,000 matured predictions (25%): too few to judge."
    assert portuguese == "1.234 desfechos para 5.000 predições maduras (25%): poucos para avaliar."


@pytest.mark.parametrize(
    "cause",
    [
        {"rule": "sunspots", "text": "the flow's own words"},
        {"rule": "concept_drift", "figures": {"other": 1.5}, "text": "the flow's own words"},
        {"text": "the flow's own words"},
    ],
    ids=["a rule of later", "other figures", "no rule"],
)
def test_what_the_page_does_not_know_is_told_in_the_flows_words(context: PageContext, cause: dict[str, object]):
    """A page and a flow of different releases still understand each other."""
    assert causes.causes(context, {"causes": [cause]}) == ["the flow's own words"]


def test_a_verdict_of_before_the_codes_is_shown_as_it_is(context: PageContext):
    """Its reasons are texts alone, and so are its notes and checks."""
    assert causes.causes(context, {"reasons": ["income moved"]}) == ["income moved"]
    assert causes.note(context, {"note": "3 values out of range"}) == "3 values out of range"
    assert causes.check_name(context, {"name": "traffic jam"}) == "traffic jam"


def test_a_columns_problem_is_told_with_its_rows(context: PageContext):
    """Counts as the reader's language writes them."""
    verdict = {"problem": "out_of_range", "problem_rows": 1_234, "note": "1234 values out of range"}
    assert causes.note(in_language(context, "pt"), verdict) == "1.234 valores fora do intervalo"


@pytest.mark.parametrize(
    ("values", "missing", "told"),
    [
        (DriftState.AMBER, DriftState.GREEN, "The values moved."),
        (DriftState.GREEN, DriftState.RED, "The share that is missing moved."),
        (DriftState.RED, DriftState.AMBER, "The values moved. The share that is missing moved."),
        (DriftState.GREEN, DriftState.GREEN, ""),
    ],
)
def test_a_sound_column_says_what_of_it_moved(
    context: PageContext, values: DriftState, missing: DriftState, told: str
) -> None:
    """No amber without its cause in words; a column that stands still says nothing."""
    column = ColumnVerdict(name="annual_income", state=max(values, missing), values_state=values, missing_state=missing)
    assert causes.note(context, column.model_dump()) == told
