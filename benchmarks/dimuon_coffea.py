"""The dimuon selection of `benchmarks.coffea` as a coffea processor, with NanoEvents or with bare columns."""

from __future__ import annotations

import warnings
from typing import Any

import awkward as ak
import numpy as np
from coffea import processor
from coffea.nanoevents import BaseSchema, NanoAODSchema

from benchmarks.dimuon_modules import BINS, MUONS, START, STOP

FIELDS = tuple(name.removeprefix("Muon_") for name in MUONS)


class Dimuon(processor.ProcessorABC):
    """Mass of the first two muons, if they have opposite charge."""

    def __init__(self, nano: bool) -> None:
        self.nano = nano

    def process(self, events: Any) -> dict[str, Any]:
        """Fill the histogram with the events of a chunk."""
        import hist

        muons = events.Muon if self.nano else events
        pt, eta, phi, charge = (muons[field] for field in (FIELDS if self.nano else MUONS))
        two = ak.num(charge) > 1
        charge = charge[two]
        opposite = charge[:, 0] != charge[:, 1]
        pt, eta, phi = (ak.values_astype(values[two][opposite], np.float64) for values in (pt, eta, phi))
        angles = np.cosh(eta[:, 0] - eta[:, 1]) - np.cos(phi[:, 0] - phi[:, 1])
        masses = np.sqrt(2.0 * pt[:, 0] * pt[:, 1] * angles)
        axis = hist.axis.Regular(BINS, START, STOP, name="mass")
        histogram = hist.Hist(axis, storage=hist.storage.Int64())
        histogram.fill(ak.to_numpy(masses))
        return {"events": len(events), "mass": histogram}

    def postprocess(self, accumulator: Any) -> Any:
        """Nothing to do."""
        return accumulator


def run_coffea(file: str, chunk: int, *, nano: bool) -> tuple[int, Any]:
    """Run the selection with coffea's Runner: the events read, and the histogram."""
    schema: Any = NanoAODSchema if nano else BaseSchema
    runner = processor.Runner(
        executor=processor.IterativeExecutor(compression=None, status=False),
        pre_executor=processor.IterativeExecutor(compression=None, status=False),
        schema=schema,
        chunksize=chunk,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the ntuple has no indices from one collection into another
        found: Any = runner({"data": [file]}, processor_instance=Dimuon(nano), treename="Events")
    return found["events"], found["mass"]
