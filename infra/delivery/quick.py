"""What a developer runs after each change (`make quick`): lint of what changed, and its tests that need no server.

A change is what differs from the branch's beginning, committed or not. Its tests are those of the module's own name and
those that import it; pytest's `--quick` leaves out what needs a server, a browser or a container engine, or is slow.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from infra.settings import ROOT

PACKAGES: Final = ("service", "bentos", "flows", "ui", "infra")
ALWAYS: Final = ("tests/test_docs.py", "tests/test_words.py")
BASES: Final = ("origin/main", "main")


def changed_files() -> list[Path]:
    """Files that differ from the branch's beginning, and those git does not know yet; relative to the root."""
    base = next((commit for name in BASES if (commit := _git("merge-base", "HEAD", name))), "HEAD")
    if base == _git("rev-parse", "HEAD"):
        base = _git("rev-parse", "HEAD~1") or base
    names = _git("diff", "--name-only", base).splitlines() + _git("ls-files", "-o", "--exclude-standard").splitlines()
    return [path for path in sorted({Path(name) for name in names}) if (ROOT / path).is_file()]


def tests_of(changed: Iterable[Path], tests: Sequence[Path]) -> list[Path]:
    """The test files that belong to a change.

    Args:
        changed: paths of changed files, relative to the root.
        tests: every test file, relative to the root.
    """
    paths = {path for path in changed if path in set(tests)}
    modules = [path for path in changed if path.suffix == ".py" and path.parts[0] in PACKAGES]
    for path in tests:
        text = (ROOT / path).read_text(encoding="utf-8")
        if any(_mirrors(path, module) or _imports(text, module) for module in modules):
            paths.add(path)
    return sorted(paths | {Path(name) for name in ALWAYS})


def _mirrors(test: Path, module: Path) -> bool:
    return test == Path("tests") / module.parent / f"test_{module.name}"


def _imports(text: str, module: Path) -> bool:
    package, name = ".".join(module.parent.parts), module.stem
    return bool(
        re.search(rf"from {re.escape(package)}\.{name} import|from {re.escape(package)} import [^\n]*\b{name}\b", text)
    )


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def _run(name: str, *command: str) -> bool:
    start = time.monotonic()
    passed = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode == 0
    print(f"quick: {name} {'passed' if passed else 'FAILED'} in {time.monotonic() - start:.1f} s", flush=True)
    return passed


def main() -> int:
    """Run each check, all of them whatever fails; 1 if any did."""
    changed = changed_files()
    code = [str(path) for path in changed if path.suffix == ".py"]
    passed = [_run("layout", "ruff", "check", "."), _run("format", "ruff", "format", "--check", ".")]
    linter = "import sys; from importlinter.cli import lint_imports_command as lint; sys.exit(lint())"
    passed.append(
        subprocess.run([sys.executable, "-c", linter], cwd=ROOT, capture_output=True, check=False).returncode == 0
    )
    if not passed[-1]:
        print("quick: imports FAILED: lint-imports says why", flush=True)
    if code:
        passed.append(
            _run("types", "mypy", *[path for path in code if not path.startswith("tests")] or ["infra/delivery"])
        )
        passed.append(_run("pylint", "pylint", "--jobs", "2", *code))
    tests = [path.relative_to(ROOT) for path in sorted((ROOT / "tests").rglob("test_*.py"))]
    selection = [str(path) for path in tests_of(changed, tests)]
    passed.append(_run(f"{len(selection)} test files", "pytest", "--quick", "-q", "-n", "2", *selection))
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
