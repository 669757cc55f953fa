"""`make new NAME=... DEST=...`: a fresh project of this shape under another name.

The repository is its own template: the files git tracks become a cookiecutter template, in which the company's name,
its one-word form and the two-letter prefix of settings, metrics and keys are variables. So the template cannot fall
behind the project. What the product is (the contract, the features, the words of the pages) stays: README.md says what
to change by hand.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from infra.errors import StackError
from infra.settings import ROOT
from infra.stack.object_store import program

NAME: Final = "QuantumFinance"
SLUG: Final = "quantumfinance"  # events, labels, distribution
SHORT: Final = "qf"  # keys, metrics; in capitals of settings
#: Delimiters no file of a project has; escaped, since this file passes through the template too.
OPEN, CLOSE = "\u27e6", "\u27e7"
DELIMITERS: Final = {
    "variable_start_string": OPEN,
    "variable_end_string": CLOSE,
    "block_start_string": f"{OPEN}%",
    "block_end_string": f"%{CLOSE}",
    "comment_start_string": f"{OPEN}#",
    "comment_end_string": f"#{CLOSE}",
}
_NAMES: Final = re.compile(f"{NAME}|{SLUG}")
# A prefix stands alone or before an underscore, a hyphen or a brace, or begins the mark of one of our file formats;
# inside a hash it is chance.
_SHORT: Final = re.compile(rf"(?<![A-Za-z0-9+/])(?:{SHORT}|{SHORT.upper()})(?=j\b|[JETX]1\b|LIMIT1\b|[^A-Za-z0-9+/]|$)")
Say = Callable[[str], None]


def context_of(name: str, short: str = "") -> dict[str, str]:
    """The template's variables for a company's name.

    Raises:
        StackError: the name or the prefix cannot be used.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9 ]{1,29}", name):
        raise StackError(
            "NAME takes 2 to 30 letters, digits and spaces, a letter first, for instance NAME='Acme Credit'"
        )
    slug = re.sub(r"[^a-z0-9]", "", name.lower())
    short = short or slug[:2]
    if not re.fullmatch(r"[a-z]{2}", short):
        raise StackError(f"the prefix {short} is not two small letters: give another with SHORT=")
    return {"name": name, "slug": slug, "short": short, "upper": short.upper()}


def build(root: Path, target: Path) -> Path:
    """The cookiecutter template of the project, made in `target`.

    Raises:
        StackError: the project is no git repository.
    """
    listing = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    process = subprocess.run(listing, capture_output=True, text=True, check=False)
    if process.returncode:
        raise StackError(f"{root} is no git repository, so nothing says which files belong to it")
    project = target / _variable("slug")
    for name in filter(None, process.stdout.split("\0")):
        if (root / name).is_file():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            _copy(root / name, project / name)
    choices = {**context_of(NAME, SHORT), "_jinja2_env_vars": DELIMITERS}
    (target / "cookiecutter.json").write_text(json.dumps(choices, indent=2), encoding="utf-8")
    return target


def _copy(source: Path, target: Path) -> None:
    shutil.copy2(source, target)
    try:
        text = source.read_bytes().decode()
    except UnicodeDecodeError:
        return  # a picture
    target.write_bytes(_as_template(text).encode())


def _as_template(text: str) -> str:
    text = _NAMES.sub(lambda match: _variable("name" if match[0] == NAME else "slug"), text)
    return _SHORT.sub(lambda match: _variable("short" if match[0] == SHORT else "upper"), text)


def _variable(name: str) -> str:
    return f"{OPEN}cookiecutter.{name}{CLOSE}"


def stamp_out(root: Path, destination: Path, context: dict[str, str], say: Say) -> None:
    """Make the project in `destination`, formatted, as a git repository of its own.

    Raises:
        StackError: the destination is taken or cannot be written.
    """
    from cookiecutter.main import cookiecutter

    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise StackError(f"{destination} is there already and not empty: choose another DEST")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=destination.parent) as folder:
            scratch = Path(folder)
            template = build(root, scratch / "template")
            say(f"{sum(path.is_file() for path in template.rglob('*')):,} files of the template")
            own = {"replay_dir": str(scratch / "replay"), "cookiecutters_dir": str(scratch / "none")}
            folder_path = cookiecutter(
                str(template), no_input=True, extra_context=context, output_dir=str(scratch / "out"), default_config=own
            )
            if destination.exists():
                destination.rmdir()
            Path(folder_path).rename(destination)
    except OSError as error:
        raise StackError(f"{destination} cannot be written: {error.strerror}") from error
    # Longer names make longer lines.
    subprocess.run([program("ruff"), "format", "--quiet", "."], cwd=destination, check=True)
    subprocess.run([program("ruff"), "check", "--quiet", "--fix", "."], cwd=destination, check=True)
    _begin_history(destination, context["name"], say)


def _begin_history(destination: Path, name: str, say: Say) -> None:
    """A first commit by whoever runs this; without a git identity the files are left staged."""
    for command in (["init", "--quiet", "--initial-branch", "main"], ["add", "--all"]):
        subprocess.run(["git", *command], cwd=destination, check=True)
    commit = ["git", "commit", "--quiet", "--message", f"{name}: a project from the template"]
    if subprocess.run(commit, cwd=destination, capture_output=True, check=False).returncode:
        say("git knows no name for you, so the first commit is yours to make: git commit")


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when the project stands, 1 and one line otherwise."""
    parser = argparse.ArgumentParser(prog="python -m infra.delivery.template", description=__doc__)
    parser.add_argument("--name", required=True, help="the company's name")
    parser.add_argument("--dest", required=True, help="folder to make the project in")
    parser.add_argument("--short", default="", help="two letters before keys, settings, metrics; the name's first two")
    options = parser.parse_args(arguments)
    try:
        if not options.dest:
            raise StackError("DEST is not set: make new NAME='Acme Credit' DEST=../acme")
        destination = Path(options.dest).expanduser().absolute()
        stamp_out(ROOT, destination, context_of(options.name, options.short), print)
    except StackError as error:
        print(f"new: {error}", file=sys.stderr)
        return 1
    print(f"{options.name} stands in {destination}; README.md there says what to change by hand, `make demo` runs it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
