"""Reading an ntuple and looping over it, against the scripts that one would write with uproot.

    python -m benchmarks.read [--quick]

An ntuple of 60 branches, zstd, 20,000 events per basket; ten fields are read and used for every event, and the identity
of the selected ones is kept. Two comparisons, each with the same reads (ten fields, three of identity), the same
functions and results that must be equal:

    per_event   three producers and an analyzer, each called for each event, against a loop over slices:
                `TTree.iterate` at 20,000, offsets unwrapped once a chunk
    columnar    one module that gets whole blocks, against `TTree.iterate` and the same NumPy functions

Both figures are rates, evproc's over that of the script. All are measured whole, opening and checking of the file
included. The file is in the page cache.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path as FilePath
from typing import Any

from benchmarks.common import Figure, Series, arguments, by_size, in_turn, number, ratios, show
from benchmarks.dimuon_jets import (
    FIELDS,
    IDENTITY,
    JETS,
    MUONS,
    Found,
    add_columns,
    analyze_columns,
    dimuon_mass,
    recoil,
    transverse_energy,
)
from benchmarks.nanoaod_like import write
from evproc.framework import Analyzer, Columns, EndPath, Event, Job, Path, Process, Producer
from evproc.modules import NtupleSource

STEP = 20_000


class DimuonMass(Producer):
    """Mass of the first two muons."""

    consumes = MUONS
    produces = "float64"

    def produce(self, event: Event) -> float:
        """The mass, GeV."""
        return dimuon_mass(event["Muon_pt"], event["Muon_eta"], event["Muon_phi"], event["Muon_charge"])


class TransverseEnergy(Producer):
    """Transverse energy of the jets."""

    consumes = ("Jet_pt", "Jet_eta", "Jet_mass")
    produces = "float64"

    def produce(self, event: Event) -> float:
        """The sum, GeV."""
        return transverse_energy(event["Jet_pt"], event["Jet_eta"], event["Jet_mass"])


class Recoil(Producer):
    """Missing transverse momentum along the first jet."""

    consumes = ("MET_pt", "MET_phi", "Jet_phi")
    produces = "float64"

    def produce(self, event: Event) -> float:
        """The component, GeV."""
        return recoil(event["MET_pt"], event["MET_phi"], event["Jet_phi"])


class Selection(Analyzer):
    """Sums over selected events, and which these are."""

    consumes = ("mass", "energy", "recoil")

    def begin_job(self, job: Job) -> None:
        """Nothing found yet."""
        self.found = Found()

    def analyze(self, event: Event) -> None:
        """Look at one event."""
        if self.found.add(event["mass"], event["energy"], event["recoil"]):
            self.found.events.append(event.id)


class ColumnarSelection(Analyzer):
    """All of it for a block at once."""

    consumes = FIELDS

    def begin_job(self, job: Job) -> None:
        """Nothing found yet."""
        self.found = Found()

    def analyze_columns(self, columns: Columns) -> None:
        """Look at a block of events."""
        muon_offsets, _ = columns.jagged(MUONS[0])
        jet_offsets, _ = columns.jagged(JETS[0])
        muons = (muon_offsets, *(columns.jagged(key)[1] for key in MUONS))
        jets = (jet_offsets, *(columns.jagged(key)[1] for key in JETS))
        found = analyze_columns(muons, jets, (columns["MET_pt"], columns["MET_phi"]))
        ids = columns.ids
        add_columns(self.found, *found, (ids.run, ids.luminosity_block, ids.event))


def evproc_per_event(file: str) -> Found:
    """Four modules, event by event."""
    process = Process("READ")
    process.source = NtupleSource(files=file)
    process.mass = DimuonMass()
    process.energy = TransverseEnergy()
    process.recoil = Recoil()
    process.selection = Selection()
    process.path = Path(process.mass, process.energy, process.recoil)
    process.end = EndPath(process.selection)
    process.run()
    found: Found = process.selection.found
    return found


def evproc_columnar(file: str) -> Found:
    """One module, block by block."""
    process = Process("READ")
    process.source = NtupleSource(files=file)
    process.selection = ColumnarSelection()
    process.end = EndPath(process.selection)
    process.run()
    found: Found = process.selection.found
    return found


def chunks_by_hand(file: str) -> Iterator[dict[str, Any]]:
    """The chunks of a file."""
    import uproot

    opened: Any = uproot.open(file)
    with opened as directory:
        yield from directory["Events"].iterate([*FIELDS, *IDENTITY], step_size=STEP, how=dict)


def loop_by_hand(file: str) -> Found:
    """The loop over slices that one would write."""
    found = Found()
    for chunk in chunks_by_hand(file):
        content = {name: chunk[name].layout.content.data for name in (*MUONS, *JETS)}
        muon = chunk["Muon_pt"].layout.offsets.data.tolist()
        jet = chunk["Jet_pt"].layout.offsets.data.tolist()
        mu_pt, mu_eta, mu_phi, mu_charge = (content[name] for name in MUONS)
        jet_pt, jet_eta, jet_phi, jet_mass = (content[name] for name in JETS)
        met_pt, met_phi = chunk["MET_pt"].layout.data, chunk["MET_phi"].layout.data
        run, block, event = (chunk[name].layout.data for name in IDENTITY)
        for i in range(len(muon) - 1):
            a, b = muon[i], muon[i + 1]
            mass = dimuon_mass(mu_pt[a:b], mu_eta[a:b], mu_phi[a:b], mu_charge[a:b])
            a, b = jet[i], jet[i + 1]
            energy = transverse_energy(jet_pt[a:b], jet_eta[a:b], jet_mass[a:b])
            if found.add(mass, energy, recoil(met_pt[i], met_phi[i], jet_phi[a:b])):
                found.events.append((int(run[i]), int(block[i]), int(event[i])))
    return found


def columns_by_hand(file: str) -> Found:
    """The NumPy script that one would write."""
    found = Found()
    for chunk in chunks_by_hand(file):
        layouts = {name: chunk[name].layout for name in (*MUONS, *JETS)}
        muons = (layouts["Muon_pt"].offsets.data, *(layouts[name].content.data for name in MUONS))
        jets = (layouts["Jet_pt"].offsets.data, *(layouts[name].content.data for name in JETS))
        result = analyze_columns(muons, jets, (chunk["MET_pt"].layout.data, chunk["MET_phi"].layout.data))
        run, block, event = (chunk[name].layout.data for name in IDENTITY)
        add_columns(found, *result, (run, block, event))
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Write the ntuple, measure, and print."""
    options = arguments(__doc__, argv)
    events = by_size(options, 400_000, 200_000, 2_000)
    rounds = by_size(options, 5, 3, 1)
    with tempfile.TemporaryDirectory(prefix="evproc-read-") as folder:
        path = str(write(FilePath(folder) / "nanoaod_like.root", events))
        per_event = in_turn(
            {
                "loop by hand": lambda: loop_by_hand(path),
                "evproc, per event": lambda: evproc_per_event(path),
            },
            rounds,
        )
        columnar = in_turn(
            {
                "NumPy by hand": lambda: columns_by_hand(path),
                "evproc, columnar": lambda: evproc_columnar(path),
            },
            by_size(options, 11, 5, 1),
        )
    for series in (per_event, columnar):
        found = [result for item in series.values() for result in item.results]
        if any(result != found[0] for result in found) or not found[0].events:
            raise AssertionError("the two sides do not find the same")
    hand, ours = per_event.values()
    plain, blocks = columnar.values()
    figures = [
        Figure("per_event", ratios(hand.walls, ours.walls), 0.5, 0.8, False, "rate / that of a loop by hand"),
        Figure("columnar", ratios(plain.walls, blocks.walls), 0.85, 0.95, False, "rate / that of a NumPy script"),
    ]
    rows = [
        *(_row(name, item, hand, events) for name, item in per_event.items()),
        *(_row(name, item, plain, events) for name, item in columnar.items()),
    ]
    show(
        f"read: ten of 60 branches of {events:,} events",
        ("side", "kev/s", "us/event", "CPU us/event", "rate / by hand", "CPU / by hand"),
        rows,
        figures,
        [
            f"{len(hand.results[0].events):,} of {events:,} events are selected.",
            "Reading goes on in a thread of its own in evproc, and by turns in the scripts.",
        ],
    )


def _row(name: str, item: Series, hand: Series, events: int) -> tuple[str, ...]:
    return (
        name,
        number(events / item.wall / 1000),
        number(1e6 * item.wall / events),
        number(1e6 * item.cpu / events),
        str(ratios(hand.walls, item.walls)),
        str(ratios(item.cpus, hand.cpus)),
    )


if __name__ == "__main__":
    main()
