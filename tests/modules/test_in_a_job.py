"""The modules together, in jobs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from evproc.framework import (
    ConfigurationError,
    EndPath,
    Event,
    ModuleError,
    OutputError,
    Process,
    Producer,
    Report,
)
from evproc.framework import (
    Path as EventPath,
)
from evproc.modules import (
    ArraySource,
    CountFilter,
    Histogram,
    HistogramAnalyzer,
    NtupleOutput,
    NtupleSource,
    RangeFilter,
    ScalarSumFilter,
)
from tests.root_files import open_root

Write = Callable[..., str]


class LeadingPt(Producer):
    """The largest transverse momentum of an event, a Python float; fails at one event if told so."""

    produces = "float64"
    consumes = ("Jet_pt",)
    fail_at = -1

    def produce(self, event: Event) -> Any:
        """The product of one event."""
        if event.id.event == self.fail_at:
            raise RuntimeError("as told")
        pts = event["Jet_pt"]
        return float(pts.max()) if len(pts) else 0.0


def skim(path: str, tmp_path: Path, name: str, **options: Any) -> Process:
    process = Process("SKIM", **options)
    process.source = NtupleSource(files=path)
    process.leading = LeadingPt()
    process.some = CountFilter(of="Jet_pt", at_least=1)
    process.hard = RangeFilter(of="leading", above=500.0)
    process.busy = ScalarSumFilter(of="Jet_pt", above=1200.0)
    shapes = [
        Histogram(of="leading", bins=20, start=0.0, stop=20_000.0),
        Histogram(of="Jet_eta", bins=5, start=0.0, stop=100.0),
    ]
    process.shapes = HistogramAnalyzer(histograms=shapes, file=str(tmp_path / f"{name}.json"))
    process.out = NtupleOutput(
        file=str(tmp_path / f"{name}.root"), keep=["Jet", "MET_pt", "leading"], select=["tight"], buffer_events=100
    )
    process.tight = EventPath(process.leading, process.some, process.hard, process.busy)
    process.end = EndPath(process.shapes, process.out)
    return process


def content(path: Path) -> dict[str, Any]:
    with open_root(path) as file:
        tree = file["Events"]
        found = {name: tree[name].array().tolist() for name in tree.keys()}  # noqa: SIM118 - a TTree
        return found | {"cuts": [int(at) for at in tree["event"].entry_offsets]}


@pytest.mark.parametrize("kind", ["ttree", "rntuple"])
def test_a_skim_is_the_same_for_all_blocks_and_streams(write_events: Write, tmp_path: Path, kind: str) -> None:
    """Events, their order, the baskets of the output and the counts do not depend on how the job runs."""
    path = write_events("in.root", 2000, kind=kind, basket=300)
    results = []
    for number, options in enumerate(
        [{"block": 1, "streams": 1}, {"block": 7, "streams": 16}, {"block": 1000, "streams": 1}, {}]
    ):
        report = skim(path, tmp_path, f"out{number}", **options).run()
        (written,) = report.outputs
        results.append((content(tmp_path / f"out{number}.root"), (tmp_path / f"out{number}.json").read_text()))
        assert report.events == 2000
        assert written.events == len(results[-1][0]["event"])
    assert all(result == results[0] for result in results)
    kept = results[0][0]
    with open_root(path) as file:
        plain = file["Events"].arrays(["Jet_pt", "event", "MET_pt"])
    wanted = [
        (int(event), max(jets)) for event, jets in zip(plain["event"], plain["Jet_pt"].tolist(), strict=True)
        if jets and max(jets) > 500 and sum(jets) > 1200
    ]  # fmt: skip
    assert 0 < len(wanted) < 2000
    assert list(zip(kept["event"], kept["leading"], strict=True)) == wanted
    assert {"run", "luminosityBlock", "event", "nJet", "Jet_pt", "Jet_eta", "MET_pt", "leading", "cuts"} == set(kept)


def test_a_job_that_fails_leaves_nothing(write_events: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a module fails, neither the ntuple nor the counts exist, and an older ntuple is as it was."""
    path = write_events("in.root", 1000)
    monkeypatch.setattr(LeadingPt, "fail_at", 10_000_000_900)
    (tmp_path / "out.root").write_text("older")
    with pytest.raises(ModuleError, match="as told"):
        skim(path, tmp_path, "out", block=100).run()
    assert sorted(item.name for item in tmp_path.iterdir()) == ["in.root", "out.root"]
    assert (tmp_path / "out.root").read_text() == "older"


