"""Reading an RNTuple.

An RNTuple is read by whole clusters. uproot reads one cluster too many when a range ends where a cluster begins, and would
read that one again for the next range; so the decoded columns of a cluster that lies past the range are kept, in a cache
that holds nothing else. What is handed out is copied out of uproot's buffers, which are larger than the range.

A field that is a collection of records, `Jet` with the members `pt` and `eta`, becomes the products `Jet_pt` and `Jet_eta`.
ROOT's own conversion of NanoAOD stores the records in an anonymous `_collection0` with members `Muon_pt` ... and projects
each to a field `Muon_pt`; then the projected fields are the products. Without projections, the members' own names are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, MutableMapping, Sequence
from typing import Any

import numpy as np

from evproc.framework.column_making import column_from_array
from evproc.framework.columns import Column, Flat, Jagged, Nested

from .chunking import Run, events_per_chunk, runs
from .column_types import one_line
from .input_files import RemoteError
from .root_reading import Branch, Unreadable, check_length, native, reason, unreadable_entries

_ANONYMOUS = re.compile(r"^_collection\d+$")


class RNTupleReader:
    """An RNTuple."""

    kind = "RNTuple"

    def __init__(self, directory: Any, ntuple: Any, where: str) -> None:
        self.directory = directory
        self._ntuple = ntuple
        self.where = where
        self.entries = int(ntuple.num_entries)
        self._branches: dict[str, Branch] = {}
        self._fields: dict[str, Any] = {}
        self._sizes = _field_sizes(ntuple)
        anonymous = [field for field in ntuple.fields if _ANONYMOUS.match(field.name)]
        for field in ntuple.fields:
            if field not in anonymous:
                self._add(field)
        for field in anonymous:
            self._add_members(field, "")

    def _add(self, field: Any) -> None:
        members = _members(field)
        if any(member.name != "_0" and not member.is_anonymous for member in members):
            self._add_members(field, f"{field.name}_")
        else:
            self._fields[field.name] = field

    def _add_members(self, field: Any, prefix: str) -> None:
        for member in _members(field):
            self._fields.setdefault(f"{prefix}{member.name}", member)

    @property
    def names(self) -> Collection[str]:
        """The products that there are, those that cannot be read included."""
        return self._fields.keys()

    def branch(self, name: str) -> Branch:
        """The field of a product. Raises KeyError if there is none, Unreadable if it cannot be read."""
        known = self._branches.get(name)
        if known is None:
            field = self._fields[name]
            try:
                kind = self._type(field.path)
            except Exception as error:
                raise Unreadable(reason(error)) from error
            known = self._branches[name] = Branch(field.path, kind, "", *self._sizes.get(field.field_id, (0, 0)))
        return known

    def _type(self, path: str) -> str:
        import awkward as ak

        form, _ = self._ntuple.to_akform(filter_name=[path])
        empty = ak.Array(form.length_zero_array())
        return one_line(ak.type(_at(empty, path)).content)

    def plan(self, keys: Sequence[str], start: int, stop: int, chunk: int | None) -> list[Run]:
        """The chunks of the entries from `start` to `stop`; `chunk` None means: fitted to the file."""
        if start >= stop:
            return []
        if chunk is not None:
            return [Run(start, stop, chunk)]
        nbytes = sum(self.branch(key).uncompressed for key in keys)
        return runs(self._first_entries(), start, stop, events_per_chunk(nbytes / self.entries))

    def pieces(self, keys: Sequence[str]) -> list[int]:
        """The entries at which clusters begin, and the end."""
        return [*self._first_entries(), self.entries]

    def read(self, keys: Sequence[str], plan: Sequence[Run]) -> Iterator[tuple[int, int, dict[str, Column]]]:
        """The columns of each chunk of a plan, with its entries (start, stop). Raises InputError."""
        paths = {key: self.branch(key).path for key in keys}
        cache = _LaterClusters([*self._first_entries(), self.entries])
        for run in plan:
            for start, stop in run.chunks():
                cache.keep_from(stop)
                try:
                    columns = self._columns(paths, start, stop, cache) if paths else {}
                except Exception as error:
                    columns = self._alone(paths, start, stop, error)
                check_length(columns, start, stop, self.where)
                yield start, stop, columns
                del columns

    def _first_entries(self) -> list[int]:
        return [int(cluster.num_first_entry) for cluster in self._ntuple.cluster_summaries]

    def _columns(
        self, paths: dict[str, str], start: int, stop: int, cache: MutableMapping[str, Any]
    ) -> dict[str, Column]:
        arrays = self._ntuple.arrays(
            filter_name=list(paths.values()), entry_start=start, entry_stop=stop, array_cache=cache
        )
        return {key: _own(native(column_from_array(_at(arrays, path)))) for key, path in paths.items()}

    def _alone(self, paths: dict[str, str], start: int, stop: int, error: Exception) -> dict[str, Column]:
        """A chunk that could not be read, without the cluster behind it, which may be what is broken. Raises InputError."""
        try:
            return self._columns(paths, start, stop, self._spared(stop))
        except Exception:
            raise self._blame(paths, start, stop, error) from error

    def _spared(self, stop: int) -> _SparedClusters:
        return _SparedClusters(int(np.searchsorted(self._first_entries(), stop)))

    def _blame(self, paths: dict[str, str], start: int, stop: int, error: Exception) -> Exception:
        """The error for a chunk that cannot be read, with the name of the field that is at fault."""
        for key, path in paths.items() if not isinstance(error, RemoteError) else ():
            try:
                self._columns({key: path}, start, stop, self._spared(stop))
            except Exception as own:
                return unreadable_entries(self.where, key, start, stop, own)
        return unreadable_entries(self.where, ", ".join(paths), start, stop, error)

    def close(self) -> None:
        """Close the file."""
        self.directory.close()


class _LaterClusters(MutableMapping[str, Any]):
    """A cache for uproot that holds the columns of the clusters which reach past the entries being read, and no others."""

    def __init__(self, first_entries: list[int]) -> None:
        #: first entry of each cluster, and the end of the last
        self._first_entries = np.asarray(first_entries, dtype=np.int64)
        self._needed = 0
        self._held: dict[str, Any] = {}

    def keep_from(self, stop: int) -> None:
        """Entries below `stop` are asked for now, for the last time."""
        before = self._needed
        self._needed = int(np.searchsorted(self._first_entries, stop, side="right")) - 1
        if before != self._needed:
            self._held = {key: value for key, value in self._held.items() if _cluster(key) >= before}

    def __getitem__(self, key: str) -> Any:
        return self._held[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if _cluster(key) >= self._needed:
            self._held[key] = value

    def __delitem__(self, key: str) -> None:
        del self._held[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)


class _SparedClusters(MutableMapping[str, Any]):
    """A cache for uproot that answers for clusters from `first` on, which are not needed, so that they are not read."""

    def __init__(self, first: int) -> None:
        self._first = first

    def __getitem__(self, key: str) -> Any:
        if _cluster(key) < self._first:
            raise KeyError(key)
        return np.zeros(1, np.uint8)  # is spread over the cluster, whose entries are then cut off

    def __setitem__(self, key: str, value: Any) -> None:
        pass

    def __delitem__(self, key: str) -> None:
        pass

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _cluster(key: str) -> int:
    """The cluster that a key of uproot's cache names (`...:cluster:column`); -1 if it names none."""
    parts = key.rsplit(":", 2)
    return int(parts[1]) if len(parts) == 3 and parts[1].isdigit() else -1


