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

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evproc.framework.errors import OutputError
from evproc.producers.sample_file import collection, identity, sample_parser, tell, write_sample

from .generation import JetEvent, jet_events

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
    return write_sample(
        path,
        events,
        _branches(),
        _pieces(events, seed),
        title="Jets of Pythia 8 with their constituents",
        overwrite=overwrite,
        level=3,
    )


_EMPTY = JetEvent(
    dict.fromkeys(("pt", "eta", "phi", "mass"), np.empty(0, np.float32)) | {"label": np.empty(0, np.int32)},
    dict.fromkeys(("pt", "eta", "phi", "mass"), np.empty(0, np.float32)) | {"pdgId": np.empty(0, np.int32)},
    np.empty(0, np.int32),
)


def _branches() -> dict[str, str]:
    """Name -> type of the collections."""
    import awkward as ak

    piece = _as_branches(0, [_EMPTY])
    return {name: str(ak.type(piece[name])).split(" * ", 1)[1] for name in (JETS, PARTICLES, LINKS)}


def _pieces(events: int, seed: int) -> Iterator[dict[str, Any]]:
    """The sample, some events at a time."""
    made = sample_events(seed) if events else iter(())
    for first in range(0, events, PIECE):
        yield _as_branches(first, list(islice(made, min(PIECE, events - first))))


def _as_branches(first: int, piece: Sequence[JetEvent]) -> dict[str, Any]:
    """Some events as what uproot writes: identity per event, and jagged collections."""
    constituents = [len(event.jet) for event in piece]
    links = {
        "jetIdx": np.concatenate([event.jet for event in piece]),
        "pFCandsIdx": np.concatenate([np.arange(count, dtype=np.int32) for count in constituents]),
    }
    return {
        **identity(first, len(piece)),
        JETS: collection([len(event.jets["pt"]) for event in piece], _joined([event.jets for event in piece])),
        PARTICLES: collection(constituents, _joined([event.particles for event in piece])),
        LINKS: collection(constituents, links),
    }


def _joined(events: Sequence[dict[str, npt.NDArray[Any]]]) -> dict[str, npt.NDArray[Any]]:
    """The columns of many events, one after another."""
    return {name: np.concatenate([event[name] for event in events]) for name in events[0]}


def main(arguments: list[str] | None = None) -> None:
    """The command line: `python -m evproc.producers.top_tagger.sample OUT.root`."""
    parser = sample_parser("evproc.producers.top_tagger.sample", "Make a sample of jets.", events=1000)
    chosen = parser.parse_args(arguments)
    path = make_sample(chosen.path, chosen.events, chosen.seed, overwrite=chosen.overwrite)
    tell(path, chosen.events)


if __name__ == "__main__":
    main()
