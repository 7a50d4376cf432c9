"""Makes the sample of the toy tracker: an ntuple with the hits of each event, and the particles behind them.

    python -m evproc.producers.exatrkx.sample OUT.root --events 100 --hits 1000 --seed 1

TTree `Events`: `run`, `luminosityBlock`, `event`; the collection `Hit` with `r`, `phi`, `z` (mm, rad, mm, float32) and
`particle` (int32, row in `Particle`, -1 for noise); the collection `Particle` with `pt` (GeV) and `eta` (float32). The
toy itself is described in event.py and detector.py. Event n of a seed is the same however many are made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from evproc.producers.sample_file import (
    check_sizes,
    collection,
    collection_type,
    drawn_size,
    identity,
    sample_parser,
    tell,
    write_sample,
)

from .event import TrackerEvent, make_event

_PIECE = 100  # events written at a time: 3,000 hits each are 5 MB
_FIELDS = {
    "Hit": {"r": "float32", "phi": "float32", "z": "float32", "particle": "int32"},
    "Particle": {"pt": "float32", "eta": "float32"},
}


def sample_event(hits: int, min_hits: int, seed: int, event: int) -> TrackerEvent:
    """One event of a sample. Its size is `hits`, or uniform between `min_hits` and that, ends included."""
    return make_event(drawn_size(min_hits, hits, seed, event), seed, event)


def make_sample(
    path: str | Path,
    events: int = 100,
    hits: int = 1000,
    seed: int = 1,
    *,
    min_hits: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a sample to the TTree `Events` of a ROOT file, under a temporary name first.

    events:   number of events; they are run 1, luminosity blocks of 100, event 1, 2, ...
    hits:     hits of an event (a few less, since particles are whole), or the most of them if `min_hits` is less
    min_hits: the fewest; None: always `hits`
    raises OutputError: the file exists and `overwrite` is false, it cannot be written, or the numbers are impossible.
    """
    low = hits if min_hits is None else min_hits
    check_sizes(events, low, hits, "hits")
    branches = {name: collection_type(fields) for name, fields in _FIELDS.items()}
    pieces = (_as_branches(first, min(_PIECE, events - first), hits, low, seed) for first in range(0, events, _PIECE))
    return write_sample(path, events, branches, pieces, title="hits of the evproc toy tracker", overwrite=overwrite)


def _as_branches(first: int, count: int, hits: int, min_hits: int, seed: int) -> dict[str, Any]:
    """A piece of the sample as what uproot writes: identity per event, hits and particles."""
    made = [sample_event(hits, min_hits, seed, number) for number in range(first, first + count)]
    piece: dict[str, Any] = {**identity(first, count)}
    for label, fields in _FIELDS.items():
        columns = {name: np.concatenate([getattr(event, name) for event in made]) for name in fields}
        piece[label] = collection([len(getattr(event, next(iter(fields)))) for event in made], columns)
    return piece


def main(arguments: list[str] | None = None) -> None:
    """The command line: `python -m evproc.producers.exatrkx.sample OUT.root`."""
    parser = sample_parser("evproc.producers.exatrkx.sample", "Make a sample of the toy tracker.", events=100)
    parser.add_argument("--hits", type=int, default=1000, help="hits per event (default: %(default)s)")
    parser.add_argument("--min-hits", type=int, help="vary the number of hits between this and --hits")
    chosen = parser.parse_args(arguments)
    path = make_sample(
        chosen.path,
        chosen.events,
        chosen.hits,
        chosen.seed,
        min_hits=chosen.min_hits,
        overwrite=chosen.overwrite,
    )
    tell(path, chosen.events)


if __name__ == "__main__":
    main()
