"""A version that serves may be older than a field of the request; the one that is to serve may not."""

from __future__ import annotations

import pytest

from bentos.deploying.probe import asking
from bentos.errors import SmokeFailed
from bentos.packing.golden_requests import GoldenRequests
from tests.bentos.fake_service import KEY, Behaviour, answering

NEWER = (GoldenRequests(body={"num_loans": 1, "unknown": "a field added since"}, score=100),)


def test_an_older_version_may_refuse_a_field_added_since() -> None:
    """It is asked for its time alone; the new version must know every field."""
    with answering(Behaviour()) as url, asking(url, NEWER, KEY) as prober:
        assert prober.ask(check=False) > 0
        with pytest.raises(SmokeFailed, match="answers 422 to a golden applicant"):
            prober.ask()
