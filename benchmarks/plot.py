"""A picture of where a frame's time goes: one stacked bar per image size, as SVG."""

from __future__ import annotations

from collections.abc import Mapping
from xml.sax.saxutils import escape

from benchmarks.watch import STEPS

#: One colour per step, in the order of STEPS.
_COLOURS = (
    "#8dd3c7",
    "#80b1d3",
    "#386cb0",
    "#fdb462",
    "#e6550d",
    "#a63603",
    "#7fc97f",
    "#bebada",
    "#984ea3",
    "#fccde5",
    "#f781bf",
    "#bdbdbd",
)
COLOURS = dict(zip(STEPS, _COLOURS, strict=True))
_WIDTH, _LEFT, _RIGHT, _BAR, _GAP, _TOP = 900, 110, 90, 34, 22, 46
_LEGEND_COLUMNS, _LEGEND_ROW = 6, 22
#: px: narrower parts of a bar bear no number.
_LABELLED = 34


def draw(steps: Mapping[str, Mapping[str, float]]) -> str:
    """Return an SVG of milliseconds by step, by image size."""
    longest = max((sum(parts.values()) for parts in steps.values()), default=0.0)
    scale = (_WIDTH - _LEFT - _RIGHT) / longest if longest else 0.0
    present = [name for name in STEPS if any(name in parts for parts in steps.values())]
    legend_rows = -(-len(present) // _LEGEND_COLUMNS)
    bottom = _TOP + len(steps) * (_BAR + _GAP)
    height = bottom + legend_rows * _LEGEND_ROW + 12
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(12, 26, "Where a frame's time goes in the node, ms (median of each step)", size=15),
    ]
    for number, (size, parts) in enumerate(steps.items()):
        lines += _bar(size, parts, _TOP + number * (_BAR + _GAP), scale)
    for number, name in enumerate(present):
        x = 12 + number % _LEGEND_COLUMNS * (_WIDTH - 24) // _LEGEND_COLUMNS
        y = bottom + number // _LEGEND_COLUMNS * _LEGEND_ROW
        lines += [
            f'<rect x="{x}" y="{y}" width="14" height="14" fill="{COLOURS[name]}"/>',
            _text(x + 20, y + 12, name),
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def _bar(size: str, parts: Mapping[str, float], top: int, scale: float) -> list[str]:
    """Return one bar with its name, its parts and its sum."""
    middle = top + _BAR // 2 + 5
    lines, x = [_text(12, middle, size)], float(_LEFT)
    for name in STEPS:
        width = parts.get(name, 0.0) * scale
        if width <= 0:
            continue
        lines.append(
            f'<rect x="{x:.1f}" y="{top}" width="{width:.1f}" height="{_BAR}" '
            f'fill="{COLOURS[name]}"><title>{escape(name)}: {parts[name]:.2f} ms</title></rect>'
        )
        if width >= _LABELLED:
            lines.append(_text(x + 4, middle, f"{parts[name]:.1f}"))
        x += width
    return [*lines, _text(x + 6, middle, f"{sum(parts.values()):.1f}")]


def _text(x: float, y: float, text: str, size: int = 13) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="#222222">{escape(text)}</text>'
