"""A bar chart as SVG, built as a tree: what a document says can only become text in it."""

from collections.abc import Sequence
from xml.etree import ElementTree

_ROW = 30
_WIDTH = 360  # not much more than a phone's, lest it be shrunk until nobody can read it
_LABELS = 130
_LONGEST_LABEL = 16
_STYLE = """
text { font: 14px system-ui, sans-serif; fill: #24292f; }
.bar { fill: #3d6fb4; }
.none { fill: #57606a; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .bar { fill: #79a8e8; }
  .none { fill: #9da7b1; }
}
"""


def bar_chart(counted: Sequence[tuple[str, int]]) -> str:
    """Horizontal bars, one for each name and its count; an SVG document with a title for readers."""
    height = _ROW * max(len(counted), 1) + 10
    svg = ElementTree.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {_WIDTH} {height}",
            "width": str(_WIDTH),
            "height": str(height),
            "role": "img",
        },
    )
    ElementTree.SubElement(svg, "title").text = "How often each key term occurs"
    ElementTree.SubElement(svg, "style").text = _STYLE
    highest = max((count for _, count in counted), default=1)
    for number, (name, count) in enumerate(counted):
        middle = 5 + _ROW * number + _ROW // 2
        length = max(2, round((_WIDTH - _LABELS - 60) * count / highest))
        _text(svg, _LABELS - 10, middle + 5, _visible(name), {"text-anchor": "end"})
        ElementTree.SubElement(
            svg,
            "rect",
            {
                "class": "bar",
                "x": str(_LABELS),
                "y": str(middle - 9),
                "width": str(length),
                "height": "18",
                "rx": "3",
            },
        )
        _text(svg, _LABELS + length + 8, middle + 5, str(count), {})
    if not counted:
        _text(svg, 10, 25, "No key terms", {"class": "none"})
    return ElementTree.tostring(svg, encoding="unicode")


def _text(svg: ElementTree.Element, x: int, y: int, text: str, more: dict[str, str]) -> None:
    ElementTree.SubElement(svg, "text", {"x": str(x), "y": str(y), **more}).text = text


def _visible(name: str) -> str:
    return name if len(name) <= _LONGEST_LABEL else name[: _LONGEST_LABEL - 1] + "…"
