"""Alerts fire on what they are for, and every metric that they or the board read is one that is really exposed."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

import service.runtime  # noqa: F401  # pylint: disable=unused-import  # every module that counts
from flows import completion
from flows.monitoring import champion, pushgateway
from infra.settings import ROOT
from service.endpoints.operations import exposition, reference_series
from service.families import FAMILIES
from service.metrics import Histogram, Snapshot
from service.score.manifest_parts import Distribution

MONITORING = ROOT / "infra" / "monitoring"
RULES = yaml.safe_load((MONITORING / "rules.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
BOARD = json.loads((MONITORING / "grafana" / "dashboards" / "credit-score.json").read_text(encoding="utf-8"))
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
SUFFIXES = re.compile(r"_(total|bucket|sum|count)$")


def metrics_in(expression: str) -> set[str]:
    """Names of our metrics that an expression reads."""
    return {SUFFIXES.sub("", name) for name in re.findall(r"(?<!\w)qf_[a-z0-9_]+", expression)}


@pytest.mark.parametrize(
    "command",
    [("check", "rules", "rules.yml"), ("test", "rules", "rules_test.yml"), ("test", "rules", "rules_days_test.yml")],
    ids=" ".join,
)
def test_the_rules_hold_in_promtool(require_program, command):
    """The file is valid, an ordinary day raises nothing and a bad day raises each alert."""
    result = subprocess.run(
        [require_program("promtool"), *command], cwd=MONITORING, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_read_metrics_that_exist(rule):
    """A renamed metric would silence its alert for good."""
    assert metrics_in(rule["expr"]) <= {*FAMILIES, *pushgateway.FAMILIES, *completion.FAMILIES, *champion.FAMILIES}


@pytest.mark.parametrize("panel", BOARD["panels"], ids=lambda panel: panel["title"])
def test_panels_read_metrics_that_exist(panel):
    """A renamed metric would leave an empty picture."""
    for target in panel["targets"]:
        names = metrics_in(target["expr"])
        recorded = set(re.findall(r"qf:[a-z0-9_:]+", target["expr"]))
        assert names or recorded
        assert names <= {*FAMILIES, *pushgateway.FAMILIES, *completion.FAMILIES, *champion.FAMILIES}
        assert recorded <= RECORDED


def test_every_alert_says_what_to_do_in_the_run_book():
    """Each alert links a heading that exists."""
    headings = re.findall(r"^#+ (.+)$", Path(ROOT, "infra", "runbook.md").read_text(encoding="utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for rule in RULES:
        if "alert" in rule:
            assert rule["annotations"]["runbook"].removeprefix("infra/runbook.md#") in anchors, rule["alert"]


def test_the_reference_lies_in_the_bins_of_what_it_is_compared_with():
    """Live histogram and reference have the same edges, so the board joins them; the reference adds up to one."""
    distribution = Distribution(edges=(300.0, 700.0), shares=(0.2, 0.5, 0.3))
    series = reference_series({"score": distribution, "annual_income": distribution})
    assert series["qf_score_reference_ratio"] == pytest.approx({"300.0": 0.2, "700.0": 0.7, "+Inf": 1.0})
    assert series["qf_input_reference_ratio"]["annual_income\t700.0"] == pytest.approx(0.7)
    histogram = Histogram([300.0, 700.0], [1, 2, 3])
    text = exposition(Snapshot(histograms={"qf_score": {"": histogram}}), series).decode()
    live, known = (
        set(re.findall(rf'{name}{{{label}="(.*?)"', text))
        for name, label in (("qf_score_bucket", "le"), ("qf_score_reference_ratio", "at_most"))
    )
    assert live == known == {"300.0", "700.0", "+Inf"}


def test_the_board_has_every_picture_that_operators_need():
    """Traffic, latency, errors, limiter, backlog, distributions against reference, drift over time, model version."""
    read = " ".join(target["expr"] for panel in BOARD["panels"] for target in panel["targets"])
    for name in (
        "qf_requests_total",
        "qf_request_duration_seconds_bucket",
        "qf:error_ratio:5m",
        "qf_limiter_decisions_total",
        "qf_outbox_rows_pending",
        "qf_score_bucket",
        "qf_score_reference_ratio",
        "qf_input_bucket",
        "qf_input_reference_ratio",
        "qf_drift_state",
        "qf_drift_column_state",
        "qf_drift_psi",
        "qf_model_info",
    ):
        assert name in read
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
