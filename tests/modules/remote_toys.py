"""Files for servers, and a job that reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from evproc.framework import Analyzer, Columns, EndPath, Process
from evproc.modules import NtupleSource
from tests.modules.conftest import new_root

EVENTS, CHUNK = 4000, 500


class Keep(Analyzer):
    """Keeps what it sees; `before` is called with each block first."""

    def __init__(self, before: Callable[[Columns], None] = lambda columns: None, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.before = before
        self.seen: list[Any] = []

    consumes = ("Jet_pt", "x")

    def analyze_columns(self, columns: Columns) -> None:
        self.before(columns)
        self.seen += [ak.to_list(columns["Jet_pt"]), columns["x"].tolist(), columns.ids.event.tolist()]


def write_files(place: Path) -> None:
    """Two files of one form, in baskets of the size of a chunk; one that is no ROOT file, and one that is cut off."""
    random = np.random.default_rng(1)
    for number, name in enumerate(("a.root", "b.root")):
        with new_root(place / name) as file:
            tree = file.mktree("Events", {"event": "uint64", "x": "float64", "Jet_pt": "var * float32"})
            for start in range(0, EVENTS, CHUNK):
                counts = random.poisson(3, CHUNK)
                pt = ak.unflatten(random.exponential(40, counts.sum()).astype(np.float32), counts)
                event = np.arange(start, start + CHUNK, dtype=np.uint64) + number * EVENTS
                tree.extend({"event": event, "x": random.normal(size=CHUNK), "Jet_pt": pt})
    (place / "text.root").write_text("no ROOT file" * 100)
    (place / "cut.root").write_bytes((place / "a.root").read_bytes()[:20_000])


def read(files: str | list[str], before: Callable[[Columns], None] = lambda columns: None, **source: Any) -> list[Any]:
    """What a job sees of files."""
    process = Process("REMOTE")
    process.source = NtupleSource(files=files, chunk=CHUNK, run="", luminosity_block="", event="event", **source)
    process.keep = Keep(before)
    process.end = EndPath(process.keep)
    process.run()
    seen: list[Any] = process.keep.seen
    return seen
