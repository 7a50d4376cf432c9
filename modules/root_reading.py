"""Reading a tree of a ROOT file: what it holds, and its columns.

`TreeReader` (TTree) and `RNTupleReader` (rntuple_reading.py) have the same face, `Reader`. The rules that both keep:

- a branch is offered only if it can be read; what cannot is listed with the reason, before the first event. The type of a
  branch tells that mostly; for C++ objects one entry is read, because only their bytes say whether they can be understood;
- each basket is decompressed once: `TTree.iterate` keeps the baskets that reach into the next chunk (`arrays` would not);
- nothing is cached beyond that, so that memory stays flat over any number of files;
- the number of entries that come is checked against the number asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from evproc.framework.column_making import column_from_array
from evproc.framework.columns import Column, Flat, Jagged
from evproc.framework.errors import InputError, did_you_mean

from .chunking import Run, events_per_chunk, fixed_runs, runs
from .column_types import one_line
from .input_files import InputFile, RemoteError, check_header


@dataclass(frozen=True, slots=True)
class Branch:
    """One branch or field that can be read."""

    path: str
    """How the file calls it."""
    type: str
    """As `float32` or `var * float32`."""
    counter: str = ""
    """The product that counts it, if one does."""
    uncompressed: int = 0
    """Bytes in all, decompressed."""
    compressed: int = 0
    """Bytes in all, in the file."""


class Unreadable(Exception):
    """A branch is there but cannot be read; the text says why."""


class Reader(Protocol):
    """One tree of one file."""

    directory: Any
    """The open file."""
    kind: str
    """TTree or RNTuple."""
    where: str
    """File and tree, for messages."""
    entries: int

    @property
    def names(self) -> Collection[str]:
        """The products that there are, those that cannot be read included."""
        ...

    def branch(self, name: str) -> Branch:
        """The branch of a product. Raises KeyError if there is none, Unreadable if it cannot be read."""
        ...

    def pieces(self, keys: Sequence[str]) -> list[int]:
        """The entries at which the stored pieces of all these branches begin together, ascending, and the end."""
        ...

    def plan(self, keys: Sequence[str], start: int, stop: int, chunk: int | None) -> list[Run]:
        """The chunks of the entries from `start` to `stop`; `chunk` None means: fitted to the file."""
        ...

    def read(self, keys: Sequence[str], plan: Sequence[Run]) -> Iterator[tuple[int, int, dict[str, Column]]]:
        """The columns of each chunk of a plan, with its entries (start, stop). Raises InputError."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def survey(reader: Reader) -> tuple[dict[str, Branch], dict[str, str]]:
    """All branches that can be read, and the names of the others with the reason."""
    branches: dict[str, Branch] = {}
    unreadable: dict[str, str] = {}
    for name in reader.names:
        try:
            branches[name] = reader.branch(name)
        except Unreadable as error:
            unreadable[name] = str(error)
    return branches, unreadable


def open_reader(file: InputFile) -> Reader:
    """Open a tree of a file. Raises InputError."""
    directory = open_root(file.path)
    try:
        return open_beside(directory, file)
    except InputError:
        directory.close()
        raise


def open_beside(directory: Any, file: InputFile) -> Reader:
    """Read a tree of a file that is open; closing the reader closes the file. Raises InputError."""
    try:
        return _reader(directory, file)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{file.name}: tree '{file.tree}' cannot be read: {reason(error)}") from error


def open_root(path: str) -> Any:
    """Open a ROOT file without caches. Raises InputError."""
    if "://" not in path:
        check_header(path)
    import uproot

    options: dict[str, Any] = {"object_cache": None, "array_cache": None}
    if "://" not in path:
        options["handler"] = (
            uproot.MultithreadedFileSource
        )  # less work per read than uproot's default, which goes by fsspec
    elif "::" not in path:
        from .remote_source import RemoteSource, file_system

        file_system(path)
        options["handler"] = RemoteSource
    try:
        return uproot.open(path, **options)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"file '{path}' cannot be opened: {reason(error)}") from error


