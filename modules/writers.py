"""The file formats that events are written in: TTree, RNTuple and Parquet, behind one small face.

A writer gets a schema (field -> type, fixed for the whole file) and then batches of columns that have exactly these types.
It knows nothing of events, patterns or temporary names.

A TTree stores a list as a counter and a branch. Lists that always have the same lengths, the fields of a collection, share
one counter, as in NanoAOD: `nJet`, `Jet_pt`, `Jet_eta`. `Group` says which do. RNTuple and Parquet store each list by itself;
the offsets cost almost nothing there once compressed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from evproc.framework.columns import Column, Jagged
from evproc.framework.declared_types import number_type

from .column_types import awkward_type
from .root_reading import open_root

Compression = Literal["zstd", "lz4", "zlib", "lzma", "none"]
PROVENANCE = "evproc"
"""The key under which a file says what made it: a JSON text."""
_TREE_NUMBERS = frozenset(
    np.dtype(code).name for code in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8")
)
_WORDS = re.compile(r"[a-z]+[0-9]*(?:\[[^\]]*\])?")


@dataclass(frozen=True, slots=True)
class Group:
    """Lists of the same lengths, written as one collection."""

    name: str
    members: dict[str, str]
    """Field of the file -> field within the collection."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a file is written."""

    tree: str
    compression: Compression
    level: int
    provenance: Callable[[], Mapping[str, Any]]
    """What the file says of where it comes from; asked when it is completed."""


class Writer(Protocol):
    """A file that is being written."""

    def write(self, batch: Mapping[str, Column]) -> None:
        """Append events: field -> column, of exactly the schema's types."""
        ...

    def close(self) -> None:
        """Complete the file."""
        ...


def open_writer(
    form: str, path: Path, schema: Mapping[str, str], groups: Sequence[Group], settings: Settings
) -> Writer:
    """Begin a file. `form` is ttree, rntuple or parquet; only a TTree makes use of groups."""
    if form == "ttree":
        return TreeWriter(path, schema, groups, settings)
    if form == "rntuple":
        return RNTupleWriter(path, schema, settings)
    return ParquetWriter(path, schema, settings)


def why_unwritable(form: str, kind: str) -> str:
    """Why a format cannot store a type; empty if it can."""
    words = set(_WORDS.findall(re.sub(r'"[^"]*"', "", kind)))
    for word in sorted(words):
        if word in ("float16", "complex64", "complex128", "unknown", "union") or word.startswith("timedelta"):
            return f"no file format here stores {word}"
    if form == "parquet":
        return ""
    if any(word.startswith("datetime") for word in words):
        return "only Parquet stores dates"
    if form == "rntuple":
        return "an RNTuple stores records only in lists here" if kind.startswith("{") else ""
    *lengths, last = kind.split(" * ")
    if kind == "string" or (last in _TREE_NUMBERS and (lengths == ["var"] or "var" not in lengths)):
        return ""
    return "a TTree stores only numbers, fixed-size arrays, lists of numbers and strings; use format rntuple or parquet"


class TreeWriter:
    """Writes a TTree."""

    def __init__(self, path: Path, schema: Mapping[str, str], groups: Sequence[Group], settings: Settings) -> None:
        self._groups = list(groups)
        self._grouped = {field for group in groups for field in group.members}
        types: dict[str, Any] = {
            field: _tree_type(kind) for field, kind in schema.items() if field not in self._grouped
        }
        for group in groups:
            numbers = [schema[field].removeprefix("var * ") for field in group.members]
            types[group.name] = _record_lists(list(group.members.values()), numbers)
        self._file = _recreate(path, settings)
        self._provenance = settings.provenance
        self._tree = self._file.mktree(settings.tree, types)

    def write(self, batch: Mapping[str, Column]) -> None:
        """Append events. Raises ValueError if the lists of a group have different lengths."""
        arrays = {field: column.array() for field, column in batch.items() if field not in self._grouped}
        for group in self._groups:
            arrays[group.name] = _records(group, batch)
        self._tree.extend(arrays)

    def close(self) -> None:
        """Complete the file."""
        _complete(self._file, self._provenance)


class RNTupleWriter:
    """Writes an RNTuple."""

    def __init__(self, path: Path, schema: Mapping[str, str], settings: Settings) -> None:
        import awkward as ak

        forms = [ak.forms.from_type(awkward_type(kind)) for kind in schema.values()]
        self._file = _recreate(path, settings)
        self._provenance = settings.provenance
        self._ntuple = self._file.mkrntuple(settings.tree, ak.forms.RecordForm(forms, list(schema)))

    def write(self, batch: Mapping[str, Column]) -> None:
        """Append events."""
        self._ntuple.extend({field: column.array() for field, column in batch.items()})

    def close(self) -> None:
        """Complete the file."""
        _complete(self._file, self._provenance)


