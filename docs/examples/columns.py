"""Columns beside events: modules of both kinds in one job, which read each other's products.

evproc run docs/examples/columns.py
"""

from typing import Any

import awkward as ak

from evproc.framework import Columns, EndPath, Event, Path, Process, Producer
from evproc.modules import CountFilter, NtupleOutput, NtupleSource


class Pair(Producer):
    """The first two muons together, by columns: a record per event, or missing where there are not two."""

    consumes = ("Muon",)

    def produce_columns(self, columns: Columns) -> Any:
        """The pairs: events * ?{pt: float32, mass: float32}, GeV."""
        muons = ak.pad_none(columns.vectors("Muon"), 2)
        pair = muons[:, 0] + muons[:, 1]
        there = ak.num(columns["Muon"]) >= 2
        return ak.mask(ak.zip({"pt": ak.fill_none(pair.pt, 0), "mass": ak.fill_none(pair.mass, 0)}), there)


class Channel(Producer):
    """A word for each event, event by event, from what `pair` has made by columns."""

    consumes = ("pair", "Muon_charge")
    produces = "string"

    def produce(self, event: Event) -> str:
        """`none`, or light or heavy with the sum of the charges."""
        pair = event["pair"]
        if pair is None:
            return "none"
        return f"{'heavy' if pair['mass'] > 60.0 else 'light'} {int(event['Muon_charge'][:2].sum())}"


class Candidate(Producer):
    """Whether a pair is heavy and neutral, by columns, from the words that were made event by event."""

    consumes = ("channel",)
    produces = "bool"

    def produce_columns(self, columns: Columns) -> Any:
        """(events,) bool."""
        return ak.to_numpy(columns["channel"] == "heavy 0")


process = Process("COLUMNS")
process.source = NtupleSource(files="nano.root")
process.some_muon = CountFilter(of="Muon", at_least=1)
process.pair, process.channel, process.candidate = Pair(), Channel(), Candidate()
process.out = NtupleOutput(file="columns.parquet", keep=["Muon_pt", "pair", "channel", "candidate"], select=["muons"])
process.muons = Path(process.some_muon, process.pair, process.channel, process.candidate)
process.end = EndPath(process.out)