def tree_names(directory: Any) -> dict[str, str]:
    """The trees of a file: name -> TTree or RNTuple."""
    names: dict[str, str] = {}
    for name, kind in directory.classnames(cycle=False).items():
        if kind in ("TTree", "TNtuple", "TNtupleD", "TChain"):
            names[name] = "TTree"
        elif kind.endswith("RNTuple"):
            names[name] = "RNTuple"
    return names


def _reader(directory: Any, file: InputFile) -> Reader:
    trees = tree_names(directory)
    kind = trees.get(file.tree.partition(";")[0])
    if kind is None:
        known = ", ".join(f"'{name}'" for name in sorted(trees)) or "no trees at all"
        hint = did_you_mean(file.tree, trees)
        raise InputError(f"{file.name}: there is no tree '{file.tree}'{hint or ''} (it has {known})")
    where = f"{file.name}, tree '{file.tree}'"
    if kind == "RNTuple":
        from .rntuple_reading import RNTupleReader

        return RNTupleReader(directory, directory[file.tree], where)
    return TreeReader(directory, directory[file.tree], where)


class TreeReader:
    """A TTree."""

    kind = "TTree"

    def __init__(self, directory: Any, tree: Any, where: str) -> None:
        self.directory = directory
        self._tree = tree
        self.where = where
        self.entries = int(tree.num_entries)
        self._branches: dict[str, Branch] = {}
        self._models: dict[str, Any] = {}
        self._paths: dict[str, str] = {}
        for path, branch in tree.iteritems():
            if len(branch.branches) == 0:
                name = product_name(path)
                name = path if name in self._models else name
                self._models[name] = branch
                self._paths[name] = path

    @property
    def names(self) -> Collection[str]:
        """The products that there are, those that cannot be read included."""
        return self._models.keys()

    def branch(self, name: str) -> Branch:
        """The branch of a product; looked at when first asked for, since that takes 0.1 ms and a tree may have thousands."""
        known = self._branches.get(name)
        if known is None:
            model = self._models[name]
            try:
                kind = _branch_type(model)
                counter = model.count_branch
            except Exception as error:
                raise Unreadable(reason(error)) from error
            counted_by = "" if counter is None or counter.name not in self._models else str(counter.name)
            sizes = int(model.uncompressed_bytes), int(model.compressed_bytes)
            known = self._branches[name] = Branch(self._paths[name], kind, counted_by, *sizes)
        return known

    def plan(self, keys: Sequence[str], start: int, stop: int, chunk: int | None) -> list[Run]:
        """The chunks of the entries from `start` to `stop`; `chunk` None means: fitted to the file."""
        if chunk is not None or start >= stop:
            return fixed_runs(start, stop, chunk or 1)
        nbytes = sum(self.branch(key).uncompressed for key in keys)
        return runs(self.pieces(keys), start, stop, events_per_chunk(nbytes / self.entries))

    def pieces(self, keys: Sequence[str]) -> list[int]:
        """The entries at which the baskets of all these branches begin together, ascending, and the end."""
        shared: set[int] | None = None
        for key in keys:
            offsets = {int(at) for at in self._models[key].entry_offsets}
            shared = offsets if shared is None else shared & offsets
        return sorted((shared or set()) | {0, self.entries})

    def read(self, keys: Sequence[str], plan: Sequence[Run]) -> Iterator[tuple[int, int, dict[str, Column]]]:
        """The columns of each chunk of a plan, with its entries (start, stop). Raises InputError."""
        for key in keys:
            there = int(self._models[key].num_entries)
            if there != self.entries:
                raise InputError(f"{self.where}: branch '{key}' has {there} entries, but the tree {self.entries}")
        paths = {key: self.branch(key).path for key in keys}
        for run in plan:
            if not paths:
                yield from ((start, stop, {}) for start, stop in run.chunks())
                continue
            stream = self._tree.iterate(
                list(paths.values()), entry_start=run.start, entry_stop=run.stop, step_size=run.step, how=dict
            )
            for start, stop in run.chunks():
                try:
                    arrays = next(stream)
                    columns = {key: native(column_from_array(arrays.pop(path))) for key, path in paths.items()}
                except StopIteration:
                    raise InputError(f"{self.where}: nothing came for the entries {start} to {stop - 1}") from None
                except Exception as error:
                    raise self._blame(keys, start, stop, error) from error
                check_length(columns, start, stop, self.where)
                self._share_offsets(columns)
                yield start, stop, columns
                del columns, arrays

    def _share_offsets(self, columns: dict[str, Column]) -> None:
        """Let lists that one counter counts share their offsets: it saves memory, and writing them together is cheap."""
        first: dict[str, Jagged] = {}
        for key, column in columns.items():
            counter = self.branch(key).counter
            if not counter or not isinstance(column, Jagged):
                continue
            other = first.setdefault(counter, column)
            if other is not column and np.array_equal(other.offsets, column.offsets):
                columns[key] = Jagged(other.offsets, column.content)

    def _blame(self, keys: Sequence[str], start: int, stop: int, error: Exception) -> InputError:
        """The error for a chunk that cannot be read, with the name of the branch that is at fault."""
        if isinstance(error, RemoteError):
            return unreadable_entries(self.where, ", ".join(keys), start, stop, error)
        for key in keys:
            try:
                self._models[key].array(entry_start=start, entry_stop=stop, array_cache=None)
            except Exception as own:
                return unreadable_entries(self.where, key, start, stop, own)
        return unreadable_entries(self.where, ", ".join(keys), start, stop, error)

    def close(self) -> None:
        """Close the file."""
        self.directory.close()