def test_faults_of_files_come_together_before_the_first_event(write_events: Write, tmp_path: Path) -> None:
    """An unknown product, a bad pattern, a directory that cannot be and a cut without limits: one list."""
    (tmp_path / "a_file").touch()
    process = skim(write_events("in.root", 10), tmp_path / "a_file", "out")
    process.out.set(keep=["Jet", "Muon_*", "leadink"])
    process.some.set(at_least=None)
    process.hard.set(of="leeding")
    with pytest.raises(ConfigurationError) as caught:
        process.run()
    faults = [str(fault) for fault in caught.value.faults]
    for text in (
        "no product matches 'Muon_*'",
        "there is no product 'leadink'; did you mean 'leading'?",
        "give at_least, at_most or both",
        "did you mean 'leading'?",
        "is a file, so there can be no",
    ):
        assert any(text in fault for fault in faults), (text, faults)


def test_arrays_in_memory_are_a_source(tmp_path: Path) -> None:
    """`ArraySource` feeds a job from arrays, numbered from 0."""
    process = Process("ARRAYS")
    process.source = ArraySource({"x": np.arange(10.0), "Jet_pt": [[1.0] * n for n in range(10)]}, chunk=3)
    process.cut = CountFilter(of="Jet_pt", at_least=8)
    process.out = NtupleOutput(file=str(tmp_path / "out.parquet"), select=["path"])
    process.path = EventPath(process.cut)
    process.end = EndPath(process.out)
    report: Report = process.run()
    assert report.outputs[0].events == 2
    back = ak.from_parquet(tmp_path / "out.parquet")
    assert back["event"].tolist() == [8, 9]
    assert back["x"].tolist() == [8.0, 9.0]
    assert back["Jet_pt"].tolist() == [[1.0] * 8, [1.0] * 9]


def test_a_skim_of_nothing(write_events: Write, tmp_path: Path) -> None:
    """A selection that no event passes makes a readable file with all branches and no entries."""
    process = skim(write_events("in.root", 50), tmp_path, "out")
    process.hard.set(above=1e9)
    report = process.run()
    assert report.outputs[0].events == 0
    assert content(tmp_path / "out.root")["leading"] == []


def test_a_real_skim_reads_back(real_file: Callable[[str], str], tmp_path: Path) -> None:
    """All that can be kept of a NanoAOD file comes back the same from a TTree that evproc wrote."""
    path = real_file("nanoAOD_2015_CMS_Open_Data_ttbar.root")
    process = Process("COPY")
    process.source = NtupleSource(files=path, chunk=64)
    process.out = NtupleOutput(file=str(tmp_path / "out.root"), keep=["*"])
    process.end = EndPath(process.out)
    process.run()
    with open_root(path) as file, open_root(tmp_path / "out.root") as copy:
        before, after = file["Events"], copy["Events"]
        assert set(before.keys()) == set(after.keys())
        for name, branch in before.items():
            assert ak.array_equal(branch.array(), after[name].array(), equal_nan=True, dtype_exact=False), name


def test_an_output_that_fails_in_the_middle_fails_the_job(
    write_events: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An OutputError keeps its kind through the engine, and names the file."""
    from evproc.modules import writers

    def fail(self: Any, batch: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writers.TreeWriter, "write", fail)
    with pytest.raises(OutputError, match=r"out\.root' cannot be written: the disk is full"):
        skim(write_events("in.root", 2000), tmp_path, "out").run()
    assert [item.name for item in tmp_path.iterdir()] == ["in.root"]
