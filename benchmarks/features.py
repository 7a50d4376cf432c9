"""The cost of what can be switched on: a dimuon selection on an ntuple, with everything on against everything off.

    python -m benchmarks.features [--quick]

The job is that of `workflows/dimuon.py` and a sum over jets: an ntuple of 60 branches, two filters, the mass of muon pairs, a
histogram, and an ntuple of the selected events; with modules that are called for each event, and by columns. *Everything*
is: a trace, timing, memory, an observer of one's own, an exception policy that goes on behind failed events, the search for
duplicates in the whole job, a luminosity mask, the list of processed luminosity blocks, bad files skipped, and the report
written. Provenance is in every output, so it is on both sides.

Ratios of the CPU time of whole jobs, all threads counted: the least of three rounds in a row on each side, for other work
on the machine makes single runs slower, never faster. All sides must find the same.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path as FilePath
from typing import Any

import numpy as np

from benchmarks.common import Figure, Series, arguments, by_size, in_turn, number, ratios, show
from benchmarks.nanoaod_like import write
from evproc.framework import Columns, EndPath, Event, ExceptionPolicy, Observer, Path, Process, Producer
from evproc.framework.observing import StepInfo
from evproc.modules import (
    CountFilter,
    Histogram,
    HistogramAnalyzer,
    Memory,
    NtupleOutput,
    NtupleSource,
    RangeFilter,
    Timing,
    Tracer,
)
from evproc.producers.dimuon import DimuonColumns, DimuonProducer

CHUNK = 20_000
BATCH = 3
"""Rounds of which the least counts."""
THRESHOLD = 30.0
"""Jets below this do not count, GeV."""


class JetSum(Producer):
    """Sum of the transverse momenta of an event's jets above a threshold, GeV."""

    consumes = ("Jet_pt",)
    produces = "float64"

    def produce(self, event: Event) -> float:
        """The sum."""
        pt = event["Jet_pt"].tolist()
        return sum(value for value in pt if value > THRESHOLD)


class JetSumColumns(Producer):
    """The same by columns."""

    consumes = ("Jet_pt",)
    produces = "float64"

    def produce_columns(self, columns: Columns) -> Any:
        """The sums: (events,) float64, GeV."""
        offsets, pt = columns.jagged("Jet_pt")
        event = np.repeat(np.arange(len(columns)), np.diff(offsets))
        return np.bincount(event, np.where(pt > THRESHOLD, pt, 0.0), minlength=len(columns))


class SlowSteps(Observer):
    """An observer of one's own: steps that held the CPU for longer than 20 ms."""

    def __init__(self) -> None:
        super().__init__()
        self.slow = 0

    def on_step_end(self, step: StepInfo) -> None:
        """Count it."""
        self.slow += step.end - step.begin > 0.02


DRESSES: dict[str, tuple[type[Any], type[Producer]]] = {
    "per event": (DimuonProducer, JetSum),
    "columnar": (DimuonColumns, JetSumColumns),
}


@dataclass(frozen=True)
class Input:
    """The ntuple, and a folder for what jobs write."""

    file: FilePath
    folder: FilePath
    events: int


def job(given: Input, dress: str, *, everything: bool = False, timing: bool = False) -> Process:
    """The selection, with all that there is or without."""
    dimuon, jets = DRESSES[dress]
    process = Process("FEATURES")
    process.source = NtupleSource(files=str(given.file), chunk=CHUNK, **_selection(given) if everything else {})
    process.two_muons = CountFilter(of="Muon", at_least=2)
    process.mass, process.jets = dimuon(muons="Muon"), jets()
    process.paired = RangeFilter(of="mass", above=0.0)
    process.histogram = HistogramAnalyzer(histograms=[Histogram(of="mass", bins=60, start=0.0, stop=120.0)])
    process.out = NtupleOutput(file=str(given.folder / "out.root"), keep=["Muon_*", "mass", "jets"], select=["dimuon"])
    process.dimuon = Path(process.jets, process.two_muons, process.mass, process.paired, process.histogram)
    process.end = EndPath(process.out)
    if timing or everything:
        process.timing = Timing()
    if everything:
        process.tracer, process.memory = Tracer(file=str(given.folder / "trace.json")), Memory()
        process.slow_steps = SlowSteps()
        process.policy = ExceptionPolicy(
            try_to_continue=["ModuleError"], failed_events=str(given.folder / "failed.jsonl")
        )
    return process


def _selection(given: Input) -> dict[str, Any]:
    """What the source is asked beside: every event is wanted, and is there once."""
    return {
        "duplicates": "job",
        "skip_bad_files": True,
        "lumi_mask": {"362000": [[1, given.events // 1000 + 1]]},
        "processed_lumis": str(given.folder / "lumis.json"),
    }


def run_job(given: Input, dress: str, *, everything: bool = False, timing: bool = False) -> Any:
    """Run it: how many events passed, and the contents of the histogram."""
    process = job(given, dress, everything=everything, timing=timing)
    report = process.run()
    if everything:
        report.write(given.folder / "report.json")
    assert report.events == given.events
    return report.module("out").calls, process.histogram.histograms["mass"].view().tolist()


def least(values: Sequence[float]) -> list[float]:
    """The least of each `BATCH` values in a row."""
    return [min(values[first : first + BATCH]) for first in range(0, len(values), BATCH)]


def main(argv: Sequence[str] | None = None) -> None:
    """Write the ntuple, measure, and print."""
    options = arguments(__doc__, argv)
    events = by_size(options, 100_000, 60_000, 2_000)
    rounds = BATCH * by_size(options, 7, 3, 1)
    series: dict[str, dict[str, Series]] = {}
    with tempfile.TemporaryDirectory(prefix="evproc-features-") as folder:
        given = Input(write(FilePath(folder) / "nanoaod_like.root", events), FilePath(folder), events)
        for dress in DRESSES:
            sides = {
                "off": partial(run_job, given, dress),
                "timing": partial(run_job, given, dress, timing=True),
                "everything": partial(run_job, given, dress, everything=True),
            }
            series[dress] = in_turn(sides, rounds)
    found = [result for sides in series.values() for item in sides.values() for result in item.results]
    if any(result[0] != found[0][0] or result[1] != found[0][1] for result in found):
        raise AssertionError("not all sides find the same")

    def cost(dress: str, side: str) -> Any:
        return ratios(least(series[dress][side].cpus), least(series[dress]["off"].cpus))

    figures = [
        Figure("timing_cost", cost("per event", "timing"), 1.03, 1.01, True, "per event: CPU time with timing / off"),
        Figure("all_on", cost("per event", "everything"), 1.1, 1.05, True, "per event: with everything / off"),
        Figure("all_on_columnar", cost("columnar", "everything"), 1.1, 1.05, True, "columnar: with everything / off"),
    ]
    show(
        f"features: dimuon selection, {events:,} events, {rounds} rounds",
        ("modules", "switched on", "CPU us/event, least", "median", "CPU / off"),
        [
            (
                dress,
                side,
                number(_per_event(min(item.cpus), events)),
                number(_per_event(item.cpu, events)),
                str(cost(dress, side)),
            )
            for dress, sides in series.items()
            for side, item in sides.items()
        ],
        figures,
        [f"{found[0][0]:,} of {events:,} events are selected."],
    )


def _per_event(seconds: float, events: int) -> float:
    return 1e6 * seconds / events


if __name__ == "__main__":
    main()
