"""The documentation as a site: `make docs` builds it in build/site, offline.

Its pages are the READMEs, the pages of infra/docs, the API reference made from the OpenAPI document, and the plan of
the rooms drawn from the code. Nothing is written twice: what is derived is derived on each build.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from infra.delivery.rooms import as_svg, as_text, plans
from infra.settings import ROOT
from service.endpoints.table import description

PAGES: Final = ROOT / "infra" / "docs" / "pages"
TARGET: Final = ROOT / "build" / "site-pages"
START: Final = ROOT / "build" / "site" / "index.html"
CONFIG: Final = ROOT / "infra" / "docs" / "mkdocs.yml"
SOURCES: Final = {
    "README.md": "index.md",
    "service/README.md": "guides/service.md",
    "service/engine/README.md": "guides/engine.md",
    "bentos/README.md": "guides/bentos.md",
    "flows/README.md": "guides/flows.md",
    "ui/README.md": "guides/ui.md",
    "data/README.md": "guides/data.md",
    "infra/README.md": "guides/infra.md",
    "infra/runbook.md": "guides/runbook.md",
    "tests/README.md": "guides/tests.md",
}
"""Documents of the repository, and the page each becomes."""
_LINK: Final = re.compile(r"(\]\()(?![a-z]+:|#)([^)#\s]+)(#[^)]*)?(\))")


def page_of(path: Path) -> str | None:
    """Page of the site that a file of the repository becomes, or None if it is no page."""
    name = path.relative_to(ROOT).as_posix()
    if name in SOURCES:
        return SOURCES[name]
    return path.relative_to(PAGES).as_posix() if path.is_relative_to(PAGES) else None


def with_site_links(text: str, source: Path, page: str) -> str:
    """The document with links to other documents made links between pages; what is no page stays as its name.

    Args:
        text: Markdown of the document.
        source: the document's path, which its links are relative to.
        page: the page it becomes, relative to the site.
    """

    def replaced(match: re.Match[str]) -> str:
        target = (source.parent / match[2]).resolve()
        path = page_of(target) if target.is_relative_to(ROOT) else None
        if path is None and target.suffix in {".png", ".svg"}:
            path = f"pictures/{target.name}"
        if path is None:
            return f"]({'../' * page.count('/')}rooms.md{match[4]}"
        return f"]({'../' * page.count('/')}{path}{match[3] or ''}{match[4]}"

    return _LINK.sub(replaced, text)


def api_reference(openapi: dict[str, Any]) -> str:
    """The OpenAPI document as Markdown: a section a route with its statuses, a table of fields a schema."""
    parts = ["# API reference\n", f"{openapi['info'].get('description', '')}\n"]
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            parts.append(f"## `{method.upper()} {path}`\n\n{operation.get('summary', '')}\n")
            parts.append("| status | what |\n|---|---|")
            answers = ((status, _resolved(openapi, answer)) for status, answer in operation["responses"].items())
            parts.append(
                "\n".join(f"| {status} | {_cell(answer['description'])} |" for status, answer in answers) + "\n"
            )
    for name, schema in sorted(openapi["components"]["schemas"].items()):
        if fields := schema.get("properties"):
            parts.append(f"## {name}\n\n{schema.get('description', '')}\n\n| field | what |\n|---|---|")
            lines = (f"| `{field}` | {_cell(value.get('description', ''))} |" for field, value in fields.items())
            parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _resolved(openapi: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """What a `$ref` of the document points to; the part itself if it is none."""
    for step in part.get("$ref", "#").removeprefix("#").split("/")[1:]:
        openapi = openapi[step]
    return openapi if "$ref" in part else part


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def rooms_page() -> str:
    """The rooms of each package: picture and arrows. The pictures are written beside it."""
    parts = [
        "# Rooms\n",
        "Filled boxes are rooms, outlined ones single modules. Arrows run down only; `make rooms` prints them.\n",
    ]
    for plan in plans():
        picture = TARGET / f"rooms-{plan.package}.svg"
        picture.write_text(as_svg(plan), encoding="utf-8")
        parts.append(
            f"## {plan.package}\n\n![Rooms of {plan.package}]({picture.name})\n\n```text\n{as_text(plan)}\n```\n"
        )
    return "\n".join(parts)


def fill() -> None:
    """Write every page into build/site-pages, made anew."""
    shutil.rmtree(TARGET, ignore_errors=True)
    shutil.copytree(PAGES, TARGET)
    (TARGET / "pictures").mkdir()
    for picture in [*(ROOT / "infra" / "pictures").glob("*.png"), *PAGES.glob("*.svg")]:
        shutil.copy2(picture, TARGET / "pictures")
    for name, page in SOURCES.items():
        (TARGET / page).parent.mkdir(exist_ok=True)
        text = with_site_links((ROOT / name).read_text(encoding="utf-8"), ROOT / name, page)
        (TARGET / page).write_text(text, encoding="utf-8")
    (TARGET / "api.md").write_text(api_reference(description()), encoding="utf-8")
    (TARGET / "rooms.md").write_text(rooms_page(), encoding="utf-8")


def main() -> int:
    """Fill the pages and build the site; the builder's exit code."""
    fill()
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--clean", "-f", str(CONFIG)]
    code = subprocess.run(command, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, check=False).returncode
    if code == 0:
        print(f"the site is built: open {START.relative_to(ROOT)}")
    return code


if __name__ == "__main__":
    sys.exit(main())