class ParquetWriter:
    """Writes a Parquet file."""

    def __init__(self, path: Path, schema: Mapping[str, str], settings: Settings) -> None:
        import awkward as ak
        import pyarrow as pa
        import pyarrow.parquet as pq

        fields = []
        for field, kind in schema.items():
            empty = ak.Array(ak.forms.from_type(awkward_type(kind)).length_zero_array())
            fields.append(pa.field(field, _arrow(empty).type, nullable="?" in kind))
        self._schema = pa.schema(fields)
        self._provenance = settings.provenance
        self._empty = True
        codec = {"zlib": "gzip", "none": "none"}.get(settings.compression, settings.compression)
        level = settings.level if codec in ("zstd", "gzip") else None
        self._writer = pq.ParquetWriter(path, self._schema, compression=codec, compression_level=level)

    def write(self, batch: Mapping[str, Column]) -> None:
        """Append events, as one row group."""
        import pyarrow as pa

        arrays = [_arrow(batch[field.name].array()).cast(field.type) for field in self._schema]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._empty = False

    def close(self) -> None:
        """Complete the file."""
        if self._empty:  # readers stumble over a file without any row group
            self._writer.write_table(self._schema.empty_table())
        try:
            self._writer.add_key_value_metadata({PROVENANCE: json.dumps(dict(self._provenance()))})
        finally:
            self._writer.close()


def count_entries(form: str, path: Path, tree: str) -> int:
    """The entries of a finished file, as it says itself. Raises ValueError if its branches disagree."""
    if form == "parquet":
        import pyarrow.parquet as pq

        return int(pq.read_metadata(path).num_rows)
    with open_root(str(path)) as file:
        written = file[tree]
        entries = int(written.num_entries)
        if form == "ttree":
            for branch in written.branches:
                if int(branch.num_entries) != entries:
                    raise ValueError(f"branch '{branch.name}' has {branch.num_entries} entries, the tree {entries}")
        return entries


def _recreate(path: Path, settings: Settings) -> Any:
    import uproot

    codecs = {"zstd": uproot.ZSTD, "lz4": uproot.LZ4, "zlib": uproot.ZLIB, "lzma": uproot.LZMA}
    codec = codecs.get(settings.compression)
    return uproot.recreate(path, compression=codec(settings.level) if codec and settings.level else None)


def _complete(file: Any, provenance: Callable[[], Mapping[str, Any]]) -> None:
    """Write where the events come from, and close the file."""
    try:
        said = dict(provenance())
        if said:
            file[PROVENANCE] = json.dumps(said)
    finally:
        file.close()


def _tree_type(kind: str) -> Any:
    """What `mktree` takes for a type: a dtype where it is one number or a fixed-size array of them."""
    dtype = number_type(kind)
    if dtype is None:
        return kind
    if "var" in kind:
        return awkward_type(kind)
    lengths = tuple(int(length) for length in kind.split(" * ")[:-1])
    return np.dtype((dtype, lengths)) if lengths else dtype


def _record_lists(fields: list[str], numbers: list[str]) -> Any:
    """The awkward type of lists of records of numbers."""
    import awkward as ak

    contents = [ak.types.NumpyType(number) for number in numbers]
    return ak.types.ListType(ak.types.RecordType(contents, fields))


def _records(group: Group, batch: Mapping[str, Column]) -> Any:
    """The lists of a group as lists of records: events * var * {...}."""
    import awkward as ak

    offsets = None
    contents = []
    for field in group.members:
        column = batch[field]
        assert isinstance(column, Jagged)
        column = column.compact()
        if offsets is None:
            offsets = column.offsets
        elif column.offsets is not offsets and not np.array_equal(column.offsets, offsets):
            raise ValueError(uneven(group, field, offsets, column.offsets))
        content: Any = np.ascontiguousarray(column.content)
        contents.append(ak.contents.NumpyArray(content))
    records = ak.contents.RecordArray(contents, list(group.members.values()))
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets), records))


def uneven(group: Group, field: str, offsets: Any, others: Any) -> str:
    """What is wrong with lists that should have equal lengths and do not."""
    counts, own = np.diff(offsets), np.diff(others)
    event = int(np.flatnonzero(counts != own)[0])
    first = next(iter(group.members))
    return (
        f"'{first}' and '{field}' are fields of the collection '{group.name}' and share a counter, but one event has "
        f"{int(counts[event])} and {int(own[event])} of them; drop one, or use format rntuple or parquet"
    )


def _arrow(array: Any) -> Any:
    """An arrow array without awkward's own metadata."""
    import awkward as ak

    return ak.to_arrow(ak.Array(array), extensionarray=False)
