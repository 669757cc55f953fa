"""Batch, what if, model, health and developers' pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from streamlit.testing.v1 import AppTest

from tests.ui import fake_reports
from tests.ui.conftest import Open, field, go
from tests.ui.fake_api import KEY, TEST_KEY, FakeApi
from tests.ui.views.test_score import everything, press
from ui.api.client import SCORE_PATH
from ui.texts import brand
from ui.texts.wording import texts

ESTIMATE = {"value": 0.716, "low": 0.704, "high": 0.728}
GAP = {"value": -7.1, "low": -14.8, "high": 0.5}
FULL: dict[str, Any] = {
    "name": "credit-score",
    "version": "7",
    "digest": "ab" * 32,
    "created_at": "2026-11-23T07:00:00Z",
    "git_revision": "b0ddcd8",
    "metrics": {"accuracy": 0.716, "ece": 0.013},
    "slices": {
        "pooled": {"accuracy": ESTIMATE, "qwk": ESTIMATE, "ece": {"value": 0.013, "low": 0.009, "high": 0.018}},
        "quarter_1": {"accuracy": ESTIMATE},
        "known_1_month": {"accuracy": ESTIMATE},
    },
    "score_steps": {
        "pooled": [
            {"name": "0-49", "rows": 90, "share": 0.1, "classes": {"Poor": {"value": 0.9, "low": 0.86, "high": 0.93}}}
        ]
    },
    "grade_borders": [0.05],
    "grades": {
        "pooled": [
            {"name": "A", "rows": 900, "share": 0.9, "classes": {"Poor": {"value": 0.03, "low": 0.02, "high": 0.04}}},
            {"name": "B", "rows": 90, "share": 0.1, "classes": {"Poor": {"value": 0.02, "low": 0.01, "high": 0.03}}},
        ]
    },
    "reliability": {
        "applicant": {
            "Poor": [{"rows": 90, "told": 0.71, "seen": ESTIMATE}, {"rows": 90, "told": 0.9, "seen": ESTIMATE}]
        }
    },
    "importance": {"outstanding_debt": 0.4, "interest_rate": 0.1},
    "fairness": {
        "groups": [{"attribute": "age", "group": "18-24", "rows": 321, "impact_not_poor": ESTIMATE, "score_gap": GAP}],
        "too_small": ["62+"],
        "age_proxy_auc": 0.61,
        "something_newer": {"a": {"x": 1.0, "y": ESTIMATE}},
        "a_word": "of its own",
    },
    "calibration": [[place / 32 for place in range(33)]] * 3,
    "model_card": "# The card\n\nwhat it is for",
    "approval": {
        "reviewer": "Ana",
        "verdict": "approve",
        "note": "looked at all",
        "at": "2026-11-23T07:00:00Z",
        "override": {"checks": ["late"], "reason": "known", "expires": "2026-12-31", "second_name": "Rui"},
    },
    "data": {"source": "train.csv", "sha256": "cd" * 32, "rows": 61040, "customers": 10012},
    "libraries": {"catboost": "1.2.10"},
}


def test_what_if_curve_and_map(open_page: Open, api: FakeApi) -> None:
    """Every point is the API's; a second input makes a map; asked again it is not sent again."""
    at = open_page("whatif")
    assert "672" in everything(at)
    assert len(api.requests[-1][2]["applicants"]) == 26
    asked = len(api.requests)
    drawn = json.loads(at.get("vega_lite_chart")[0].proto.spec)["layer"]
    names = [each["mark"] for each in drawn if each["mark"]["type"] == "text"]
    own = [(mark["stroke"], mark["strokeWidth"]) for mark in names if mark.get("dy")]
    assert own == [(brand.GROUND["light"], 5), (brand.INK["light"], 0)], "the curve runs through the applicant's name"
    at.selectbox(key="whatif.second").select_index(1).run()
    assert not at.exception and len(api.requests) == asked + 1
    assert 1 + 8 * 8 <= len(api.requests[-1][2]["applicants"]) <= 1 + 9 * 9  # the applicant's own row and column too
    at.selectbox(key="whatif.second").set_value(None).run()
    assert len(api.requests) == asked + 1


