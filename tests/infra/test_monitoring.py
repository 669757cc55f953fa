"""Alerts fire on what they are for, and every metric that they or the board read is one that is really exposed."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from flows import exposure
from infra.settings import ROOT
from service.endpoints.operations import FAMILIES

MONITORING = ROOT / "infra" / "monitoring"
RULES = yaml.safe_load((MONITORING / "rules.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
BOARD = json.loads((MONITORING / "grafana" / "dashboards" / "credit-score.json").read_text(encoding="utf-8"))
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
SUFFIXES = re.compile(r"_(total|bucket|sum|count)$")


def metrics_in(expression: str) -> set[str]:
    """Names of our metrics that an expression reads."""
    return {SUFFIXES.sub("", name) for name in re.findall(r"\bqf_[a-z0-9_]+", expression)}


@pytest.mark.parametrize(
    "command", [("check", "rules", "rules.yml"), ("test", "rules", "rules_test.yml")], ids=" ".join
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
    assert metrics_in(rule["expr"]) <= {*FAMILIES, *exposure.FAMILIES}


@pytest.mark.parametrize("panel", BOARD["panels"], ids=lambda panel: panel["title"])
def test_panels_read_metrics_that_exist(panel):
    """A renamed metric would leave an empty picture."""
    for target in panel["targets"]:
        names = metrics_in(target["expr"])
        recorded = set(re.findall(r"qf:[a-z0-9_:]+", target["expr"]))
        assert names or recorded
        assert names <= {*FAMILIES, *exposure.FAMILIES}
        assert recorded <= RECORDED


def test_every_alert_says_what_to_do_in_the_run_book():
    """Each alert links a heading that exists."""
    headings = re.findall(r"^#+ (.+)$", Path(ROOT, "infra", "runbook.md").read_text(encoding="utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for rule in RULES:
        if "alert" in rule:
            assert rule["annotations"]["runbook"].removeprefix("infra/runbook.md#") in anchors, rule["alert"]
