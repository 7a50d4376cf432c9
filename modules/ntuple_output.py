"""`NtupleOutput`: writes events to a TTree, an RNTuple or a Parquet file.

Problem: a job that dies while it writes leaves a file that looks whole and is short, or cannot be read. Policy: events go to
`.NAME.part-PID` in the same directory; at the end that file is closed, opened again, its entries are counted, and only then
does it take its name, in one step. An older file of that name stays until then. Nothing is left of a job that fails.

The types of the branches are fixed at the begin: by what the products declare, and where a module declares nothing by the
first events that are written. Values that do not fit later are an error, never rounded or cut (casting.py). Which events make
the first batch depends on the events alone (event_buffer.py), so the file does not depend on the size of blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from evproc.framework import Catalog, Columns, ConfigurationError, Fault, Job, OutputError, OutputModule, Parameter
from evproc.framework.columns import Column, Flat
from evproc.framework.new_files import directory_problem, make_directory, part_path, why_not_written
from evproc.framework.report import OutputReport

from .casting import Lossy
from .column_types import normal_type
from .event_buffer import EventBuffer
from .keeping import select_products
from .output_schema import IDENTITY, Schema, branch_name, fix_schema, is_single
from .writers import Compression, Settings, Writer, count_entries, open_writer, why_unwritable

Format = Literal["ttree", "rntuple", "parquet"]
BUFFER_BYTES = 16_000_000
_SUFFIXES: dict[str, Format] = {".root": "ttree", ".parquet": "parquet", ".pq": "parquet"}


class NtupleOutput(OutputModule):
    """Writes events to a ROOT file (TTree or RNTuple) or a Parquet file."""

    threaded: ClassVar[bool] = True

    class Config(OutputModule.Config):
        """Which file, which products, and how they are stored."""

        file: str = Parameter(description="file to write: .root or .parquet", min_length=1)
        tree: str = Parameter("Events", description="name of the TTree or RNTuple", min_length=1)
        format: Literal["auto", "ttree", "rntuple", "parquet"] = Parameter(
            "auto", description="file format; auto goes by the suffix: .root is a TTree, .parquet is Parquet"
        )
        keep: list[str] = Parameter(
            default_factory=lambda: ["*"],
            description="patterns of the products to write; `drop PATTERN` leaves out; the last that matches decides",
        )
        compression: Compression = Parameter("zstd", description="how the data are compressed")
        level: int = Parameter(1, description="how hard to compress; 0 is not at all", ge=0, le=22)
        buffer_events: int = Parameter(10_000, description="events written in one go, at most", ge=1)
        overwrite: bool = Parameter(True, description="replace an existing file, once the new one is complete")

    _open_parts: ClassVar[set[Path]] = set()

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self._types: dict[str, str] = {}
        self._collections: dict[str, tuple[str, ...]] = {}
        self._inputs: tuple[str, ...] = ()
        self._keys: list[str] = []
        self._provenance: Callable[[], Mapping[str, Any]] = dict
        self._reset()

    def _reset(self) -> None:
        self._buffer: EventBuffer | None = None
        self._writer: Writer | None = None
        self._schema: Schema | None = None
        self._part: Path | None = None
        self._failed = False
        self._events = 0
        self._report: OutputReport | None = None

    # Before the first event

    @property
    def path(self) -> Path:
        """The file that is written."""
        return Path(self.config.file).expanduser()

    @property
    def format(self) -> str:
        """ttree, rntuple or parquet; empty if the suffix does not say it."""
        named: str = self.config.format
        return _SUFFIXES.get(self.path.suffix.lower(), "") if named == "auto" else named

    def resolve(self, offered: Catalog) -> dict[str, tuple[str, ...]]:
        """The products that are written. Raises ConfigurationError for patterns and types that cannot be."""
        self._keys, problems = select_products(self.config.keep, offered)
        self._collections = dict(offered.collections)
        self._inputs = offered.files
        self._types = {key: normal for key in self._keys if (normal := normal_type(offered.products[key]))}
        names: dict[str, str] = {}
        for key in self._keys:
            other = names.setdefault(branch_name(key), key)
            if other != key:
                problems.append(f"'{key}' and '{other}' would both be written as '{branch_name(key)}'; drop one")
            why = why_unwritable(self.format, self._types[key]) if self.format and key in self._types else ""
            if why:
                problems.append(f"'{key}' ({self._types[key]}) cannot be written: {why}; or keep 'drop {key}'")
        if problems:
            raise ConfigurationError([Fault(problem, self.label, "keep", self.where) for problem in problems])
        return dict.fromkeys(self._keys, ())

    def check(self) -> list[Fault]:
        """What would keep the file from being written."""
        problem = self._problem()
        return [Fault(problem, self.label, "file", self.where)] if problem else []

    def written_files(self) -> list[str]:
        """The file."""
        return [self.config.file]

    def _problem(self) -> str:
        path = self.path
        if not self.format:
            known = ", ".join(_SUFFIXES)
            return f"'{path.name}' does not say its format: give it one of the suffixes {known}, or set format"
        problem = directory_problem(path)
        if problem:
            return problem
        if path.exists() and not self.config.overwrite:
            return f"'{path}' exists; set overwrite to replace it"
        if any("://" not in name and _same_file(path, Path(name)) for name in self._inputs):
            return f"'{path}' is also an input file"
        if self.format == "parquet":
            try:
                import pyarrow.parquet  # noqa: F401 - tried for being there
            except ImportError:
                return "Parquet needs pyarrow; install evproc[parquet]"
            if self.config.compression == "lzma":
                return "Parquet has no lzma compression; use zstd"
        return ""

    def begin_job(self, job: Job) -> None:
        """Be ready for events. Raises OutputError."""
        make_directory(self.path)
        self._reset()
        self._buffer = EventBuffer(self.config.buffer_events, BUFFER_BYTES)
        self._provenance = job.record

    # Events

    def write_columns(self, columns: Columns) -> None:
        """Write a block of events. Raises OutputError."""
        if self._buffer is None:
            self._buffer = EventBuffer(self.config.buffer_events, BUFFER_BYTES)
        ids = columns.ids
        pieces: dict[str, Column] = {
            "run": Flat(np.asarray(ids.run)),
            "luminosityBlock": Flat(np.asarray(ids.luminosity_block)),
            "event": Flat(np.asarray(ids.event)),
        }
        for key in self._keys:
            column = columns.column(key)
            if key in IDENTITY:
                self._same_identity(key, column, pieces[key])
            else:
                pieces[key] = column
        try:
            for batch in self._buffer.add(pieces, len(columns)):
                self._flush(batch)
        except Lossy as error:
            self._failed = True
            raise OutputError(f"{self._place()}: {error}") from error

    def _same_identity(self, key: str, column: Column, identity: Column) -> None:
        """A product that has the name of a part of the identity is written once, so it must be the same."""
        if not is_single(column) or not np.array_equal(column.array(), identity.array()):
            raise OutputError(
                f"{self._place()}: product '{key}' is not the {key} of the events, and cannot be written under that name; "
                f"keep 'drop {key}'"
            )

    def _flush(self, batch: dict[str, Column]) -> None:
        """Write a batch: fix the schema if this is the first, hold the columns against it, append."""
        count = len(batch["event"])
        if self._writer is None:
            self._begin_file(batch)
        assert self._schema is not None
        try:
            fitted = self._schema.fit(batch)
        except Lossy as error:
            self._failed = True
            ids: list[Any] = [batch[part].array() for part in IDENTITY]
            first, last = ("/".join(str(int(values[at])) for values in ids) for at in (0, -1))
            raise OutputError(
                f"{self._place()}, events {self._events} to {self._events + count - 1} (run/block/event {first} to {last}): "
                f"{error}"
            ) from error
        assert self._writer is not None
        try:
            self._writer.write(fitted)
        except Exception as error:
            self._failed = True
            raise self._cannot_write(error) from error
        self._events += count

    def _begin_file(self, batch: dict[str, Column] | None) -> None:
        """Fix the schema, by the declared types and by the first batch where there is one, and begin the file."""
        part = part_path(self.path)
        if part in self._open_parts:
            raise OutputError(f"{self._place()}: another module of this process writes the same file")
        try:
            self._schema = fix_schema(self.format, self._keys, self._types, self._collections, batch)
            settings = Settings(self.config.tree, self.config.compression, self.config.level, self._provenance)
            self._part = part
            self._open_parts.add(part)
            self._writer = open_writer(self.format, part, self._schema.branches, self._schema.groups, settings)
        except Lossy as error:
            self._failed = True
            raise OutputError(f"{self._place()}: {error}") from error
        except Exception as error:
            self._failed = True
            raise self._cannot_write(error) from error
        if self._schema.unknown:
            names = ", ".join(self._schema.unknown)
            self.warnings.append(
                f"{self._place()}: no events, and no declared types, so there are no branches for {names}"
            )

    # The end

    def commit(self) -> None:
        """Complete the file, count its entries, and give it its name. Raises OutputError."""
        if self._failed:
            raise OutputError(f"{self._place()}: the file is not complete, because writing it failed")
        if self._buffer is None:
            self._buffer = EventBuffer(self.config.buffer_events, BUFFER_BYTES)
        try:
            if self._buffer.held:
                self._flush(self._buffer.take())
        except Lossy as error:
            raise OutputError(f"{self._place()}: {error}") from error
        if self._writer is None:
            self._begin_file(None)
        assert self._writer is not None
        assert self._part is not None
        try:
            self._writer.close()
            self._writer = None
            written = count_entries(self.format, self._part, self.config.tree)
            if written != self._events:
                raise OutputError(f"{self._place()}: {self._events} events were written, but the file has {written}")
            nbytes = self._part.stat().st_size
            if self.path.exists() and not self.config.overwrite:
                raise OutputError(f"{self._place()}: the file has come into being meanwhile, and overwrite is not set")
            self._part.replace(self.path)
        except OutputError:
            raise
        except Exception as error:
            raise self._cannot_write(error) from error
        self._open_parts.discard(self._part)
        self._part = None
        if not self._events:
            self.warnings.append(f"{self._place()}: 0 events were written")
        self._report = OutputReport(self.label, str(self.path), self._events, nbytes)

    def discard(self) -> None:
        """Remove what was written; an older file of that name stays as it was."""
        if self._writer is not None:
            with suppress(Exception):
                self._writer.close()
            self._writer = None
        if self._part is not None:
            with suppress(OSError):
                self._part.unlink(missing_ok=True)
            self._open_parts.discard(self._part)
            self._part = None
        self._buffer = None

    def report(self) -> OutputReport | None:
        """The file that was written, after `commit`."""
        return self._report

    def _place(self) -> str:
        return f"{self.label or type(self).__name__}: '{self.path}'"

    def _cannot_write(self, error: Exception) -> OutputError:
        """The error for a file that cannot be written."""
        return OutputError(
            f"{self._place()} cannot be written: {why_not_written(error, self.path)}; {self._events} events had been written"
        )


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