def test_what_if_asks_with_the_test_key(open_page: Open, api: FakeApi) -> None:
    """Every point of it, and nothing else; refused, it is the entry that is named."""
    at = open_page("whatif", test_key=TEST_KEY)
    at.selectbox(key="whatif.second").select_index(1).run()
    press(go(at, "score"))
    keys_by_path = {(path, headers["x-api-key"]) for _, path, _, headers in api.requests}
    assert keys_by_path == {("/v1/model", KEY), ("/v1/score/batch", TEST_KEY), (SCORE_PATH, KEY)}
    assert TEST_KEY not in everything(at)
    api.keys = (KEY,)
    at = open_page("whatif", test_key=TEST_KEY)
    assert "(entry `test_key`)" in everything(at)


def test_what_if_goes_by_the_limits_of_the_key_it_asks_with(open_page: Open, api: FakeApi) -> None:
    """A test key of small bursts is asked in parts, whatever the page's own key may do; theirs alone are shown."""
    api.test_quota = 10
    at = open_page("whatif", test_key=TEST_KEY)
    at.selectbox(key="whatif.second").select_index(1).run()
    sizes = [len(sent["applicants"]) for _, path, sent, _ in api.requests if path == "/v1/score/batch"]
    assert not at.exception and max(sizes[-3:]) <= 10
    go(at, "developers")
    assert "1,000" in everything(at)


def test_what_if_opens_with_what_moves_this_applicant_most(open_page: Open, api: FakeApi) -> None:
    """The field whose span moves the API's score furthest is chosen first, of those that weigh in the model."""
    api.manifest = FULL
    at = open_page("whatif")
    first = next(each for each in at.selectbox if str(each.key).startswith("whatif.first."))
    assert first.value.name == "outstanding_debt"
    assert [len(sent["applicants"]) for _, path, sent, _ in api.requests if path == "/v1/score/batch"] == [13, 26]


def test_what_if_of_the_applicant_scored_last(open_page: Open) -> None:
    """The applicant of the Score page comes along."""
    at = open_page()
    at.button(key="example.strained").click().run()
    press(at)
    go(at, "whatif")
    assert not at.exception and "265" in everything(at)


@pytest.mark.parametrize("page", ["whatif", "model"])
def test_pages_without_the_service(open_page: Open, api: FakeApi, page: str) -> None:
    """The service down is a sentence and a button."""
    at = open_page()
    api.fail = 503
    go(at, page)
    assert texts("en")("problem.unavailable") in everything(at) and not at.exception
    api.fail = 0
    at.button(key=f"{page}.again").click().run()
    assert not at.error


@pytest.mark.parametrize("locale", ["pt-BR", "en-US"])
def test_model(open_page: Open, api: FakeApi, locale: str) -> None:
    """Card, figures, fairness, calibration, approval and its override."""
    api.manifest = FULL
    at = open_page("model", locale=locale)
    t, shown = texts(locale[:2]), everything(at)
    assert t("verdicts.approve") in shown and "Ana" not in shown  # who decided is for staff
    assert t("summary.bases") in shown and t("slices.known_1_month") in shown and "90% (86%–93%)" in shown
    assert t("summary.truth_some", grades="B") in shown and t("summary.truth_note") in shown
    assert ("entre 0,9% e 1,8%" if locale == "pt-BR" else "between 0.9% and 1.8%") in shown
    assert t("summary.reliability_held", name=t("summary.of_applicant"), held=1, bins=2) in shown
    assert t("summary.of_known_customer") not in shown
    assert t("summary.right", tenths=7) in shown and t("summary.not_default") in shown
    assert "late" in shown and "known" in shown and t("fairness.rows") in at.dataframe[1].value.columns
    assert ("0,716 [0,704; 0,728]" if locale == "pt-BR" else "0.716 [0.704; 0.728]") in at.dataframe[
        0
    ].value.to_string()
    assert ("1,3%" if locale == "pt-BR" else "1.3%") in shown and "of its own" in shown
    gap = "−7,100 [−14,800; 0,500]"
    assert (gap if locale == "pt-BR" else gap.replace(",", ".")) in at.dataframe[1].value.to_string()


