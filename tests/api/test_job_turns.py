"""A job that goes wrong goes wrong alone."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from service.runtime import Runtime
from tests.api.client import Api, applicant
from tests.api.ordered_jobs import PATIENCE_S, ended, none_under_way, ordered


def test_a_job_that_fails_holds_nobody_up(
    api: Api, runtime: Runtime, new_key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody foresaw in one partner's job is met again and again; another's, behind it, is done."""
    none_under_way(api, runtime)
    rows = runtime.jobs.jobs.rows

    def breaks(record: Any) -> Any:
        if record.account == "job-fails":
            raise ValueError("nobody foresaw this")
        return rows(record)

    monkeypatch.setattr(runtime.jobs.jobs, "rows", breaks)
    failing, other_key = ordered(api, [applicant()], key=new_key("job-fails")), new_key("job-behind")
    other = ordered(api, [applicant()], key=other_key)
    assert ended(api, runtime, other, other_key).json["status"] == "done"
    assert not runtime.jobs.jobs.read(failing).ended
    assert runtime.jobs.jobs.cancel(failing).status == "cancelled"


def test_a_chunk_of_another_size_is_no_other_order(
    api: Api, runtime: Runtime, new_key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key whose burst has changed since its job's rows were scored and not noted takes the job to its end."""
    none_under_way(api, runtime)
    key = new_key("job-changes", burst=5, rate=1e4)
    real, found, died = runtime.jobs.jobs.add_results, runtime.jobs.keys.holder, threading.Event()

    def dies(*_: Any) -> None:
        died.set()
        raise OSError("killed here")

    monkeypatch.setattr(runtime.jobs.jobs, "add_results", dies)
    job = ordered(api, [applicant()] * 12, key=key)
    deadline = time.monotonic() + PATIENCE_S
    while not died.is_set():
        assert time.monotonic() < deadline
        api.runner.run(runtime.jobs.look())
    monkeypatch.setattr(runtime.jobs.jobs, "add_results", real)
    monkeypatch.setattr(runtime.jobs.keys, "holder", lambda *asked: replace(found(*asked), burst=4))
    assert ended(api, runtime, job, key).json["done"] == 12
