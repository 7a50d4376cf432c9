"""The picture of a data flow: boxes for modules, pills for what goes between them, and the paths below.

Lengths are in points, 1/72 of an inch; y grows downwards. Products that a module makes under its own label need no pill.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import EvprocError, OutputError
from .graph import Graph, Lane, Node
from .graph_layout import Layout, Point, Size, lay_out
from .graph_times import heat

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".svg", ".png", ".pdf")
COLOURS = {
    "source": "#3B6FB6",
    "producer": "#3E8E5A",
    "external producer": "#8A5AA8",
    "filter": "#D08A1D",
    "external filter": "#A8632F",
    "analyzer": "#2A9DA5",
    "output": "#C1484F",
    "conditions": "#8C7347",
}
OTHER = "#666666"
INK, FAINT, LINE, PILL = "#1F2328", "#57606A", "#8C959F", "#EEF1F4"
TITLE, LABEL, SMALL = 15.0, 11.0, 8.5
TIME = 12.5
"""Height of a line of time."""
MARGIN, BETWEEN, APART = 24.0, 40.0, 16.0


def draw(graph: Graph, path: Path) -> None:
    """Write the picture to an SVG, PNG or PDF file. Raises OutputError."""
    if path.suffix.lower() not in FORMATS:
        raise OutputError(f"cannot write '{path}': the name of a picture ends in {', '.join(FORMATS)}")
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise EvprocError("the picture needs matplotlib: pip install 'evproc[plot]'") from error
    layout, sizes, pills, edges = _arranged(graph)
    kinds = [kind for kind in COLOURS if any(node.kind == kind for node in graph.nodes.values())]
    top = MARGIN + TITLE + 20
    bottom = top + layout.size[1] + 30
    width = (
        max(
            layout.size[0],
            *(_lane_width(lane, graph) for lane in graph.lanes),
            _legend_width(kinds),
            _head_width(graph),
        )
        + 2 * MARGIN
    )
    height = bottom + 26 * len(graph.lanes) + 44
    with rc_context({"svg.hashsalt": "evproc", "font.family": "sans-serif"}):
        figure = Figure(figsize=(width / 72, height / 72), facecolor="white")
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_axis_off()
        axes.set(xlim=(0, width), ylim=(height, 0))
        axes.text(MARGIN, MARGIN + TITLE / 2, graph.name, size=TITLE, weight="bold", color=INK, va="center")
        shift = (MARGIN + max(0.0, (width - 2 * MARGIN - layout.size[0]) / 2), top)
        for (_, end), route in zip(edges, layout.routes, strict=True):
            _draw_edge(axes, [(x + shift[0], y + shift[1]) for x, y in route], arrow=end in graph.nodes)
        for name, (x, y) in layout.centers.items():
            center = (x + shift[0], y + shift[1])
            if name in graph.nodes:
                node = graph.nodes[name]
                _draw_module(axes, center, sizes[name], node, graph)
            else:
                _box(axes, center, sizes[name], PILL, PILL, sizes[name][1] / 2)
                axes.text(*center, pills[name], size=SMALL, color=INK, ha="center", va="center_baseline")
        for lane in graph.lanes:
            _draw_lane(axes, lane, bottom, graph)
            bottom += 26
        _draw_legend(axes, kinds, height - 24)
        if graph.spent:
            _draw_heat(axes, width - MARGIN, MARGIN + TITLE / 2)
        try:
            figure.savefig(
                path, dpi=200, metadata={".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix)
            )
        except OSError as error:
            raise OutputError(f"cannot write '{path}': {error.strerror}") from error


@cache
def text_width(text: str, size: float, bold: bool = False) -> float:
    """The width of a text, in points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = FontProperties(family="sans-serif", weight="bold" if bold else "normal")
    return float(TextPath((0, 0), text, size=size, prop=font).get_extents().x1) if text.strip() else 0.0


def _arranged(graph: Graph) -> tuple[Layout, dict[str, Size], dict[str, str], list[tuple[str, str]]]:
    """The layout, the sizes, the texts of pills and the edges. Modules are in even layers, pills in odd ones."""
    sizes: dict[str, Size] = {}
    pills: dict[str, str] = {}
    edges: list[tuple[str, str]] = []
    layers: list[list[str]] = [[] for _ in range(2 * max((node.level for node in graph.nodes.values()), default=0) + 1)]
    for node in graph.nodes.values():
        width = max(text_width(node.label, LABEL, bold=True), text_width(node.type, SMALL))
        times = _times(graph, node.label)
        width = max(width, *(text_width(line, SMALL, bold=True) for line in times), 0.0)
        sizes[node.label] = (width + 26, 38.0 + TIME * len(times))
        layers[2 * node.level].append(node.label)
    for number, edge in enumerate(graph.edges):
        if edge.text == edge.maker:
            edges.extend((edge.maker, reader) for reader in edge.readers)
            continue
        pill = f"\1{number}"
        pills[pill] = edge.text
        sizes[pill] = (text_width(edge.text, SMALL) + 16, 17.0)
        layers[2 * graph.nodes[edge.maker].level + 1].append(pill)
        edges.append((edge.maker, pill))
        edges.extend((pill, reader) for reader in edge.readers)
    return lay_out(layers, sizes, edges, between=BETWEEN, apart=APART), sizes, pills, edges


def _box(axes: Axes, center: Point, size: Size, face: str, edge: str, radius: float, line: float = 0.0) -> None:
    from matplotlib.patches import FancyBboxPatch

    (x, y), (width, height) = center, size
    style = f"round,pad=0,rounding_size={radius}"
    corner = (x - width / 2, y - height / 2)
    axes.add_patch(
        FancyBboxPatch(corner, width, height, boxstyle=style, facecolor=face, edgecolor=edge, linewidth=line, zorder=2)
    )


