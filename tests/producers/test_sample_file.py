"""Files of samples: complete under their name, or not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evproc.framework.errors import OutputError
from evproc.producers.sample_file import (
    check_sizes,
    collection,
    collection_type,
    drawn_size,
    identity,
    jagged,
    write_sample,
)
from tests.root_files import open_root

FIELDS = {"pt": "float32", "charge": "int32"}
BRANCHES = {"Muon": collection_type(FIELDS), "weights": "var * float64"}


def pieces(*sizes: int) -> Iterator[dict[str, Any]]:
    """Events with 0, 1, 2, ... muons, so many in each piece."""
    first = 0
    for size in sizes:
        counts = list(range(first, first + size))
        muons = sum(counts)
        columns = {name: np.arange(muons).astype(kind) for name, kind in FIELDS.items()}
        yield {
            **identity(first, size),
            "Muon": collection(counts, columns),
            "weights": jagged([1] * size, np.ones(size)),
        }
        first += size


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """Identity, collections and numbers of each event, whatever the pieces."""
    path = write_sample(tmp_path / "new" / "muons.root", 5, BRANCHES, pieces(2, 3), title="muons")
    with open_root(path) as file:
        found = file["Events"].arrays()
    assert found["event"].to_list() == [1, 2, 3, 4, 5]
    assert set(found["luminosityBlock"].to_list()) == {1}
    assert found["nMuon"].to_list() == [0, 1, 2, 3, 4]
    assert found["Muon_charge"].to_list() == [[], [0], [0, 1], [2, 3, 4], [5, 6, 7, 8]]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["muons.root"]


def test_a_short_sample_is_not_made(tmp_path: Path) -> None:
    """A maker that gives fewer events than were asked for leaves no file, and the error says how many there were."""
    with pytest.raises(OutputError, match=r"muons\.root would hold 3 of 4 events"):
        write_sample(tmp_path / "muons.root", 4, BRANCHES, pieces(3), title="muons")
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """A package that the events need and is not installed is an error that says how to get it."""

    def without() -> Iterator[dict[str, Any]]:
        raise ModuleNotFoundError("No module named 'pythia8mc'", name="pythia8mc")
        yield {}

    with pytest.raises(OutputError, match=r"need pythia8mc: pip install 'evproc\[systems\]'"):
        write_sample(tmp_path / "muons.root", 1, BRANCHES, without(), title="muons")
    assert list(tmp_path.iterdir()) == []


def test_sizes_are_those_of_the_event() -> None:
    """The size of an event is within its bounds, of seed and number alone, and all sizes occur."""
    sizes = [drawn_size(2, 5, seed=3, event=event) for event in range(200)]
    assert set(sizes) == {2, 3, 4, 5}
    assert sizes == [drawn_size(2, 5, seed=3, event=event) for event in range(200)]
    assert drawn_size(4, 4, seed=3, event=0) == 4


@pytest.mark.parametrize(("events", "fewest", "most"), [(-1, 0, 1), (1, -1, 1), (1, 3, 2)])
def test_impossible_sizes_are_refused(events: int, fewest: int, most: int) -> None:
    """Negative numbers, and fewest above most, are errors with the numbers."""
    with pytest.raises(OutputError, match=f"sample of {events} events with {fewest} to {most} muons"):
        check_sizes(events, fewest, most, "muons")


def test_luminosity_blocks_have_a_hundred_events() -> None:
    """Events are run 1, luminosity blocks of 100, event 1, 2, ..."""
    found = identity(99, 2)
    assert [found[name].tolist() for name in ("run", "luminosityBlock", "event")] == [[1, 1], [1, 2], [100, 101]]
