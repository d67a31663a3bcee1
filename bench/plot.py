"""A result as an SVG picture, for light and dark backgrounds. Every bar has its figure beside it."""

from collections.abc import Iterator, Sequence
from typing import Final
from xml.sax.saxutils import escape

from attrs import frozen

from bench.aims import shown
from bench.result import Result

_WIDTH: Final = 760
_LEFT: Final = 190
_RIGHT: Final = 130
_ROW: Final = 26
_BAR: Final = 16
_TITLE: Final = 34
_LEGEND_STEP: Final = 114
_MARGIN: Final = 14

# By process, so that one has the same colour in every picture.
_PROCESSES: Final = ("nginx", "api", "up", "worker", "relay", "postgresql", "redis", "rabbitmq")
_STYLE: Final = """
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.title { font-weight: 600; }
.number { font-variant-numeric: tabular-nums; }
.ground { fill: #ffffff; }
.ours { fill: #0969da; } .other { fill: #8c959f; } .late { fill: #bc4c00; }
.api, .up { fill: #0969da; } .worker { fill: #8250df; } .relay { fill: #1b7c83; } .postgresql { fill: #bc4c00; }
.redis { fill: #cf222e; } .rabbitmq { fill: #9a6700; } .nginx { fill: #6e7781; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .ground { fill: #0d1117; }
  .ours { fill: #4493f8; } .other { fill: #7d8590; } .late { fill: #f0883e; }
  .api, .up { fill: #4493f8; } .worker { fill: #ab7df8; } .relay { fill: #39c5cf; } .postgresql { fill: #f0883e; }
  .redis { fill: #ff7b72; } .rabbitmq { fill: #d29922; } .nginx { fill: #afb8c1; }
}
"""


@frozen
class _Bar:
    label: str
    value: float
    text: str
    look: str


def plot(result: Result) -> str:
    """Rates, latencies and CPU, one beneath the other."""
    shapes: list[str] = []
    height = _MARGIN
    for title, bars in (("Completed a second", _rates(result)), ("Latency", _latencies(result))):
        if not bars:
            continue
        shapes += _panel(title, bars, height)
        height += _TITLE + _ROW * len(bars) + _MARGIN
    shapes += _costs(result, height)
    height += _TITLE + 2 * _ROW + _MARGIN
    description = f"{result.scenario}: completed a second, latency, and CPU by process"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
        f' role="img" aria-label="{escape(description)}">\n<style>{_STYLE}</style>\n'
        f'<rect class="ground" width="{_WIDTH}" height="{height}" rx="6"/>\n' + "\n".join(shapes) + "\n</svg>\n"
    )


def _rates(result: Result) -> list[_Bar]:
    found = [("ceiling: empty handler", result.ceiling_per_s, "other"), ("Holdfast", result.completed_per_s, "ours")]
    found.append(("one at a time", result.unbatched_per_s, "other"))
    found += [(f"{peer.name} *", peer.per_s, "other") for peer in result.peers]
    return [_Bar(label, value, f"{shown(value)}/s", look) for label, value, look in found if value is not None]


def _latencies(result: Result) -> list[_Bar]:
    waits = (("p50", result.p50_ms, "ours"), ("p99", result.p99_ms, "ours"), ("p99.9", result.p999_ms, "late"))
    return [_Bar(label, value, shown(value, " ms"), look) for label, value, look in waits if value is not None]


def _panel(title: str, bars: Sequence[_Bar], top: float) -> Iterator[str]:
    yield _text(_MARGIN, top + 18, title, "title")
    longest = max(bar.value for bar in bars) or 1
    for number, bar in enumerate(bars):
        y = top + _TITLE + number * _ROW
        width = (_WIDTH - _LEFT - _RIGHT) * bar.value / longest
        yield _text(_LEFT - 10, y + 13, bar.label, anchor="end")
        yield _rect(_LEFT, y, max(width, 1), bar.look)
        yield _text(_LEFT + width + 8, y + 13, bar.text, "number")


def _costs(result: Result, top: float) -> Iterator[str]:
    """One bar, and what its parts are."""
    total = result.cpu_ms_per_order["total"]
    yield _text(_MARGIN, top + 18, f"CPU: {shown(total, ' ms')} each, all processes", "title")
    y, x = top + _TITLE, float(_MARGIN)
    parts = [(name, result.cpu_ms_per_order[name]) for name in _PROCESSES if name in result.cpu_ms_per_order]
    for name, value in parts:
        width = (_WIDTH - 2 * _MARGIN) * value / (total or 1)
        yield _rect(x, y, width, name)
        x += width
    for number, (name, value) in enumerate(parts):
        x = _MARGIN + number * _LEGEND_STEP
        yield f'<rect class="{name}" x="{x}" y="{y + _ROW + 2}" width="10" height="10" rx="2"/>'
        yield _text(x + 14, y + _ROW + 12, f"{name} {value:.2g}")


def _rect(x: float, y: float, width: float, look: str) -> str:
    return f'<rect class="{look}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_BAR}" rx="2"/>'


def _text(x: float, y: float, words: str, look: str = "", *, anchor: str = "start") -> str:
    return f'<text class="{look}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
