"""The Score page: an applicant scored, every error said, nothing typed lost, in both languages."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta

import httpx
import pytest
from streamlit.testing.v1 import AppTest

from service.contract import Applicant
from tests.ui.conftest import Open, field, go
from tests.ui.fake_api import KEY, FakeApi
from ui.applicant.fields import FieldKind, contract_fields
from ui.components.form import slots
from ui.texts.wording import texts

LOANS = next(each for each in contract_fields() if each.name == "loan_types")


def everything(at: AppTest) -> str:
    """All text on the page."""
    parts = [*at.markdown, *at.caption, *at.header, *at.title, *at.error, *at.warning, *at.info, *at.success]
    shown = [str(part.value) for part in parts]
    return "\n".join(shown + [str(html.proto.body) for html in at.get("html")])


def press(at: AppTest) -> AppTest:
    """The score asked for."""
    at.button(key="submit").click().run()
    assert not at.exception
    return at


@pytest.mark.parametrize(("locale", "language"), [("pt-BR", "pt"), ("en-US", "en")])
def test_a_score(open_page: Open, api: FakeApi, locale: str, language: str) -> None:
    """Gauge, band, probabilities, reasons, advice and what to quote, in the browser's language."""
    at = press(open_page(locale=locale))
    t, shown = texts(language), everything(at)
    assert t("gauge.alt", score="672", band=t("options.band_Standard")) in shown
    assert ("60,5%" if language == "pt" else "60.5%") in shown
    reason = {"pt": "Valor alto em delay_from_due_date", "en": "High delay_from_due_date"}[language]
    assert shown.index(reason) < shown.index("num_credit_cards")
    assert "p1-0" in shown
    assert [path for _, path, *_ in api.requests] == ["/v1/score?prediction_set=true", "/v1/model"]
    at.button(key="advice.go").click().run()
    assert "**780**" in everything(at) and "+108" in everything(at)
    assert t("advice.delay_from_due_date_none") in everything(at)
    assert [path for _, path, *_ in api.requests[2:]] == ["/v1/score/advice"]


@pytest.mark.parametrize(
    ("locale", "sentence"),
    [
        ("pt-BR", "De cada 100 clientes com dados parecidos, o birô classifica cerca de **60** como Bom"),
        ("en-US", "Of every 100 customers with similar data, the bureau classifies about **60** as Good"),
    ],
)
def test_a_score_speaks_of_classes_never_of_payments(open_page: Open, locale: str, sentence: str) -> None:
    """What similar customers are is the bureau's class of them; nothing is said of whether they paid."""
    shown = everything(press(open_page(locale=locale)))
    assert sentence in shown
    assert not re.search(r"pagou|pagaram|dificuldade|paid as agreed|trouble paying", shown)


def test_what_is_sent_is_the_contract(open_page: Open, api: FakeApi) -> None:
    """The form's values are a valid applicant; optional fields left empty are left out."""
    press(open_page())
    body = api.requests[0][2]
    Applicant.model_validate_json(json.dumps(body))
    assert "customer_ref" not in body and "as_of" not in body


def test_every_field_is_there(open_page: Open) -> None:
    """One widget a field of the contract, labelled with name and unit, its hint below it."""
    at = open_page()
    for each in contract_fields():
        if each.kind is FieldKind.RECORDS:
            assert texts("en").label(each.name) in everything(at)
        else:
            assert texts("en").label(each.name) in field(at, each.name).label
        assert texts("en")(f"fields.{each.name}.help") in everything(at)


@pytest.mark.parametrize(("example", "score"), [("careful", 879), ("ordinary", 672), ("strained", 265)])
def test_examples(open_page: Open, example: str, score: int) -> None:
    """Each example fills the form and is scored as it stands."""
    at = open_page()
    at.button(key=f"example.{example}").click().run()
    assert f"{score} of 1,000" in everything(press(at))


def test_every_run_tells_what_the_example_holds(open_page: Open) -> None:
    """As the widgets' own defaults, not once: a run that tells it may never reach the browser."""
    at = open_page()
    at.button(key="example.strained").click().run()
    for _ in range(2):
        kinds = ["payday", "personal", "personal#2", "auto", "debt_consolidation", "not_specified"]
        loans, mix = field(at, "loan_types"), field(at, "credit_mix")
        assert field(at, "annual_income").proto.default == "R$ 21,500.00"
        assert [slots(LOANS)[place] for place in loans.proto.default] == kinds == loans.value
        assert mix.proto.options[mix.proto.default] == texts("en").option("Bad") and mix.value == "Bad"
        assert not (field(at, "annual_income").proto.set_value or loans.proto.set_value or mix.proto.set_value)
        at.run()


def test_a_choice_of_an_example_is_taken_back(open_page: Open, api: FakeApi) -> None:
    """What may be unknown can be made unknown again, and is sent as that."""
    at = open_page()
    field(at, "credit_mix").select("").run()
    press(at)
    assert api.requests[0][2]["credit_mix"] is None and field(at, "credit_mix").proto.options[0] == "Not known"


