"""What tasks do with results of theirs that lie somewhere already."""

from __future__ import annotations

from importlib import import_module

from prefect import Task
from prefect.cache_policies import NO_CACHE

from infra.settings import ROOT


def test_no_task_opens_a_result_that_it_finds() -> None:
    """A task with Prefect's default looks for a result under a key that others can compute, and unpickles it: none of
    ours does, whoever can write where results lie."""
    files = [path for path in (ROOT / "flows").rglob("*.py") if "@task" in path.read_text(encoding="utf-8")]
    modules = [import_module(".".join(path.relative_to(ROOT).with_suffix("").parts)) for path in files]
    tasks = {one.name: one for module in modules for one in vars(module).values() if isinstance(one, Task)}

    assert {"age", "publish", "apply", "fit"} <= set(tasks)
    assert {name for name, one in tasks.items() if one.cache_policy != NO_CACHE or one.persist_result} == set()
