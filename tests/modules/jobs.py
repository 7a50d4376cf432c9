"""Jobs over ntuples for the tests of sources: which events came, with which values, and what the report says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evproc.framework import Analyzer, EndPath, Event, Process, Report
from evproc.modules import NtupleSource
from tests.root_files import open_root

START = 10_000_000_000
"""The event number of entry 0 of the ntuples that the tests write."""


class Collect(Analyzer):
    """Keeps the identity of each event, and the values of some products."""

    def __init__(self, products: tuple[str, ...] = ("MET_pt",)) -> None:
        super().__init__()
        self.consumes = products  # type: ignore[misc]  # of this instance
        self.ids: list[tuple[int, int, int]] = []
        self.values: list[tuple[Any, ...]] = []

    def analyze(self, event: Event) -> None:
        """Keep an event."""
        self.ids.append((event.id.run, event.id.luminosity_block, event.id.event))
        self.values.append(tuple(getattr(event[key], "tolist", lambda key=key: event[key])() for key in self.consumes))

    @property
    def numbers(self) -> list[int]:
        """The numbers of the events, from 0."""
        return [event - START for _, _, event in self.ids]


def job(products: tuple[str, ...] = ("MET_pt",), options: dict[str, Any] | None = None, **source: Any) -> Process:
    """A process that keeps all events of a source."""
    process = Process("JOB", **(options or {}))
    process.source = NtupleSource(**source)
    process.collect = Collect(products)
    process.end = EndPath(process.collect)
    return process


def run(products: tuple[str, ...] = ("MET_pt",), **source: Any) -> tuple[Collect, Report]:
    """The events of a source, and the report."""
    process = job(products, **source)
    report = process.run()
    return process.collect, report


def damage(path: str | Path, branch: str, basket: int, tree: str = "Events") -> tuple[int, int]:
    """Overwrite a basket of a TTree in the middle; returns its entries (first, last)."""
    with open_root(path) as file:
        made = file[tree][branch]
        at = int(made.member("fBasketSeek")[basket])
        size = int(made.member("fBasketBytes")[basket])
        bounds = made.entry_offsets
        first, stop = int(bounds[basket]), int(bounds[basket + 1])
    content = bytearray(Path(path).read_bytes())
    content[at + 90 : at + size] = b"\xff" * (size - 90)
    Path(path).write_bytes(content)
    return first, stop - 1


def damage_rntuple(path: str | Path, field: str, cluster: int) -> None:
    """Overwrite the pages of a top-level field of an RNTuple, in one cluster."""
    with open_root(path) as file:
        ntuple = file["Events"]
        number = [record.field_name for record in ntuple.field_records].index(field)
        columns = [column.idx for column in ntuple.column_records if column.field_id == number]
        pages = [page.locator for column in columns for page in ntuple.page_link_list[cluster][column].pages]
    content = bytearray(Path(path).read_bytes())
    for page in pages:
        content[page.offset : page.offset + page.num_bytes] = b"\xff" * page.num_bytes
    Path(path).write_bytes(content)