def test_a_language_switched_keeps_a_choice_of_the_same_moment(open_page: Open, api: FakeApi) -> None:
    """Both reach the server at once: the choice is sent, in the new language's form."""
    at = open_page()
    field(at, "credit_mix").select("Good")
    field(at, "loan_types").unselect("auto")
    field(at, "as_of").set_value("2026-01-31")
    at.get("button_group")[0].set_value("pt").run()
    assert field(at, "credit_mix").value == "Good"
    press(at)
    assert api.requests[-1][2]["loan_types"] == ["personal", "credit_builder"]
    assert (api.requests[-1][2]["credit_mix"], api.requests[-1][2]["as_of"]) == ("Good", "2026-01-31")


def test_emptied(open_page: Open, api: FakeApi) -> None:
    """The emptied form sends no made-up values: the API asks for what is needed, field by field."""
    at = open_page()
    at.button(key="example.none").click().run()
    shown = everything(press(at))
    assert api.requests[0][2]["annual_income"] is None and api.requests[0][2]["loan_types"] == []
    required = texts("en")("faults.required", field="").rstrip(". ")
    assert shown.count(required) == 9


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (401, "problem.key_refused"),
        (403, "problem.not_allowed"),
        (404, "problem.not_found"),
        (413, "problem.too_large"),
        (503, "problem.unavailable"),
        (500, "problem.unexpected"),
    ],
)
@pytest.mark.parametrize("locale", ["pt-BR", "en-US"])
def test_errors(open_page: Open, api: FakeApi, status: int, text: str, locale: str) -> None:
    """Each error has its own words and the request's id; what was typed stays; the next try works."""
    at = open_page(locale=locale)
    field(at, "annual_income").set_value("43210.0")
    api.fail = status
    shown = everything(press(at))
    assert texts(locale[:2]).entries[text].split("**")[1] in shown and "req-1" in shown
    assert float(re.sub(r"\D", "", field(at, "annual_income").value)) == 4_321_000
    api.fail = 0
    assert "672" in everything(press(at)) and not at.error


def test_nobody_there(open_page: Open) -> None:
    """No connection is said, without the server's own address, and keeps the form."""

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    at = open_page()
    at.session_state["transport"] = httpx.MockTransport(refuse)
    shown = everything(press(at))
    assert texts("en").entries["problem.no_connection"] in shown and "http://api.test" not in shown
    assert field(at, "annual_income").value == "R$ 42,000.00"


def test_the_limit_counts_down(open_page: Open, api: FakeApi) -> None:
    """A 429 says how long, and when it is over."""
    at = open_page()
    api.fail, api.retry_after_s = 429, 42
    shown = everything(press(at))
    assert "In 42\u00a0s it goes on" in shown and "You can ask again in 4" in shown
    at.session_state["score.wait_until"] = 0.0
    at.run()
    assert texts("en")("problem.go_on") in everything(at)


def test_a_fault_stands_by_its_field(open_page: Open) -> None:
    """A 422 becomes a sentence at the field that caused it; the others stay unmarked."""
    at = open_page()
    field(at, "num_loans").set_value("2")
    field(at, "customer_ref").set_value("João")
    shown = everything(press(at))
    assert texts("en")("faults.loan-types-count") in shown and texts("en")("faults.pattern") in shown
    assert shown.count(":red[") == 2
    assert field(at, "customer_ref").value == "João"


@pytest.mark.parametrize(
    ("locale", "example", "sentence"),
    [
        ("pt-BR", "ordinary", "Com 90% de certeza: **Ruim ou Bom**"),
        ("en-US", "ordinary", "At 90% certainty: **Poor or Good**"),
        ("pt-BR", "careful", "Com 90% de certeza, resta uma só classe: **Bom**"),
        ("en-US", "careful", "At 90% certainty one class is left: **Good**"),
    ],
)
def test_the_classes_left_open_are_said(open_page: Open, locale: str, example: str, sentence: str) -> None:
    """Those of which one is the true class nine times in ten."""
    at = open_page(locale=locale)
    at.button(key=f"example.{example}").click().run()
    assert sentence in everything(press(at))


def test_a_borderline_case_is_said(open_page: Open) -> None:
    """An applicant near another class is pointed out."""
    at = open_page()
    field(at, "outstanding_debt").set_value("1000.0")
    assert "Borderline between" in everything(press(at))


def test_advice_that_leads_nowhere_is_said(open_page: Open) -> None:
    """Where no change reaches the next band the page says so, and how far they lead."""
    at = open_page()
    field(at, "interest_rate").set_value("60")
    field(at, "num_credit_cards").set_value("10")
    field(at, "outstanding_debt").set_value("600.0")
    press(at)
    at.button(key="advice.go").click().run()
    shown = everything(at)
    assert texts("en")("advice.none_reaches", band="Good") in shown and "The most they reach is" in shown
    assert not any(each.key == "advice.go" for each in at.button)


def test_the_best_band_needs_no_advice(open_page: Open) -> None:
    """In the highest band no click is offered that would cost a token for nothing."""
    at = open_page()
    at.button(key="example.careful").click().run()
    press(at)
    assert texts("en")("advice.best_band") in everything(at)
    assert not any(each.key == "advice.go" for each in at.button)


