"""What the tests of the modules share: real ntuples where they are, ntuples made on the spot, and columns by hand."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from evproc.framework.columns import Column
from evproc.framework.event import Columns, EventIDs
from evproc.framework.store import Store, View
from evproc.modules.column_types import as_column

REAL_DATA = Path(os.environ.get("EVPROC_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


def new_root(path: str | Path) -> Any:
    """A new ROOT file."""
    return uproot.recreate(path)


@pytest.fixture
def real_file() -> Callable[[str], str]:
    """The path of a real ntuple; the test is skipped where it is absent."""

    def find(name: str) -> str:
        path = REAL_DATA / name
        if not path.exists():
            pytest.skip(f"the real ntuple {name} is not in {REAL_DATA} (EVPROC_TEST_DATA says where to look)")
        return str(path)

    return find


@pytest.fixture
def make_columns() -> Callable[..., Columns]:
    """A block of events from arrays, as a columnar module sees it."""

    def make(
        arrays: dict[str, Any],
        *,
        first: int = 0,
        collections: dict[str, tuple[str, ...]] | None = None,
        size: int | None = None,
        ids: EventIDs | None = None,
    ) -> Columns:
        columns: dict[str, Column] = {key: as_column(array) for key, array in arrays.items()}
        if size is None:
            size = len(next(iter(columns.values())))
        store = Store(size, ids or EventIDs.numbered(first, size), first, "by hand")
        store.columns.update(columns)
        allowed: dict[str, tuple[str, ...] | None] = dict.fromkeys(columns)
        allowed.update(collections or {})
        store.view = View(store, allowed, "test")
        return Columns(store.view, None)

    return make


@pytest.fixture
def write_events(tmp_path: Path) -> Callable[..., str]:
    """Write a small ntuple in the manner of NanoAOD: TTree or RNTuple, with an identity or without."""

    def write(
        name: str = "events.root",
        events: int = 1000,
        *,
        kind: str = "ttree",
        basket: int = 100,
        identity: bool = True,
        first: int = 0,
        extra: dict[str, Any] | None = None,
        without: tuple[str, ...] = (),
        tree: str = "Events",
    ) -> str:
        branches = events_arrays(events, identity=identity, first=first)
        branches.update(extra or {})
        for key in without:
            del branches[key]
        path = str(tmp_path / name)
        with new_root(path) as file:
            types = {key: str(ak.type(ak.Array(array)).content) for key, array in branches.items()}
            made = (file.mktree if kind == "ttree" else file.mkrntuple)(tree, types)
            for start in range(0, events, basket):
                made.extend({key: array[start : start + basket] for key, array in branches.items()})
        return path

    return write


def events_arrays(events: int, *, identity: bool = True, first: int = 0) -> dict[str, Any]:
    """Arrays of `events` events; the same events whatever the range that is asked for."""
    number = np.arange(first, first + events)
    counts = (number * 7) % 5
    rows = ak.unflatten(
        np.concatenate([np.arange(c) + 10.0 * n for n, c in zip(number, counts, strict=True)] or [np.empty(0)]).astype(
            np.float32
        ),
        counts,
    )
    arrays: dict[str, Any] = {"MET_pt": (number * 0.5).astype(np.float32), "flag": number % 3 == 0}
    if identity:
        arrays["run"] = (1 + number // 500).astype(np.uint32)
        arrays["luminosityBlock"] = (1 + number // 50).astype(np.uint32)
        arrays["event"] = (number + 10_000_000_000).astype(np.uint64)
    arrays["Jet_pt"] = rows
    arrays["Jet_eta"] = ak.values_astype(rows / 100, np.float64)
    return arrays