def test_model_of_which_little_is_known(open_page: Open) -> None:
    """Each absent part is said to be absent."""
    shown = everything(open_page("model"))
    for part in ("card", "figures", "fairness", "calibration"):
        assert texts("en")("model.absent", part=texts("en")(f"model.{part}")) in shown
    assert texts("en")("model.no_approval") in shown


REPORTS = {"endpoint": "http://s3.test", "access_key": "reader", "secret_key": "s3-secret"}
Answers = Callable[[httpx.Request], httpx.Response]


def open_as_staff(open_page: Open, api: FakeApi, bucket: Answers, report: str = "") -> AppTest:
    """The application with a key of scope staff, a bucket at the network's edge, on the health page.

    With `report` the page is opened by a link that names it.
    """
    api.scopes = "read score staff"
    at = open_page(reports=REPORTS)
    both = httpx.MockTransport(lambda asked: bucket(asked) if asked.url.host == "s3.test" else api.handle(asked))
    at.session_state["transport"] = both
    if report:
        at.query_params["report"] = report
    return go(at, "health")


def test_health(open_page: Open, api: FakeApi) -> None:
    """State now, inputs worst first, versions, the report itself; the store's key nowhere."""
    at = open_as_staff(open_page, api, fake_reports.answer)
    assert not at.exception
    shown = everything(at)
    assert "Amber" in shown and "1,234 predictions" in shown and "Moved: Credit inquiries." in shown
    assert "**Traffic**: 617 predictions a day." in shown
    inputs = at.dataframe[0].value
    assert list(inputs["Input"]) == ["Credit inquiries", "Annual income"] and list(inputs)[2] == "Note"
    at.selectbox(key="health.report").select_index(0).run()
    assert not at.exception and "s3-secret" not in everything(at)
    at.selectbox(key="health.report").select_index(1).run()
    assert texts("en")("health.report_gone") in everything(at)


@pytest.mark.parametrize(("key", "index"), [("drift/2/report.html", 0), ("../data/secret", None)])
def test_a_link_of_a_drift_run_opens_its_report(open_page: Open, api: FakeApi, key: str, index: int | None) -> None:
    """`?report=` chooses a report of the list; what is not listed is not read, whatever the key may reach."""
    asked: list[str] = []

    def bucket(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return fake_reports.answer(request)

    at = open_as_staff(open_page, api, bucket, report=key)

    assert not at.exception
    assert at.selectbox(key="health.report").index == index
    named = at.selectbox(key="health.report").options
    assert [texts("en")("health.report_replay") in name for name in named] == [False, True]
    assert any(key in path for path in asked) is (index is not None)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (httpx.Response(403), "health.not_allowed"),
        (httpx.Response(500), "health.unexpected"),
        (httpx.Response(404), "health.none_yet"),
        (httpx.Response(200, text="no json"), "health.none_yet"),
    ],
)
def test_health_without_reports(open_page: Open, api: FakeApi, answer: httpx.Response, text: str) -> None:
    """Each way the store can fail has its words."""
    at = open_as_staff(open_page, api, lambda request: answer)
    assert texts("en")(text) in everything(at) and not at.exception


@pytest.mark.parametrize(
    ("scopes", "secrets", "fail"),
    [
        ("read score staff", {}, 0),
        ("docs read score", {"reports": REPORTS}, 0),
        ("docs notstaff", {"reports": REPORTS}, 0),
        ("read score staff", {"reports": REPORTS}, 503),
    ],
    ids=["no bucket", "a partner's key", "another word", "an API that does not answer"],
)
def test_health_is_for_staff(open_page: Open, api: FakeApi, scopes: str, secrets: dict[str, object], fail: int) -> None:
    """There is no such page without the secrets' section, nor for a key that is not known to be staff's."""
    api.scopes, api.fail = scopes, fail
    at = open_page(**secrets)
    with pytest.raises(KeyError, match="health"):
        go(at, "health")