def product_name(path: str) -> str:
    """The product that a branch becomes: members of a split object are fields of a collection.

    >>> product_name("Jets/Jets.fCoordinates.fPt")
    'Jets_fPt'
    >>> product_name("Jet_pt")
    'Jet_pt'
    """
    parts = path.split("/")
    if len(parts) == 1:
        return path
    top = parts[0].rstrip("._")
    leaf = parts[-1].removeprefix(parts[0]).removeprefix(top).lstrip("._")
    leaf = leaf.replace("fCoordinates.", "")  # the one member of ROOT's GenVectors, which only wraps the numbers
    return f"{top}_{leaf.replace('.', '_')}" if leaf else top


def _branch_type(branch: Any) -> str:
    """The type of a branch, as awkward writes it. Raises whatever tells that it cannot be read."""
    from uproot.interpretation.identify import UnknownInterpretation
    from uproot.interpretation.objects import AsObjects

    interpretation = branch.interpretation
    if isinstance(interpretation, UnknownInterpretation):
        raise TypeError(f"type '{_typename(branch)}' is unknown ({interpretation.reason})")
    form = interpretation.awkward_form(branch.file)
    if isinstance(interpretation, AsObjects) and branch.num_entries:
        branch.array(entry_start=0, entry_stop=1, array_cache=None)
    return one_line(form.type)


def _typename(branch: Any) -> str:
    try:
        return str(branch.typename)
    except Exception:
        return "?"


def native(column: Column) -> Column:
    """The column with numbers in the byte order of this machine."""
    if isinstance(column, Flat) and not column.values.dtype.isnative:
        return Flat(column.values.astype(column.values.dtype.newbyteorder("=")))
    if isinstance(column, Jagged) and not column.content.dtype.isnative:
        return Jagged(column.offsets, column.content.astype(column.content.dtype.newbyteorder("=")))
    return column


def check_length(columns: dict[str, Column], start: int, stop: int, where: str) -> None:
    """Raise InputError unless each column has an entry for each event."""
    for key, column in columns.items():
        if len(column) != stop - start:
            raise InputError(
                f"{where}: branch '{key}' gave {len(column)} values for the {stop - start} entries {start} to {stop - 1}"
            )


def unreadable_entries(where: str, key: str, start: int, stop: int, error: Exception) -> InputError:
    """The error for entries that cannot be read."""
    if isinstance(error, RemoteError):
        return InputError(f"{where}: entries {start} to {stop - 1} cannot be read: {error}")
    return InputError(f"{where}: branch '{key}', entries {start} to {stop - 1}, cannot be read: {reason(error)}")


def reason(error: BaseException) -> str:
    """An exception of a library in one line."""
    if isinstance(error, RemoteError):
        return str(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else "no reason given"
    if isinstance(error, KeyError):
        text = f"{text} is missing"
    return f"{text[:200]} ({type(error).__name__})"
