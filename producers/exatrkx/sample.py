"""Makes the sample of the toy tracker: an ntuple with the hits of each event, and the particles behind them.

    python -m evproc.producers.exatrkx.sample OUT.root --events 100 --hits 1000 --seed 1

TTree `Events`: `run`, `luminosityBlock`, `event`; the collection `Hit` with `r`, `phi`, `z` (mm, rad, mm, float32) and
`particle` (int32, row in `Particle`, -1 for noise); the collection `Particle` with `pt` (GeV) and `eta` (float32). The
toy itself is described in event.py and detector.py. Event n of a seed is the same however many are made.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np

from evproc.framework.errors import OutputError

from .event import TrackerEvent, make_event

_PIECE = 100  # events written at a time: 3,000 hits each are 5 MB
_FIELDS = {
    "Hit": {"r": "float32", "phi": "float32", "z": "float32", "particle": "int32"},
    "Particle": {"pt": "float32", "eta": "float32"},
}


def sample_event(hits: int, min_hits: int, seed: int, event: int) -> TrackerEvent:
    """One event of a sample. Its size is `hits`, or uniform between `min_hits` and that, ends included."""
    size = hits
    if min_hits < hits:
        size = int(np.random.default_rng([seed, event, 1]).integers(min_hits, hits + 1))
    return make_event(size, seed, event)


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
    if events < 0 or not 0 <= low <= hits:
        raise OutputError(
            f"cannot make a sample of {events} events with {low} to {hits} hits: the numbers must not be negative, "
            "nor the fewest hits more than the most"
        )
    path = Path(path)
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already; choose another name, or ask to overwrite it")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(part, events, hits, low, seed)
        part.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write the sample {path}: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return path


def _write(part: Path, events: int, hits: int, min_hits: int, seed: int) -> None:
    import uproot

    branches: dict[str, Any] = {"run": np.uint32, "luminosityBlock": np.uint32, "event": np.uint64}
    for collection, fields in _FIELDS.items():
        record = ", ".join(f'"{name}": {kind}' for name, kind in fields.items())
        branches[collection] = f"var * {{{record}}}"
    with uproot.recreate(part, compression=uproot.ZSTD(1)) as file:
        tree = file.mktree("Events", branches, title="hits of the evproc toy tracker")
        for first in range(0, events, _PIECE):
            numbers = np.arange(first, min(first + _PIECE, events))
            made = [sample_event(hits, min_hits, seed, int(number)) for number in numbers]
            piece: dict[str, Any] = {
                "run": np.ones(len(made), np.uint32),
                "luminosityBlock": (1 + numbers // 100).astype(np.uint32),
                "event": (1 + numbers).astype(np.uint64),
            }
            tree.extend(piece | {collection: _collection(made, fields) for collection, fields in _FIELDS.items()})


def _collection(made: list[TrackerEvent], fields: dict[str, str]) -> Any:
    import awkward as ak

    columns: dict[str, Any] = {name: np.concatenate([getattr(event, name) for event in made]) for name in fields}
    counts = [len(getattr(event, next(iter(fields)))) for event in made]
    bounds: Any = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    offsets = ak.index.Index64(bounds)
    contents: Any = [ak.contents.NumpyArray(column) for column in columns.values()]
    return ak.Array(ak.contents.ListOffsetArray(offsets, ak.contents.RecordArray(contents, list(columns))))


def main(arguments: list[str] | None = None) -> None:
    """The command line: `python -m evproc.producers.exatrkx.sample OUT.root`."""
    parser = argparse.ArgumentParser(
        prog="python -m evproc.producers.exatrkx.sample", description="Make a sample of the toy tracker."
    )
    parser.add_argument("path", type=Path, help="the ROOT file to write")
    parser.add_argument("--events", type=int, default=100, help="number of events (default: %(default)s)")
    parser.add_argument("--hits", type=int, default=1000, help="hits per event (default: %(default)s)")
    parser.add_argument("--min-hits", type=int, help="vary the number of hits between this and --hits")
    parser.add_argument("--seed", type=int, default=1, help="seed of the sample (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    chosen = parser.parse_args(arguments)
    path = make_sample(
        chosen.path,
        chosen.events,
        chosen.hits,
        chosen.seed,
        min_hits=chosen.min_hits,
        overwrite=chosen.overwrite,
    )
    print(f"{path}: {chosen.events} events, {path.stat().st_size / 1e6:.1f} MB")  # noqa: T201


if __name__ == "__main__":
    main()
