"""The files of toy samples: ROOT ntuples that are complete under their name, or not there at all.

A sample maker says what an event is and in which pieces events are written; what all of them must do the same way is here:
a file that exists is kept unless it may be overwritten; a sample is written under a temporary name, opened again, and only
renamed if it has all events; a full disk leaves nothing behind. Events are run 1, luminosity blocks of 100, event 1, 2, ...
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evproc.framework.errors import OutputError
from evproc.framework.new_files import in_one_step

if TYPE_CHECKING:
    import awkward as ak

IDENTITY: Mapping[str, Any] = {"run": np.uint32, "luminosityBlock": np.uint32, "event": np.uint64}
"""The branches of an event's identity."""


def identity(first: int, count: int) -> dict[str, npt.NDArray[Any]]:
    """The identities of `count` events of a sample, the first of which has number `first`, from 0: name -> (count,)."""
    numbers = np.arange(first, first + count)
    return {
        "run": np.ones(count, np.uint32),
        "luminosityBlock": (1 + numbers // 100).astype(np.uint32),
        "event": (1 + numbers).astype(np.uint64),
    }


def drawn_size(fewest: int, most: int, seed: int, event: int) -> int:
    """How many objects an event has: uniform between these, ends included; of the seed and the event's number alone."""
    if fewest == most:
        return most
    return int(np.random.default_rng([seed, event, 1]).integers(fewest, most + 1))


def check_sizes(events: int, fewest: int, most: int, objects: str) -> None:
    """Whether there can be such a sample. Raises OutputError.

    objects: what there are so many of in an event, for the message
    """
    if events < 0 or not 0 <= fewest <= most:
        raise OutputError(
            f"cannot make a sample of {events} events with {fewest} to {most} {objects}: "
            f"the numbers must not be negative, nor the fewest {objects} more than the most"
        )


def collection_type(fields: Mapping[str, npt.DTypeLike]) -> str:
    """The type of a branch that is a collection: so many objects per event, each with these fields."""
    record = ", ".join(f'"{name}": {np.dtype(kind)}' for name, kind in fields.items())
    return f"var * {{{record}}}"


def jagged(counts: Sequence[int] | npt.NDArray[np.int64], values: npt.NDArray[Any]) -> ak.Array:
    """Numbers that belong to events: counts (events,) and values (sum of counts,) as (events, var)."""
    return _cut(counts, _numbers(values))


def collection(counts: Sequence[int] | npt.NDArray[np.int64], columns: Mapping[str, npt.NDArray[Any]]) -> ak.Array:
    """Objects that belong to events: counts (events,) and columns (sum of counts,) as (events, var, record)."""
    import awkward as ak

    return _cut(counts, ak.contents.RecordArray([_numbers(column) for column in columns.values()], list(columns)))


def _numbers(values: Any) -> Any:
    import awkward as ak

    return ak.contents.NumpyArray(values)


def _cut(counts: Sequence[int] | npt.NDArray[np.int64], content: Any) -> ak.Array:
    import awkward as ak

    bounds: Any = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(bounds), content))


def write_sample(
    path: str | Path,
    events: int,
    branches: Mapping[str, Any],
    pieces: Iterable[Mapping[str, Any]],
    *,
    title: str,
    overwrite: bool = False,
    level: int = 1,
) -> Path:
    """Write a sample to the TTree `Events` of a ROOT file; returns its path.

    branches: name -> type of all branches but the identity
    pieces:   the events, some at a time: name -> values, identity included
    level:    of the compression, Zstandard
    raises OutputError: the file exists and `overwrite` is false, it cannot be written, it holds other than `events` events
        after writing, or a package is missing that the events need
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already; choose another name, or ask to overwrite it")
    try:
        with in_one_step(path) as part:
            _write(part, {**IDENTITY, **branches}, pieces, title, level)
            found = _entries(part)
            if found != events:
                raise OutputError(f"{path} would hold {found} of {events} events, and was not made")
    except OSError as error:
        raise OutputError(f"cannot write the sample {path}: {error}") from error
    except ModuleNotFoundError as error:
        raise OutputError(f"samples need {error.name}: pip install 'evproc[systems]'") from error
    return path


def _write(
    part: Path, branches: Mapping[str, Any], pieces: Iterable[Mapping[str, Any]], title: str, level: int
) -> None:
    import uproot

    with uproot.recreate(part, compression=uproot.ZSTD(level)) as file:
        tree = file.mktree("Events", dict(branches), title=title)
        for piece in pieces:
            tree.extend(dict(piece))


def _entries(part: Path) -> int:
    import uproot

    written: Any = uproot.open(part)
    with written:
        return int(written["Events"].num_entries)


def sample_parser(module: str, description: str, events: int) -> argparse.ArgumentParser:
    """The command line of a sample maker: the file, how many events, the seed; a maker adds the sizes of its events.

    module: where the maker is, `evproc.producers.facile.sample`
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("path", type=Path, help="the ROOT file to write")
    parser.add_argument("--events", type=int, default=events, help="number of events (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the sample (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    return parser


def tell(path: Path, events: int) -> None:
    """Say what was written."""
    print(f"{path}: {events} events, {path.stat().st_size / 1e6:.1f} MB")  # noqa: T201
