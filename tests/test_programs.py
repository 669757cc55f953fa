"""Programs that people call say how: what they read of the command line goes through argparse, so `--help` helps."""

from __future__ import annotations

from pathlib import Path

from infra.settings import ROOT

FOLDERS = ("service", "bentos", "flows", "ui", "infra", "tests/bench", "tests/acceptance")
# Started by our own programs alone, with arguments that nobody types.
STARTED_BY = {
    "infra/delivery/locking.py": "make lock: its arguments are uv's",
    "infra/environment.py": "make venv",
    "infra/stack/listening.py": "infra/stack/parts.py",
    "service/lexicon/workbook_child.py": "service/lexicon/workbook.py",
    "tests/bench/peer_litserve.py": "tests/bench/serving.py",
    "tests/bench/python_client.py": "tests/bench/load.py",
}


def programs() -> dict[str, str]:
    """Programs that read the command line, by their place."""
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if not path.name.startswith("test_")]
    texts = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in sorted(files)}
    return {place: text for place, text in texts.items() if "sys.argv" in text}


def test_a_program_that_people_call_takes_its_arguments_by_argparse() -> None:
    """An argument that is taken by its place makes a file of `--help`, or asks nothing where a name is misspelt."""
    bare = {place for place, text in programs().items() if "ArgumentParser(" not in text}

    assert bare == set(STARTED_BY)


def test_what_is_started_by_us_alone_is_named_there() -> None:
    """The program that starts it knows its name."""
    for child, parent in STARTED_BY.items():
        if (ROOT / parent).exists():
            assert Path(child).stem in (ROOT / parent).read_text(encoding="utf-8"), child