def _members(field: Any) -> list[Any]:
    """The members of a record, or of the records of a collection, below the anonymous fields that lie between."""
    found = []
    for inner in field.fields:
        found.extend(_members(inner) if inner.is_anonymous and inner.fields else [inner])
    return found


def _at(arrays: Any, path: str) -> Any:
    """The array at a dotted path."""
    for name in path.split("."):
        arrays = arrays[name]
    return arrays


def _own(column: Column) -> Column:
    """The column in memory of its own."""
    if isinstance(column, Flat):
        return Flat(column.values.copy())
    if isinstance(column, Jagged):
        compact = column.compact()
        return Jagged(compact.offsets.copy() if compact is column else compact.offsets, compact.content.copy())
    import awkward as ak

    return Nested(ak.to_packed(column.data))


def _field_sizes(ntuple: Any) -> dict[int, tuple[int, int]]:
    """Field -> bytes (decompressed, in the file), those of the fields below it included."""
    own: dict[int, list[int]] = {}
    columns: dict[int, tuple[int, int]] = {}
    for column in ntuple.column_records:
        raw = packed = 0
        for cluster in ntuple.page_link_list:
            for page in cluster[column.idx].pages if column.idx < len(cluster) else ():
                raw += int(page.num_elements) * int(column.nbits) // 8
                packed += int(page.locator.num_bytes)
        columns[column.idx] = (raw, packed)
        _count(own, column.field_id, raw, packed)
    for alias in ntuple.alias_column_records:
        _count(own, alias.field_id, *columns.get(alias.physical_id, (0, 0)))
    parents = [int(record.parent_field_id) for record in ntuple.field_records]
    total: dict[int, list[int]] = {}
    for identifier, (raw, packed) in own.items():
        at = identifier
        while True:
            _count(total, at, raw, packed)
            if parents[at] == at:
                break
            at = parents[at]
    return {identifier: (raw, packed) for identifier, (raw, packed) in total.items()}


def _count(sizes: dict[int, list[int]], identifier: int, raw: int, packed: int) -> None:
    entry = sizes.setdefault(int(identifier), [0, 0])
    entry[0] += raw
    entry[1] += packed
