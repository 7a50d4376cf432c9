"""What `HistogramAnalyzer` fills, draws and stores."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from evproc.framework import Columns, Job, OutputError
from evproc.modules import Histogram, HistogramAnalyzer
from tests.root_files import open_root

Make = Callable[..., Columns]
BINS: dict[str, Any] = {"bins": 4, "start": 0.0, "stop": 4.0}


@pytest.fixture
def job() -> Iterator[Job]:
    """A job as modules are given it."""
    with ThreadPoolExecutor(1) as pool:
        yield Job("TEST", {}, pool, 0)


def filled(analyzer: HistogramAnalyzer, columns: list[Columns], job: Job) -> HistogramAnalyzer:
    assert analyzer.check() == []
    analyzer.begin_job(job)
    for block in columns:
        analyzer.analyze_columns(block)
    analyzer.end_job()
    analyzer.commit()
    return analyzer


def test_every_entry_is_counted_once(make_columns: Make, job: Job) -> None:
    """Numbers, lists, arrays and lists of lists are filled entry by entry; what lies outside is kept, NaN apart."""
    columns = make_columns(
        {
            "x": np.array([0.5, 3.5, -1.0, np.nan], np.float32),
            "jets": ak.Array([[0.5, 1.5], [], [4.0], [9.0, 3.999]]),
            "array": np.array([[0, 1], [2, 3], [0, 1], [5, 5]]),
            "nested": ak.Array([[[0.5], []], [], [[1.5, 1.6]], []]),
        }
    )
    names = ("x", "jets", "array", "nested")
    analyzer = filled(HistogramAnalyzer(histograms=[Histogram(of=name, **BINS) for name in names]), [columns], job)
    counts = {name: analyzer.histograms[name].values(flow=True).tolist() for name in names}
    assert counts == {
        "x": [1, 1, 0, 0, 1, 0],
        "jets": [0, 1, 1, 0, 1, 2],
        "array": [0, 2, 2, 1, 1, 2],
        "nested": [0, 1, 2, 0, 0, 0],
    }
    assert analyzer.not_a_number["x"] == 1


def test_weights_are_per_event_or_per_entry(make_columns: Make, job: Job) -> None:
    """A weight per event counts for each of its entries; another number of weights is an error that names both."""
    columns = make_columns(
        {
            "jets": ak.Array([[0.5, 1.5], [], [1.5]]),
            "event": np.array([2.0, 3.0, 10.0]),
            "entry": ak.Array([[1.0, 2.0], [], [3.0]]),
            "other": ak.Array([[1.0], [2.0], [3.0]]),
            "x": np.array([0.5, np.nan, 1.5]),
        }
    )
    histograms = [
        Histogram(of="jets", name="a", weight="event", **BINS),
        Histogram(of="jets", name="b", weight="entry", **BINS),
        Histogram(of="x", name="c", weight="event", **BINS),
    ]
    analyzer = HistogramAnalyzer(histograms=histograms)
    assert set(analyzer.inputs()) == {"jets", "event", "entry", "x"}
    filled(analyzer, [columns], job)
    assert analyzer.histograms["a"].values().tolist() == [2.0, 12.0, 0.0, 0.0]
    assert analyzer.histograms["a"].variances().tolist() == [4.0, 104.0, 0.0, 0.0]
    assert analyzer.histograms["b"].values().tolist() == [1.0, 5.0, 0.0, 0.0]
    assert analyzer.histograms["c"].values().tolist() == [2.0, 10.0, 0.0, 0.0]
    for of, weight in (("jets", "other"), ("x", "entry")):
        wrong = HistogramAnalyzer(histograms=[Histogram(of=of, weight=weight, **BINS)])
        wrong.begin_job(job)
        with pytest.raises(TypeError, match=f"'{weight}' is no weight for '{of}'"):
            wrong.analyze_columns(columns)


def test_strings_cannot_be_filled(make_columns: Make, job: Job) -> None:
    """A product without numbers is an error that names it."""
    analyzer = HistogramAnalyzer(histograms=[Histogram(of="word", **BINS)])
    analyzer.begin_job(job)
    with pytest.raises(TypeError, match="'word' holds no numbers"):
        analyzer.analyze_columns(make_columns({"word": ak.Array(["a", "b"])}))


def test_blocks_do_not_change_the_sums(make_columns: Make, job: Job) -> None:
    """Weighted sums are the same bit for bit for blocks of 1, 7 and all events."""
    random = np.random.default_rng(3)
    x, weight = random.normal(2, 1, 500), random.random(500)
    sums = []
    for block in (1, 7, 500):
        pieces = [
            make_columns({"x": x[start : start + block], "w": weight[start : start + block]})
            for start in range(0, 500, block)
        ]
        analyzer = filled(HistogramAnalyzer(histograms=[Histogram(of="x", weight="w", **BINS)]), pieces, job)
        sums.append(analyzer.histograms["x"].view(flow=True).tobytes())
    assert sums[0] == sums[1] == sums[2]


@pytest.mark.parametrize("events", [0, 50])
def test_pictures_and_counts_are_written(tmp_path: Path, make_columns: Make, job: Job, events: int) -> None:
    """One picture for all, or one for each in a directory; counts as JSON or ROOT; nothing else is left."""
    x = np.linspace(-1, 5, events)
    histograms = [
        Histogram(of="x", label="$m_{\\mu\\mu}$", unit="GeV", **BINS),
        Histogram(of="x", name="log", log=True, **BINS),
    ]
    columns = [make_columns({"x": x})]
    filled(
        HistogramAnalyzer(histograms=histograms, plot=str(tmp_path / "all.png"), file=str(tmp_path / "counts.json")),
        columns,
        job,
    )
    filled(
        HistogramAnalyzer(histograms=histograms, plot=str(tmp_path / "each"), file=str(tmp_path / "counts.root")),
        columns,
        job,
    )
    assert sorted(item.name for item in tmp_path.rglob("*")) == [
        "all.png", "counts.json", "counts.root", "each", "log.png", "x.png",
    ]  # fmt: skip
    assert (tmp_path / "all.png").read_bytes().startswith(b"\x89PNG")
    stored = json.loads((tmp_path / "counts.json").read_text())
    wanted = np.histogram(x, 4, (0, 4))[0].tolist()
    assert stored["version"] == 1
    assert stored["histograms"]["x"]["counts"] == wanted
    assert stored["histograms"]["x"]["unit"] == "GeV"
    assert stored["histograms"]["x"]["underflow"] == int((x < 0).sum())
    with open_root(tmp_path / "counts.root") as file:
        assert file["x"].values().tolist() == wanted
        assert file["log"].axis().edges().tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_a_job_that_fails_leaves_no_picture(tmp_path: Path, make_columns: Make, job: Job) -> None:
    """Without `commit` nothing is written; where writing fails, nothing is left and the error names the file."""
    analyzer = HistogramAnalyzer(histograms=[Histogram(of="x", **BINS)], plot=str(tmp_path / "gone" / "x.png"))
    analyzer.begin_job(job)
    analyzer.analyze_columns(make_columns({"x": np.ones(3)}))
    analyzer.end_job()
    analyzer.discard()
    (tmp_path / "gone").rmdir()
    with pytest.raises(OutputError, match=r"x\.png' cannot be written: No such file"):
        analyzer.commit()
    assert list(tmp_path.iterdir()) == []


def test_wrong_parameters_are_faults(tmp_path: Path) -> None:
    """Empty ranges, names that occur twice and files that cannot be written are found before the first event."""
    (tmp_path / "a_file").touch()
    analyzer = HistogramAnalyzer(
        histograms=[
            Histogram(of="x", bins=4, start=4.0, stop=0.0),
            Histogram(of="x", bins=4, start=0.0, stop=1.0),
        ],
        plot=str(tmp_path / "a_file" / "x.png"),
        file=str(tmp_path / "counts.csv"),
    )
    found = {fault.key: fault.message for fault in analyzer.check()}
    assert found["histograms.0.stop"] == "the range from 4.0 to 0.0 is empty"
    assert "two histograms have the name 'x'" in found["histograms.1.name"]
    assert "is a file, so there can be no" in found["plot"]
    assert "no suffix" in found["file"]
    wrong = HistogramAnalyzer(histograms=[Histogram(of="x", bins=0, start=0.0, stop=1.0)])
    assert [fault.key for fault in wrong.faults()] == ["histograms.0.bins"]
