"""Writes the top tagger's sample: an ntuple of jets with their constituents, in the manner of NanoAOD with particle flow.

    python -m evproc.producers.top_tagger.sample OUT.root --events 1000 --seed 1

Every other event is a top pair, the others are QCD dijets (generation.py says how they are made), all with at least one jet
that is kept. Branches of the TTree `Events`, as in CMS's PFNano:

    run, luminosityBlock, event
    FatJet_pt, _eta, _phi, _mass, _label                    the jets; label 1: top, 0: QCD, -1: neither
    PFCands_pt, _eta, _phi, _mass, _pdgId                   their constituents: stable particles, not reconstructed ones
    FatJetPFCands_jetIdx, FatJetPFCands_pFCandsIdx          pairs of a jet and one of its constituents

Policy: an event depends on seed and number alone; a longer sample begins with a shorter one of the same seed. Samples of
different seeds are independent. Memory: 200 events at a time.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evproc.framework.errors import OutputError

from .generation import JetEvent, jet_events

if TYPE_CHECKING:
    import awkward as ak

JETS, PARTICLES, LINKS = "FatJet", "PFCands", "FatJetPFCands"
PIECE = 200
"""Events written at a time."""
MAX_SEED = 449_999_999


def sample_events(seed: int) -> Iterator[JetEvent]:
    """Events without end: a top pair, a QCD event, and so on.

    seed: 0 to 449,999,999
    """
    if not 0 <= seed <= MAX_SEED:
        raise OutputError(f"seeds of samples are 0 to {MAX_SEED:,}, not {seed}")
    for pair in zip(jet_events("top", 2 * seed + 1), jet_events("QCD", 2 * seed + 2), strict=True):
        yield from pair


def make_sample(path: str | Path, events: int = 1000, seed: int = 1, *, overwrite: bool = False) -> Path:
    """Write a sample to the TTree `Events` of a ROOT file, under a temporary name first.

    events: number of events; they are run 1, luminosity blocks of 100, event 1, 2, ...
    raises OutputError: the file exists and `overwrite` is false, it cannot be written, or Pythia or fastjet is missing
    """
    if events < 0:
        raise OutputError(f"cannot make a sample of {events} events")
    path = Path(path)
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already; choose another name, or ask to overwrite it")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(part, events, seed)
        part.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write the sample {path}: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return path


_EMPTY = JetEvent(
    dict.fromkeys(("pt", "eta", "phi", "mass"), np.empty(0, np.float32)) | {"label": np.empty(0, np.int32)},
    dict.fromkeys(("pt", "eta", "phi", "mass"), np.empty(0, np.float32)) | {"pdgId": np.empty(0, np.int32)},
    np.empty(0, np.int32),
)


def _write(part: Path, events: int, seed: int) -> None:
    """Write the file, piece by piece."""
    import awkward as ak
    import uproot

    branches = {name: str(ak.type(column)).split(" * ", 1)[1] for name, column in _as_branches(0, [_EMPTY]).items()}
    made = sample_events(seed) if events else iter(())
    with uproot.recreate(part, compression=uproot.ZSTD(3)) as file:
        tree = file.mktree("Events", branches, title="Jets of Pythia 8 with their constituents")
        for first in range(0, events, PIECE):
            tree.extend(_as_branches(first, list(islice(made, min(PIECE, events - first)))))


def _as_branches(first: int, piece: Sequence[JetEvent]) -> dict[str, Any]:
    """Some events as what uproot writes: identity per event, and jagged collections."""
    numbers = np.arange(first, first + len(piece))
    constituents = [len(event.jet) for event in piece]
    links = {
        "jetIdx": np.concatenate([event.jet for event in piece]),
        "pFCandsIdx": np.concatenate([np.arange(count, dtype=np.int32) for count in constituents]),
    }
    return {
        "run": np.ones(len(piece), dtype=np.uint32),
        "luminosityBlock": (1 + numbers // 100).astype(np.uint32),
        "event": (1 + numbers).astype(np.uint64),
        JETS: _collection([len(event.jets["pt"]) for event in piece], _joined([event.jets for event in piece])),
        PARTICLES: _collection(constituents, _joined([event.particles for event in piece])),
        LINKS: _collection(constituents, links),
    }


def _joined(events: Sequence[dict[str, npt.NDArray[Any]]]) -> dict[str, npt.NDArray[Any]]:
    """The columns of many events, one after another."""
    return {name: np.concatenate([event[name] for event in events]) for name in events[0]}


def _collection(counts: Sequence[int], columns: dict[str, Any]) -> ak.Array:
    """A jagged collection of records."""
    import awkward as ak

    offsets = ak.index.Index64(np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]))
    record = ak.contents.RecordArray([ak.contents.NumpyArray(column) for column in columns.values()], list(columns))
    return ak.Array(ak.contents.ListOffsetArray(offsets, record))


def main(arguments: list[str] | None = None) -> None:
    """The command line: `python -m evproc.producers.top_tagger.sample OUT.root`."""
    parser = argparse.ArgumentParser(
        prog="python -m evproc.producers.top_tagger.sample", description="Make a sample of jets."
    )
    parser.add_argument("path", type=Path, help="the ROOT file to write")
    parser.add_argument("--events", type=int, default=1000, help="number of events (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the sample (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    chosen = parser.parse_args(arguments)
    path = make_sample(chosen.path, chosen.events, chosen.seed, overwrite=chosen.overwrite)
    print(f"{path}: {chosen.events} events, {path.stat().st_size / 1e6:.1f} MB")  # noqa: T201


if __name__ == "__main__":
    main()
