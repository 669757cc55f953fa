"""The drift flow on the real store and a real Prefect server: verdict, reports, artifacts, one alert, no repeat."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import boto3
import numpy as np
import pandas as pd
import pytest

from flows import drift as drift_module
from flows.monitoring import alerts, judge_window
from flows.monitoring.history import History, Moment, WindowVerdict, summary_markdown
from flows.monitoring.judge_window import ReferenceData
from flows.monitoring.traffic import Traffic
from flows.monitoring.verdict_types import Cause, DriftCheck, DriftRule, DriftState
from flows.monitoring.window_settings import DriftSettings, Window
from service.contract import DESCRIBING_FIELDS
from tests.flows.answered_applicants import CANARY, MODEL, TODAY, answers

SETTINGS = DriftSettings(maturity_days=0, minimum_rows=500, retrain=False, recalibrate=False)


def put(client, kind: str, name: str, frame: pd.DataFrame) -> None:
    """Store the rows as the service would."""
    key = f"{kind}/dt={TODAY.isoformat()}/{name}.csv"
    client.put_object(Bucket="predictions", Key=key, Body=frame.to_csv(index=False).encode())


@pytest.fixture(name="client")
def fixture_client(object_store, monkeypatch):
    """An S3 client of the real gateway with empty buckets, and the reference as the registry would give it."""
    for name, value in object_store.variables.items():
        monkeypatch.setenv(name, value)
    store = boto3.client("s3")
    reference = ReferenceData(MODEL, answers(4_000, 1).drop(columns="reasons"), ("annual_income",))
    monkeypatch.setattr(drift_module, "load_reference", lambda version, digest: reference)
    monkeypatch.setattr(drift_module, "watch_champion", lambda today: None)  # no MLflow here; see test_champion.py
    yield store
    for bucket in ("predictions", "reports"):  # answers, boiled days, reports
        for item in store.list_objects_v2(Bucket=bucket).get("Contents", []):
            store.delete_object(Bucket=bucket, Key=item["Key"])


@pytest.fixture(name="events")
def fixture_events(monkeypatch) -> list[dict]:
    """Every event the flow emits."""
    emitted: list[dict] = []
    monkeypatch.setattr(alerts, "emit_event", lambda **event: emitted.append(event))
    return emitted


@pytest.fixture(name="current")
def fixture_current(client):
    """The verdict that staff pages read."""
    return lambda: WindowVerdict.model_validate_json(
        client.get_object(Bucket="reports", Key="current.json")["Body"].read()
    )


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_quiet_window_is_green_and_leaves_reports(client, events, current):
    """Green, no alert, the interactive report and the summary in bucket `reports`, nobody's reference in any of it."""
    put(client, "predictions", "w-1", answers(1_000, 2).drop(columns="label"))
    assert drift_module.drift(SETTINGS) is DriftState.GREEN
    made = current()
    assert (made.state, made.rows, made.compared_rows) == (DriftState.GREEN, 1_000, 1_000)
    assert {column.name for column in made.columns} >= {"annual_income", "score", "predicted_class"}
    assert events == []
    keys = [item["Key"] for item in client.list_objects_v2(Bucket="reports")["Contents"]]
    assert {key.rsplit("/", 1)[-1] for key in keys} == {
        "report.html",
        "report.json",
        "summary.json",
        "current.json",
        "history.json",
    }
    for key in keys:
        assert CANARY.encode() not in client.get_object(Bucket="reports", Key=key)["Body"].read()


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_red_window_alerts_once_and_a_second_run_changes_nothing(client, events, current):
    """Incomes that double are red with the column named; the same window again gives the same verdict and no alert."""
    moved = answers(1_000, 3).assign(annual_income=lambda frame: frame["annual_income"] * 2)
    put(client, "predictions", "w-1", moved.drop(columns="label"))
    assert drift_module.drift(SETTINGS) is DriftState.RED
    first = current()
    assert events[0]["payload"]["worst_columns"][0] == "annual_income"
    assert drift_module.drift(SETTINGS) is DriftState.RED
    assert current() == first
    assert len(events) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
