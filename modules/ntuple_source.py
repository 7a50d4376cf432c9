"""`NtupleSource`: events from ntuples, TTree or RNTuple, in one file or thousands.

A job must not learn at event 10,000,000 that a branch is missing in file 37. So `catalog` opens every file where there are few
of them, and holds names and types of branches against the first file. With many files, or slow ones, it stops after a while
(`CATALOG_FILES`, `CATALOG_SECONDS`); the others are checked when they are read.

Events need an identity. Where the tree has none, events are numbered by their place in the list of files, from 0: that number
depends neither on chunks nor on `skip_events`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from evproc.framework import Catalog, Chunk, ConfigurationError, Fault, Source
from evproc.framework.errors import InputError
from evproc.framework.input_report import InputReport

from .collections_of import find_collections
from .event_reading import EventReading
from .event_selection import needs_identity, selection_faults, selection_files
from .friend_catalog import add_friends, friend_faults
from .input_files import InputFile, expand_files
from .input_ledger import InputLedger
from .keeping import offer_kept
from .processed_lumis import REPORT_ONLY, LumiFile
from .root_reading import Reader, open_reader
from .source_config import NtupleConfig
from .source_layout import Layout, differences, layout_of

CATALOG_FILES = 100
CATALOG_SECONDS = 5.0


class NtupleSource(Source):
    """Reads events from ntuples in ROOT files: TTrees and RNTuples."""

    class Config(NtupleConfig):
        """Which files, which events of them, and how events are named."""

    _ledger: InputLedger | None = None
    _report: InputReport | None = None
    _open: tuple[InputFile, Reader] | None = None
    """The first file, where it stays open from the catalog to the reading."""

    def files(self) -> list[InputFile]:
        """The files that are read, in order. Raises InputError for a glob that matches nothing."""
        named = self.config.files
        return expand_files([named] if isinstance(named, str) else named, self.config.tree)

    def catalog(self) -> Catalog:
        """What the files offer. Raises InputError, or ConfigurationError for what cannot be with these files."""
        files = self.files()
        layout: Layout | None = None
        unreadable: dict[str, str] = {}
        failed = ""
        entries = opened = looked_at = 0
        begin = time.monotonic()
        for file in files[:CATALOG_FILES]:
            looked_at += 1
            try:
                reader = open_reader(file)
            except InputError as error:
                if not self.config.skip_bad_files:
                    raise
                failed = failed or str(error)
                continue
            try:
                if layout is None:
                    layout = layout_of(reader, reader.names, self.config.identity)
                    unreadable = dict(layout.unreadable)
                for name, why in differences(layout, reader).items():
                    unreadable.setdefault(name, why)
                entries += reader.entries
                opened += 1
                if self._in_job and opened == 1:
                    self._let_go()
                    self._open = file, reader
            finally:
                if self._open is None or self._open[1] is not reader:
                    reader.close()
            if time.monotonic() - begin > CATALOG_SECONDS or self._enough(entries):
                break
        if layout is None:
            raise InputError(f"none of the first {looked_at} files can be read; the first: {failed}")
        for part, name in layout.identity.items():
            if name in unreadable:
                raise InputError(f"the branch '{name}' names the {part} of events: {unreadable[name]}")
        self._check_identity(layout.identity, layout.where)
        products = {name: kind for name, kind in layout.types.items() if name not in unreadable}
        complete = looked_at == len(files)
        catalog = Catalog(
            products,
            find_collections(products, layout.counters),
            unreadable,
            self._count(entries) if complete or self._enough(entries) else None,
            layout.where if len(files) == 1 else f"{layout.where} and {len(files) - 1} more files",
            tuple(file.path for file in files),
        )
        if self.config.keep != ["*"]:
            catalog, problems = offer_kept(self.config.keep, catalog)
            if problems:
                raise ConfigurationError([Fault(problem, self.label, "keep", self.where) for problem in problems])
        return add_friends(catalog, self.config, layout.identity, entries if complete else None, self.label, self.where)

    def _check_identity(self, identity: Mapping[str, str], where: str) -> None:
        """Raise ConfigurationError for parameters that need an identity that the files do not have."""
        faults = []
        for key, (parts, why) in needs_identity(self.config).items():
            lacking = [part for part in parts if part not in identity]
            if lacking:
                names = " and ".join(lacking)
                faults.append(
                    Fault(
                        f"{why}, but {where} has no branch for {names}; name it with {names}",
                        self.label,
                        key,
                        self.where,
                    )
                )
        if faults:
            raise ConfigurationError(faults)

    def check(self) -> list[Fault]:
        """Masks, lists and ranges that cannot be used, and a file that cannot be written."""
        faults = selection_faults(self.config, self.label, self.where)
        faults += friend_faults(self.config, self.label, self.where)
        problem = LumiFile(self.config.processed_lumis).problem()
        return [*faults, Fault(problem, self.label, "processed_lumis", self.where)] if problem else faults

    def auxiliary_files(self) -> list[str]:
        """The luminosity mask, and lists of events."""
        return selection_files(self.config)

    def written_files(self) -> list[str]:
        """The luminosity blocks that were processed."""
        name = self.config.processed_lumis
        return [name] if name and name != REPORT_ONLY else []

    def _enough(self, entries: int) -> bool:
        """Whether no further file is needed."""
        return bool(self.config.max_events >= 0 and entries >= self.config.skip_events + self.config.max_events)

    def _count(self, entries: int) -> int | None:
        """How many of the entries are read; None if that depends on the events."""
        config = self.config
        if config.lumi_mask is not None or config.only or config.without or config.duplicates != "off":
            return None
        if any(friend.missing == "skip" for friend in config.friends):
            return None
        rest: int = max(0, entries - config.skip_events)
        return rest if config.max_events < 0 else min(rest, config.max_events)

    def chunks(self, keys: frozenset[str]) -> Iterator[Chunk]:
        """The events, with the products named by `keys` and no others. Raises InputError."""
        self._ledger = InputLedger()
        reading = EventReading(self.config, self.files(), keys, self._ledger, self._open)
        self._open = None  # the reading closes it
        try:
            yield from reading.chunks()
        finally:
            reading.close()

    def _let_go(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            opened[1].close()

    def input_report(self, events: int, *, early: bool) -> InputReport | None:
        """What was read, left out and lost."""
        if self._ledger is None:
            return None
        self._report = self._ledger.report(self.label, events, early=early)
        self._report.friends = [file.name for friend in self.config.friends for file in friend.input_files()]
        return self._report

    def commit(self) -> None:
        """Write the luminosity blocks that were processed. Raises OutputError."""
        if self._report is not None:
            LumiFile(self.config.processed_lumis).write(self._report.lumis)
