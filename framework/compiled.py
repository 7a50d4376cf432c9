"""Per-event methods as machine code: `compiled = True` on a producer or filter.

The problem. A call of a Python method for an event costs 0.5 us and more, machine code on the same columns 0.004 us. The
author should not have to write a columnar twin for that.

The policy. The method stays as it is; numba compiles it, with a loop over the events of a block around it, into a function of
(offsets, content) that takes the place of the method. So masks, stores and other modules see a columnar module. It is compiled
before the first event, where what it reads has a declared type, and the code is kept in a cache between jobs (0.1 s instead of
some seconds). What cannot be compiled is a fault of the configuration, with the line.

Same results. Numbers are the bits of Python where a method works on Python's own numbers, `float(pt[0])`, and calls `math`.
There are two ways to get others: NumPy takes `2.0 * pt[0]` as float32, machine code as float64; and NumPy's sums and
functions of arrays add in another order. Both are rounding. Anything worse is caught: the first events of a job run in Python
too, and integers and booleans must be equal there, floats to 1 in 1,000.

The cost. A block costs about 0.05 ms for the call, so blocks of one event are slower than Python.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from .columns import Column, Flat, Jagged
from .compiled_source import CannotCompile, Lowered, lower, own_attributes
from .errors import Fault
from .event import Columns
from .module import Filter, Module, Producer, products_of, uses_columns
from .store import Store, View

if TYPE_CHECKING:
    from .flow import Flow

CHECKED_EVENTS = 32
"""Events of a job that run in Python too."""
TOLERANCE = 1e-3


class Compiled:
    """What takes the place of a per-event method: called with the columns of a block, as its columnar twin would be."""

    def __init__(self, module: Module, method: str, reads: Mapping[str, tuple[str, ...] | None]) -> None:
        self.module = module
        self.seconds = 0.0
        self._method = getattr(module, method)
        self._reads = dict(reads)
        self._is_filter = isinstance(module, Filter)
        products = list(products_of(module))
        instances = [key.partition(":")[2] for key in products]
        self._instances = instances if products != [module.label] and not self._is_filter else []
        self._lowered: Lowered | None = None
        self._programs: dict[Any, Any] = {}
        self._keys: list[str] = []
        self._unchecked = CHECKED_EVENTS

    @property
    def waits_for(self) -> set[str]:
        """Attributes of the module that `begin_job` may set and that the method reads. Raises CannotCompile."""
        return own_attributes(self._method)

    def prepare(self, types: Mapping[str, str]) -> bool:
        """Compile for declared types; returns whether all types are known. Raises CannotCompile."""
        keys = self._find_keys()
        if any(not types.get(key) for key in keys):
            return False
        kinds = []
        for key in keys:
            form = _declared(types[key])
            if form is None:
                raise CannotCompile(_unfit(key, types[key]))
            kinds.append((key, form))
        self._program(tuple(kinds))
        return True

    def _find_keys(self) -> list[str]:
        """The products that the method reads: those that its code mentions."""
        if self._lowered is None:
            from .compiled_driver import jit

            self._lowered = lower(self._method, self._instances, jit)
            mentioned = self._lowered.mentioned
            fields = {
                f"{key}_{field}"
                for key, inner in self._reads.items()
                if inner is not None and key in mentioned
                for place, field in enumerate(inner)
                if not place or field in mentioned  # the first tells how many there are
            }
            self._keys = sorted(
                key for key, inner in self._reads.items() if inner is None and key in {*mentioned, *fields}
            )
        return self._keys

    def _program(self, kinds: tuple[tuple[str, tuple[str, int, bool]], ...]) -> Any:
        known = self._programs.get(kinds)
        if known is None:
            from .compiled_driver import Program
            from .compiled_types import ColumnKind

            assert self._lowered is not None
            begin = perf_counter()
            there = {key for key, _ in kinds}
            collections = [
                (key, tuple(field for field in fields if f"{key}_{field}" in there))
                for key, fields in sorted(self._reads.items())
                if fields is not None
            ]
            known = self._programs[kinds] = Program(
                self._lowered,
                [(key, ColumnKind(*form)) for key, form in kinds],
                [(key, fields) for key, fields in collections if fields],
                max(1, len(self._instances)),
                self._is_filter,
            )
            self.seconds += perf_counter() - begin
        return known

    def __call__(self, columns: Columns) -> Any:
        """The products of a block, or which events pass."""
        read = [(key, columns.column(key)) for key in self._find_keys()]
        kinds = tuple((key, _form(key, column)) for key, column in read)
        if kinds not in self._programs:
            late = self._program(kinds)
            self.module.warnings.append(
                f"{self.module.label}: compiled while events waited ({self.seconds:.1f} s), because the types of what "
                "it reads are not declared, or not those that came"
            )
        else:
            late = self._programs[kinds]
        arrays = tuple(_arrays(column) for _, column in read)
        place = np.zeros(1, dtype=np.int64)
        try:
            made = late.run(arrays, _numbers(len(columns)), place)
        except Exception as error:
            error.place = int(place[0])  # type: ignore[attr-defined]  # read by the engine, for the event's name
            raise
        results: list[Flat | Jagged] = [Jagged(*out) if isinstance(out, tuple) else Flat(out) for out in made]
        if self._unchecked > 0 and len(columns):
            self._check(columns, dict(read), results)
        if self._instances:
            return dict(zip(self._instances, results, strict=True))
        return results[0].array() if self._is_filter else results[0]

    def _check(self, columns: Columns, read: Mapping[str, Column], results: Sequence[Column]) -> None:
        """Hold the first events against Python. Raises ValueError if they differ by more than rounding."""
        count = min(self._unchecked, len(columns))
        self._unchecked -= count
        store = Store(count, columns.ids.slice(0, count), 0, "")
        store.columns.update({key: column.slice(0, count) for key, column in read.items()})
        store.view = View(store, self._reads, self.module.label)
        expected = list(map(self._method, store.events))
        for place, result in enumerate(results):
            name = self._instances[place] if self._instances else ""
            wanted = [value[name] for value in expected] if name else expected
            for number, (mine, its) in enumerate(zip(result.slice(0, count).per_event(), wanted, strict=True)):
                if not _alike(mine, its):
                    wrong = ValueError(
                        f"compiled, its result{f' {name!r}' if name else ''} is {mine!r}, in Python {its!r}; work on "
                        "float(...) of what is read, or take 'compiled' away"
                    )
                    wrong.place = number  # type: ignore[attr-defined]
                    raise wrong


def faults_of_compiled(module: Module) -> list[str]:
    """What keeps a module from being compiled at all."""
    if not isinstance(module, Producer | Filter):
        return ["only producers and filters can be compiled"]
    base, method = (Filter, "filter") if isinstance(module, Filter) else (Producer, "produce")
    if uses_columns(module, base, method):
        return [f"it defines {method}_columns, and only per-event methods are compiled"]
    if module.threaded:
        return ["a module that runs in threads is not compiled"]
    if find_spec("numba") is None:
        return ["compiled modules need numba; install evproc[compiled]"]
    return []


def compile_modules(modules: Mapping[str, Module], flow: Flow, *, begun: bool) -> list[Fault]:
    """Compile all modules that ask for it; `begun` is whether `begin_job` has been called. Returns the faults."""
    faults: list[Fault] = []
    for label, module in modules.items():
        if not module.compiled:
            continue
        problems = faults_of_compiled(module)
        if not problems and (label not in flow.compiled or not begun):
            method = "filter" if isinstance(module, Filter) else "produce"
            flow.compiled[label] = Compiled(
                module, method, {**flow.reads.get(label, {}), **dict.fromkeys(flow.renamed.get(label, {}))}
            )
        if not problems:
            try:
                if begun or not flow.compiled[label].waits_for:
                    flow.compiled[label].prepare(flow.offered.products)
            except CannotCompile as error:
                problems = [f"it cannot be compiled: {error}"]
        faults.extend(Fault(f"{problem} ({type(module).__name__})", label, where=module.where) for problem in problems)
    return faults


def _declared(kind: str) -> tuple[str, int, bool] | None:
    """The form of a declared type: dtype, dimensions of values or content, whether jagged; None for other types."""
    *lengths, last = [part.strip() for part in kind.split("*")]
    jagged = lengths[:1] == ["var"]
    inner = lengths[1:] if jagged else lengths
    try:
        dtype = np.dtype(last)
    except TypeError:
        return None
    if dtype.kind not in "biufcmM" or not all(length.isdigit() for length in inner):
        return None
    return dtype.str, len(inner) + 1, jagged


def _form(key: str, column: Column) -> tuple[str, int, bool]:
    """The form of a column. Raises TypeError for what machine code cannot read."""
    if isinstance(column, Flat):
        return column.values.dtype.str, column.values.ndim, False
    if isinstance(column, Jagged):
        return column.content.dtype.str, column.content.ndim, True
    import awkward as ak

    raise TypeError(_unfit(key, str(ak.type(column.data).content)))


def _unfit(key: str, kind: str) -> str:
    return f"product '{key}' is {kind}; a compiled module reads numbers, fixed-size arrays of them, and lists of either"


def _arrays(column: Column) -> tuple[Any, ...]:
    """A column as compiled code takes it."""
    if isinstance(column, Jagged):
        return _frozen(column.offsets), _frozen(column.content)
    assert isinstance(column, Flat)
    return (_frozen(column.values),)


def _frozen(array: Any) -> Any:
    view = np.ascontiguousarray(array)[...]
    view.flags.writeable = False
    return view


@lru_cache(maxsize=4)
def _numbers(count: int) -> Any:
    """The numbers from 0 to `count`: (count,) int64."""
    return _frozen(np.arange(count))


def _alike(mine: Any, its: Any) -> bool:
    """Whether two results are the same but for rounding."""
    one, other = np.asarray(mine), np.asarray(its)
    if one.shape != other.shape:
        return False
    if one.dtype.kind in "fc" and other.dtype.kind in "biufc":
        return bool(np.allclose(one, other, rtol=TOLERANCE, atol=1e-5, equal_nan=True))
    return bool(np.array_equal(one, other))