def _draw_module(axes: Axes, center: Point, size: Size, node: Node, graph: Graph) -> None:
    (x, y), colour, times = center, COLOURS.get(node.kind, OTHER), _times(graph, node.label)
    face = tint(colour) if not graph.spent else heat(graph.spent[node.label].share) if times else "#FFFFFF"
    _box(axes, center, size, face, colour, 6.0, 1.4)
    top = y - TIME * len(times) / 2
    axes.text(x, top - 7, node.label, size=LABEL, weight="bold", color=INK, ha="center", va="center")
    axes.text(x, top + 9, node.type, size=SMALL, color=INK if times else FAINT, ha="center", va="center")
    for number, line in enumerate(times, 1):
        weight = "bold" if number == 1 else "normal"
        axes.text(x, top + 10 + TIME * number, line, size=SMALL, weight=weight, color=INK, ha="center", va="center")


def _times(graph: Graph, label: str) -> list[str]:
    """The lines of a module's time."""
    spent = graph.spent.get(label)
    return [line for line in (spent.time, spent.wait) if line] if spent else []


def tint(colour: str, share: float = 0.14) -> str:
    """A colour thinned with white."""
    channels = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
    return "#" + "".join(f"{round(255 - share * (255 - channel)):02X}" for channel in channels)


def _draw_edge(axes: Axes, route: list[Point], arrow: bool) -> None:
    """A line that is level through each layer and bends softly between two of them."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Curve

    points, codes = [route[0]], [Curve.MOVETO]
    for (x0, y0), (x1, y1) in pairwise(route):
        if y0 == y1:
            points.append((x1, y1))
            codes.append(Curve.LINETO)
        else:
            middle = (x0 + x1) / 2
            points += [(middle, y0), (middle, y1), (x1, y1)]
            codes += [Curve.CURVE4] * 3
    style: Any = "-|>,head_length=4.5,head_width=2.4" if arrow else "-"
    curve: Any = Curve(points, codes)
    axes.add_patch(
        FancyArrowPatch(
            path=curve,
            arrowstyle=style,
            mutation_scale=1.0,
            edgecolor=LINE,
            facecolor=LINE if arrow else "none",
            linewidth=1.2,
            zorder=1,
        )
    )


def _member_width(member: str) -> float:
    return text_width(member, SMALL) + 16


def _lane_width(lane: Lane, graph: Graph) -> float:
    notes = sum(text_width(note, SMALL) for member in lane.members if (note := _note(graph, member)))
    return _lane_indent(lane) + sum(_member_width(shown) + 18 for shown in lane.shown) + notes


def _lane_indent(lane: Lane) -> float:
    return max(110.0, 62 + text_width(lane.label, SMALL, bold=True))


def _note(graph: Graph, member: str) -> str:
    return f"events of {', '.join(graph.selections[member])}" if member in graph.selections else ""


def _draw_lane(axes: Axes, lane: Lane, y: float, graph: Graph) -> None:
    """One path: its name, and its modules in order."""
    axes.text(MARGIN, y, lane.kind, size=SMALL, color=FAINT, va="center")
    axes.text(MARGIN + 52, y, lane.label, size=SMALL, weight="bold", color=INK, va="center")
    x = MARGIN + _lane_indent(lane)
    in_order = lane.kind == "path"
    for number, (member, shown) in enumerate(zip(lane.members, lane.shown, strict=True)):
        width = _member_width(shown)
        if number and in_order:
            _draw_edge(axes, [(x - 18, y), (x, y)], arrow=True)
        kind = graph.nodes[member].kind if member in graph.nodes else ""
        colour = COLOURS.get(kind, OTHER)
        _box(axes, (x + width / 2, y), (width, 17.0), tint(colour), colour, 8.5, 0.9)
        axes.text(x + width / 2, y, shown, size=SMALL, color=INK, ha="center", va="center_baseline")
        x += width + (18 if in_order else 8)
        note = _note(graph, member)
        if note:
            axes.text(x - 2, y, note, size=SMALL, color=FAINT, va="center_baseline")
            x += text_width(note, SMALL) + 8


def _head_width(graph: Graph) -> float:
    title = text_width(graph.name, TITLE, bold=True)
    return max(200.0, title + (text_width("share of the job's time", SMALL) + 180 if graph.spent else 0))


def _legend_width(kinds: Iterable[str]) -> float:
    return sum(text_width(kind, SMALL) + 34 for kind in kinds)


def _draw_legend(axes: Axes, kinds: Iterable[str], y: float) -> None:
    x = MARGIN
    for kind in kinds:
        _box(axes, (x + 7, y), (14.0, 10.0), tint(COLOURS[kind]), COLOURS[kind], 3.0, 1.0)
        axes.text(x + 20, y, kind, size=SMALL, color=FAINT, va="center_baseline")
        x += text_width(kind, SMALL) + 36


def _draw_heat(axes: Axes, right: float, y: float) -> None:
    """What the colours say of the time: a bar from 0 to 100 % of the time of the job."""
    cells = 20
    left = right - text_width("100 %", SMALL) - 6 - 4.0 * cells
    axes.text(left - 30, y, "share of the job's time", size=SMALL, color=FAINT, ha="right", va="center_baseline")
    axes.text(left - 4, y, "0 %", size=SMALL, color=FAINT, ha="right", va="center_baseline")
    for cell in range(cells):
        colour = heat(cell / (cells - 1))
        _box(axes, (left + 4.0 * cell + 2.0, y), (4.0, 10.0), colour, colour, 0.01, 0.3)
    axes.text(right, y, "100 %", size=SMALL, color=FAINT, ha="right", va="center_baseline")
