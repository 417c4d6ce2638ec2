"""Plots as SVG, drawn by hand: bars that compare, and lines over a logarithmic scale.

Text is the reader's own font, colours are legible on white and on black, nothing is fetched.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

OURS, OTHERS, INK = "#2f7ed8", "#9aa5b1", "#808890"
_WIDTH, _LABEL, _BAR, _GAP = 760, 250, 18, 8
_STYLE = (
    f"<style>text{{font:13px system-ui,sans-serif;fill:{INK}}}"
    ".title{font-size:15px;font-weight:600}.axis{font-size:11px}</style>"
)


def bars(title: str, values: Mapping[str, float], *, unit: str, logarithmic: bool = False) -> str:
    """Draw one horizontal bar a name; those that begin with "krixik_async" are ours."""
    top = max(values.values())
    low = min(values.values())
    room = _WIDTH - _LABEL - 110

    def length(value: float) -> float:
        if not logarithmic:
            return room * value / top
        span = math.log10(top / low) or 1.0
        return room * (0.06 + 0.94 * math.log10(value / low) / span)

    rows = [_text(0, 18, title + (" (logarithmic)" if logarithmic else ""), "title")]
    for index, (name, value) in enumerate(values.items()):
        y = 34 + index * (_BAR + _GAP)
        colour = OURS if name.startswith("krixik_async") else OTHERS
        rows += [
            _text(_LABEL - 8, y + 14, name, anchor="end"),
            (
                f'<rect x="{_LABEL}" y="{y}" width="{length(value):.1f}" height="{_BAR}" rx="2" '
                f'fill="{colour}"/>'
            ),
            _text(_LABEL + length(value) + 6, y + 14, f"{short(value)} {unit}"),
        ]
    return _svg(_WIDTH, 40 + len(values) * (_BAR + _GAP), rows)


def lines(
    title: str, series: Mapping[str, Sequence[tuple[float, float]]], *, x_unit: str, y_unit: str
) -> str:
    """Draw points joined by lines, both axes logarithmic: what is in proportion is straight."""
    points = [point for line in series.values() for point in line]
    xs, ys = [math.log10(x) for x, _ in points], [math.log10(y) for _, y in points]
    left, top, width, height = 70, 40, 480, 240

    def place(x: float, y: float) -> tuple[float, float]:
        across = (math.log10(x) - min(xs)) / ((max(xs) - min(xs)) or 1.0)
        up = (math.log10(y) - min(ys)) / ((max(ys) - min(ys)) or 1.0)
        return left + across * width, top + (1 - up) * height

    rows = [
        _text(0, 18, title, "title"),
        f'<path d="M{left} {top}V{top + height}H{left + width}" fill="none" stroke="{INK}"/>',
        _text(left + width / 2, top + height + 38, x_unit, "axis", anchor="middle"),
        _text(left - 8, top - 8, y_unit, "axis", anchor="end"),
    ]
    for index, (name, line) in enumerate(series.items()):
        colour = (OURS, OTHERS)[min(index, 1)]
        placed = [place(x, y) for x, y in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        rows.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for (x, y), (across, down) in zip(line, placed, strict=True):
            rows += [
                f'<circle cx="{across:.1f}" cy="{down:.1f}" r="4" fill="{colour}"/>',
                _text(across + 8, down + 14, short(y), "axis"),
                _text(across, top + height + 20, short(x), "axis", anchor="middle"),
            ]
        rows.append(_text(placed[-1][0] + 12, placed[-1][1] - 6, name))
    return _svg(_WIDTH, top + height + 44, rows)


def short(value: float) -> str:
    """Give three significant digits, thousands with a comma."""
    if value >= 1000:
        return f"{round(value, 2 - int(math.log10(value))):,.0f}"
    return f"{value:.3g}"


def _text(x: float, y: float, words: str, kind: str = "", *, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
        + (f' class="{kind}"' if kind else "")
        + f">{escape(words)}</text>"
    )


def _svg(width: float, height: float, rows: Sequence[str]) -> str:
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    body = "\n".join(rows)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n{_STYLE}\n{body}\n</svg>\n'
