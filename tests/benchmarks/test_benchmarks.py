"""Each benchmark runs at a tiny size, and its last line says what it should. What it measures then means nothing."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import common

FIGURES = {
    "loop": ["ratio", "wait_us"],
    "topology": ["us_per_module_event", "compile_s"],
    "observing": ["timing", "tracer", "memory"],
    "read": ["per_event", "columnar"],
    "inference": ["vs_per_event", "vs_columnar"],
    "transports": ["grpc_rate", "grpc_cpu", "shm_602kB", "grpclib_64B", "grpclib_602kB"],
    "client": ["vs_perf_analyzer", "vs_coffea_triton", "vs_per_event"],
    "overlap": ["latency_10ms", "latency_60ms", "vs_ideal"],
    "adaptive": ["worst"],
    "memory": ["peak_mb", "growth"],
    "features": ["timing_cost", "all_on", "all_on_columnar"],
    "chaos": ["survived", "lost", "twice", "wrong"],
    "coffea": ["columnar_20k", "columnar_100k", "per_event_20k", "compiled_20k"],
}
BARS = {
    "ratio": (2.5, 1.5),
    "wait_us": (2.0, 1.0),
    "us_per_module_event": (0.15, 0.08),
    "compile_s": (0.2, None),
    "timing": (1.03, 1.01),
    "tracer": (1.15, 1.05),
    "memory": (1.2, 1.1),
    "timing_cost": (1.03, 1.01),
    "all_on": (1.1, 1.05),
    "all_on_columnar": (1.1, 1.05),
    "per_event": (0.5, 0.8),
    "columnar": (0.85, 0.95),
    "vs_per_event": (20, 40),
    "vs_columnar": (0.6, 0.9),
    "grpc_rate": (0.95, None),
    "grpc_cpu": (1.1, None),
    "shm_602kB": (2, 3),
    "grpclib_64B": (0.7, None),
    "grpclib_602kB": (0.6, None),
    "vs_perf_analyzer": (0.7, 0.95),
    "vs_coffea_triton": (2, 4),
    "latency_10ms": (0.95, 0.99),
    "latency_60ms": (0.95, 0.99),
    "vs_ideal": (1.1, 1.03),
    "worst": (0.95, None),
    "peak_mb": (250, 200),
    "growth": (1.05, None),
    "survived": (1.0, None),
    "lost": (0.0, None),
    "twice": (0.0, None),
    "wrong": (0.0, None),
    "columnar_20k": (1.5, 3.0),
    "columnar_100k": (1.0, 1.5),
    "per_event_20k": (1.0, 2.0),
    "compiled_20k": (1.5, 3.5),
}


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.usefixtures("triton_wheel")
def test_benchmark_prints_its_figures(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A benchmark checks its own results and ends with one line of JSON: each figure with its value, bar and goal."""
    importlib.import_module(f"benchmarks.{name}").main(["--tiny"])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(figures) == FIGURES[name]
    for figure, said in figures.items():
        assert list(said) == ["value", "bar", "goal"]
        assert (said["bar"], said["goal"]) == BARS[figure]
        assert isinstance(said["value"], float)


def test_every_benchmark_is_known_everywhere() -> None:
    """What can be run is run by `make bench`, tested here, and explained on both pages."""
    root = Path(__file__).parents[2]
    there = {file.stem for file in (root / "benchmarks").glob("*.py") if "arguments(__doc__" in file.read_text()}
    listed = re.search(r"for name in ([\w ]+); do .*benchmarks", (root / "Makefile").read_text())
    assert listed
    assert there == set(FIGURES) == set(listed[1].split())
    pages = {name: (root / name).read_text() for name in ("docs/benchmarks.md", "benchmarks/README.md")}
    assert there == set(re.findall(r"^\| `(\w+)` \|", pages["docs/benchmarks.md"], re.MULTILINE))
    for name, figures in FIGURES.items():
        rows = "".join(re.findall(rf"^\| `{name}`: .*$", pages["benchmarks/README.md"], re.MULTILINE))
        assert [figure for figure in figures if f"`{figure}`" not in rows] == []


def test_benchmark_runs_as_a_module() -> None:
    """`python -m benchmarks.NAME` works from the root of the repository."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "benchmarks.loop", "--tiny"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True, timeout=100)
    assert list(json.loads(done.stdout.splitlines()[-1])) == FIGURES["loop"]


def test_ratio_is_taken_within_each_round() -> None:
    """The figure is the median of the ratios of the rounds, not the ratio of medians of different rounds."""
    spread = common.ratios([2.0, 20.0, 6.0], [1.0, 10.0, 2.0])
    assert (spread.median, spread.values) == (2.0, [2.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("value", "at_most", "verdict"),
    [(2.6, True, "MISSED"), (2.5, True, "bar"), (1.5, True, "goal"), (1.4, False, "MISSED"), (3.0, False, "goal")],
)
def test_figure_knows_whether_it_holds(value: float, at_most: bool, verdict: str) -> None:
    """A figure is held against its bar and its goal, from the side that it says."""
    bar, goal = (2.5, 1.5) if at_most else (1.5, 2.5)
    figure = common.Figure("ratio", common.spread([value]), bar, goal, at_most, "")
    assert figure.verdict == verdict


def test_sides_run_in_turn() -> None:
    """All sides run in each round, in an order that is turned round, after a warm-up that does not count."""
    order: list[str] = []
    series = common.in_turn({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3)
    assert "".join(order) == "ab" + "ab" + "ba" + "ab"
    assert [len(item.walls) for item in series.values()] == [3, 3]