@pytest.mark.usefixtures("events")
def test_outcomes_that_contradict_the_model_are_concept_drift(client, current):
    """Same applicants, labels that changed their meaning: only the performance turns red."""
    rows = answers(1_000, 4)
    put(client, "predictions", "w-1", rows.drop(columns="label"))
    worse = rows["label"].where(np.random.default_rng(0).random(len(rows)) > 0.4, "Poor")
    outcomes = pd.DataFrame(
        {"prediction_id": rows["prediction_id"], "observed_class": worse, "observed_at": TODAY.isoformat()}
    )
    put(client, "outcomes", "w-1", outcomes)
    assert drift_module.drift(SETTINGS) is DriftState.RED
    states = {check.name: check.state for check in current().checks}
    assert states["concept drift"] is DriftState.RED
    assert {column.state for column in current().columns} == {DriftState.GREEN}


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server", "events")
def test_a_partner_that_lies_is_named_and_drifts_nothing(client, current):
    """Its outcomes, sent through the bucket, contradict every answer: amber, its name in the summary, no red."""
    rows = answers(1_500, 4).assign(partner=["ana", "bia", "eva"] * 500)
    put(client, "predictions", "w-1", rows.drop(columns="label"))
    flipped = rows["predicted_class"].map({"Poor": "Good", "Standard": "Poor", "Good": "Poor"})
    said = rows["label"].where(rows["partner"] != "eva", flipped)
    facts = {"prediction_id": rows["prediction_id"], "partner": rows["partner"]}
    put(client, "outcomes", "w-1", pd.DataFrame(facts | {"observed_class": said, "observed_at": TODAY.isoformat()}))
    assert drift_module.drift(SETTINGS) is DriftState.AMBER
    (named,) = [check for check in current().checks if check.rule is DriftRule.PARTNERS]
    assert "eva" in named.explanation and "ana" not in named.explanation
    assert "eva" in summary_markdown(current())


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("rows", [0, 1, 50])
@pytest.mark.usefixtures("events")
def test_a_window_with_too_few_rows_is_insufficient(client, rows):
    """Never green for lack of data, and no crash."""
    if rows:
        put(client, "predictions", "w-1", answers(rows, 5).drop(columns="label"))
    assert drift_module.drift(SETTINGS) is DriftState.INSUFFICIENT


def verdict(
    performance_red: bool = False, data_quality_red: bool = False, miscalibrated: DriftState | None = None
) -> WindowVerdict:
    """A red verdict for the given causes, with a check of calibration where its state is given."""
    check = DriftCheck(
        name="calibration by band", state=miscalibrated or DriftState.GREEN, explanation="", rule=DriftRule.CALIBRATION
    )
    return WindowVerdict(
        state=DriftState.RED,
        causes=(Cause(rule=DriftRule.CONCEPT_DRIFT, text="it is red"),),
        performance_red=performance_red,
        data_quality_red=data_quality_red,
        window={"start": TODAY, "end": TODAY + timedelta(days=1)},
        model=MODEL,
        rows=1,
        compared_rows=1,
        columns=[],
        checks=[check] if miscalibrated else [],
        outcomes={},
        made_at=datetime.now(UTC),
    )


TRAINED = Moment(
    state=DriftState.RED,
    start=TODAY,
    end=TODAY,
    version="2",
    amber=(),
    psi={},
    report="",
    made_at=datetime.now(UTC) - timedelta(days=3),
    retrained=True,
)


@pytest.mark.parametrize(
    ("made", "history", "retrain", "expected"),
    [
        (verdict(performance_red=True), History(), True, True),
        (verdict(performance_red=True), History(), False, False),
        (verdict(performance_red=True), History(moments=(TRAINED,)), True, False),
        (verdict(performance_red=True, data_quality_red=True), History(), True, False),
        (verdict(), History(), True, False),
    ],
    ids=["performance red", "switched off", "within the cool-down", "data quality red", "only the data moved"],
)
def test_training_starts_only_when_the_rules_allow(made, history, retrain, expected):
    """Red performance on sound data starts one training per cool-down; nothing else does."""
    settings = SETTINGS.model_copy(update={"retrain": retrain})
    assert alerts.may_retrain(made, history, settings, TODAY) is expected


RECALIBRATED = TRAINED.model_copy(update={"retrained": False, "recalibrated": True})


