"""Makes the EmTrackMichelId sample: an ntuple of toy wire-plane events, waveforms and hits.

    python -m evproc.producers.em_track_michel.sample OUT.root --events 10 --seed 1

TTree `Events`: run, luminosityBlock, event; `wires` and `ticks` of each of the three planes; `adc`, the waveforms, one
behind the other (plane, wire, tick); and the collection `Hit`. The toy is in particles.py and readout.py.

An event depends on the seed, its number and its sizes alone, never on how many are made. Memory: one event at a time, 2.2 MB
of waveforms at the default size.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from evproc.framework.errors import OutputError
from evproc.producers.sample_file import (
    collection,
    collection_type,
    identity,
    jagged,
    sample_parser,
    tell,
    write_sample,
)

from .readout import PLANES, WireEvent, make_event

FIELDS = {
    "plane": "int32",
    "wire": "int32",
    "time": "float32",
    "peak": "float32",
    "cluster": "int32",
    "truth": "int32",
    "michel": "bool",
}
"""Of a hit; see `WireEvent.hits`."""


def branches_of(event: WireEvent, number: int) -> dict[str, Any]:
    """One event as what uproot writes."""
    wires, ticks = event.adc.shape[1:]
    hits = {name: event.hits[name].astype(kind) for name, kind in FIELDS.items()}
    return {
        **identity(number, 1),
        "wires": np.array([wires], np.int32),
        "ticks": np.array([ticks], np.int32),
        "adc": jagged([event.adc.size], event.adc.reshape(-1)),
        "Hit": collection([len(event.hits["wire"])], hits),
    }


def make_sample(
    path: str | Path,
    events: int = 10,
    seed: int = 1,
    *,
    overwrite: bool = False,
    sizes: Mapping[str, int] | None = None,
) -> Path:
    """Write a sample to the TTree `Events` of a ROOT file, under a temporary name first.

    sizes: wires, ticks, tracks, muons, showers; as `make_event` has them, which are the defaults
    raises OutputError: the file exists and `overwrite` is false, a size cannot be, or the file cannot be written
    """
    sizes = dict(sizes or {})
    if events < 0 or min(sizes.values(), default=0) < 0 or min(sizes.get("wires", 1), sizes.get("ticks", 1)) < 1:
        raise OutputError(f"cannot make a sample of {events} events with {sizes}: sizes must be positive")
    branches = {"wires": np.int32, "ticks": np.int32, "adc": "var * int16", "Hit": collection_type(FIELDS)}
    pieces = (branches_of(make_event(seed, number, **sizes), number) for number in range(events))
    title = f"{PLANES} wire planes of the evproc toy"
    return write_sample(path, events, branches, pieces, title=title, overwrite=overwrite)


def main(arguments: list[str] | None = None) -> None:
    """The command line: `python -m evproc.producers.em_track_michel.sample OUT.root`."""
    parser = sample_parser("evproc.producers.em_track_michel.sample", "Make an EmTrackMichelId sample.", events=10)
    of_event = {"wires": 240, "ticks": 1536, "tracks": 6, "muons": 3, "showers": 2}
    for name, size in of_event.items():
        parser.add_argument(f"--{name}", type=int, default=size, help=f"{name} of an event (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    sizes = {name: getattr(chosen, name) for name in of_event}
    path = make_sample(chosen.path, chosen.events, chosen.seed, overwrite=chosen.overwrite, sizes=sizes)
    tell(path, chosen.events)


if __name__ == "__main__":
    main()