def test_developers(open_page: Open, api: FakeApi) -> None:
    """Alive at once: the form's applicant as code, the limits, no key; tried, the answer stands there."""
    at = open_page("developers")
    code = "\n".join(each.value for each in at.code)
    assert "$QF_API_KEY" in code and KEY not in code and '"annual_income": 42000.0' in code
    assert "**Burst**" in everything(at) and [path for _, path, *_ in api.requests] == ["/v1/model"]
    go(at, "score")
    at.button(key="example.careful").click().run()
    go(at, "developers")
    assert '"annual_income": 85000.0' in "\n".join(each.value for each in at.code)
    at.button(key="developers.try").click().run()
    assert api.requests[-1][1] == SCORE_PATH and '"prediction_id"' in "\n".join(each.value for each in at.code)
    assert texts("en")("developers.other_request") not in everything(at)
    go(at, "score")
    at.button(key="example.strained").click().run()
    assert texts("en")("developers.other_request") in everything(go(at, "developers"))
    assert at.get("link_button")[-1].proto.url == "http://api.test/docs?lang=en#changes"


def test_developers_send_what_was_typed_whatever_the_language_by_now(open_page: Open, api: FakeApi) -> None:
    """3,125 typed on a Portuguese page is a little over three, also once the page speaks English."""
    at = open_page(locale="pt-BR")
    field(at, "credit_utilization_ratio").set_value("3,125").run()
    go(at, "developers")
    at.get("button_group")[0].set_value("en").run()
    assert texts("en")("developers.request") in everything(at)
    at.button(key="developers.try").click().run()
    assert api.requests[-1][2]["credit_utilization_ratio"] == 3.125


def test_developers_try_that_fails(open_page: Open, api: FakeApi) -> None:
    """A refused try is said in words, with its answer below."""
    at = open_page("developers")
    api.fail = 429
    at.button(key="developers.try").click().run()
    assert "used up" in everything(at) and not at.exception


@pytest.mark.parametrize(
    ("user", "sees"), [("ana@qf.test", True), ("Ana@QF.test", True), ("rui@qf.test", False), ("", False)]
)
def test_the_visitor_decides_who_is_staff(
    open_page: Open, api: FakeApi, monkeypatch: pytest.MonkeyPatch, user: str, sees: bool
) -> None:
    """With a staff key, only a visitor whom the proxy names and the secrets call staff has the page."""
    monkeypatch.setattr("ui.visitors.header", {"X-Forwarded-User": user}.__getitem__)  # AppTest sends no headers
    api.scopes = "read score staff"
    visitors = {"header": "X-Forwarded-User", "staff": ["ana@qf.test"]}
    at = open_page(reports=REPORTS, visitors=visitors)
    if sees:
        go(at, "health")
        assert texts("en")("visitor.known", name=user) in everything(at)
    else:
        with pytest.raises(KeyError, match="health"):
            go(at, "health")


@pytest.mark.parametrize(("came_from", "forwarded"), [("10.1.2.3", ""), ("127.0.0.1", "10.1.2.3")])
def test_a_demo_has_no_staff_elsewhere(
    open_page: Open, api: FakeApi, monkeypatch: pytest.MonkeyPatch, came_from: str, forwarded: str
) -> None:
    """Without sign-in only whoever sits at the machine counts as staff: not another machine, not whom a proxy
    brings."""
    monkeypatch.setattr("ui.visitors.address", lambda: came_from)
    monkeypatch.setattr("ui.visitors.header", {"X-Forwarded-For": forwarded}.__getitem__)
    api.scopes = "read score staff"
    with pytest.raises(KeyError, match="health"):
        go(open_page(reports=REPORTS), "health")


def test_a_demo_says_that_it_is_one(open_page: Open) -> None:
    """Without sign-in each page says so."""
    assert texts("en")("visitor.demo") in everything(open_page())


def test_sign_in_comes_first(open_page: Open, api: FakeApi) -> None:
    """Where the secrets hold a sign-in, nothing is shown or asked before it."""
    at = open_page(auth={"redirect_uri": "http://page.test/oauth2callback", "cookie_secret": "a-secret-of-tests"})
    shown = everything(at)
    assert texts("en")("visitor.sign_in") in shown and not at.text_input and not api.requests
    assert texts("en")("promise.batch") in shown and texts("en")("promise.health") not in shown