@pytest.mark.parametrize(
    ("made", "history", "recalibrate", "expected"),
    [
        (verdict(performance_red=True), History(), True, True),
        (verdict(miscalibrated=DriftState.AMBER), History(), True, True),
        (verdict(miscalibrated=DriftState.GREEN), History(), True, False),
        (verdict(performance_red=True), History(), False, False),
        (verdict(performance_red=True), History(moments=(RECALIBRATED,)), True, False),
        (verdict(performance_red=True), History(moments=(TRAINED,)), True, True),
        (verdict(performance_red=True, data_quality_red=True), History(), True, False),
        (verdict(), History(), True, False),
    ],
    ids=[
        "performance red",
        "a band out of calibration",
        "calibration holds",
        "switched off",
        "within the cool-down",
        "a training has a cool-down of its own",
        "data quality red",
        "only the data moved",
    ],
)
def test_recalibration_starts_only_when_the_rules_allow(made, history, recalibrate, expected):
    """Where probabilities stopped coming true on sound data, once a cool-down."""
    settings = SETTINGS.model_copy(update={"recalibrate": recalibrate})
    assert alerts.may_recalibrate(made, history, settings, TODAY) is expected


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server", "events")
def test_a_recalibration_is_started_before_a_training(client, monkeypatch, current):
    """Both by their deployments, in this order, and the window's line remembers both."""
    started: list[str] = []
    monkeypatch.setattr("prefect.deployments.run_deployment", lambda name, **_: started.append(name))
    rows = answers(1_000, 4)
    put(client, "predictions", "w-1", rows.drop(columns="label"))
    worse = rows["label"].where(np.random.default_rng(0).random(len(rows)) > 0.4, "Poor")
    outcomes = pd.DataFrame(
        {"prediction_id": rows["prediction_id"], "observed_class": worse, "observed_at": TODAY.isoformat()}
    )
    put(client, "outcomes", "w-1", outcomes)

    drift_module.drift(SETTINGS.model_copy(update={"retrain": True, "recalibrate": True}))
    drift_module.drift(SETTINGS.model_copy(update={"retrain": True, "recalibrate": True}))

    assert current().performance_red
    assert started == ["recalibration/recalibration", "training/training"]
    kept = History.model_validate_json(client.get_object(Bucket="reports", Key="history.json")["Body"].read())
    assert [(one.recalibrated, one.retrained) for one in kept.moments] == [(True, True)]


DAY = date(2026, 10, 1)


def line(first: int, last: int, **facts: object) -> Moment:
    """A line of history of October's days `first` to `last`, end excluded."""
    window = {"start": DAY + timedelta(days=first), "end": DAY + timedelta(days=last)}
    return TRAINED.model_copy(update={"version": "3", "retrained": False, **window, **facts})


def history_of(*lines: Moment) -> History:
    """The lines taken down one after the other."""
    history = History()
    for one in lines:
        history = history.with_moment(one)
    return history


def test_a_window_judged_again_replaces_its_line_and_its_training_stands():
    """Else the cool-down would forget a training as soon as one more outcome arrived."""
    history = history_of(line(0, 7, retrained=True), line(0, 7, state=DriftState.AMBER))
    assert [(m.state, m.retrained) for m in history.moments] == [(DriftState.AMBER, True)]


def test_amber_twice_means_two_windows_that_share_no_day():
    """Daily windows of a week overlap: yesterday's amber is mostly the same rows."""
    history = history_of(
        line(0, 7, amber=("a",)),
        line(1, 8, amber=("b",)),
        line(3, 10, amber=("c",)),
        line(0, 6, state=DriftState.INSUFFICIENT),
    )
    assert history.amber_before(DAY + timedelta(days=8), "3") == {"b"}
    assert history.amber_before(DAY + timedelta(days=6), "3") == frozenset()
    assert history.amber_before(DAY + timedelta(days=8), "9") == frozenset()


def test_a_change_of_state_is_told_from_the_windows_own_past():
    """An old month that is judged today is compared with what came before it, not with today's state."""
    history = history_of(line(0, 7, state=DriftState.RED), line(20, 27, state=DriftState.GREEN))
    assert history.state_before(DAY + timedelta(days=14), "3") is DriftState.RED
    assert history.state_before(DAY + timedelta(days=27), "3") is DriftState.GREEN
    assert history.state_before(DAY + timedelta(days=14), "9") is DriftState.GREEN


def test_usual_traffic_needs_three_earlier_windows():
    """The median, in predictions a day; later windows do not count."""
    few = history_of(line(0, 7, rows=700), line(7, 14, rows=1_400))
    assert few.usual_rows_a_day(DAY + timedelta(days=14), "3") is None
    more = few.with_moment(line(14, 21, rows=70_000)).with_moment(line(21, 28, rows=7))
    assert more.usual_rows_a_day(DAY + timedelta(days=21), "3") == 200


def test_a_window_whose_features_are_gone_is_judged():
    """Emptied by age, say: red for what is missing, and no column is left to tell the two samples apart by."""
    rows = answers(600, 5)
    reference = ReferenceData(MODEL, answers(2_000, 1), ("annual_income",))
    emptied = rows.assign(**{column.name: None for column in reference.columns if column.name in DESCRIBING_FIELDS})
    emptied = emptied.assign(hash=np.arange(600, dtype="uint64"), model_version=MODEL.version)
    nothing = pd.DataFrame(columns=["hash", "partner", "observed_class", "observed_at", "standing"])
    window = Window(start=TODAY - timedelta(days=7), end=TODAY)
    by_version = Counter({MODEL.version: 600})
    traffic = Traffic(window, by_version, emptied, emptied.iloc[:0], Counter(), nothing)
    verdict = judge_window.judge(traffic, reference, SETTINGS, History(), TODAY)
    assert verdict.state is DriftState.RED and verdict.data_quality_red and not verdict.performance_red
    assert "domain classifier" not in {check.name for check in verdict.checks}