def test_advice_may_fail_alone(open_page: Open, api: FakeApi) -> None:
    """A limit hit after the score leaves the score and says why there is no advice."""
    api.fail_after = 2
    at = press(open_page())
    at.button(key="advice.go").click().run()
    assert "672 of 1,000" in everything(at)
    api.fail_after = None
    at.button(key="advice.again").click().run()
    assert "**780**" in everything(at)


def test_language_switch_keeps_everything(open_page: Open) -> None:
    """Switched to Portuguese, the score and what was typed stay."""
    at = open_page()
    field(at, "num_credit_cards").set_value("5")
    press(at)
    at.button_group(key="language").set_value("pt").run()
    assert not at.exception
    assert "672 de 1.000" in everything(at)
    assert field(at, "num_credit_cards").value == "5"
    assert at.title[0].value == texts("pt")("app.title")


def test_the_language_rewrites_numbers(open_page: Open, api: FakeApi) -> None:
    """An amount typed in Portuguese is the same amount, in English marks, after the switch; so is what is sent."""
    at = open_page(locale="pt-BR")
    field(at, "annual_income").set_value("4.000").run()
    field(at, "outstanding_debt").set_value("muito").run()
    assert field(at, "annual_income").value == "R$ 4.000,00"
    at.button_group(key="language").set_value("en").run()
    assert field(at, "annual_income").value == "R$ 4,000.00" and field(at, "outstanding_debt").value == "muito"
    press(at)
    assert api.requests[0][2]["annual_income"] == 4000.0 and api.requests[0][2]["outstanding_debt"] == "muito"


def test_an_answer_names_its_inputs_and_is_marked_when_the_form_differs(open_page: Open) -> None:
    """The scored income stands by the score; another income marks it, the same again unmarks it."""
    at = press(open_page())
    marked = texts("en")("result.stale")
    assert "R$\u00a042,000.00" in everything(at) and marked not in everything(at)
    field(at, "annual_income").set_value("7000").run()
    assert marked in everything(at) and "R$\u00a042,000.00" in everything(at)
    field(at, "annual_income").set_value("42000").run()
    assert marked not in everything(at)
    at.button(key="example.careful").click().run()
    assert marked in everything(at)


def test_an_earlier_class_makes_a_known_customer(open_page: Open, api: FakeApi) -> None:
    """A class and its day, added by a button, are sent as the contract wants them; none given is none sent."""
    at = press(open_page(locale="pt-BR"))
    assert "previous_classes" not in api.requests[0][2]
    next(each for each in at.button if str(each.key).endswith("previous_classes.add")).click().run()
    next(each for each in at.selectbox if str(each.key).endswith("previous_classes.0.kind")).select("Good").run()
    day = date.today() - timedelta(days=40)
    line = next(each for each in at.text_input if str(each.key).endswith("previous_classes.0.day"))
    line.set_value(f"{day:%d%m%Y}").run()
    press(at)
    told = {"observed_class": "Good", "observed_at": day.isoformat()}
    assert api.requests[-1][2]["previous_classes"] == [told]
    go(at, "developers")
    go(at, "score")
    press(at)
    assert api.requests[-1][2]["previous_classes"] == [told]


def test_a_fault_goes_once_its_field_is_changed(open_page: Open) -> None:
    """A refusal is shown for what was refused, in words with the range; out of range stays as typed."""
    at = open_page(locale="pt-BR")
    field(at, "annual_income").set_value("99999999999").run()
    said = texts("pt")("form.range", low="0", high="10.000.000")
    assert said in everything(press(at)) and field(at, "annual_income").value == "R$ 99.999.999.999,00"
    field(at, "annual_income").set_value("5.000").run()
    assert said not in everything(at)


def test_values_survive_another_page(open_page: Open) -> None:
    """Back from another page, the form and the score are as they were."""
    at = open_page()
    field(at, "num_credit_cards").set_value("4")
    press(at)
    go(at, "developers")
    go(at, "score")
    assert field(at, "num_credit_cards").value == "4"
    assert "684 of 1,000" in everything(at)


@pytest.mark.parametrize(
    ("secrets", "text"),
    [
        ({"key": ""}, "`key` is **missing**"),
        ({"key": "put-your-key-here"}, "still holds the **example's text**"),
        ({"endpoint": "nonsense"}, "`endpoint` **cannot be read"),
    ],
)
def test_secrets_at_fault(open_page: Open, secrets: dict[str, str], text: str) -> None:
    """A friendly page says what to put where; nothing else is shown."""
    at = open_page(**secrets)
    shown = everything(at)
    assert text in shown and ".streamlit/secrets.toml" in shown
    assert not at.text_input
    at.button(key="setup.again").click().run()
    assert not at.exception


def test_the_key_is_nowhere(open_page: Open, api: FakeApi) -> None:
    """Not on the page, not in what the session holds, not after an error."""
    at = press(open_page())
    api.fail = 401
    press(at)
    held = "".join(repr(at.session_state[key]) for key in at.session_state if key != "transport")
    assert KEY not in everything(at) + held
