"""The plan of the house: which rooms a package has, on which layer each lies, and who imports whom (`make rooms`).

The layers are those of the import contracts in pyproject.toml, which `make lint` holds; arrows are counted from the
code by grimp, the library the linter itself reads the code with.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

import grimp

from infra.settings import ROOT

PACKAGES: Final = ("flows", "bentos", "service", "ui", "infra")
BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y, MARGIN = 132, 34, 16, 58, 24


@dataclass(frozen=True)
class Plan:
    """One package: its layers from the doors down to the ground, and the imports between what stands on them."""

    package: str
    layers: tuple[tuple[str, ...], ...]
    arrows: dict[tuple[str, str], int]

    def layer(self, name: str) -> int:
        """The layer that a room or module stands on, 0 being the top."""
        return next(number for number, names in enumerate(self.layers) if name in names)

    def back(self) -> list[tuple[str, str]]:
        """Arrows that do not point down: none, or the linter would have refused them."""
        return sorted(arrow for arrow in self.arrows if self.layer(arrow[0]) >= self.layer(arrow[1]))

    def essential(self) -> list[tuple[str, str]]:
        """Arrows that no longer way already tells: a picture of them all would be a heap of lines."""
        return sorted(arrow for arrow in self.arrows if not self._reaches(*arrow, steps_min=2))

    def _reaches(self, source: str, target: str, steps_min: int = 1) -> bool:
        following = {end for start, end in self.arrows if start == source}
        if steps_min <= 1 and target in following:
            return True
        return any(self._reaches(step, target) for step in following - {target})


def layers(package: str, pyproject: Path = ROOT / "pyproject.toml") -> tuple[tuple[str, ...], ...]:
    """Layers of a package as its import contract names them, doors first.

    Raises:
        KeyError: no contract has this package as its container.
    """
    contracts = tomllib.loads(pyproject.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    for contract in contracts:
        if contract.get("containers") == [package]:
            return tuple(tuple(name.strip() for name in layer.split("|")) for layer in contract["layers"])
    raise KeyError(package)


def plans() -> list[Plan]:
    """The plan of every package, from the code as it is now."""
    graph = grimp.build_graph(*PACKAGES)
    counts: dict[str, Counter[tuple[str, str]]] = {package: Counter() for package in PACKAGES}
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            (package, *inner), (other, *target) = importer.split("."), imported.split(".")
            if package == other and inner and target and inner[0] != target[0]:
                counts[package][inner[0], target[0]] += 1
    return [Plan(package, layers(package), dict(counts[package])) for package in PACKAGES]


def as_text(plan: Plan) -> str:
    """The plan for a terminal: a line a layer, then the arrows."""
    lines = [f"{plan.package}: {len(plan.arrows)} arrows, {len(plan.back())} back"]
    lines += [f"  {'  '.join(names)}" for names in plan.layers]
    sources = sorted({source for source, _ in plan.arrows}, key=lambda name: (plan.layer(name), name))
    for source in sources:
        targets = sorted(target for origin, target in plan.arrows if origin == source)
        lines.append(f"    {source} -> {', '.join(targets)}")
    return "\n".join(lines)


def as_svg(plan: Plan) -> str:
    """The plan as a picture: layers from top to bottom, rooms filled, single modules outlined, essential arrows."""
    rooms = {path.parent.name for path in (ROOT / plan.package).glob("*/__init__.py")}
    width = max(len(names) for names in plan.layers) * (BOX_WIDTH + GAP_X) + 2 * MARGIN
    height = len(plan.layers) * (BOX_HEIGHT + GAP_Y) + 2 * MARGIN - GAP_Y
    middle: dict[str, tuple[float, float]] = {}
    boxes = []
    for number, names in enumerate(plan.layers):
        top = MARGIN + number * (BOX_HEIGHT + GAP_Y)
        left = (width - len(names) * (BOX_WIDTH + GAP_X) + GAP_X) / 2
        for place, name in enumerate(names):
            x = left + place * (BOX_WIDTH + GAP_X)
            middle[name] = (x + BOX_WIDTH / 2, top + BOX_HEIGHT / 2)
            boxes.append(_box(x, top, name, room=name in rooms))
    arrows = {arrow: plan.arrows[arrow] for arrow in plan.essential()}
    lines = [_line(middle[source], middle[target], weight) for (source, target), weight in sorted(arrows.items())]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="Rooms of {plan.package} and the imports between them" font-family="sans-serif" font-size="12">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        'markerUnits="userSpaceOnUse" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#64748b"/></marker></defs>'
        f'<rect width="{width:g}" height="{height:g}" fill="#ffffff"/>'
    )
    return head + "".join(lines) + "".join(boxes) + "</svg>\n"


def _box(left: float, top: float, name: str, *, room: bool) -> str:
    fill, ink = ("#1d4ed8", "#ffffff") if room else ("#ffffff", "#0f172a")
    label = f"{name}/" if room else name
    return (
        f'<rect x="{left:g}" y="{top:g}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6" fill="{fill}" '
        f'stroke="#1d4ed8"/><text x="{left + BOX_WIDTH / 2:g}" y="{top + BOX_HEIGHT / 2 + 4:g}" '
        f'text-anchor="middle" fill="{ink}">{escape(label)}</text>'
    )


def _line(start: tuple[float, float], end: tuple[float, float], weight: int) -> str:
    below, above = start[1] + BOX_HEIGHT / 2, end[1] - BOX_HEIGHT / 2
    return (
        f'<line x1="{start[0]:g}" y1="{below:g}" x2="{end[0]:g}" y2="{above:g}" stroke="#64748b" '
        f'stroke-opacity="0.55" stroke-width="{min(1 + weight / 6, 4):.1f}" marker-end="url(#tip)"/>'
    )


def main(arguments: list[str] | None = None) -> int:
    """Print the plans, and draw them where a folder is named; 1 if an arrow points back."""
    parser = argparse.ArgumentParser(prog="python -m infra.delivery.rooms", description=__doc__)
    parser.add_argument("--svg", type=Path, help="folder for a picture a package")
    options = parser.parse_args(arguments)
    every = plans()
    print("\n\n".join(as_text(plan) for plan in every))
    if options.svg:
        options.svg.mkdir(parents=True, exist_ok=True)
        for plan in every:
            (options.svg / f"rooms-{plan.package}.svg").write_text(as_svg(plan), encoding="utf-8")
    return 1 if any(plan.back() for plan in every) else 0


if __name__ == "__main__":
    sys.exit(main())
