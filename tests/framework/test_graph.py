"""The data flow as text and as a picture."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from evproc.framework import ConditionsProducer, Event, Flat, Process, Producer
from evproc.framework import Path as EventPath
from evproc.framework.cli.main import app
from evproc.framework.flow import resolve
from evproc.framework.graph import Edge, Graph, Lane, build, in_short, levels
from evproc.framework.graph_drawing import draw
from evproc.framework.graph_layout import crossings, lay_out, ordered, spread
from evproc.framework.graph_times import heat
from evproc.framework.loading import load
from evproc.framework.report import ModuleReport, Report
from evproc.modules import ArraySource

NUMBERS = Path(__file__).parent.parent / "workflows" / "numbers_workflow.py"


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures go into a folder of their own; loading leaves the workflow's on sys.path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))


def numbers() -> Graph:
    process = load(NUMBERS)
    return build(process, resolve(process))


def evproc(*arguments: str) -> Any:
    return CliRunner().invoke(app, arguments)


def test_a_graph_has_modules_edges_and_paths() -> None:
    """Modules are levelled by data flow, edges name products and all readers, lanes are the paths."""
    graph = numbers()
    assert {label: node.level for label, node in graph.nodes.items()} == {
        "source": 0,
        "doubled": 1,
        "scaled": 2,
        "high": 3,
        "out": 3,
    }
    assert Edge("scaled", ("high", "out"), "scaled") in graph.edges
    assert Edge("source", ("doubled",), "x") in graph.edges
    assert graph.lanes == [Lane("path", "select", ("doubled", "scaled", "high")), Lane("end path", "end", ("out",))]
    assert graph.selections == {"out": ("select",)}


def test_a_producer_on_no_path_is_shown_as_on_demand() -> None:
    """Producers that nothing schedules have a lane of their own."""
    process = load(NUMBERS)
    process.select = type(process.select)(process.high)
    assert build(process, resolve(process)).lanes[-1] == Lane("on demand", "", ("doubled", "scaled"))


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["Muon_pt"], "Muon_pt"),
        (["Muon_pt", "MET_pt"], "Muon_pt, MET_pt"),
        ([f"HBHEChannel_q{n}" for n in range(36)], "36 branches of HBHEChannel"),
        (["Muon_pt", "Muon_eta", "Muon_phi", "Muon_charge", "MET_pt"], "4 branches of Muon, MET_pt"),
        ([f"branch{n}" for n in range(9)], "9 products"),
        ([f"C{c}_{n}" for c in range(10) for n in "abc"], "30 branches of 10 collections"),
    ],
)
def test_many_branches_are_said_in_short(keys: list[str], expected: str) -> None:
    """A few products are named; more of one collection are counted."""
    collections = {"Muon": ("pt",), "HBHEChannel": ("q0",)} | {f"C{c}": ("a",) for c in range(10)}
    assert in_short(keys, collections) == expected


def test_levels_survive_a_cycle() -> None:
    """A cycle is a fault that is reported elsewhere; here it must only not hang."""
    assert set(levels("abc", [("a", "b"), ("b", "c"), ("c", "b")])) == {"a", "b", "c"}


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=12), st.data())
def test_boxes_keep_their_order_and_distance(wanted: list[float], data: st.DataObject) -> None:
    """Spreading keeps order and distance, and moves nothing that has room already."""
    heights = data.draw(st.lists(st.floats(0, 50), min_size=len(wanted), max_size=len(wanted)))
    found = spread(wanted, [1.0] * len(wanted), heights, 10.0)
    for number in range(len(found) - 1):
        least = (heights[number] + heights[number + 1]) / 2 + 10.0
        assert found[number + 1] - found[number] >= least - 1e-6
    assert spread(found, [1.0] * len(found), heights, 10.0) == pytest.approx(found, abs=1e-6)
    assert sum(found) == pytest.approx(sum(wanted), abs=1e-3), "pools stay where their members wanted to be"


def test_crossings_are_removed_where_that_is_possible() -> None:
    """Two edges that cross only because of the order are untangled; an order that is best is kept."""
    pairs = [("a", "y"), ("b", "x")]
    assert crossings([["a", "b"], ["x", "y"]], pairs) == 1
    assert crossings(ordered([["a", "b"], ["x", "y"]], pairs), pairs) == 0
    assert ordered([["a", "b"], ["y", "x"]], pairs) == [["a", "b"], ["y", "x"]]


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_no_two_boxes_overlap(data: st.DataObject) -> None:
    """Whatever the graph: boxes of a layer are apart, layers follow one another, routes join their ends."""
    counts = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    layers = [[f"{number}.{index}" for index in range(count)] for number, count in enumerate(counts)]
    names = [(number, name) for number, layer in enumerate(layers) for name in layer]
    possible = [(one, other) for first, one in names for second, other in names if first < second]
    edges = data.draw(st.lists(st.sampled_from(possible), unique=True, max_size=12)) if possible else []
    sizes = {name: (40.0 + 7 * len(name), 30.0) for _, name in names}
    layout = lay_out(layers, sizes, edges, between=20.0, apart=8.0)
    for number, layer in enumerate(layers):
        centers = sorted(layout.centers[name][1] for name in layer)
        assert all(lower - upper >= 38.0 - 1e-6 for upper, lower in pairwise(centers))
        for later in layers[number + 1 :]:
            assert max(layout.centers[name][0] for name in layer) < min(layout.centers[name][0] for name in later)
    for (start, end), route in zip(edges, layout.routes, strict=True):
        assert route[0] == pytest.approx((layout.centers[start][0] + sizes[start][0] / 2, layout.centers[start][1]))
        assert route[-1][0] == pytest.approx(layout.centers[end][0] - sizes[end][0] / 2)
        assert abs(route[-1][1] - layout.centers[end][1]) <= 15.0
        assert all(one[0] <= other[0] + 1e-9 for one, other in pairwise(route))
    assert all(0 <= x <= layout.size[0] and 0 <= y <= layout.size[1] for x, y in layout.centers.values())


def test_the_text_shows_levels_products_and_paths() -> None:
    """`evproc graph` always writes the flow as text."""
    shown = evproc("graph", str(NUMBERS))
    assert shown.exit_code == 0
    words = [line.split() for line in shown.stdout.splitlines()]
    assert ["->", "high,", "out", "scaled"] in words
    assert ["path", "select", "doubled", ">", "scaled", ">", "high"] in words
    assert ["end", "path", "end", "out", "(events", "of", "select)"] in words


@pytest.mark.parametrize(("name", "magic"), [("g.svg", b"<?xml"), ("g.png", b"\x89PNG"), ("g.pdf", b"%PDF")])
def test_a_picture_is_drawn(name: str, magic: bytes) -> None:
    """The picture has the form that its name says, and is the same each time."""
    assert evproc("graph", str(NUMBERS), "--output", name).exit_code == 0
    first = Path(name).read_bytes()
    assert first.startswith(magic)
    assert evproc("graph", str(NUMBERS), "--output", name).exit_code == 0
    assert Path(name).read_bytes() == first


def test_a_picture_of_unknown_form_is_refused() -> None:
    """Only SVG, PNG and PDF can be drawn."""
    shown = evproc("graph", str(NUMBERS), "--output", "g.jpg")
    assert shown.exit_code == 4
    assert "ends in .svg, .png, .pdf" in shown.stderr


def test_without_matplotlib_there_is_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without matplotlib the text is written, and the error says what to install."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    shown = evproc("graph", str(NUMBERS), "--output", "g.svg")
    assert shown.exit_code == 1
    assert "path" in shown.stdout
    assert "pip install 'evproc[plot]'" in shown.stderr


def test_a_faulty_workflow_shows_what_it_can() -> None:
    """Faults are reported after the text, with their exit code, and nothing is drawn."""
    shown = evproc("graph", str(NUMBERS), "-o", "high.of=scald", "--output", "g.svg")
    assert shown.exit_code == 2
    assert "doubled" in shown.stdout
    assert "reads 'scald'" in shown.stderr
    assert not Path("g.svg").exists()


def report_of(process: str, seconds: dict[str, float]) -> Path:
    """A report with modules that took so long, of a job of 10 s."""
    modules = [ModuleReport(label, "T", "producer", cpu_s=spent) for label, spent in seconds.items()]
    modules[0].external_wait_s = 0.04
    Report(process, wall_s=10.0, modules=modules).write(Path("report.json"))
    return Path("report.json")


def test_the_time_of_a_job_is_shown_on_each_module() -> None:
    """With a report the text has the time, the share and the wait of each module that ran; the picture has them too."""
    file = report_of(numbers().name, {"source": 9.0, "doubled": 3.0, "scaled": 0.02})
    shown = evproc("graph", str(NUMBERS), "--report", str(file), "--output", "times.svg")
    assert shown.exit_code == 0, shown.output
    lines = [line.split("  ") for line in shown.stdout.splitlines()]
    times = {line[0].strip(): line[-1].strip() for line in lines if line[-1].endswith(("%", "ms"))}
    assert times == {"source": "9 s, 90 %, waits 40 ms", "doubled": "3 s, 30 %", "scaled": "20 ms, 0.2 %"}
    assert "share of the job" not in shown.stdout
    evproc("graph", str(NUMBERS), "--output", "plain.svg")
    hot = heat(0.9).lower()
    assert hot in Path("times.svg").read_text()
    assert hot not in Path("plain.svg").read_text()


def test_colours_of_time_grow_darker() -> None:
    """From white to red, and each is darker than the one before also in grey."""
    greys = []
    for step in range(101):
        red, green, blue = (int(heat(step / 100)[start : start + 2], 16) for start in (1, 3, 5))
        greys.append(0.299 * red + 0.587 * green + 0.114 * blue)
    assert heat(0.0) == "#FFFFFF"
    assert all(darker <= lighter for lighter, darker in pairwise(greys))
    assert greys[0] - greys[-1] > 100


def test_a_report_of_another_workflow_is_refused() -> None:
    """The process and its modules must be those of the report."""
    shown = evproc("graph", str(NUMBERS), "--report", str(report_of("OTHER", {"source": 1.0})))
    assert shown.exit_code == 3
    assert "is the report of process 'OTHER'" in shown.stderr
    shown = evproc("graph", str(NUMBERS), "--report", str(report_of(numbers().name, {"lost": 1.0})))
    assert shown.exit_code == 3
    assert "modules that the workflow has not: lost" in shown.stderr


def test_conditions_are_shown_with_their_readers() -> None:
    """What makes conditions stands before the modules that read them; conditions that nobody reads are left out."""

    class Table(ConditionsProducer):
        """Two tables."""

    class Calibrated(Producer):
        """Reads the first."""

        consumes = ("x",)
        conditions = ("first",)

        def produce(self, event: Event) -> Any:
            return event["x"]

    process = Process("CALIBRATED")
    process.source = ArraySource({"x": Flat(np.arange(3.0))})
    process.first, process.second = Table(), Table()
    process.calibrated = Calibrated()
    process.path = EventPath(process.calibrated)
    graph = build(process, resolve(process))
    assert {label: (node.kind, node.level) for label, node in graph.nodes.items()} == {
        "source": ("source", 0),
        "first": ("conditions", 0),
        "calibrated": ("producer", 1),
    }
    assert graph.edges == [Edge("source", ("calibrated",), "x"), Edge("first", ("calibrated",), "first")]
    draw(graph, Path("calibrated.svg"))
    assert "conditions" in Path("calibrated.svg").read_text()
