"""What a visitor tries in What if is nobody's customer: with a test key it reaches no drift, at the real API."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from service.contract import TEST_KEY_PREFIX
from service.ledger.journal import entry_rows, frames
from service.ledger.journal.segments import Folders
from service.ledger.records import RecordKind
from tests.ui.browsing import Stack
from tests.ui.conftest import APP, go

pytestmark = [pytest.mark.needs_browser, pytest.mark.slow, pytest.mark.xdist_group("chain"), pytest.mark.timeout(900)]


def predictions_for_drift(stack: Stack) -> int:
    """How many predictions the API would ship to the bucket that drift reads."""
    paths = Folders(stack.ui_log.parent / "service" / "outbox").paths()
    shipped = [entry_rows.csv_objects(frames.parse(path.read_bytes()).entries) for path in paths]
    return sum(each[RecordKind.PREDICTION][1] for each in shipped if RecordKind.PREDICTION in each)


@pytest.mark.parametrize("with_test_key", [True, False], ids=["test-key", "live-key"])
def test_what_if_is_in_no_drift(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_test_key: bool
) -> None:
    """Curve and map are drawn and nothing is shipped; with the live key every point is."""
    monkeypatch.setenv("QF_STATE_DIR", str(tmp_path))
    monkeypatch.setattr("ui.visitors.address", lambda: "127.0.0.1")  # AppTest has no connection
    at = AppTest.from_file(str(APP), default_timeout=120)
    at.secrets = {"endpoint": stack.gate.api, "key": stack.gate.own_key}
    if with_test_key:
        at.secrets["test_key"] = stack.keys("issue", "demo", "--test", "--rate", "1000", "--burst", "1000")
        assert at.secrets["test_key"].startswith(TEST_KEY_PREFIX)
    before = predictions_for_drift(stack)
    at.run()
    go(at, "whatif")
    at.selectbox(key="whatif.second").select_index(1).run()
    assert not at.exception and not at.error and len(at.get("vega_lite_chart")) == 1
    came = predictions_for_drift(stack) - before
    assert came == 0 if with_test_key else came > 8 * 8
