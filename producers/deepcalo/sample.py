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

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from evproc.framework.errors import OutputError

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
        count = electrons
        if fewest < electrons:
            count = int(np.random.default_rng([seed, event, 1]).integers(fewest, electrons + 1))
        batch.append(make_electrons(count, seed, event))
        size += batch[-1]["cells"].nbytes
        if size > EXTEND_BYTES:
            yield event + 1 - len(batch), batch
            batch, size = [], 0
    if batch:
        yield events - len(batch), batch


def _as_branches(first: int, batch: list[Electrons]) -> dict[str, Any]:
    """A piece of the sample as what uproot writes: identity per event, the collection, and the cells."""
    import awkward as ak

    counts = np.array([len(event["genEnergy"]) for event in batch], dtype=np.int64)
    names = [name for name in batch[0] if name != "cells"]
    flat: dict[str, Any] = {name: np.concatenate([event[name].reshape(-1) for event in batch]) for name in batch[0]}
    columns = [ak.contents.NumpyArray(flat[name]) for name in names]
    cells = ak.contents.NumpyArray(flat["cells"])

    def jagged(lengths: Any, content: Any) -> Any:
        offsets = ak.index.Index64(np.concatenate([[0], np.cumsum(lengths)]))
        return ak.Array(ak.contents.ListOffsetArray(offsets, content))

    numbers = np.arange(first, first + len(batch))
    return {
        "run": np.ones(len(batch), dtype=np.uint32),
        "luminosityBlock": (1 + numbers // 100).astype(np.uint32),
        "event": (1 + numbers).astype(np.uint64),
        COLLECTION: jagged(counts, ak.contents.RecordArray(columns, names)),
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
    if events < 0 or not 0 <= fewest <= electrons:
        raise OutputError(
            f"cannot make a sample of {events} events with {fewest} to {electrons} electrons: "
            "the numbers must not be negative, nor the fewest electrons more than the most"
        )
    path = Path(path)
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already; choose another name, or ask to overwrite it")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(part, events, electrons, fewest, seed)
        part.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write the sample {path}: {error}") from error
    except ModuleNotFoundError as error:
        raise OutputError(f"samples need {error.name}: pip install 'evproc[systems]'") from error
    finally:
        part.unlink(missing_ok=True)
    return path


def _write(part: Path, events: int, electrons: int, fewest: int, seed: int) -> None:
    import uproot

    fields = {name: values.dtype for name, values in make_electrons(0, seed).items() if name != "cells"}
    record = ", ".join(f'"{name}": {kind}' for name, kind in fields.items())
    branches: dict[str, Any] = {
        "run": np.uint32,
        "luminosityBlock": np.uint32,
        "event": np.uint64,
        COLLECTION: f"var * {{{record}}}",
        CELLS_BRANCH: "var * float32",
    }
    with uproot.recreate(part, compression=uproot.ZSTD(1)) as file:
        tree = file.mktree("Events", branches, title="electrons of the evproc toy")
        for first, batch in _batches(events, electrons, fewest, seed):
            tree.extend(_as_branches(first, batch))


def main(arguments: list[str] | None = None) -> None:
    """The command line: `python -m evproc.producers.deepcalo.sample OUT.root`."""
    parser = argparse.ArgumentParser(
        prog="python -m evproc.producers.deepcalo.sample", description="Make a DeepCalo sample."
    )
    parser.add_argument("path", type=Path, help="the ROOT file to write")
    parser.add_argument("--events", type=int, default=100, help="number of events (default: %(default)s)")
    parser.add_argument("--electrons", type=int, default=10, help="electrons per event (default: %(default)s)")
    parser.add_argument("--min-electrons", type=int, help="vary the number between this and --electrons")
    parser.add_argument("--seed", type=int, default=1, help="seed of the sample (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    chosen = parser.parse_args(arguments)
    path = make_sample(
        chosen.path,
        chosen.events,
        chosen.electrons,
        chosen.seed,
        min_electrons=chosen.min_electrons,
        overwrite=chosen.overwrite,
    )
    print(f"{path}: {chosen.events} events, {path.stat().st_size / 1e6:.1f} MB")  # noqa: T201


if __name__ == "__main__":
    main()
