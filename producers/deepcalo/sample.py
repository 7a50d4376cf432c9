"""Makes the DeepCalo sample: an ntuple of electrons with images of calorimeter cells and their true energies.

    python -m evproc.producers.deepcalo.sample OUT.root --events 100 --electrons 10 --seed 1

What a shower is, is in showers.py. Branches: `run`, `luminosityBlock`, `event`; the collection `Electron` with `genEnergy`,
`eta`, `phi`, `pt` and `upstream`; and `ElectronCells`, the pixels of all electrons of the event: electron by electron, row
by row, column by column, then the four layers, 2,464 numbers in GeV for each electron. A flat list of numbers is read
without being looked at, and is the image tensor of the event as it stands. (uproot writes no lists of fixed-size arrays
to a TTree.)

Policy: an event depends on (seed, its number, its number of electrons) alone, never on how many are made. Memory is bounded:
events are gathered until they hold about 8 MB, then written; an electron makes 9.9 kB, about 5 kB in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from evproc.producers.sample_file import (
    check_sizes,
    collection,
    collection_type,
    drawn_size,
    identity,
    jagged,
    sample_parser,
    tell,
    write_sample,
)

from .detector import CELLS
from .showers import Electrons, make_electrons

COLLECTION = "Electron"
CELLS_BRANCH = "ElectronCells"
EXTEND_BYTES = 8_000_000


def _batches(events: int, electrons: int, fewest: int, seed: int) -> Iterator[tuple[int, list[Electrons]]]:
    """The events in pieces of about `EXTEND_BYTES`, each with the number of its first event."""
    batch: list[Electrons] = []
    size = 0
    for event in range(events):
        batch.append(make_electrons(drawn_size(fewest, electrons, seed, event), seed, event))
        size += batch[-1]["cells"].nbytes
        if size > EXTEND_BYTES:
            yield event + 1 - len(batch), batch
            batch, size = [], 0
    if batch:
        yield events - len(batch), batch


def _as_branches(first: int, batch: list[Electrons]) -> dict[str, Any]:
    """A piece of the sample as what uproot writes: identity per event, the collection, and the cells."""
    counts = np.array([len(event["genEnergy"]) for event in batch], dtype=np.int64)
    columns = {name: np.concatenate([event[name].reshape(-1) for event in batch]) for name in batch[0]}
    cells = columns.pop("cells")
    return {
        **identity(first, len(batch)),
        COLLECTION: collection(counts, columns),
        CELLS_BRANCH: jagged(counts * CELLS, cells),
    }


def make_sample(
    path: str | Path,
    events: int = 100,
    electrons: int = 10,
    seed: int = 1,
    *,
    min_electrons: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a sample to the TTree `Events` of a ROOT file, under a temporary name first.

    events:        number of events; they are run 1, luminosity blocks of 100, event 1, 2, ...
    electrons:     electrons per event, or the most of them if `min_electrons` is less
    min_electrons: the fewest; the number is then uniform between the two, ends included. None: always `electrons`
    raises OutputError: the file exists and `overwrite` is false, it cannot be written, scipy is missing
    """
    fewest = electrons if min_electrons is None else min_electrons
    check_sizes(events, fewest, electrons, "electrons")
    fields = {name: values.dtype for name, values in make_electrons(0, seed).items() if name != "cells"}
    branches = {COLLECTION: collection_type(fields), CELLS_BRANCH: "var * float32"}
    pieces = (_as_branches(first, batch) for first, batch in _batches(events, electrons, fewest, seed))
    return write_sample(path, events, branches, pieces, title="electrons of the evproc toy", overwrite=overwrite)


def main(arguments: list[str] | None = None) -> None:
    """The command line: `python -m evproc.producers.deepcalo.sample OUT.root`."""
    parser = sample_parser("evproc.producers.deepcalo.sample", "Make a DeepCalo sample.", events=100)
    parser.add_argument("--electrons", type=int, default=10, help="electrons per event (default: %(default)s)")
    parser.add_argument("--min-electrons", type=int, help="vary the number between this and --electrons")
    chosen = parser.parse_args(arguments)
    path = make_sample(
        chosen.path,
        chosen.events,
        chosen.electrons,
        chosen.seed,
        min_electrons=chosen.min_electrons,
        overwrite=chosen.overwrite,
    )
    tell(path, chosen.events)


if __name__ == "__main__":
    main()
