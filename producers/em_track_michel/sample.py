"""Makes the EmTrackMichelId sample: an ntuple of toy wire-plane events, waveforms and hits.

    python -m evproc.producers.em_track_michel.sample OUT.root --events 10 --seed 1

TTree `Events`: run, luminosityBlock, event; `wires` and `ticks` of each of the three planes; `adc`, the waveforms, one
behind the other (plane, wire, tick); and the collection `Hit`. The toy is in particles.py and readout.py.

An event depends on the seed, its number and its sizes alone, never on how many are made. Memory: one event at a time, 2.2 MB
of waveforms at the default size.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from evproc.framework.errors import OutputError

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
    import awkward as ak

    wires, ticks = event.adc.shape[1:]

    def of_one_event(content: Any, length: int) -> Any:
        return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(np.array([0, length])), content))

    adc: Any = event.adc.reshape(-1)
    values: dict[str, Any] = event.hits
    columns = [ak.contents.NumpyArray(values[name].astype(kind)) for name, kind in FIELDS.items()]
    return {
        "run": np.array([1], np.uint32),
        "luminosityBlock": np.array([1 + number // 100], np.uint32),
        "event": np.array([1 + number], np.uint64),
        "wires": np.array([wires], np.int32),
        "ticks": np.array([ticks], np.int32),
        "adc": of_one_event(ak.contents.NumpyArray(adc), event.adc.size),
        "Hit": of_one_event(ak.contents.RecordArray(columns, list(FIELDS)), len(event.hits["wire"])),
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
    path = Path(path)
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already; choose another name, or ask to overwrite it")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(part, events, seed, sizes)
        part.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write the sample {path}: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return path


def _write(part: Path, events: int, seed: int, sizes: Mapping[str, int]) -> None:
    import uproot

    record = ", ".join(f'"{name}": {kind}' for name, kind in FIELDS.items())
    kinds: dict[str, Any] = {
        "run": np.uint32,
        "luminosityBlock": np.uint32,
        "event": np.uint64,
        "wires": np.int32,
        "ticks": np.int32,
        "adc": "var * int16",
        "Hit": f"var * {{{record}}}",
    }
    with uproot.recreate(part, compression=uproot.ZSTD(1)) as file:
        tree = file.mktree("Events", kinds, title=f"{PLANES} wire planes of the evproc toy")
        for number in range(events):
            tree.extend(branches_of(make_event(seed, number, **sizes), number))


def main(arguments: list[str] | None = None) -> None:
    """The command line: `python -m evproc.producers.em_track_michel.sample OUT.root`."""
    parser = argparse.ArgumentParser(
        prog="python -m evproc.producers.em_track_michel.sample", description="Make an EmTrackMichelId sample."
    )
    parser.add_argument("path", type=Path, help="the ROOT file to write")
    parser.add_argument("--events", type=int, default=10, help="number of events (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the sample (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    of_event = {"wires": 240, "ticks": 1536, "tracks": 6, "muons": 3, "showers": 2}
    for name, size in of_event.items():
        parser.add_argument(f"--{name}", type=int, default=size, help=f"{name} of an event (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    sizes = {name: getattr(chosen, name) for name in of_event}
    path = make_sample(chosen.path, chosen.events, chosen.seed, overwrite=chosen.overwrite, sizes=sizes)
    print(f"{path}: {chosen.events} events, {path.stat().st_size / 1e6:.1f} MB")  # noqa: T201


if __name__ == "__main__":
    main()
